//! Workers as processes: killed, and asked to end.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{process::Stdio, time::Duration};

use chat_backend_kafka::{KafkaConfig, QueueConfig, QueuedLog, TopicNames};
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{
    AppendOutcome, MemberChange, MessageLog, NewRoom, ReadQuery, Role,
    testkit::fixtures::{draft, room, user},
};
use chat_test_services::{Database, Kafka, Postgres};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    async fn start(database: &Database, prefix: &str, brokers: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_example-kafka-worker"));
        command
            .env("KAFKA_BROKERS", brokers)
            .env("DATABASE_URL", database.url())
            .env("CHAT_TOPIC_PREFIX", prefix)
            .env("CHAT_GROUP", format!("{prefix}workers"))
            .env("CHAT_PARTITIONS", "3")
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits until it has its partitions.
    async fn works(&mut self) {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap().unwrap();
            if line.starts_with("working: 3 ") {
                return;
            }
        }
    }

    async fn signal(mut self, signal: Signal) -> std::process::ExitStatus {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_nothing_undone_and_a_terminated_one_finishes() {
    let kafka = Kafka::shared().await.unwrap();
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let prefix = kafka.prefix();
    let mut first = Process::start(&database, &prefix, kafka.url()).await;
    first.works().await;

    let store = PostgresBackend::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap();
    store.rooms().create(NewRoom::new(room("r"))).await.unwrap();
    store.rooms().change_member(&room("r"), MemberChange::add(user("ann"), Role::Member)).await.unwrap();
    let config = KafkaConfig::new(kafka.url()).with_topics(TopicNames::with_prefix(&prefix));
    let queue =
        QueuedLog::start(&config, QueueConfig::new(), store.message_log(), store.rooms()).await.unwrap();
    let send = async |from: usize, to: usize| {
        for n in from..to {
            let outcomes =
                queue.append(&[draft("r", "ann", &format!("c{n}"), &n.to_string())]).await.unwrap();
            assert_eq!(outcomes, [AppendOutcome::Accepted]);
        }
    };
    let stored = async || {
        let page = store.message_log().read(&room("r"), ReadQuery::newest().with_limit(1_000)).await.unwrap();
        page.entries.iter().map(|entry| entry.client_id.to_string()).collect::<Vec<_>>()
    };
    let all = async |count: usize| {
        let wait = async {
            while stored().await.len() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap();
        assert_eq!(stored().await, (0..count).map(|n| format!("c{n}")).collect::<Vec<_>>());
    };
    send(0, 200).await;
    assert!(!first.signal(Signal::KILL).await.success());
    send(200, 300).await;
    let mut second = Process::start(&database, &prefix, kafka.url()).await;
    second.works().await;
    all(300).await;
    send(300, 350).await;
    assert!(second.signal(Signal::TERM).await.success());
    let mut third = Process::start(&database, &prefix, kafka.url()).await;
    third.works().await;
    all(350).await;
}

#[tokio::test]
async fn a_worker_without_settings_names_all_that_it_needs() {
    let output = Command::new(env!("CARGO_BIN_EXE_example-kafka-worker")).env_clear().output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("KAFKA_BROKERS") && said.contains("DATABASE_URL"), "{said}");
}

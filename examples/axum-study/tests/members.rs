//! Members by events, from a real Kafka to the program itself.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{process::Stdio, time::Duration};

use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{RoomKey, UserId};
use chat_test_services::{Database, Kafka, Postgres, Redis};
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{Consumer as _, StreamConsumer},
    message::{Headers as _, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// One instance, and what it stands on.
struct Stage {
    database: Database,
    store: PostgresBackend,
    topic: String,
    brokers: String,
    _program: Child,
}

impl Stage {
    async fn new() -> Self {
        let database = Postgres::shared().await.unwrap().database().await.unwrap();
        let (redis, kafka) = (Redis::shared().await.unwrap(), Kafka::shared().await.unwrap());
        let topic = format!("{}study.member.created", kafka.prefix());
        let mut program = Command::new(env!("CARGO_BIN_EXE_example-axum-study"))
            .env_clear()
            .env("LISTEN", "127.0.0.1:0")
            .env("DATABASE_URL", database.url())
            .env("REDIS_URL", redis.url())
            .env("REDIS_PREFIX", redis.prefix().trim_end_matches(':'))
            .env("KAFKA_BROKERS", kafka.url())
            .env("KAFKA_TOPIC", &topic)
            .env("KAFKA_GROUP", &topic)
            .env("JWT_SECRET", "a secret of this test's own, long enough")
            .env("INTERNAL_TOKEN", "a token of services")
            .env("CHAT_LOG", "warn")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        assert!(line.unwrap().starts_with("listening on "));
        let store =
            PostgresBackend::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap();
        Self { database, store, topic, brokers: kafka.url().to_owned(), _program: program }
    }

    async fn tell(&self, value: &str) {
        let mut client = ClientConfig::new();
        let producer: FutureProducer = client.set("bootstrap.servers", &self.brokers).create().unwrap();
        // All of them in one partition, one behind the other.
        let record = FutureRecord::to(&self.topic).key("study").payload(value).partition(0);
        producer.send(record, PATIENCE).await.unwrap();
    }

    /// When this user became a member of a study's room, if they are one.
    async fn joined(&self, study: u64, user: u64) -> Option<(String, u64, bool)> {
        let key = RoomKey::new(&format!("study:{study}")).unwrap();
        let room = self.store.rooms().room_by_key(&key).await.unwrap()?;
        let user = UserId::new(&user.to_string()).unwrap();
        let member = self.store.rooms().member(&room.id, &user).await.unwrap()?;
        Some((room.id.to_string(), member.joined_at.as_millis(), member.is_current()))
    }

    async fn until_joined(&self, study: u64, user: u64) -> (String, u64, bool) {
        let begun = Instant::now();
        loop {
            match self.joined(study, user).await {
                Some(member) if member.2 => return member,
                _ => assert!(begun.elapsed() < PATIENCE, "user {user} is no member of study {study}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn dead_letter(&self, letters: &StreamConsumer) -> OwnedMessage {
        timeout(PATIENCE, letters.recv()).await.unwrap().unwrap().detach()
    }

    fn letters(&self) -> StreamConsumer {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers).set("group.id", format!("{}-letters", self.topic));
        let consumer: StreamConsumer = client.set("auto.offset.reset", "earliest").create().unwrap();
        consumer.subscribe(&[&format!("{}.dlt", self.topic)]).unwrap();
        consumer
    }
}

fn header(letter: &OwnedMessage, name: &str) -> String {
    let found = letter.headers().unwrap().iter().find(|header| header.key == name);
    String::from_utf8(found.unwrap().value.unwrap().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_member_of_a_study_is_a_member_of_its_room_once_and_failures_hold_up_nobody() {
    let stage = Stage::new().await;
    let event = |study: u64, member: u64| json!({ "studyId": study, "memberId": member, "studyName": "Rust", "createdAt": "2025-01-09T14:30:00" });
    stage.tell(&event(1, 10).to_string()).await;
    let first = stage.until_joined(1, 10).await;
    assert_eq!(first.0.parse::<u64>().unwrap().to_string(), first.0, "a room has a number");

    // The same again, one that can never be applied, one that is none, and good ones behind them.
    stage.tell(&event(1, 10).to_string()).await;
    let mut failing = event(2, 20);
    failing["studyName"] = "x".repeat(9_000).into();
    let told = Instant::now();
    stage.tell(&failing.to_string()).await;
    stage.tell("no event").await;
    stage.tell(&event(1, 11).to_string()).await;
    assert_eq!(stage.until_joined(1, 11).await.0, first.0, "a study has one room");
    assert!(told.elapsed() < Duration::from_secs(7), "later events are not held up: {:?}", told.elapsed());
    assert_eq!(stage.joined(1, 10).await, Some(first.clone()), "the same event twice adds one member");

    let letters = stage.letters();
    let unreadable = stage.dead_letter(&letters).await;
    assert_eq!(
        (unreadable.payload(), header(&unreadable, "original-offset")),
        (Some(&b"no event"[..]), "3".into())
    );
    let failed = stage.dead_letter(&letters).await;
    assert!(told.elapsed() >= Duration::from_secs(7), "tried again after 1, 2 and 4 s: {:?}", told.elapsed());
    assert_eq!(failed.payload(), Some(failing.to_string().as_bytes()));
    assert!(header(&failed, "reason").contains("metadata"), "{}", header(&failed, "reason"));
    let [topic, partition, offset] =
        ["original-topic", "original-partition", "original-offset"].map(|name| header(&failed, name));
    assert_eq!((topic, partition.as_str(), offset.as_str()), (stage.topic.clone(), "0", "2"));
    assert_eq!(stage.joined(2, 20).await, None);

    // Who has left is not brought back by an event that comes again.
    let key = RoomKey::new("study:1").unwrap();
    let room = stage.store.rooms().room_by_key(&key).await.unwrap().unwrap();
    let gone = chat_core::MemberChange::remove(UserId::new("10").unwrap());
    stage.store.rooms().change_member(&room.id, gone).await.unwrap();
    stage.tell(&event(1, 10).to_string()).await;
    stage.tell(&event(1, 12).to_string()).await;
    stage.until_joined(1, 12).await;
    assert!(!stage.joined(1, 10).await.unwrap().2);
    let mut again = event(1, 10);
    again["createdAt"] = "2025-02-01T00:00:00".into();
    stage.tell(&again.to_string()).await;
    stage.until_joined(1, 10).await;
    stage.store.close().await;
    drop(stage.database);
}

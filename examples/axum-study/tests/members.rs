//! Members by events, from a real Kafka to the program itself.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{process::Stdio, time::Duration};

use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{
    RoomKey, UserId,
    auth::{JwtClaims, JwtSigner},
};
use chat_test_services::{Database, Kafka, Postgres, Redis};
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{Consumer as _, StreamConsumer},
    message::{Headers as _, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(60);

const SECRET: &str = "a secret of this test's own, long enough";

/// One instance, and what it stands on.
struct Stage {
    database: Database,
    store: PostgresBackend,
    topic: String,
    brokers: String,
    address: String,
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
            .env("JWT_SECRET", SECRET)
            .env("INTERNAL_TOKEN", "a token of services")
            .env("CHAT_LOG", "warn")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        let address = line.unwrap().strip_prefix("listening on http://").unwrap().to_owned();
        let store =
            PostgresBackend::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap();
        Self { database, store, topic, brokers: kafka.url().to_owned(), address, _program: program }
    }

    async fn tell(&self, value: &str) {
        let mut client = ClientConfig::new();
        let producer: FutureProducer = client.set("bootstrap.servers", &self.brokers).create().unwrap();
        // All of them in one partition, one behind the other.
        let record = FutureRecord::to(&self.topic).key("study").payload(value).partition(0);
        producer.send(record, PATIENCE).await.unwrap();
    }

    /// `POST /api/chat/rooms/{room}/{what}` by this user, which is taken.
    async fn post(&self, room: &str, what: &str, user: u64) {
        let claims = JwtClaims::new(UserId::new(&user.to_string()).unwrap());
        let claims = claims.with_lifetime(Duration::from_secs(60));
        let token = JwtSigner::hs256(SECRET).unwrap().sign(&claims).unwrap();
        let mut connection = TcpStream::connect(&self.address).await.unwrap();
        let request = format!(
            "POST /api/chat/rooms/{room}/{what} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\nContent-Length: 0\r\n\r\n",
            self.address
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, connection.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_late_brings_nobody_back_who_has_left_over_rest() {
    let stage = Stage::new().await;
    let now = || chat_core::Timestamp::from(std::time::SystemTime::now()).as_millis();
    let event =
        |member: u64, at: u64| json!({ "studyId": 1, "memberId": member, "createdAt": at }).to_string();
    stage.tell(&event(1, now())).await;
    let (room, ..) = stage.until_joined(1, 1).await;
    stage.post(&room, "join", 2).await;
    let before = now();
    stage.post(&room, "leave", 2).await;
    stage.post(&room, "leave", 1).await;
    for member in [1, 2] {
        stage.tell(&event(member, before)).await;
    }
    stage.tell(&event(3, now())).await;
    stage.until_joined(1, 3).await;
    for member in [1, 2] {
        assert!(!stage.joined(1, member).await.unwrap().2, "{member} has left");
    }
    // What happens afterwards counts.
    stage.tell(&event(2, now() + 1_000)).await;
    stage.until_joined(1, 2).await;
    stage.store.close().await;
    drop(stage.database);
}

//! Events of membership are applied, each until it is, or become dead letters.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;
mod members;

use std::time::Duration;

use chat_backend_kafka::{
    ConnectError, KafkaConfig, MembershipConfig, MembershipConsumer, TopicError, TopicSpec, ensure_topics,
};
use chat_core::{Backend as _, RoomKey, Rooms};
use chat_test_services::Kafka;
use live::{PATIENCE, produce, producer, until, user};
use members::{Store, decode};
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{BaseConsumer, Consumer as _},
    message::{Header, Headers as _, OwnedHeaders, OwnedMessage},
    producer::FutureRecord,
};
use tokio::time::Instant;

/// Topics and a group that no other test has, and a store.
struct Stage {
    config: KafkaConfig,
    membership: MembershipConfig,
    brokers: String,
}

impl Stage {
    async fn on(kafka: &Kafka, partitions: i32) -> Self {
        let prefix = kafka.prefix();
        let config = KafkaConfig::new(kafka.url());
        let membership = MembershipConfig::new()
            .with_topic(format!("{prefix}study.member.created"))
            .with_group(format!("{prefix}group"))
            .with_retries([100, 200, 400].map(Duration::from_millis));
        let topic = TopicSpec::new(membership.topic(), partitions);
        ensure_topics(&config, &[topic, membership.dead_letters_spec(1)]).await.unwrap();
        Self { config, membership, brokers: kafka.url().to_owned() }
    }

    async fn new(partitions: i32) -> Self {
        Self::on(Kafka::shared().await.unwrap(), partitions).await
    }

    async fn start(&self, store: &Store) -> MembershipConsumer {
        MembershipConsumer::start(&self.config, self.membership.clone(), store.clone(), decode).await.unwrap()
    }

    async fn joined(&self, study: u64, member: &str, version: u64) {
        let value = format!(r#"{{"study":{study},"member":"{member}","version":{version}}}"#);
        produce(&producer(&self.brokers), self.membership.topic(), member, &value).await;
    }

    /// Reads so many dead letters, and no more are there.
    async fn dead_letters(&self, count: usize) -> Vec<OwnedMessage> {
        let (brokers, topic) = (self.brokers.clone(), self.membership.dead_letters());
        let read = tokio::task::spawn_blocking(move || {
            let mut client = ClientConfig::new();
            client.set("bootstrap.servers", &brokers).set("group.id", format!("{topic}-reader"));
            client.set("auto.offset.reset", "earliest").set("enable.partition.eof", "true");
            let consumer: BaseConsumer = client.create().unwrap();
            let mut all = rdkafka::TopicPartitionList::new();
            all.add_partition_offset(&topic, 0, rdkafka::Offset::Beginning).unwrap();
            consumer.assign(&all).unwrap();
            let (mut letters, begun) = (Vec::new(), std::time::Instant::now());
            loop {
                match consumer.poll(Duration::from_millis(100)) {
                    Some(Ok(letter)) => letters.push(letter.detach()),
                    Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) if letters.len() >= count => {
                        return letters;
                    }
                    _ => assert!(begun.elapsed() < PATIENCE, "{} dead letters of {count}", letters.len()),
                }
            }
        });
        let letters = read.await.unwrap();
        assert_eq!(letters.len(), count);
        letters
    }
}

fn header(letter: &OwnedMessage, name: &str) -> String {
    let found = letter.headers().unwrap().iter().find(|header| header.key == name);
    String::from_utf8(found.unwrap_or_else(|| panic!("no {name}")).value.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn new_members_are_added_to_one_room_for_each_study_and_repeats_change_nothing() {
    let (stage, store) = (Stage::new(3).await, Store::new());
    let consumer = stage.start(&store).await;
    for member in ["ann", "bob", "ann", "cid", "ann"] {
        stage.joined(7, member, 1).await;
    }
    stage.joined(8, "ann", 1).await;
    for (study, member) in [(7, "ann"), (7, "bob"), (7, "cid"), (8, "ann")] {
        store.until_member(study, member).await;
    }
    until("all are read", async || store.calls() == 6).await;
    let rooms = store.rooms.rooms_of(&user("ann"), None, 10).await.unwrap().rooms;
    assert_eq!(rooms.len(), 2);
    let seven = store.rooms.room_by_key(&RoomKey::new("study/7").unwrap()).await.unwrap().unwrap();
    assert_eq!(store.rooms.members(&seven.id, None, 10).await.unwrap().members.len(), 3);
    consumer.health().await.unwrap();
    consumer.shutdown(PATIENCE).await.unwrap();
    // What was applied does not come again.
    let again = stage.start(&store).await;
    stage.joined(9, "dan", 1).await;
    store.until_member(9, "dan").await;
    assert_eq!(store.calls(), 7);
    again.shutdown(PATIENCE).await.unwrap();
}

/// Retried topics, added partitions and two writers bring events out of order.
#[tokio::test]
async fn an_older_version_that_comes_later_changes_nothing() {
    let (stage, store) = (Stage::new(1).await, Store::new());
    let _consumer = stage.start(&store).await;
    let producer = producer(&stage.brokers);
    for value in [
        r#"{"study":1,"member":"ann","version":5,"left":true}"#,
        r#"{"study":1,"member":"ann","version":4}"#,
        r#"{"study":1,"member":"bob","version":1}"#,
    ] {
        produce(&producer, stage.membership.topic(), "k", value).await;
    }
    store.until_member(1, "bob").await;
    until("all are read", async || store.calls() == 3).await;
    assert!(!store.is_member(1, "ann").await, "she had left");
}

#[tokio::test]
async fn an_event_that_fails_for_good_becomes_a_dead_letter_and_later_ones_go_on() {
    let stage = Stage::new(1).await;
    let store = Store::new().failing("bad", usize::MAX).failing("slow", 2);
    let consumer = stage.start(&store).await;
    let value = r#"{"study":1,"member":"bad","version":1}"#;
    let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some("abc") });
    let record = FutureRecord::to(stage.membership.topic()).key("bad").payload(value).headers(headers);
    producer(&stage.brokers).send(record, PATIENCE).await.unwrap();
    let begun = Instant::now();
    stage.joined(1, "slow", 1).await;
    stage.joined(1, "ann", 1).await;
    store.until_member(1, "ann").await;
    assert!(begun.elapsed() < Duration::from_secs(30), "held up");
    store.until_member(1, "slow").await;
    let letters = stage.dead_letters(1).await;
    let letter = &letters[0];
    assert_eq!(letter.key(), Some("bad".as_bytes()));
    assert_eq!(letter.payload(), Some(value.as_bytes()));
    assert_eq!(header(letter, "original-topic"), stage.membership.topic());
    assert_eq!(
        (header(letter, "original-partition"), header(letter, "original-offset")),
        ("0".into(), "0".into())
    );
    assert_eq!(header(letter, "trace"), "abc");
    assert!(header(letter, "reason").contains("too busy"), "{letter:?}");
    // Once, and three times more; two failures and a success; one.
    until("it was tried", async || store.calls() == 4 + 3 + 1).await;
    consumer.shutdown(PATIENCE).await.unwrap();
    // It is done with.
    let _again = stage.start(&store).await;
    stage.joined(1, "bob", 1).await;
    store.until_member(1, "bob").await;
    assert_eq!(store.calls(), 9);
    stage.dead_letters(1).await;
}

#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter_at_once() {
    let stage = Stage::new(1).await;
    let store = Store::new();
    let _consumer = stage.start(&store).await;
    let producer = producer(&stage.brokers);
    produce(&producer, stage.membership.topic(), "k", "nonsense").await;
    let empty = FutureRecord::<str, str>::to(stage.membership.topic()).key("k");
    producer.send(empty, PATIENCE).await.unwrap();
    stage.joined(1, "ann", 1).await;
    let mut letters = stage.dead_letters(2).await;
    letters.sort_by_key(|letter| header(letter, "original-offset"));
    assert!(header(&letters[0], "reason").contains("expected"), "{letters:?}");
    assert_eq!(letters[0].payload(), Some("nonsense".as_bytes()));
    assert_eq!(header(&letters[1], "reason"), "no value");
    store.until_member(1, "ann").await;
    assert_eq!(store.calls(), 1);
}

/// Each partition with as many events under way as there may be.
#[tokio::test]
async fn a_partition_that_waits_holds_up_no_other() {
    let mut stage = Stage::new(2).await;
    stage.membership = stage.membership.with_max_waiting(1).with_retries([Duration::from_secs(3_600)]);
    let store = Store::new().failing("bad", 1);
    let consumer = stage.start(&store).await;
    let producer = producer(&stage.brokers);
    let send = async |partition: i32, member: &str, version: u64| {
        let value = format!(r#"{{"study":1,"member":"{member}","version":{version}}}"#);
        let record = FutureRecord::<str, str>::to(stage.membership.topic()).partition(partition);
        producer.send(record.payload(&value), PATIENCE).await.unwrap();
    };
    send(0, "bad", 1).await;
    // More than wait on the way there.
    for version in 0..200 {
        send(0, "ann", version + 1).await;
        send(1, "bob", version + 1).await;
    }
    until("the other partition is read", async || store.calls() == 201).await;
    assert!(!store.is_member(1, "ann").await);
    // Who waits for another attempt does not hold up the end.
    consumer.shutdown(Duration::from_secs(10)).await.unwrap();
    let again = stage.start(&store).await;
    store.until_member(1, "bad").await;
    until("nothing is left out", async || {
        store.applied.lock().unwrap().get("ann").is_some_and(|versions| versions.len() == 200)
    })
    .await;
    again.shutdown(PATIENCE).await.unwrap();
}

/// Members come and go while events come: nothing is lost, and of one member nothing is overtaken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_that_come_and_go_lose_nothing_and_keep_the_order() {
    const MEMBERS: usize = 20;
    const VERSIONS: u64 = 60;
    let stage = Stage::new(6).await;
    let mut store = Store::new();
    store.takes = Duration::from_millis(5);
    let mut consumers = vec![stage.start(&store).await, stage.start(&store).await];
    let writing = {
        let (brokers, topic) = (stage.brokers.clone(), stage.membership.topic().to_owned());
        tokio::spawn(async move {
            let producer = producer(&brokers);
            for version in 1..=VERSIONS {
                for member in 0..MEMBERS {
                    let value = format!(r#"{{"study":1,"member":"m{member}","version":{version}}}"#);
                    produce(&producer, &topic, &format!("m{member}"), &value).await;
                }
            }
        })
    };
    let some = async |share: u64| {
        let wanted = usize::try_from(VERSIONS * share / 10).unwrap() * MEMBERS;
        until("some are applied", async || store.calls() >= wanted).await;
    };
    some(1).await;
    consumers.push(stage.start(&store).await);
    some(3).await;
    // In good order, and not.
    consumers.remove(0).shutdown(PATIENCE).await.unwrap();
    some(5).await;
    drop(consumers.remove(0));
    writing.await.unwrap();
    until("all are applied", async || {
        let applied = store.applied.lock().unwrap();
        (0..MEMBERS).all(|member| {
            applied.get(&format!("m{member}")).is_some_and(|versions| versions.contains(&VERSIONS))
        })
    })
    .await;
    let applied = store.applied.lock().unwrap();
    for (member, versions) in &*applied {
        let mut newest = 0;
        for version in versions {
            assert!(*version <= newest + 1, "{member}: {version} after {newest}");
            newest = newest.max(*version);
        }
        assert_eq!(newest, VERSIONS, "{member}");
    }
}

#[tokio::test]
async fn a_killed_broker_delays_events_and_loses_none() {
    let kafka = Kafka::private().await.unwrap();
    let stage = Stage::on(&kafka, 2).await;
    let store = Store::new().failing("bad", usize::MAX);
    let consumer = stage.start(&store).await;
    for number in 0..10 {
        stage.joined(1, &format!("m{number}"), 1).await;
    }
    store.until_member(1, "m0").await;
    stage.joined(1, "bad", 1).await;
    kafka.kill().await.unwrap();
    until("it is noticed", async || consumer.health().await.is_err()).await;
    kafka.start().await.unwrap();
    for number in 10..20 {
        stage.joined(1, &format!("m{number}"), 1).await;
    }
    for number in 0..20 {
        store.until_member(1, &format!("m{number}")).await;
    }
    let letters = stage.dead_letters(1).await;
    assert_eq!(letters[0].key(), Some("bad".as_bytes()));
    until("all is well", async || consumer.health().await.is_ok()).await;
    consumer.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_topic_that_is_missing_is_named() {
    let kafka = Kafka::shared().await.unwrap();
    let membership = MembershipConfig::new().with_topic(format!("{}none", kafka.prefix()));
    let config = KafkaConfig::new(kafka.url());
    let started = MembershipConsumer::start(&config, membership.clone(), Store::new(), decode);
    match started.await.unwrap_err() {
        ConnectError::Topic(TopicError::Missing { topic }) => assert_eq!(topic, membership.topic()),
        other => panic!("{other}"),
    }
}

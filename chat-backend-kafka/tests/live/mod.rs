//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{sync::Arc, time::Duration};

use chat_backend_kafka::{FanoutConfig, KafkaConfig, KafkaFanout, TopicNames, TopicSpec, ensure_topics};
use chat_core::{
    CustomKind, Fanout, JsonText, RoomId, UserId,
    fanout::{FanoutEvent, FanoutItem, Publication, Subscription, Topic},
};
use chat_test_services::Kafka;
use futures::StreamExt as _;
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// On topics that no other test has.
pub(crate) fn fresh(kafka: &Kafka) -> KafkaConfig {
    KafkaConfig::new(kafka.url()).with_topics(TopicNames::with_prefix(&kafka.prefix()))
}

/// Makes the topics that the fan-out reads.
pub(crate) async fn make_live_topics(config: &KafkaConfig, partitions: i32) {
    let names = config.topics();
    let specs = [&names.events, &names.persisted].map(|name| TopicSpec::new(name, partitions));
    ensure_topics(config, &specs).await.unwrap();
}

/// Finds out soon what is wrong.
pub(crate) fn quick() -> FanoutConfig {
    FanoutConfig::new()
        .with_refresh(Duration::from_millis(100))
        .with_publish_timeout(Duration::from_millis(1_000))
}

pub(crate) async fn connect(config: &KafkaConfig, fanout: FanoutConfig) -> Arc<KafkaFanout> {
    Arc::new(KafkaFanout::connect(config, fanout).await.unwrap())
}

/// A producer of the test's own, as other programs have it.
pub(crate) fn producer(brokers: &str) -> FutureProducer {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers).set("linger.ms", "0").set("partitioner", "murmur2_random");
    client.create().unwrap()
}

pub(crate) async fn produce(producer: &FutureProducer, topic: &str, key: &str, value: &str) {
    let record = FutureRecord::to(topic).key(key).payload(value);
    producer.send(record, PATIENCE).await.unwrap();
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::Room(room(name))
}

pub(crate) fn signal(text: &str) -> FanoutEvent {
    FanoutEvent::Signal {
        room: room("tea"),
        user: user("ann"),
        name: CustomKind::new("note").unwrap(),
        data: JsonText::new(&format!("\"{text}\"")).unwrap(),
    }
}

pub(crate) async fn publish(fanout: &dyn Fanout, to: &str, event: FanoutEvent) {
    fanout.publish(&[Publication::new(topic(to), event)]).await.unwrap();
}

/// The next event, or none where a loss is told.
pub(crate) async fn next(subscription: &mut Subscription) -> Option<Arc<FanoutEvent>> {
    match timeout(PATIENCE, subscription.next()).await.unwrap().unwrap().unwrap() {
        FanoutItem::Event(event) => Some(event),
        FanoutItem::Missed => None,
    }
}

/// Reads up to the mark of a loss, and answers how many events came before it.
pub(crate) async fn missed(subscription: &mut Subscription) -> usize {
    let mut events = 0;
    while next(subscription).await.is_some() {
        events += 1;
    }
    events
}

/// Publishes until one arrives.
pub(crate) async fn is_live(fanout: &dyn Fanout, to: &str, subscription: &mut Subscription) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // It may be out of reach still.
        let _ = fanout.publish(&[Publication::new(topic(to), signal("live"))]).await;
        match timeout(Duration::from_millis(200), next(subscription)).await {
            Ok(Some(event)) if *event == signal("live") => return,
            _ => assert!(Instant::now() < deadline, "no event within {PATIENCE:?}"),
        }
    }
}

//! What was accepted is stored, once and in order, whatever happens to the brokers.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod log;

use std::{sync::Arc, time::Duration};

use chat_backend_kafka::{KafkaConfig, QueueConfig, ensure_topics};
use chat_core::{
    AppendOutcome, Error, MessageLog, Storage as _, memory::MemoryStore, testkit::fixtures::draft,
};
use chat_test_services::{Kafka, KafkaCluster};
use log::{
    Stage, fresh,
    load::{Load, make_rooms},
    persisted, quick, until,
};
use tokio::time::{Instant, sleep};

const ROOMS: usize = 8;
const WRITERS: usize = 16;

/// Writers on two nodes and two workers, and something that happens to the brokers meanwhile.
async fn under_load(stage: Stage, fault: impl AsyncFnOnce()) {
    make_rooms(&stage.rooms, ROOMS, WRITERS).await;
    let nodes: [Arc<dyn MessageLog>; 2] =
        [Arc::new(stage.queue(QueueConfig::new()).await), Arc::new(stage.queue(QueueConfig::new()).await)];
    let workers = [stage.worker(), stage.worker()];
    let load = Load::start(&nodes, ROOMS, WRITERS, Duration::from_millis(5));
    sleep(Duration::from_secs(2)).await;
    fault().await;
    sleep(Duration::from_secs(3)).await;
    let accepted = load.stop().await;
    assert!(accepted.count() > 500, "{}", accepted.count());
    until("all is stored", async || accepted.are_stored(&*stage.log).await).await;
    accepted.check(&*stage.log).await;
    for worker in &workers {
        until("it is well", async || worker.health().is_ok()).await;
    }
}

/// Knows soon that a record is not delivered.
async fn stage(config: KafkaConfig) -> Stage {
    let config = config.with_delivery_timeout(Duration::from_secs(2));
    Stage::over(config, &MemoryStore::new(), 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_comes_back_loses_nothing_that_was_accepted() {
    let kafka = Kafka::private().await.unwrap();
    under_load(stage(fresh(&kafka)).await, async || {
        kafka.kill().await.unwrap();
        sleep(Duration::from_secs(4)).await;
        kafka.start().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_cut_off_loses_nothing_that_was_accepted() {
    let kafka = Kafka::private().await.unwrap();
    let proxy = kafka.proxy().await.unwrap();
    let config = fresh(&kafka);
    let behind = KafkaConfig::new(proxy.address().to_string()).with_topics(config.topics().clone());
    under_load(stage(behind).await, async || {
        for _ in 0..3 {
            proxy.cut().await;
            sleep(Duration::from_secs(2)).await;
            proxy.mend().await;
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_brokers_is_killed_and_nothing_that_was_accepted_is_lost() {
    let cluster = KafkaCluster::private().await.unwrap();
    let config = KafkaConfig::new(cluster.url())
        .with_topics(chat_backend_kafka::TopicNames::with_prefix(&cluster.servers()[0].prefix()))
        .with_delivery_timeout(Duration::from_secs(10));
    ensure_topics(&config, &config.topics().specs(3, 3)).await.unwrap();
    let store = MemoryStore::new();
    let leader = cluster.leader(&config.topics().messages, 0).await.unwrap();
    let stage = Stage { config, log: store.message_log(), rooms: store.rooms() };
    under_load(stage, async || {
        cluster.servers()[leader].kill().await.unwrap();
        sleep(Duration::from_secs(5)).await;
        cluster.servers()[leader].start().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_told_as_unknown_and_too_much_as_busy() {
    let kafka = Kafka::private().await.unwrap();
    let stage = stage(fresh(&kafka)).await;
    make_rooms(&stage.rooms, 1, 1).await;
    let queue = stage.queue(QueueConfig::new().with_bounds(2, 1_000_000)).await;
    let waits = stage.queue(persisted().with_persist_timeout(Duration::from_millis(500))).await;
    let one = |name: &str| [draft("r0", "w0", name, "hello")];
    assert_eq!(queue.append(&one("c1")).await.unwrap(), [AppendOutcome::Accepted]);
    // Nobody stores it.
    let begun = Instant::now();
    assert!(matches!(waits.append(&one("c1")).await, Err(Error::Timeout { operation: "append" })));
    assert!(begun.elapsed() < Duration::from_secs(2));
    kafka.pause().await.unwrap();
    let three = [one("c2"), one("c3"), one("c4")].concat();
    let (two, busy) = tokio::join!(queue.append(&three[..2]), async {
        sleep(Duration::from_millis(200)).await;
        queue.append(&three[2..]).await
    });
    assert!(matches!(two, Err(Error::Timeout { .. })), "{two:?}");
    assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
    kafka.resume().await.unwrap();
    // What timed out gave its room back.
    until("it is accepted", async || queue.append(&three[..2]).await.is_ok()).await;
    // A sender who goes away leaves its message whole.
    let lost = tokio::time::timeout(Duration::ZERO, queue.append(&three[2..])).await;
    drop(lost);
    queue.shutdown(Duration::from_secs(10)).await.unwrap();
    let worker = stage.worker_with(quick(&stage.config));
    assert_eq!(waits_for(&waits, &three).await, 3);
    worker.shutdown(Duration::from_secs(10)).await.unwrap();
}

/// Repeats the drafts until it is known what became of them, and answers how many are stored.
async fn waits_for(log: &impl MessageLog, drafts: &[chat_core::Draft]) -> usize {
    loop {
        match log.append(drafts).await {
            Ok(outcomes) => return outcomes.iter().filter(|outcome| outcome.stored().is_some()).count(),
            Err(error) => assert!(error.is_retryable(), "{error:?}"),
        }
    }
}

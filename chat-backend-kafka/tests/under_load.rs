//! What was accepted is stored, once and in order, whatever happens to brokers and workers.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod log;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use chat_backend_kafka::{KafkaConfig, QueueConfig, Worker, ensure_topics};
use chat_core::{
    AppendOutcome, Error, MessageLog, Storage as _, memory::MemoryStore, testkit::fixtures::draft,
};
use chat_test_services::{Kafka, KafkaCluster};
use futures::FutureExt as _;
use log::{
    Stage,
    broken::{Broken, Fault},
    fresh,
    load::{Accepted, Load, make_rooms},
    persisted, quick, topic, until,
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
    load.go_on(400).await;
    fault().await;
    load.go_on(400).await;
    let accepted = load.stop().await;
    all_is_stored(&stage, &accepted, &workers).await;
    accepted.check(&*stage.log).await;
    for worker in &workers {
        until("it is well", async || worker.health().is_ok()).await;
    }
}

/// Waits for it, and says where it stands if it takes too long.
async fn all_is_stored(stage: &Stage, accepted: &Accepted, workers: &[Worker]) {
    let stored = until("all is stored", async || accepted.are_stored(&*stage.log).await);
    if let Err(panic) = AssertUnwindSafe(stored).catch_unwind().await {
        for worker in workers {
            eprintln!("{worker:?}, {:?}", worker.health());
        }
        eprintln!("what was accepted and is not stored: {:?}", accepted.missing(&*stage.log).await);
        let mut records: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for record in topic::records(&stage.config, &stage.config.topics().messages).await {
            let value = String::from_utf8_lossy(&record.value).into_owned();
            records.entry(record.partition).or_default().push((record.offset, record.key, value));
        }
        for (partition, records) in records {
            eprintln!("partition {partition} begins with {:?}", records.iter().take(3).collect::<Vec<_>>());
        }
        resume_unwind(panic);
    }
}

/// Knows soon that a record is not delivered.
async fn stage(config: KafkaConfig) -> Stage {
    let config = config.with_delivery_timeout(Duration::from_secs(2));
    Stage::over(config, &MemoryStore::new(), 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stands_still_for_a_while_loses_nothing_that_was_accepted() {
    let kafka = Kafka::private().await.unwrap();
    under_load(stage(fresh(&kafka)).await, async || {
        kafka.pause().await.unwrap();
        sleep(Duration::from_secs(20)).await;
        kafka.resume().await.unwrap();
    })
    .await;
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

#[tokio::test(flavor = "multi_thread")]
async fn workers_come_and_go_under_load_and_nothing_is_lost_repeated_or_reordered() {
    const ROOMS: usize = 12;
    let kafka = Kafka::shared().await.unwrap();
    let stage = Stage::memory(kafka, 6).await;
    make_rooms(&stage.rooms, ROOMS, 24).await;
    let queue: Arc<dyn MessageLog> = Arc::new(stage.queue(QueueConfig::new()).await);
    let has = async |worker: &Worker, count: usize| {
        until("the partitions are shared out", async || worker.partitions() == count).await;
    };
    let load = Load::start(&[Arc::clone(&queue)], ROOMS, 24, Duration::from_millis(2));
    let (first, second) = (stage.worker(), stage.worker());
    has(&first, 3).await;
    has(&second, 3).await;
    let third = stage.worker();
    for worker in [&first, &second, &third] {
        has(worker, 2).await;
    }
    load.go_on(300).await;
    first.shutdown(Duration::from_secs(10)).await.unwrap();
    // The other one is killed.
    third.abort().await;
    has(&second, 6).await;
    load.go_on(300).await;
    let accepted = load.stop().await;
    all_is_stored(&stage, &accepted, std::slice::from_ref(&second)).await;
    accepted.check(&*stage.log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_added_under_load_and_every_writer_keeps_its_order() {
    const ROOMS: usize = 24;
    let kafka = Kafka::shared().await.unwrap();
    let mut stage = Stage::memory(kafka, 3).await;
    make_rooms(&stage.rooms, ROOMS, 24).await;
    // The old partitions are far behind when the new ones come.
    let broken = Broken::new(Arc::clone(&stage.log));
    stage.log = broken.clone();
    let queue: Arc<dyn MessageLog> = Arc::new(stage.queue(QueueConfig::new()).await);
    let load = Load::start(&[Arc::clone(&queue)], ROOMS, 24, Duration::from_millis(5));
    let workers = [stage.worker(), stage.worker()];
    until("something is stored", async || broken.calls() > 20).await;
    broken.fails(Fault::Away);
    sleep(Duration::from_millis(500)).await;
    topic::grow(&stage.config, &stage.config.topics().messages, 6).await;
    let has = || workers.iter().map(Worker::partitions).sum::<usize>();
    until("the new ones are shared out", async || has() == 6).await;
    until("the new ones are written to", async || {
        let records = topic::records(&stage.config, &stage.config.topics().messages).await;
        records.iter().any(|record| record.partition >= 3)
    })
    .await;
    load.go_on(300).await;
    broken.fails(Fault::None);
    load.go_on(300).await;
    let accepted = load.stop().await;
    all_is_stored(&stage, &accepted, &workers).await;
    accepted.check(&*stage.log).await;
}

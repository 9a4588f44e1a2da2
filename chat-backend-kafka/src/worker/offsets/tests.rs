//! What waits for what; and a broker that leads many partitions and falls silent.

use chat_core::{Storage as _, memory::MemoryStore};
use rdkafka::{
    consumer::{BaseConsumer, CommitMode},
    mocking::{MockCluster, MockCoordinator},
};

use super::*;
use crate::{KafkaConfig, TopicNames, worker::WorkerConfig};

fn extent(low: i64, high: i64, committed: Option<i64>) -> Extent {
    Extent { low, high, committed }
}

#[test]
fn a_partition_that_was_added_waits_for_those_that_were_there() {
    let new = extent(0, 3, None);
    let extents = BTreeMap::from([(0, extent(0, 10, Some(4))), (1, extent(0, 0, None)), (2, new)]);
    assert_eq!(others(2, &extents), Ends::from([(0, 10)]));
    // A topic that nobody has read yet.
    let extents = BTreeMap::from([(0, extent(0, 10, None)), (1, extent(0, 5, None))]);
    assert_eq!(others(1, &extents), Ends::new());
}

#[tokio::test]
async fn a_partition_without_a_leader_holds_up_no_other_that_was_begun_with() {
    let log = MemoryStore::new().message_log();
    let shared = Shared::of_test(WorkerConfig::new().with_growth_pause(Duration::ZERO), log);
    (0..4).for_each(|partition| shared.ledger().begin(partition));
    let mut holds = shared.ledger().held();
    // The coordinator knows nothing of 0; 1 has no leader; 3 is new.
    let committed = BTreeMap::from([(1, Some(4)), (2, Some(7)), (3, None)]);
    let mut progress = Progress { committed, complete: false };
    release_begun(&shared, &progress, &mut holds);
    let held = || shared.ledger().held().iter().map(|(partition, _)| *partition).collect::<Vec<_>>();
    assert_eq!(held(), [0, 3]);
    // The new one waits for all that were there, so all must be known.
    let mut waits = BTreeMap::new();
    let mut extents = BTreeMap::from([(2, extent(0, 7, Some(7))), (3, extent(0, 0, None))]);
    release(&shared, &progress, &extents, holds.clone(), &mut waits);
    assert_eq!(held(), [0, 3]);
    progress.committed.insert(0, Some(1));
    progress.complete = true;
    release_begun(&shared, &progress, &mut holds);
    release(&shared, &progress, &extents, holds.clone(), &mut waits);
    assert_eq!(held(), [3]);
    extents.extend([(0, extent(0, 1, Some(1))), (1, extent(0, 9, Some(4)))]);
    release(&shared, &progress, &extents, holds.clone(), &mut waits);
    assert_eq!(held(), [3], "what is in 1 comes first");
    extents.insert(1, extent(0, 12, Some(9)));
    release(&shared, &progress, &extents, holds, &mut waits);
    assert!(held().is_empty());
}

#[test]
fn of_a_silent_partition_what_was_known_counts_on() {
    let mut known = BTreeMap::from([(0, extent(0, 10, Some(4)))]);
    learn(&mut known, &BTreeMap::from([(0, Some(6)), (1, None)]), &BTreeMap::from([(1, extent(0, 3, None))]));
    assert_eq!(known, BTreeMap::from([(0, extent(0, 10, Some(6))), (1, extent(0, 3, None))]));
}

#[test]
fn what_is_not_kept_any_more_is_not_waited_for() {
    assert_eq!(extent(10, 10, Some(4)).at(), 10);
    assert_eq!(extent(0, 10, Some(4)).at(), 4);
    assert_eq!(extent(3, 10, None).at(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_that_fall_silent_hold_up_none_that_was_begun_with() {
    const PARTITIONS: i32 = 10;
    // Others are asked for metadata: few questions go to the one that is silent.
    const BROKERS: i32 = 8;
    let group = "workers";
    let topics = TopicNames::default();
    let cluster = MockCluster::new(BROKERS).unwrap();
    cluster.create_topic(&topics.messages, PARTITIONS, 1).unwrap();
    for partition in 0..PARTITIONS {
        cluster.partition_leader(&topics.messages, partition, Some(BROKERS)).unwrap();
    }
    cluster.coordinator(MockCoordinator::Group(group.to_owned()), 1).unwrap();
    let mut client = KafkaConfig::new(cluster.bootstrap_servers()).client();
    client.set("group.id", group);
    let mut done = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        done.add_partition_offset(&topics.messages, partition, Offset::Offset(0)).unwrap();
    }
    let member: BaseConsumer = client.create().unwrap();
    member.commit(&done, CommitMode::Sync).unwrap();
    let log = MemoryStore::new().message_log();
    let shared = Shared::of_test_with(WorkerConfig::new(), topics, log, None);
    let watching = tokio::spawn(watch(Arc::clone(&shared), asker(&client).unwrap(), PATIENCE));
    let is_released = async |patience: Duration| {
        let until = Instant::now() + patience;
        while !shared.ledger().held().is_empty() && Instant::now() < until {
            sleep(Duration::from_millis(10)).await;
        }
        shared.ledger().held().is_empty()
    };
    (0..PARTITIONS - 1).for_each(|partition| shared.ledger().begin(partition));
    shared.assigned.notify_one();
    assert!(is_released(Duration::from_secs(20)).await);
    // All ends are known, and a round begins in which nobody says them.
    let known = async || shared.lag.load(std::sync::atomic::Ordering::Relaxed) >= 0;
    while !known().await {
        sleep(Duration::from_millis(10)).await;
    }
    cluster.broker_round_trip_time(BROKERS, PATIENCE * 20).unwrap();
    let asked = Instant::now();
    assert!(member.fetch_watermarks(&shared.topics.messages, 0, INTERVAL * 2).is_err());
    assert!(asked.elapsed() >= INTERVAL * 2, "it is silent");
    shared.ledger().begin(PARTITIONS - 1);
    shared.assigned.notify_one();
    assert!(is_released(PATIENCE * 4).await, "long before it has waited for each leader");
    // The worker ends: nobody waits for what is left of the round.
    let ending = Instant::now();
    shared.abort();
    watching.abort();
    drop(watching.await);
    while Arc::strong_count(&shared) > 1 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(ending.elapsed() < PATIENCE * 2);
}

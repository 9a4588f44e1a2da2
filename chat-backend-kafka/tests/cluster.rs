//! Three brokers of which one fails: nothing that was accepted is lost, and everybody goes on.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;
mod log;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chat_backend_kafka::{KafkaConfig, QueueConfig, StoredMessages, TopicNames, ensure_topics};
use chat_core::{
    Backend as _, Fanout as _, MessageLog, RoomId,
    fanout::{FanoutEvent, FanoutItem, Subscription, Topic},
    memory::MemoryStore,
    testkit::fixtures::room,
};
use chat_test_services::KafkaCluster;
use futures::StreamExt as _;
use live::PATIENCE;
use log::{
    Stage,
    load::{Load, make_rooms},
};
use tokio::time::{sleep, timeout};

const ROOMS: usize = 6;
const WRITERS: usize = 12;

/// What a subscription has seen of a room, until `head` is there.
async fn positions(subscription: &mut Subscription, head: u64) -> BTreeSet<u64> {
    let mut seen = BTreeSet::new();
    while !seen.contains(&head) {
        match timeout(PATIENCE, subscription.next()).await.unwrap().unwrap().unwrap() {
            FanoutItem::Event(event) => match &*event {
                FanoutEvent::Message(message) => drop(seen.insert(message.seq().get())),
                other => panic!("{other:?}"),
            },
            FanoutItem::Missed => {}
        }
    }
    seen
}

async fn head(log: &dyn MessageLog, room: &RoomId) -> u64 {
    log.heads(std::slice::from_ref(room)).await.unwrap()[0].clone().unwrap().cursor.seq.get()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_brokers_that_fails_under_load_loses_nothing_that_was_accepted() {
    let cluster = KafkaCluster::private().await.unwrap();
    let config = KafkaConfig::new(cluster.url()).with_topics(TopicNames::with_prefix("chat-test-"));
    ensure_topics(&config, &config.topics().specs(3, 3)).await.unwrap();
    cluster.whole().await.unwrap();
    let stage = Stage::over(config.clone(), &MemoryStore::new(), 3).await;
    make_rooms(&stage.rooms, ROOMS, WRITERS).await;

    let worker = stage.worker();
    let fanout = live::quick().with_buffer(1_000_000).with_stored_messages(StoredMessages::FromWorkers);
    let node = live::connect(&config, fanout).await;
    let mut subscriptions = Vec::new();
    for number in 0..ROOMS {
        let room = room(&format!("r{number}"));
        subscriptions.push((node.subscribe(&Topic::Room(room.clone())).await.unwrap(), room));
    }
    let mut logs: Vec<Arc<dyn MessageLog>> = Vec::new();
    for _ in 0..2 {
        logs.push(Arc::new(stage.queue(QueueConfig::new()).await));
    }
    let load = Load::start(&logs, ROOMS, WRITERS, Duration::from_millis(5));

    load.go_on(200).await;
    let killed = cluster.leader(&config.topics().messages, 0).await.unwrap();
    cluster.servers()[killed].kill().await.unwrap();
    load.go_on(200).await;
    cluster.servers()[killed].start().await.unwrap();
    cluster.whole().await.unwrap();

    // Another one, which does not know that it was given up.
    let paused = cluster.leader(&config.topics().persisted, 1).await.unwrap();
    cluster.servers()[paused].pause().await.unwrap();
    sleep(Duration::from_secs(8)).await;
    cluster.servers()[paused].resume().await.unwrap();
    cluster.whole().await.unwrap();
    load.go_on(200).await;

    let accepted = load.stop().await;
    log::until("all is stored", async || accepted.are_stored(&*stage.log).await).await;
    accepted.check(&*stage.log).await;
    // A hint may be lost, but here none was: Kafka keeps them, too.
    for (mut subscription, room) in subscriptions {
        let head = head(&*stage.log, &room).await;
        assert_eq!(positions(&mut subscription, head).await, (1..=head).collect(), "{room}");
    }
    log::until("all is well", async || node.health().await.is_ok()).await;
    worker.shutdown(PATIENCE).await.unwrap();
}

//! Nodes that take less than they are sent.

use chat_core::{
    Fanout,
    fanout::{FanoutItem, Subscription},
};
use chat_test_services::Redis;
use fred::{clients::Client, interfaces::PubsubInterface as _};
use futures::{FutureExt as _, StreamExt as _, future::join_all};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    PROBE, by_hand,
    live::{config, connect, fresh, is_live, signal, topic, until},
    shared,
};

/// Publishes to a channel without an end, faster than anybody takes it.
fn flood(
    publisher: Client,
    channel: String,
    payload: impl Fn(u64) -> String + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        for turn in 0.. {
            let numbers = turn * 200..(turn + 1) * 200;
            join_all(numbers.map(|number| publisher.spublish::<(), _, _>(channel.as_str(), payload(number))))
                .await;
        }
    })
}

/// So many events in each payload that reading takes longer than sending.
fn long_payload(number: u64) -> String {
    let event = serde_json::to_string(&signal("flood")).unwrap();
    let events = vec![event; 300].join(",");
    format!("1 7 {:x} {number:x}\n[{events}]", number + 1)
}

/// What is dropped because the node is slow may be its own question: that says nothing about the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_node_that_is_slow_keeps_its_connection() {
    // By its default Redis itself would end a connection that reads so slowly.
    let server = Redis::private_with(&["client-output-buffer-limit pubsub 1gb 0 0"]).await.unwrap();
    let backend = connect(&config(server.url()).with_probe(PROBE / 3).with_receive_buffer(2)).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("flooded")).await.unwrap();
    let connections = async || server.ask("CLIENT LIST TYPE pubsub").await.unwrap();
    let id = |list: &str| list.split_once("id=").unwrap().1.split(' ').next().unwrap().to_owned();
    let before = id(&connections().await);
    let flooding = flood(by_hand(server.url()).await, "chat:room:flooded".to_owned(), long_payload);
    until("the node is too slow", async || is_lost(&mut subscription)).await;
    for _ in 0..30 {
        sleep(PROBE / 3).await;
        is_lost(&mut subscription);
        assert_eq!(id(&connections().await), before, "another connection");
    }
    flooding.abort();
}

/// What came meanwhile was not read yet: that says nothing about the connection either.
#[tokio::test]
async fn a_node_that_slept_keeps_its_connection() {
    let backend = connect(&fresh(shared().await).with_probe(PROBE)).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    for _ in 0..5 {
        std::thread::sleep(PROBE * 2);
        sleep(PROBE / 2).await;
        assert!(!is_lost(&mut subscription), "another connection");
    }
    is_live(&*fanout, "tea", &mut subscription).await;
}

/// Takes what waits, and answers whether it tells of a loss.
fn is_lost(subscription: &mut Subscription) -> bool {
    let mut lost = false;
    while let Some(Some(Ok(item))) = subscription.next().now_or_never() {
        lost |= matches!(item, FanoutItem::Missed);
    }
    lost
}

/// The node is slower than its connection: what it could not take is told.
#[tokio::test]
async fn payloads_that_come_faster_than_they_are_taken_are_told_as_missed() {
    let server = shared().await;
    let prefix = format!("{}slow", server.prefix());
    let config = config(server.url()).with_prefix(&prefix).with_receive_buffer(2);
    let backend = connect(&config.with_fanout_buffer(100_000)).await;
    let (fanout, publisher) = (backend.fanout(), by_hand(server.url()).await);
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    let channel = format!("{prefix}:room:tea");
    let payload = |number: u64| {
        let event = serde_json::to_string(&signal(&number.to_string())).unwrap();
        format!("1 7 {:x} {number:x}\n[{event}]", number + 1)
    };
    let flood = (0..5_000).map(|number| publisher.spublish::<(), _, _>(channel.as_str(), payload(number)));
    join_all(flood).await;
    until("the last one came, or its loss is told", async || {
        matches!(subscription.next().now_or_never(), Some(Some(Ok(FanoutItem::Missed))))
    })
    .await;
    is_live(&*fanout, "tea", &mut subscription).await;
}

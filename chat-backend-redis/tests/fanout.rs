//! The fan-out finds its way back from what networks and servers do.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use chat_backend_redis::{RedisBackend, RedisConfig};
use chat_core::{
    Backend as _, Fanout,
    fanout::{FanoutEvent, FanoutItem, Publication, Subscription},
};
use chat_test_services::{Direction, Proxy, Redis};
use fred::{
    clients::Client,
    interfaces::{ClientLike as _, EventInterface as _, PubsubInterface as _},
    types::{Builder, config::Config},
};
use futures::{FutureExt as _, StreamExt as _, future::join_all};
use live::{PATIENCE, config, connect, fresh, is_live, missed, next, publish, signal, through, topic, until};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

const PROBE: Duration = Duration::from_millis(300);

async fn shared() -> &'static Redis {
    Redis::shared().await.unwrap()
}

/// A client of the test's own.
async fn by_hand(url: &str) -> Client {
    let mut builder = Builder::from_config(Config::from_url(url).unwrap());
    builder.with_performance_config(|performance| performance.broadcast_channel_capacity = 100_000);
    let client = builder.build().unwrap();
    client.init().await.unwrap();
    client
}

/// Ends the connections that subscribe, and answers how many there were.
async fn end_subscribers(server: &Redis) -> String {
    server.ask("CLIENT KILL TYPE pubsub").await.unwrap()
}

#[tokio::test]
async fn a_killed_subscriber_comes_back_and_tells_every_topic() {
    let server = Redis::private().await.unwrap();
    let (here, there) = (connect(&config(server.url())).await, connect(&config(server.url())).await);
    let (here, there) = (here.fanout(), there.fanout());
    let mut subscriptions = Vec::new();
    for number in 0..40 {
        subscriptions.push(there.subscribe(&topic(&format!("r{number}"))).await.unwrap());
    }
    for _ in 0..3 {
        assert_eq!(end_subscribers(&server).await, "1", "one connection per node that subscribes");
        for (number, subscription) in subscriptions.iter_mut().enumerate() {
            missed(subscription).await;
            publish(&*here, &format!("r{number}"), signal("again")).await;
            assert_eq!(next(subscription).await.as_deref(), Some(&signal("again")));
        }
    }
}

#[tokio::test]
async fn others_hear_what_is_published_on_a_channel_of_the_applications_own() {
    let server = Redis::private().await.unwrap();
    let node = connect(&config(server.url())).await;
    let listener = by_hand(server.url()).await;
    let mut heard = listener.message_rx();
    listener.subscribe("other:news").await.unwrap();
    node.publish("other:news", Bytes::from_static(b"{}")).await.unwrap();
    let message = timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
    assert_eq!((&*message.channel, message.value.as_bytes()), ("other:news", Some(&b"{}"[..])));
    server.kill().await.unwrap();
    assert!(node.publish("other:news", Bytes::new()).await.is_err());
}

/// A node whose subscriber goes through a proxy, and nothing else of it.
async fn through_a_proxy(server: &Redis) -> (RedisBackend, Proxy) {
    let proxy = Proxy::start(server.address().unwrap()).await.unwrap();
    let at = Config::from_url(&through(server, &proxy)).unwrap();
    let config = fresh(server).with_subscribe_at(at).with_probe(PROBE).with_connect_timeout(PROBE * 3);
    (connect(&config).await, proxy)
}

#[tokio::test]
async fn a_half_open_subscriber_is_found_by_its_probe() {
    let (backend, proxy) = through_a_proxy(shared().await).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    is_live(&*fanout, "tea", &mut subscription).await;
    fanout.health().await.unwrap();
    proxy.half_open();
    until("the connection is found to be dead", async || fanout.health().await.is_err()).await;
    publish(&*fanout, "tea", signal("lost")).await;
    proxy.mend().await;
    missed(&mut subscription).await;
    is_live(&*fanout, "tea", &mut subscription).await;
    fanout.health().await.unwrap();
}

/// What we send arrives, and nothing comes back.
#[tokio::test]
async fn a_subscriber_that_is_alive_and_deaf_is_found_by_its_probe() {
    let (backend, proxy) = through_a_proxy(shared().await).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    is_live(&*fanout, "tea", &mut subscription).await;
    proxy.stall(Direction::ToClient);
    until("the connection is found to be deaf", async || fanout.health().await.is_err()).await;
    backend.health().await.unwrap();
    proxy.mend().await;
    while next(&mut subscription).await.is_some() {}
    is_live(&*fanout, "tea", &mut subscription).await;
}

/// As an operator does who splits a replica off: nobody's connection breaks.
#[tokio::test]
async fn a_subscriber_at_a_detached_replica_is_found_by_its_probe() {
    let (primary, replica) = (Redis::neighbour().await.unwrap(), Redis::neighbour().await.unwrap());
    let address = primary.address().unwrap().replace(':', " ");
    let password = Config::from_url(primary.url()).unwrap().password.unwrap();
    replica.ask(&format!("CONFIG SET masterauth {password}")).await.unwrap();
    let attach = async || {
        replica.ask(&format!("REPLICAOF {address}")).await.unwrap();
        until("the replica follows", async || {
            replica.ask("INFO replication").await.unwrap().contains("master_link_status:up")
        })
        .await;
    };
    attach().await;
    let at = Config::from_url(replica.url()).unwrap();
    let backend = connect(&fresh(&primary).with_subscribe_at(at).with_probe(PROBE)).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    is_live(&*fanout, "tea", &mut subscription).await;
    replica.ask("REPLICAOF NO ONE").await.unwrap();
    // It is put back at the same replica, and so it is told again and again.
    missed(&mut subscription).await;
    missed(&mut subscription).await;
    attach().await;
    is_live(&*fanout, "tea", &mut subscription).await;
}

#[tokio::test]
async fn a_killed_server_is_found_again_and_subscriptions_live_on() {
    let server = Redis::private().await.unwrap();
    let backend = connect(&config(server.url()).with_connect_timeout(Duration::from_secs(2))).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    is_live(&*fanout, "tea", &mut subscription).await;
    server.kill().await.unwrap();
    let lost = [Publication::new(topic("tea"), signal("lost"))];
    let lost = timeout(PATIENCE, fanout.publish(&lost)).await.unwrap().unwrap_err();
    assert!(lost.is_retryable(), "{lost:?}");
    // A call that nobody waits for any more leaves nothing behind, and one that is waited for says what is wrong.
    assert!(fanout.subscribe(&topic("other")).now_or_never().is_none());
    let refused = fanout.subscribe(&topic("another")).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    assert!(fanout.health().await.is_err());
    server.start().await.unwrap();
    missed(&mut subscription).await;
    is_live(&*fanout, "tea", &mut subscription).await;
    drop(fanout.subscribe(&topic("other")).await.unwrap());
    assert!(format!("{fanout:?}").contains("topics: 1"), "{fanout:?}");
    drop(subscription);
    assert!(format!("{fanout:?}").contains("topics: 0"), "{fanout:?}");
}

#[tokio::test]
async fn a_paused_server_costs_a_bounded_wait_and_is_used_again() {
    let server = Redis::private().await.unwrap();
    let backend = connect(&config(server.url()).with_probe(PROBE)).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    server.pause().await.unwrap();
    let begun = Instant::now();
    for _ in 0..3 {
        let late = fanout.publish(&[Publication::new(topic("tea"), signal("late"))]).await.unwrap_err();
        assert!(late.is_retryable(), "{late:?}");
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    server.resume().await.unwrap();
    is_live(&*fanout, "tea", &mut subscription).await;
    until("all is well", async || fanout.health().await.is_ok()).await;
}

/// A primary that becomes a replica need not end its connections: an operator's `REPLICAOF`, or one address for whoever is the
/// primary.
#[tokio::test]
async fn a_server_that_takes_no_writes_any_more_is_left_and_asked_for_again() {
    let (server, other) = (Redis::neighbour().await.unwrap(), Redis::neighbour().await.unwrap());
    let proxy = Proxy::start(server.address().unwrap()).await.unwrap();
    let backend = connect(&config(&through(&server, &proxy))).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    let before = proxy.accepted();
    server.ask(&format!("REPLICAOF {}", other.address().unwrap().replace(':', " "))).await.unwrap();
    until("another connection is tried", async || proxy.accepted() > before).await;
    server.ask("REPLICAOF NO ONE").await.unwrap();
    is_live(&*fanout, "tea", &mut subscription).await;
}

/// A busy connection is never idle, and is found to lead nowhere all the same.
#[tokio::test]
async fn a_half_open_connection_is_made_anew_while_calls_go_on() {
    let server = shared().await;
    let proxy = Proxy::start(server.address().unwrap()).await.unwrap();
    let short = Duration::from_millis(200);
    let config = config(&through(server, &proxy)).with_prefix(server.prefix()).with_command_timeout(short);
    let backend = connect(&config.with_connect_timeout(short * 2)).await;
    let fanout = backend.fanout();
    publish(&*fanout, "tea", signal("one")).await;
    // Nobody subscribes: there is the one connection.
    assert_eq!(proxy.accepted(), 1);
    proxy.half_open();
    let mut number = 0;
    until("another connection is tried", async || {
        number += 1;
        let late = [Publication::new(topic(&format!("r{number}")), signal("late"))];
        let _ = timeout(Duration::from_millis(20), fanout.publish(&late)).await;
        proxy.accepted() > 1
    })
    .await;
    proxy.mend().await;
    until("it is used again", async || backend.health().await.is_ok()).await;
    publish(&*fanout, "tea", signal("two")).await;
}

/// The server ends a connection on which more waits than it may hold.
#[tokio::test]
async fn a_subscriber_that_the_server_gives_up_is_put_back_and_told() {
    let server = Redis::private_with(&["client-output-buffer-limit pubsub 64kb 0 0"]).await.unwrap();
    let (backend, proxy) = through_a_proxy(&server).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    is_live(&*fanout, "tea", &mut subscription).await;
    proxy.stall(Direction::ToClient);
    let long = signal(&"x".repeat(200_000));
    until("the server gives the connection up", async || {
        let _ = fanout.publish(&[Publication::new(topic("tea"), long.clone())]).await;
        server.log_tail().contains("output buffer limits") || server.log_tail().contains("overcoming")
    })
    .await;
    proxy.mend().await;
    while next(&mut subscription).await.is_some() {}
    is_live(&*fanout, "tea", &mut subscription).await;
}

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

#[tokio::test]
async fn events_arrive_whole_up_to_a_bound_and_longer_ones_are_told_as_missed() {
    let (here, there) = {
        let config = fresh(shared().await);
        (connect(&config).await, connect(&config).await)
    };
    let (here, there) = (here.fanout(), there.fanout());
    let mut subscription = there.subscribe(&topic("tea")).await.unwrap();
    let long = signal(&"🍵\\n".repeat(100_000));
    let events = [long.clone(), signal("small"), signal(&"x".repeat(2_000_000)), signal("last")];
    here.publish(&events.map(|event| Publication::new(topic("tea"), event))).await.unwrap();
    assert!(next(&mut subscription).await.is_some_and(|event| *event == long));
    assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("small")));
    missed(&mut subscription).await;
    assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("last")));
}

/// The channel and the payload as another release would write them.
#[tokio::test]
async fn what_a_newer_release_publishes_is_passed_over_where_it_is_not_known() {
    let server = shared().await;
    let prefix = format!("{}newer", server.prefix());
    let backend = connect(&config(server.url()).with_prefix(&prefix)).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    let known = serde_json::to_string(&signal("known")).unwrap();
    let publisher = by_hand(server.url()).await;
    for payload in [
        "1 7 1 0\n[{\"waved\":{\"with\":\"both hands\"}}]".to_owned(),
        format!("1 7 2 1 more words\n[{known}]"),
        "2 7 3 2\nnobody knows".to_owned(),
        "not ours at all".to_owned(),
    ] {
        publisher.spublish::<(), _, _>(format!("{prefix}:room:tea"), payload).await.unwrap();
    }
    assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("known")));
    missed(&mut subscription).await;
    is_live(&*fanout, "tea", &mut subscription).await;
}

#[tokio::test]
async fn prefixes_on_one_server_do_not_hear_each_other() {
    let server = shared().await;
    let (one, other) = (connect(&fresh(server)).await, connect(&fresh(server)).await);
    let mut subscription = other.fanout().subscribe(&topic("tea")).await.unwrap();
    publish(&*one.fanout(), "tea", signal("one")).await;
    publish(&*other.fanout(), "tea", signal("other")).await;
    assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("other")));
}

#[tokio::test]
async fn a_closed_backend_ends_its_subscriptions_with_an_error() {
    let server = Redis::private().await.unwrap();
    let backend = connect(&config(server.url())).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    backend.close().await;
    let last = timeout(PATIENCE, subscription.next()).await.unwrap().unwrap();
    assert!(last.is_err());
    assert!(subscription.next().await.is_none());
    assert!(fanout.subscribe(&topic("tea")).await.is_err());
    assert!(fanout.publish(&[Publication::new(topic("tea"), signal("late"))]).await.is_err());
    assert!(backend.health().await.is_err());
    // Only the one that asks is left.
    until("all connections are gone", async || {
        server.ask("CLIENT LIST").await.unwrap().trim().lines().count() == 1
    })
    .await;
}

#[tokio::test]
async fn a_dropped_backend_leaves_no_connection_and_ends_its_subscriptions() {
    let server = Redis::private().await.unwrap();
    let backend = connect(&config(server.url())).await;
    let mut subscription = backend.fanout().subscribe(&topic("tea")).await.unwrap();
    publish(&*backend.fanout(), "tea", signal("one")).await;
    drop(backend);
    let last = loop {
        match timeout(PATIENCE, subscription.next()).await.unwrap().unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(!last.is_retryable(), "{last:?}");
    until("all connections are gone", async || {
        server.ask("CLIENT LIST").await.unwrap().trim().lines().count() == 1
    })
    .await;
}

/// A node that has seen thousands of rooms listens to those with sessions.
#[tokio::test]
async fn channels_that_nobody_wants_any_more_are_given_up() {
    let server = Redis::private().await.unwrap();
    let backend = connect(&config(server.url()).with_probe(Duration::from_millis(50))).await;
    let fanout = backend.fanout();
    let topics: Vec<_> = (0..2_000).map(|number| topic(&format!("r{number}"))).collect();
    let subscriptions = join_all(topics.iter().map(|topic| fanout.subscribe(topic))).await;
    let channels = async || {
        let channels = server.ask("PUBSUB SHARDCHANNELS").await.unwrap();
        channels.lines().filter(|channel| channel.contains(":room:")).count()
    };
    assert_eq!(channels().await, 2_000);
    let mut kept = subscriptions.into_iter().map(Result::unwrap).take(3).collect::<Vec<_>>();
    until("the others are given up", async || channels().await == 3).await;
    for (number, subscription) in kept.iter_mut().enumerate() {
        publish(&*fanout, &format!("r{number}"), signal("still")).await;
        assert_eq!(next(subscription).await.as_deref(), Some(&signal("still")));
    }
    let mut again = fanout.subscribe(&topic("r1999")).await.unwrap();
    publish(&*fanout, "r1999", signal("again")).await;
    assert_eq!(next(&mut again).await.as_deref(), Some(&signal("again")));
}

/// A burst of calls becomes few payloads, and loses and repeats nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_share_payloads() {
    const COUNT: usize = 3_000;
    let server = shared().await;
    let prefix = format!("{}burst", server.prefix());
    let backend = connect(&config(server.url()).with_prefix(&prefix).with_fanout_buffer(COUNT)).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    let bare = by_hand(server.url()).await;
    let mut payloads = bare.message_rx();
    bare.ssubscribe(format!("{prefix}:room:tea")).await.unwrap();
    let calls: Vec<_> = (0..COUNT)
        .map(|number| {
            let fanout = Arc::clone(&fanout);
            tokio::spawn(async move { publish(&*fanout, "tea", signal(&number.to_string())).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    let mut seen = BTreeSet::new();
    while seen.len() < COUNT {
        match &*next(&mut subscription).await.expect("nothing gets lost") {
            FanoutEvent::Signal { data, .. } => assert!(seen.insert(data.as_str().to_owned()), "twice"),
            other => panic!("{other:?}"),
        }
    }
    publish(&*fanout, "tea", signal("last")).await;
    let mut count = 0;
    while !payloads.recv().await.unwrap().value.as_string().unwrap().contains("last") {
        count += 1;
    }
    assert!((1..COUNT / 2).contains(&count), "{count}");
}

#[tokio::test]
async fn no_error_says_the_password() {
    let server = Redis::private().await.unwrap();
    let wrong = server.url().replace("redis://:", "redis://:not");
    let refused = RedisBackend::connect(config(&wrong)).await.unwrap_err();
    let text = format!("{refused:?} {refused}");
    let password = Config::from_url(server.url()).unwrap().password.unwrap();
    assert!(!text.contains(&password), "{text}");
    assert!(text.contains("Denied"), "{text}");
    let backend = RedisBackend::connect(RedisConfig::from_url(server.url()).unwrap()).await.unwrap();
    assert!(!format!("{backend:?}").contains(&password), "{backend:?}");
}

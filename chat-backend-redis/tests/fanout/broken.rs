//! The fan-out finds its way back from what networks and servers do.

use std::time::Duration;

use chat_core::{Backend as _, Fanout, fanout::Publication};
use chat_test_services::{Direction, Proxy, Redis};
use fred::types::config::Config;
use futures::FutureExt as _;
use tokio::time::{Instant, timeout};

use crate::{
    PROBE, end_subscribers,
    live::{PATIENCE, config, connect, fresh, is_live, missed, next, publish, signal, through, topic, until},
    shared, through_a_proxy,
};

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

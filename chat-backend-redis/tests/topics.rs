//! Many topics in one call.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use chat_backend_redis::RedisConfig;
use chat_core::fanout::Publication;
use chat_test_services::{Redis, RedisCluster};
use fred::types::config::Config;
use live::{config, connect, fresh, is_live, next, publish, signal, topic, until};

/// More than go in one script, so that some go in the next.
const TOPICS: usize = 150;
const ROUNDS: usize = 5;

async fn all_arrive(config: &RedisConfig) {
    let (one, other) = (connect(config).await, connect(config).await);
    let (fanout, listening) = (one.fanout(), other.fanout());
    let mut subscriptions = Vec::new();
    for number in 0..TOPICS {
        subscriptions.push(listening.subscribe(&topic(&format!("t{number}"))).await.unwrap());
    }
    is_live(&*fanout, "t0", &mut subscriptions[0]).await;
    for round in 0..ROUNDS {
        let events: Vec<_> = (0..2 * TOPICS)
            .map(|number| {
                let event = signal(&format!("{round} {}", number / TOPICS));
                Publication::new(topic(&format!("t{}", number % TOPICS)), event)
            })
            .collect();
        fanout.publish(&events).await.unwrap();
        for subscription in &mut subscriptions {
            for number in 0..2 {
                let mut event = next(subscription).await.expect("nothing is missed");
                while *event == signal("live") {
                    event = next(subscription).await.expect("nothing is missed");
                }
                assert_eq!(*event, signal(&format!("{round} {number}")));
            }
        }
    }
}

#[tokio::test]
async fn what_goes_to_many_topics_in_one_call_reaches_each_in_its_order() {
    all_arrive(&fresh(Redis::shared().await.unwrap())).await;
}

#[tokio::test]
async fn so_it_does_over_the_servers_of_a_cluster() {
    let cluster = RedisCluster::private().await.unwrap();
    all_arrive(&config(&cluster.url().unwrap())).await;
}

/// A script's events go on to replicas like others.
#[tokio::test]
async fn so_it_does_at_a_replica() {
    let soon = ["repl-diskless-sync-delay 0"];
    let (primary, replica) =
        (Redis::neighbour_with(&soon).await.unwrap(), Redis::neighbour_with(&soon).await.unwrap());
    let address = primary.address().unwrap().replace(':', " ");
    let password = Config::from_url(primary.url()).unwrap().password.unwrap();
    replica.ask(&format!("CONFIG SET masterauth {password}")).await.unwrap();
    replica.ask(&format!("REPLICAOF {address}")).await.unwrap();
    until("the replica follows", async || {
        replica.ask("INFO replication").await.unwrap().contains("master_link_status:up")
    })
    .await;
    let at = Config::from_url(replica.url()).unwrap();
    all_arrive(&fresh(&primary).with_subscribe_at(at)).await;
}

/// The script that the server has is gone with it.
#[tokio::test]
async fn a_server_that_forgot_the_script_is_told_it_again() {
    let server = Redis::private().await.unwrap();
    all_arrive(&config(server.url())).await;
    server.ask("SCRIPT FLUSH").await.unwrap();
    all_arrive(&config(server.url())).await;
    let backend = connect(&config(server.url())).await;
    publish(&*backend.fanout(), "t0", signal("one alone")).await;
}

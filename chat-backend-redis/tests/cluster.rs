//! The fan-out on a cluster whose servers die and whose slots move.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::{sync::Arc, time::Duration};

use chat_core::{Fanout, fanout::Subscription};
use chat_test_services::RedisCluster;
use live::{config, connect, is_live, missed, next, publish, signal, topic, until};
use tokio::time::sleep;

const PROBE: Duration = Duration::from_millis(300);

/// A room for each of the three servers, by the slots of their channels, and a subscription to it.
async fn three_rooms(fanout: &Arc<dyn Fanout>, cluster: &RedisCluster) -> Vec<(String, u16, Subscription)> {
    let mut rooms = Vec::new();
    for wanted in 0..3u16 {
        for number in 0.. {
            let name = format!("r{number}");
            let slot = cluster.ask(0, &format!("CLUSTER KEYSLOT chat:room:{name}")).await.unwrap();
            let slot: u16 = slot.parse().unwrap();
            if slot / 5_462 == wanted {
                let mut subscription = fanout.subscribe(&topic(&name)).await.unwrap();
                publish(&**fanout, &name, signal("one")).await;
                assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("one")));
                rooms.push((name, slot, subscription));
                break;
            }
        }
    }
    rooms
}

#[tokio::test]
async fn each_shard_has_a_connection_of_its_own_and_a_killed_one_is_told_to_its_topics_only() {
    let cluster = RedisCluster::private().await.unwrap();
    let backend = connect(&config(&cluster.url().unwrap())).await;
    let fanout = backend.fanout();
    let mut rooms = three_rooms(&fanout, &cluster).await;
    assert_eq!(cluster.ask(1, "CLIENT KILL TYPE pubsub").await.unwrap(), "1");
    missed(&mut rooms[1].2).await;
    for (name, _, subscription) in &mut rooms {
        publish(&*fanout, name, signal("two")).await;
        assert_eq!(next(subscription).await.as_deref(), Some(&signal("two")), "{name}");
    }
}

#[tokio::test]
async fn a_killed_server_of_a_cluster_comes_back_with_its_topics() {
    let cluster = RedisCluster::private().await.unwrap();
    let backend = connect(&config(&cluster.url().unwrap()).with_probe(PROBE)).await;
    let fanout = backend.fanout();
    let mut rooms = three_rooms(&fanout, &cluster).await;
    cluster.servers()[2].kill().await.unwrap();
    until("it is noticed", async || fanout.health().await.is_err()).await;
    cluster.servers()[2].start().await.unwrap();
    cluster.whole().await.unwrap();
    missed(&mut rooms[2].2).await;
    for (name, _, subscription) in &mut rooms {
        is_live(&*fanout, name, subscription).await;
    }
    until("all is well", async || fanout.health().await.is_ok()).await;
}

/// The server that gives a slot away ends the subscriptions without a word that reaches us.
#[tokio::test]
async fn a_slot_that_moves_takes_its_topics_along() {
    let cluster = RedisCluster::private().await.unwrap();
    let backend = connect(&config(&cluster.url().unwrap()).with_probe(PROBE)).await;
    let fanout = backend.fanout();
    let mut rooms = three_rooms(&fanout, &cluster).await;
    let (name, slot, subscription) = &mut rooms[0];
    for to in [2, 1, 0] {
        cluster.move_slots([*slot], to).await.unwrap();
        missed(subscription).await;
        is_live(&*fanout, name, subscription).await;
        let channels = cluster.ask(to, "PUBSUB SHARDCHANNELS chat:room:*").await.unwrap();
        assert!(channels.lines().any(|channel| channel == format!("chat:room:{name}")), "{channels}");
    }
    for (name, _, subscription) in &mut rooms[1..] {
        publish(&*fanout, name, signal("two")).await;
        assert_eq!(next(subscription).await.as_deref(), Some(&signal("two")), "{name}");
    }
}

/// There and back before anybody looks: all is as it was, but for the subscription.
#[tokio::test]
async fn a_slot_that_comes_back_before_it_is_missed_is_subscribed_to_again() {
    let cluster = RedisCluster::private().await.unwrap();
    let backend = connect(&config(&cluster.url().unwrap()).with_probe(PROBE)).await;
    let fanout = backend.fanout();
    let mut rooms = three_rooms(&fanout, &cluster).await;
    let (name, slot, subscription) = &mut rooms[0];
    for _ in 0..5 {
        cluster.move_slots([*slot], 1).await.unwrap();
        cluster.move_slots([*slot], 0).await.unwrap();
        missed(subscription).await;
        is_live(&*fanout, name, subscription).await;
    }
}

/// Servers disagree for a while about who has a slot.
#[tokio::test]
async fn who_subscribes_while_servers_disagree_waits_until_they_do_not() {
    let cluster = RedisCluster::private().await.unwrap();
    let backend = connect(&config(&cluster.url().unwrap()).with_probe(Duration::from_secs(60))).await;
    let fanout = backend.fanout();
    let slot = {
        let rooms = three_rooms(&fanout, &cluster).await;
        // Another slot of the first server than that of its room.
        (rooms[0].1 + 1) % 5_000
    };
    let name = (0..)
        .map(|number| format!("s{number}"))
        .find(|name| fred::util::redis_keyslot(format!("chat:room:{name}").as_bytes()) == slot)
        .unwrap();
    let (first, second) =
        (cluster.ask(0, "CLUSTER MYID").await.unwrap(), cluster.ask(1, "CLUSTER MYID").await.unwrap());
    cluster.ask(0, &format!("CLUSTER SETSLOT {slot} NODE {second}")).await.unwrap();
    let topic = topic(&name);
    let (subscribed, ()) = tokio::join!(fanout.subscribe(&topic), async {
        sleep(Duration::from_secs(1)).await;
        cluster.ask(0, &format!("CLUSTER SETSLOT {slot} NODE {first}")).await.unwrap();
    });
    let mut subscription = subscribed.unwrap();
    is_live(&*fanout, &name, &mut subscription).await;
}

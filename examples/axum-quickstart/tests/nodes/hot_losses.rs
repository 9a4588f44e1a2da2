//! A Redis that answers what is sent forgets it: it is flushed, killed without a file, or replaced by a replica that was behind.
//! Whoever has seen something that is gone is told to begin anew, nobody else is, and then all have one history again, which is the
//! database's.

use std::time::Duration;

use chat_test_services::{Redis, RedisCluster, RedisSentinel};
use tokio::time::{Instant, sleep};

use crate::{hot_stage::HotStage, stage::PATIENCE};

/// In every other round nothing is moved into the database for a while before, so that something is lost for certain; what was taken
/// to be moved arrives there when the hot log has forgotten it.
async fn forgets_everything(what: &str, forget: impl AsyncFn(&HotStage)) {
    let mut stage = HotStage::open(&[]).await;
    stage.may_lose();
    for round in 0..3 {
        let held = if round % 2 == 0 { Some(stage.hold_archive().await) } else { None };
        stage.more_is_said(5).await;
        forget(&stage).await;
        let since = Instant::now();
        if let Some(held) = held {
            held.release().await;
        }
        stage.is_back(since, what).await;
        stage.more_is_said(10).await;
    }
    // A flush breaks no connection: the processes find out when they next say that they are there.
    stage.all_are_online(PATIENCE).await;
    stage.judge_losses().await;
}

async fn is_flushed() {
    forgets_everything("the hot log was flushed", async |stage| {
        assert_eq!(stage.redis().ask("FLUSHALL").await.unwrap(), "OK");
    })
    .await;
}

async fn is_killed_without_a_file() {
    forgets_everything("the hot log was killed and came up empty", async |stage| {
        stage.redis().kill().await.unwrap();
        sleep(Duration::from_millis(500)).await;
        stage.redis().start().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hot_log_forgets_is_told_to_whoever_has_seen_it() {
    tokio::join!(is_flushed(), is_killed_without_a_file());
}

/// The replica is not let in any more.
async fn stays_behind(replica: &Redis) {
    assert_eq!(replica.ask("CONFIG SET masterauth wrong").await.unwrap(), "OK");
    replica.ask("CLIENT KILL TYPE master").await.unwrap();
    let begun = Instant::now();
    while !replica.ask("INFO replication").await.unwrap().contains("master_link_status:down") {
        assert!(begun.elapsed() < PATIENCE, "the replica still follows");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_that_takes_over_does_not_have_is_told_to_whoever_has_seen_it() {
    let servers = RedisSentinel::private().await.unwrap();
    let mut stage = HotStage::on([servers.url(), servers.url()], None).await;
    stage.may_lose();
    let [primary, replica] = servers.servers() else { panic!("a primary and a replica") };
    let begun = Instant::now();
    stays_behind(replica).await;
    stage.more_is_said(20).await;
    let held = stage.hold_archive().await;
    stage.more_is_said(5).await;
    primary.kill().await.unwrap();
    held.release().await;
    while servers.primary().await.unwrap() != 1 {
        assert!(begun.elapsed() < PATIENCE, "the replica does not take over");
        sleep(Duration::from_millis(20)).await;
    }
    stage.is_well(Instant::now(), "a replica took over that was behind").await;
    stage.judge_losses().await;
}

/// Where the rooms are: `tea` in partition 0, `coffee` in partition 1.
const TEA_AND_COFFEE: [&str; 2] = ["{chat:hot:0}:m", "{chat:hot:1}:m"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_cluster_whose_server_is_replaced_by_a_replica_that_was_behind_only_its_rooms_lose_anything() {
    let servers = RedisCluster::with_replicas().await.unwrap();
    // One room to each of two servers.
    for (server, record) in TEA_AND_COFFEE.into_iter().enumerate() {
        let slot = servers.ask(0, &format!("CLUSTER KEYSLOT {record}")).await.unwrap();
        servers.move_slots([slot.parse().unwrap()], server).await.unwrap();
    }
    let url = servers.url().unwrap();
    let mut stage = HotStage::on([url.clone(), url], None).await;
    stage.may_lose();
    let (primary, replica) = (&servers.servers()[1], &servers.servers()[4]);
    stays_behind(replica).await;
    stage.more_is_said(20).await;
    let held = stage.hold_archive().await;
    stage.more_is_said(5).await;
    let begun = Instant::now();
    primary.kill().await.unwrap();
    held.release().await;
    while !replica.ask("INFO replication").await.unwrap().contains("role:master") {
        assert!(begun.elapsed() < PATIENCE, "the replica does not take over");
        sleep(Duration::from_millis(20)).await;
    }
    println!("the replica took over after {:.1?}", begun.elapsed());
    stage.is_well(Instant::now(), "a replica took over that was behind").await;
    // The one that was replaced comes back as a replica of its successor.
    primary.start().await.unwrap();
    servers.whole().await.unwrap();
    stage.more_is_said(10).await;
    let coffee = &stage.rooms[1];
    for client in &stage.clients {
        let rooms: Vec<_> = client.notes().resets.iter().map(|reset| reset.room.clone()).collect();
        assert!(rooms.iter().all(|room| room == coffee), "{rooms:?}");
    }
    stage.judge_losses().await;
}

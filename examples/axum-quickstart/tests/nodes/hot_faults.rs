//! A Redis that answers what is sent is killed and comes back with what it had, loses its connections, stands still, or cannot be
//! reached, while four people write: nothing that was answered is lost, and nobody is told to begin anew.
//!
//! What waits most runs side by side: each test puts two chats through something at once.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::hot_stage::{HotStage, KEEPS_ALL};

async fn is_killed_again_and_again() {
    let mut stage = HotStage::open(&KEEPS_ALL).await;
    for _ in 0..3 {
        stage.redis().kill().await.unwrap();
        sleep(Duration::from_millis(500)).await;
        stage.redis().start().await.unwrap();
        stage.is_well(Instant::now(), "the hot log was killed and came up with all it had").await;
    }
    stage.judge().await;
}

async fn all_connections_end() {
    let mut stage = HotStage::open(&[]).await;
    for _ in 0..5 {
        let mut ended = 0;
        for kind in ["normal", "pubsub"] {
            let killed = stage.redis().ask(&format!("CLIENT KILL TYPE {kind} SKIPME yes")).await.unwrap();
            ended += killed.parse::<u32>().unwrap();
        }
        assert!(ended >= 4, "{ended} connections, two of each process");
        stage.is_well(Instant::now(), "every connection to the hot log was ended").await;
    }
    stage.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_log_that_is_killed_or_loses_its_connections_keeps_what_it_answered() {
    tokio::join!(is_killed_again_and_again(), all_connections_end());
}

async fn stands_still_for_20_seconds() {
    let mut stage = HotStage::open(&[]).await;
    stage.redis().pause().await.unwrap();
    sleep(Duration::from_secs(20)).await;
    stage.redis().resume().await.unwrap();
    stage.is_well(Instant::now(), "the hot log stood still for 20 s").await;
    stage.judge().await;
}

async fn is_out_of_reach_of_one_process() {
    let mut stage = HotStage::open(&[]).await;
    stage.ways()[0].cut().await;
    sleep(Duration::from_secs(1)).await;
    // The two at the other process do not notice.
    stage.all_hear_all(2..4).await;
    sleep(Duration::from_secs(4)).await;
    stage.ways()[0].mend().await;
    stage.is_well(Instant::now(), "a cut to the hot log").await;

    stage.ways()[0].half_open();
    sleep(Duration::from_secs(1)).await;
    stage.all_hear_all(2..4).await;
    sleep(Duration::from_secs(11)).await;
    stage.ways()[0].mend().await;
    stage.is_well(Instant::now(), "half-open connections to the hot log").await;
    stage.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_log_that_stands_still_or_is_out_of_reach_of_a_process_loses_nothing() {
    tokio::join!(stands_still_for_20_seconds(), is_out_of_reach_of_one_process());
}

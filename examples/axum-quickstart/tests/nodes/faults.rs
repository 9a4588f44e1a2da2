//! The database is killed, loses its connections, stands still, or cannot be reached, while four people write.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_under_load_is_gone_on_with_where_it_was() {
    let mut stage = Stage::open_under_load().await;
    for _ in 0..3 {
        stage.server().kill().await.unwrap();
        sleep(Duration::from_millis(500)).await;
        stage.server().start().await.unwrap();
        stage.is_back(Instant::now(), "the server was killed and came up").await;
        stage.more_is_said(10).await;
    }
    stage.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_the_database_that_are_all_ended_again_and_again_cost_no_message() {
    let mut stage = Stage::open_under_load().await;
    let mut hands = stage.by_hand().await;
    for _ in 0..5 {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let ended = sqlx::query(end).fetch_all(&mut hands).await.unwrap();
        assert!(ended.len() >= 4, "{} connections, of two pools and two listeners", ended.len());
        stage.is_back(Instant::now(), "every connection was ended").await;
        stage.more_is_said(5).await;
    }
    stage.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stands_still_for_20_seconds_is_waited_for() {
    let mut stage = Stage::open_under_load().await;
    stage.server().pause().await.unwrap();
    sleep(Duration::from_secs(20)).await;
    stage.server().resume().await.unwrap();
    stage.is_back(Instant::now(), "a pause of 20 s").await;
    stage.more_is_said(10).await;
    stage.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_cut_off_from_the_database_comes_back_and_the_other_goes_on() {
    let mut stage = Stage::open_under_load().await;
    stage.proxy.cut().await;
    sleep(Duration::from_secs(1)).await;
    // The two at the other process do not notice.
    stage.all_hear_all(2..4).await;
    sleep(Duration::from_secs(4)).await;
    stage.proxy.mend().await;
    stage.is_back(Instant::now(), "a cut").await;

    stage.proxy.half_open();
    sleep(Duration::from_secs(1)).await;
    stage.all_hear_all(2..4).await;
    sleep(Duration::from_secs(11)).await;
    stage.proxy.mend().await;
    stage.is_back(Instant::now(), "half-open connections").await;
    stage.more_is_said(10).await;
    stage.judge().await;
}

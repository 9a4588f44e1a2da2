//! Redis is killed, loses its connections, stands still, cannot be reached or throws its subscribers out, while four people write.
//!
//! What waits most runs side by side: each test puts two chats through something at once.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    redis_stage::RedisStage,
    stage::{PATIENCE, Stage},
};

/// How soon presence is right again.
const PRESENCE_IS_BACK: Duration = Duration::from_secs(5);

/// Service is back, nobody is taken for away, and messages flow.
async fn is_well(stage: &mut Stage, since: Instant, after: &str) {
    stage.is_back(since, after).await;
    stage.all_are_online(PRESENCE_IS_BACK.saturating_sub(since.elapsed())).await;
    stage.more_is_said(10).await;
}

async fn is_killed_again_and_again(settings: &[&str], what: &str) {
    let mut stage = RedisStage::open_under_load(settings).await;
    for _ in 0..3 {
        stage.redis.kill().await.unwrap();
        sleep(Duration::from_millis(500)).await;
        stage.redis.start().await.unwrap();
        is_well(&mut stage, Instant::now(), what).await;
    }
    stage.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_under_load_is_gone_on_with_whether_it_forgot_everything_or_nothing() {
    tokio::join!(
        is_killed_again_and_again(&[], "Redis was killed and came up empty"),
        is_killed_again_and_again(
            &["appendonly yes", "appendfsync always"],
            "Redis was killed and came up with what it had"
        )
    );
}

async fn stands_still_for_20_seconds() {
    let mut stage = RedisStage::open_under_load(&[]).await;
    stage.redis.pause().await.unwrap();
    sleep(Duration::from_secs(2)).await;
    // What is said is stored and answered meanwhile, by either process.
    stage.more_is_said(20).await;
    sleep(Duration::from_secs(18)).await;
    stage.redis.resume().await.unwrap();
    is_well(&mut stage, Instant::now(), "Redis stood still for 20 s").await;
    stage.judge().await;
}

async fn is_out_of_reach_of_one_process() {
    let mut stage = RedisStage::open_under_load(&[]).await;
    stage.way.cut().await;
    sleep(Duration::from_secs(1)).await;
    stage.more_is_said(10).await;
    // The two at the other process do not notice.
    stage.all_hear_all(2..4).await;
    sleep(Duration::from_secs(4)).await;
    stage.way.mend().await;
    is_well(&mut stage, Instant::now(), "a cut to Redis").await;

    stage.way.half_open();
    sleep(Duration::from_secs(1)).await;
    stage.all_hear_all(2..4).await;
    sleep(Duration::from_secs(11)).await;
    stage.way.mend().await;
    is_well(&mut stage, Instant::now(), "half-open connections to Redis").await;
    stage.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_and_one_that_is_out_of_reach_of_a_process_cost_no_message() {
    tokio::join!(stands_still_for_20_seconds(), is_out_of_reach_of_one_process());
}

async fn ends_all_connections() {
    let mut stage = RedisStage::open_under_load(&[]).await;
    for _ in 0..5 {
        let mut ended = 0;
        for kind in ["normal", "pubsub"] {
            let killed = stage.redis.ask(&format!("CLIENT KILL TYPE {kind} SKIPME yes")).await.unwrap();
            ended += killed.parse::<u32>().unwrap();
        }
        assert!(ended >= 4, "{ended} connections, two of each process");
        is_well(&mut stage, Instant::now(), "every connection to Redis was ended").await;
    }
    stage.judge().await;
}

/// How often, as far as the end of the server's log tells: Redis 7.0 has no counter for it.
fn thrown_out(stage: &RedisStage) -> usize {
    stage.redis.log_tail().matches("overcoming of output buffer limits").count()
}

async fn throws_its_subscribers_out() {
    // Each connection has 16 KiB besides, so short messages pass and some long ones at once do not.
    let mut stage = RedisStage::open_under_load(&["client-output-buffer-limit pubsub 1 0 0"]).await;
    // Four bytes each: as long as a message may be.
    let long = "\u{1F375}".repeat(1_000);
    let begun = Instant::now();
    let mut rounds = 0;
    while thrown_out(&stage) < 5 {
        assert!(begun.elapsed() < PATIENCE, "no subscriber was thrown out in {rounds} rounds");
        rounds += 1;
        for client in &stage.clients {
            for _ in 0..4 {
                client.say(&stage.rooms[0], &long);
            }
        }
        stage.more_is_said(8).await;
    }
    println!("{} subscribers were thrown out in {rounds} rounds", thrown_out(&stage));
    is_well(&mut stage, Instant::now(), "subscribers were thrown out").await;
    stage.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_redis_that_are_ended_one_by_one_or_all_at_once_cost_no_message() {
    tokio::join!(ends_all_connections(), throws_its_subscribers_out());
}

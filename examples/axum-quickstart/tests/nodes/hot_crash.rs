//! A process dies between moving entries into the database and saying so to Redis; and the database is away while Redis goes on.

use std::time::Duration;

use chat_test_services::Direction;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    hot_stage::{HotStage, KEEPS_ALL},
    stage::PATIENCE,
};

/// What a process took and does not finish is taken over after 30 s.
const TAKEN_OVER: Duration = Duration::from_secs(40);

/// The database goes away so long after it was first asked who may write.
const LET_IN_BEFORE: Duration = Duration::from_secs(25);

async fn archived(hands: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT head FROM chat.rooms WHERE id = 'tea'").fetch_one(hands).await.unwrap()
}

async fn a_process_dies_between_moving_entries_and_saying_so() {
    let mut stage = HotStage::open(&KEEPS_ALL).await;
    let mut watch = stage.by_hand().await;
    // Whoever moves entries waits for the rooms, which are held …
    let mut held = stage.hold_archive().await;
    let before = archived(&mut watch).await;
    let mover = held.waiting().await;
    // … and goes on when nothing that its process says reaches Redis any more: that never learns that they are stored.
    stage.ways()[mover].stall(Direction::ToServer);
    held.release().await;
    let moved = timeout(PATIENCE, async {
        while archived(&mut watch).await == before {
            sleep(Duration::from_millis(5)).await;
        }
    });
    moved.await.expect("entries are moved");
    stage.nodes[mover].kill().await;
    stage.is_back(Instant::now(), "a process died that moved entries").await;
    stage.more_is_said(10).await;
    stage.archived_within(TAKEN_OVER);
    stage.judge().await;
}

async fn the_database_stands_still() {
    let mut stage = HotStage::open_on_own_postgres(&KEEPS_ALL).await;
    let answers =
        |stage: &HotStage| -> usize { stage.clients.iter().map(|client| client.notes().acks.len()).sum() };
    // Whoever writes was let in a while ago. All of it is within the window of the hot log, which needs no database for repeats then.
    stage.clients.iter().for_each(|client| client.write_every(Some(Duration::from_millis(500))));
    sleep(LET_IN_BEFORE).await;
    stage.clients.iter().for_each(|client| client.write_every(Some(Duration::from_millis(40))));
    stage.postgres().pause().await.unwrap();
    let (before, begun) = (answers(&stage), Instant::now());
    sleep(Duration::from_secs(40)).await;
    let per_second = (answers(&stage) - before) as f64 / begun.elapsed().as_secs_f64();
    println!("{per_second:.0} messages per second were answered while the database stood still");
    // 100 are wanted, and a busy machine does not come to all of them.
    assert!(per_second > 50.0, "{per_second}");
    stage.postgres().resume().await.unwrap();
    stage.is_back(Instant::now(), "the database stood still for 40 s").await;
    stage.more_is_said(10).await;
    stage.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_to_be_moved_is_kept_when_a_process_dies_or_the_database_stands_still() {
    tokio::join!(a_process_dies_between_moving_entries_and_saying_so(), the_database_stands_still());
}

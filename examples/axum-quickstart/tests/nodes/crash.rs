//! A process dies between storing a message and telling anybody.

use std::time::Duration;

use chat_test_services::Direction;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    notes::Notes,
    stage::{PATIENCE, Stage},
};

/// How often a process compares its rooms with the log by itself.
const HEAD_CHECK: Duration = Duration::from_secs(10);

/// Waits until the query counts something.
async fn until_counted(hands: &mut PgConnection, query: &'static str) {
    let counted = timeout(PATIENCE, async {
        while sqlx::query_scalar::<_, i64>(query).fetch_one(&mut *hands).await.unwrap() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(counted.await.is_ok(), "nothing for {query}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_process_dies_after_the_commit_and_before_telling_anybody_reaches_all_once() {
    let mut stage = Stage::open().await;
    stage.all_hear_all(0..4).await;
    let mut hands = stage.by_hand().await;
    let mut watch = stage.by_hand().await;

    // The append waits for the room, which is held, so that it is known to be at the server …
    let mut transaction = hands.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM chat.rooms WHERE id = 'tea' FOR UPDATE")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let said = stage.clients[0].say(&stage.rooms[0], "my last words here");
    until_counted(
        &mut watch,
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%append%'",
    )
    .await;
    // … and is let through when nothing comes back to its process any more: that never learns that it is stored.
    stage.proxy.stall(Direction::ToClient);
    transaction.commit().await.unwrap();
    until_counted(&mut watch, "SELECT count(*) FROM chat.entries WHERE body = 'my last words here'").await;
    let heard = |notes: &Notes| notes.heard("my last words here").is_some();
    assert!(stage.clients.iter().all(|client| !heard(&client.notes())));
    let (left, right) = stage.clients.split_at(2);
    left.iter().for_each(|client| client.stay_away(true));
    stage.nodes[0].kill().await;

    // Nobody will ever publish it: the other process finds it when it compares its rooms with the log.
    let killed = Instant::now();
    for client in right {
        client.until("the message", HEAD_CHECK + PATIENCE, heard).await;
    }
    println!("heard at the other process {:.1?} after the first one was killed", killed.elapsed());
    // The sender comes to the other process, goes on where it was, and sends again what was not answered.
    for client in left {
        client.stay_away(false);
        client.until("the message", PATIENCE, heard).await;
    }
    let sender = &stage.clients[0];
    sender.until("the answer", PATIENCE, |notes| notes.outbox.is_empty()).await;
    {
        let notes = sender.notes();
        let ack = notes.acks.last().unwrap();
        assert_eq!((&ack.client_id, ack.duplicate), (&said, true), "the same message");
        assert_eq!(notes.heard("my last words here").unwrap().position, ack.position, "at its first place");
        assert_eq!(notes.connections, 2);
    }
    stage.all_hear_all(0..4).await;
    stage.judge().await;
}

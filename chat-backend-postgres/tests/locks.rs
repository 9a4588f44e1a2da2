//! What others see while somebody holds a room's lock, and who waits for whom.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::time::Duration;

use chat_core::{AppendOutcome, Draft, ReadQuery};
use chat_test_services::Postgres;
use sqlx::Row as _;
use support::{append, by_hand, connect, draft, make_rooms, read, room, run};
use tokio::time::{Instant, sleep, timeout};

/// A transaction by hand gives out position 2 and sleeps; meanwhile nobody can be given position 3, so no reader goes past
/// what it has not seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_holds_a_rooms_lock_makes_no_reader_skip() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let (one, two) = (connect(database.url()).await, connect(database.url()).await);
    make_rooms(&*one.rooms(), 2, &["ann", "bob"]).await;
    let first = append(&*one.message_log(), draft(room(0), "ann", "first")).await;

    let mut slow = by_hand(database.url()).await;
    run(&mut slow, "BEGIN; UPDATE chat.rooms SET head = head + 1, countable = countable + 1, last_id = last_id + 1 WHERE id = 'room-0'").await;
    run(
        &mut slow,
        "INSERT INTO chat.entries (room, seq, ordinal, own, id_high, id_low, authority, kind, body_kind, timeline, countable, \
         sender, client_id, fingerprint, body) SELECT room, head, countable, 1, last_id, 1, 0, 0, 1, true, true, 'bob', \
         'slow', decode(repeat('00', 32), 'hex'), 'slow' FROM chat.rooms WHERE id = 'room-0'",
    )
    .await;
    let quick = tokio::spawn({
        let log = two.message_log();
        async move { append(&*log, draft(room(0), "ann", "quick")).await }
    });
    // Another room does not wait.
    let other = two.message_log();
    timeout(Duration::from_secs(5), append(&*other, draft(room(1), "ann", "elsewhere"))).await.unwrap();
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until {
        let page = one.message_log().read(&room(0), ReadQuery::after(first.clone())).await.unwrap();
        assert_eq!((page.entries.len(), page.reaches_head), (0, true));
        assert_eq!(page.head.cursor, first);
        sleep(Duration::from_millis(20)).await;
    }
    assert!(!quick.is_finished(), "it waits for the lock");
    run(&mut slow, "COMMIT").await;
    let quick = quick.await.unwrap();
    assert_eq!(quick.seq.get(), 3);
    let page = one.message_log().read(&room(0), ReadQuery::after(first)).await.unwrap();
    let ids: Vec<_> = page.entries.iter().map(|entry| entry.client_id.as_str()).collect();
    assert_eq!(ids, ["slow", "quick"]);
}

/// Batches that mix the same rooms in other orders, on three nodes, with changes and repeats among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_over_the_same_rooms_never_wait_in_a_circle() {
    const ROOMS: usize = 12;
    const BATCHES: usize = 60;
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let nodes = [connect(database.url()).await, connect(database.url()).await, connect(database.url()).await];
    make_rooms(&*nodes[0].rooms(), ROOMS, &["ann", "bob", "cy"]).await;
    let mut hands = by_hand(database.url()).await;
    let writers: Vec<_> = ["ann", "bob", "cy"]
        .into_iter()
        .zip(&nodes)
        .map(|(sender, node)| {
            let log = node.message_log();
            tokio::spawn(async move {
                let mut stored = 0;
                for batch in 0..BATCHES {
                    let mut order: Vec<usize> = (0..ROOMS).collect();
                    fastrand::shuffle(&mut order);
                    // Every fifth draft is a repeat of the batch before, which takes the exact way.
                    let drafts: Vec<Draft> = order
                        .iter()
                        .map(|n| {
                            let id = if n % 5 == 0 && batch > 0 { batch - 1 } else { batch };
                            draft(room(*n), sender, &format!("{sender}-{id}"))
                        })
                        .collect();
                    for outcome in log.append(&drafts).await.unwrap() {
                        match outcome {
                            AppendOutcome::New(_) => stored += 1,
                            AppendOutcome::Duplicate(_) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
                stored
            })
        })
        .collect();
    let mut stored = 0;
    for writer in writers {
        stored += writer.await.unwrap();
    }
    let mut kept = 0;
    for n in 0..ROOMS {
        kept += read(&*nodes[0].message_log(), &room(n)).await.len();
    }
    assert_eq!(kept, stored);
    let row = sqlx::query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        .fetch_one(&mut hands)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 0, "deadlocks");
}

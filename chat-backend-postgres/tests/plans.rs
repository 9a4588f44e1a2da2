//! What is asked again and again is found by an index, also where the server knows little of its tables: how many rows a page has, or
//! that the store is one row, it cannot know before it plans.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::time::Duration;

use chat_backend_postgres::PostgresBackend;
use chat_core::{Cursor, ReadQuery, Seq, View};
use chat_test_services::Postgres;
use sqlx::{PgConnection, Row as _};
use support::{by_hand, connect, make_rooms, room, run, user};
use tokio::time::{Instant, sleep};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);
/// A statement is planned with its values some times, and then for any.
const TIMES: usize = 8;
const MESSAGES: u64 = 40_000;

const FILL: &str = "
INSERT INTO chat.entries (room, seq, ordinal, own, id_high, id_low, authority, kind, body_kind, timeline, countable,
    sender, client_id, fingerprint, body)
SELECT r.room, n, n, n, n << 16, r.room, 0, 0, 1, true, true, 'ann', 'c' || n, decode(repeat('07', 16), 'hex'), 'the meeting is at noon tomorrow ' || n
FROM chat.rooms r, generate_series(1, 40000) n ORDER BY n";
const COUNT: &str =
    "UPDATE chat.rooms SET head = 40000, countable = 40000, last_activity = 1, last_id = 40000 << 16";
const FOUND: &str = "INSERT INTO chat.search_places (room, upto) SELECT room, head FROM chat.rooms \
    ON CONFLICT (room) DO UPDATE SET upto = excluded.upto";
const MEMBERS: &str = "INSERT INTO chat.members (room, \"user\", role, joined_at, version, read) \
    SELECT r.room, 'member-' || n, 0, 1, 0, 0 FROM chat.rooms r, generate_series(1, 20000) n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_asked_often_reads_a_whole_table() {
    let database = Postgres::shared_without_fsync().await.unwrap().database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 3, &["ann", "bob"]).await;
    backend.close().await;
    let known = format!("BEGIN;{FILL};{COUNT};{FOUND};{MEMBERS};COMMIT");
    run(&mut hands, &known).await;
    // As the server does by itself with tables that grow; the store's own never does.
    run(&mut hands, "ANALYZE chat.entries, chat.rooms, chat.members").await;

    let before = rows_read(&mut hands).await;
    let backend = connect(database.url()).await;
    for time in 0..TIMES {
        ask(&backend, time).await;
    }
    backend.close().await;
    assert_eq!(rows_read(&mut hands).await, before, "rows that were read in no index's order, by table");
}

async fn ask(backend: &PostgresBackend, time: usize) {
    let (log, rooms) = (backend.message_log(), backend.rooms());
    let (here, all) = (room(time % 3), [room(0), room(1), room(2)]);
    let head = log.heads(&all).await.unwrap().remove(0).unwrap().cursor;
    let at = |seq| Cursor::new(head.epoch.clone(), Seq::new(seq).unwrap());
    for view in [View::Log, View::Timeline] {
        let from = 1_000 + 100 * time as u64;
        for query in [ReadQuery::newest(), ReadQuery::after(at(from)), ReadQuery::before(at(from))] {
            let page = log.read(&here, query.with_view(view)).await.unwrap();
            assert_eq!(page.entries.len(), ReadQuery::DEFAULT_LIMIT);
        }
    }
    assert_eq!(rooms.unread(&user("bob"), &all).await.unwrap(), [MESSAGES; 3]);
    rooms.mark_read(&here, &user(&format!("member-{}", 1 + time)), &at(10)).await.unwrap();
    assert_eq!(rooms.rooms_of(&user("bob"), None, 50).await.unwrap().rooms.len(), 3);
    assert_eq!(rooms.members(&here, Some(&user("m")), 50).await.unwrap().members.len(), 50);
    assert!(rooms.memberships(&user("member-7"), &all).await.unwrap().iter().all(Option::is_some));

    let archive = backend.archive();
    let first = log.read(&here, ReadQuery::after(at(5_000)).with_limit(1)).await.unwrap().entries.remove(0);
    let name = (here.clone(), first.sender.clone(), first.client_id.clone());
    assert!(archive.rooms(&all).await.unwrap().iter().all(Option::is_some));
    assert!(archive.admissions(&[(here.clone(), user("bob"))]).await.unwrap()[0].unwrap().member);
    assert_eq!(
        archive.copies(std::slice::from_ref(&name)).await.unwrap()[0].as_ref().unwrap().0.id,
        first.position.id
    );
    assert!(archive.targets(&[(here.clone(), first.position.id)]).await.unwrap()[0].is_some());
    let names = archive.names(&here, Seq::new(5_000).unwrap(), 100).await.unwrap();
    assert_eq!((names.len(), &names[0].2), (100, &name.2));
}

/// Of the tables that grow, once nobody else is connected: the server counts when a connection ends.
async fn rows_read(hands: &mut PgConnection) -> Vec<(String, i64)> {
    let begun = Instant::now();
    let others = "SELECT count(*) FROM (SELECT pg_stat_clear_snapshot()) fresh, pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while sqlx::query(others).fetch_one(&mut *hands).await.unwrap().get::<i64, _>(0) > 0 {
        assert!(begun.elapsed() < PATIENCE, "connections are left");
        sleep(Duration::from_millis(20)).await;
    }
    let read = "SELECT relname::text, seq_tup_read FROM pg_stat_user_tables \
        WHERE schemaname = 'chat' AND relname IN ('entries', 'members') ORDER BY relname";
    let rows = sqlx::query(read).fetch_all(&mut *hands).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

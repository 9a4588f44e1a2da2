//! Where the database has the extension `pg_trgm`, a search for a rare word reads the index and not every message.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::time::Duration;

use chat_core::{Content, search::SearchQuery};
use chat_test_services::Postgres;
use sqlx::Row as _;
use support::{append, by_hand, connect, draft, make_rooms, room, run, user};
use tokio::time::{Instant, sleep};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rare_word_is_found_by_the_index() {
    let database = Postgres::shared_without_fsync().await.unwrap().database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    run(&mut hands, "CREATE EXTENSION pg_trgm").await;
    let backend = connect(database.url()).await;
    assert!(backend.search_is_indexed());
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    for (id, text) in [("1", "one Zeppelin over the town"), ("2", "a Zeppelin over the lake")] {
        let mut message = draft(room(0), "ann", id);
        message.content = Content::text(text);
        append(&*backend.message_log(), message).await;
    }
    backend.settle_search().await.unwrap();
    // Many more that the search knows.
    run(
        &mut hands,
        "INSERT INTO chat.search (id_high, id_low, room, seq, body) \
         SELECT n, n, r.room, 1000 + n, n || ' the meeting is at noon tomorrow' FROM chat.rooms r, generate_series(1, 30000) n",
    )
    .await;
    run(&mut hands, "VACUUM (ANALYZE) chat.search").await;

    for (text, count) in [("zeppelin", 2), ("ZEPPELIN lake", 1), ("lake town", 0)] {
        let found = backend.search().search(SearchQuery::new(user("ann"), text)).await.unwrap();
        assert_eq!(found.messages.len(), count, "{text}");
    }
    // The server counts a little later.
    let begun = Instant::now();
    loop {
        let scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'search_words'";
        let row = sqlx::query(scans).fetch_one(&mut hands).await.unwrap();
        if row.get::<i64, _>(0) >= 3 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the index was not read");
        // On each connection the server tells of what it did once it has been idle.
        backend.settle_search().await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
}

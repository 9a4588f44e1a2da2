//! Connections that are kept at hand between two calls.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::time::Duration;

use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::ReadQuery;
use chat_test_services::Postgres;
use sqlx::{PgConnection, Row as _};
use support::{append, by_hand, draft, make_rooms, room};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(30);

async fn others(hands: &mut PgConnection) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                 AND backend_type = 'client backend'";
    sqlx::query(count).fetch_one(hands).await.unwrap().get(0)
}

/// How many connections there are, once nobody uses one.
async fn quiet(backend: &PostgresBackend) -> u32 {
    let end = Instant::now() + PATIENCE;
    loop {
        let (open, idle) = backend.connections();
        if usize::try_from(open).unwrap() == idle {
            return open;
        }
        assert!(Instant::now() < end, "{idle} of {open} connections are idle");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_a_row_use_one_connection_and_closing_ends_it() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    let backend = support::connect(database.url()).await;
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    for n in 0..200 {
        append(&*backend.message_log(), draft(room(0), "ann", &format!("m-{n}"))).await;
    }
    let open = quiet(&backend).await;
    assert!(open <= 4, "{open} connections for one call at a time, beside whoever fills the search");
    timeout(PATIENCE, backend.close()).await.unwrap();
    let end = Instant::now() + PATIENCE;
    while others(&mut hands).await > 0 {
        assert!(Instant::now() < end, "connections stay after the backend was closed");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What is at hand goes to whoever waits: more calls at once than there are connections all come through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_at_the_pool_for_what_is_kept() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let config = PostgresConfig::from_url(database.url()).unwrap();
    let config = config.with_max_connections(2).with_acquire_timeout(PATIENCE);
    let backend = PostgresBackend::connect(config).await.unwrap();
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let mut readers = JoinSet::new();
    for reader in 0..16 {
        let log = backend.message_log();
        readers.spawn(async move {
            for n in 0..100 {
                log.read(&room(0), ReadQuery::newest()).await.unwrap();
                if (reader + n) % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    while let Some(done) = timeout(PATIENCE, readers.join_next()).await.expect("nobody waits for ever") {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_lay_idle_goes_through_the_pool_again() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    let backend = support::connect(database.url()).await;
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    append(&*backend.message_log(), draft(room(0), "ann", "a")).await;
    sleep(Duration::from_millis(1_500)).await;
    for n in 0..4 {
        append(&*backend.message_log(), draft(room(0), "ann", &format!("b-{n}"))).await;
        sleep(Duration::from_millis(300)).await;
    }
    let open = quiet(&backend).await;
    assert_eq!(i64::from(open), others(&mut hands).await);
}

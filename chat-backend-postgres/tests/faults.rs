//! The server is killed, its connections are ended, it stops answering, it takes no writes: nothing that was acknowledged is
//! lost, nothing is doubled, and service comes back by itself.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::time::Duration;

use chat_backend_postgres::{PostgresBackend, PostgresConfig, PostgresErrorKind};
use chat_core::AppendOutcome;
use chat_test_services::{Postgres, Proxy};
use support::{
    by_hand, connect, draft, kind,
    load::{Load, ROOMS},
    make_rooms, read, room, run,
};
use tokio::time::{sleep, timeout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_loses_nothing_acknowledged() {
    let server = Postgres::private().await.unwrap();
    let database = server.database().await.unwrap();
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), ROOMS, &["ann"]).await;
    let load = Load::start(&backend);
    for _ in 0..3 {
        load.more(100, Duration::from_secs(60)).await;
        server.kill().await.unwrap();
        sleep(Duration::from_millis(300)).await;
        server.start().await.unwrap();
        let back = load.more(1, Duration::from_secs(5)).await;
        println!("served again {back:.0?} after the server");
    }
    load.check(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_ended_are_made_again() {
    let server = Postgres::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), ROOMS, &["ann"]).await;
    let load = Load::start(&backend);
    let mut hands = by_hand(database.url()).await;
    for _ in 0..5 {
        load.more(50, Duration::from_secs(60)).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        run(&mut hands, end).await;
    }
    load.more(50, Duration::from_secs(60)).await;
    load.check(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything_is_given_up_in_time() {
    let server = Postgres::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let proxy = Proxy::start(&server.address().unwrap()).await.unwrap();
    let url = database.url_through(&proxy.address().to_string()).unwrap();
    let config = PostgresConfig::from_url(&url)
        .unwrap()
        .with_max_connections(8)
        .with_acquire_timeout(Duration::from_secs(2))
        .with_statement_timeout(Duration::from_secs(2));
    let backend = PostgresBackend::connect(config).await.unwrap();
    make_rooms(&*backend.rooms(), ROOMS, &["ann"]).await;
    let load = Load::start(&backend);
    load.more(50, Duration::from_secs(60)).await;
    proxy.half_open();
    sleep(Duration::from_secs(4)).await;
    let stuck = load.count();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(load.count(), stuck, "nothing is acknowledged that is not stored");
    proxy.mend().await;
    load.more(50, Duration::from_secs(10)).await;
    load.check(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_pauses_goes_on_where_it_was() {
    let server = Postgres::private().await.unwrap();
    let database = server.database().await.unwrap();
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), ROOMS, &["ann"]).await;
    let load = Load::start(&backend);
    load.more(50, Duration::from_secs(60)).await;
    server.pause().await.unwrap();
    sleep(Duration::from_secs(20)).await;
    server.resume().await.unwrap();
    load.more(50, Duration::from_secs(15)).await;
    load.check(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_refuses_says_whether_to_try_again() {
    let server = Postgres::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let mut hands = by_hand(database.url()).await;
    let log = backend.message_log();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    // With new connections only: settings of a database count from the next one on.
    for (set, reset, expected) in [
        ("default_transaction_read_only = on", "default_transaction_read_only", PostgresErrorKind::ReadOnly),
        ("statement_timeout = 100", "statement_timeout", PostgresErrorKind::Cancelled),
        ("lock_timeout = 100", "lock_timeout", PostgresErrorKind::Conflict),
    ] {
        run(&mut hands, &format!("ALTER DATABASE {} SET {set}", database.name())).await;
        run(&mut hands, end).await;
        run(&mut hands, "BEGIN; SELECT 1 FROM chat.rooms FOR SHARE").await;
        let seen = timeout(Duration::from_secs(20), async {
            loop {
                let error = match log.append(&[draft(room(0), "ann", reset)]).await {
                    Err(error) => error,
                    Ok(outcomes) => panic!("{set}: {outcomes:?}"),
                };
                assert!(error.is_retryable(), "{set}: {error:?}");
                // The connections that were ended come first.
                if kind(&error) != Some(PostgresErrorKind::Connection) {
                    return kind(&error);
                }
            }
        });
        assert_eq!(seen.await.unwrap(), Some(expected), "{set}");
        run(&mut hands, "ROLLBACK").await;
        run(&mut hands, &format!("ALTER DATABASE {} RESET {reset}", database.name())).await;
        run(&mut hands, end).await;
    }
    let stored = timeout(Duration::from_secs(20), async {
        loop {
            if let Ok(outcomes) = log.append(&[draft(room(0), "ann", "at-last")]).await {
                return outcomes;
            }
        }
    });
    assert!(matches!(stored.await.unwrap()[0], AppendOutcome::New(_)));
    assert_eq!(read(&*log, &room(0)).await.len(), 1);
}

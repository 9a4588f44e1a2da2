//! The places of the pool, and what the server does for nobody: after a silent network, a failover, statements given up.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod hole;
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chat_backend_postgres::{
    ConnectError, PostgresBackend, PostgresConfig, PostgresError, PostgresErrorKind,
};
use chat_core::{
    AppendOutcome, Error, MessageLog as _, NodeId, Presence as _, ReadQuery,
    presence::{Incarnation, LeaseStatus, NodeLease},
};
use chat_test_services::Postgres;
use hole::Hole;
use sqlx::{PgConnection, Row as _, postgres::PgPoolOptions};
use support::{append, by_hand, connect, draft, make_rooms, room, run};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

const END_ALL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE datname = current_database() AND pid <> pg_backend_pid()";

async fn count(connection: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query(query).fetch_one(connection).await.unwrap().get(0)
}

fn kind(error: &Error) -> Option<PostgresErrorKind> {
    std::error::Error::source(error)?.downcast_ref::<PostgresError>().map(PostgresError::kind)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_falls_silent_again_and_again_costs_no_place_in_the_pool() {
    const PLACES: u32 = 8;
    let server = Postgres::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let hole = Hole::start(server.address().unwrap()).await;
    let url = database.url_through(&hole.address.to_string()).unwrap();
    let config = PostgresConfig::from_url(&url)
        .unwrap()
        .with_max_connections(PLACES)
        .with_acquire_timeout(Duration::from_secs(1))
        .with_statement_timeout(Duration::from_secs(1));
    let backend = PostgresBackend::connect(config).await.unwrap();
    make_rooms(&*backend.rooms(), PLACES as usize, &["ann"]).await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut readers = JoinSet::new();
    for reader in 0..2 * PLACES as usize {
        let (log, done) = (backend.message_log(), Arc::clone(&done));
        readers.spawn(async move {
            loop {
                match log.read(&room(reader % PLACES as usize), ReadQuery::newest()).await {
                    Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                    Err(_) => sleep(Duration::from_millis(10)).await,
                }
            }
        });
    }
    for _ in 0..4 {
        let before = done.load(Ordering::Relaxed);
        timeout(Duration::from_secs(20), async {
            while done.load(Ordering::Relaxed) < before + 100 {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("reads are answered again");
        hole.freeze();
        sleep(Duration::from_secs(3)).await;
    }
    // Everybody waits for a lock, on as many connections as there are places: all of them lead to the server.
    let mut hands = by_hand(database.url()).await;
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let all = timeout(Duration::from_secs(30), async {
        loop {
            run(&mut hands, "BEGIN; LOCK TABLE chat.rooms").await;
            sleep(Duration::from_millis(600)).await;
            let waiting = count(&mut hands, waiting).await;
            run(&mut hands, "ROLLBACK").await;
            if waiting == i64::from(PLACES) {
                return;
            }
        }
    });
    assert!(all.await.is_ok(), "places of the pool are lost");
    readers.shutdown().await;
    drop(hole.tasks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_are_given_up_do_not_pile_up_at_the_server() {
    const PLACES: u32 = 8;
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let config = PostgresConfig::from_url(database.url())
        .unwrap()
        .with_max_connections(PLACES)
        .with_statement_timeout(Duration::from_secs(1));
    let backend = PostgresBackend::connect(config).await.unwrap();
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let mut hands = by_hand(database.url()).await;
    run(&mut hands, "BEGIN; SELECT 1 FROM chat.rooms FOR UPDATE").await;
    let mut writers = JoinSet::new();
    for writer in 0..PLACES {
        let log = backend.message_log();
        writers.spawn(async move {
            for number in 0..5 {
                // The last ones may come after the lock.
                if let Err(error) = log.append(&[draft(room(0), "ann", &format!("{writer}-{number}"))]).await
                {
                    assert!(error.is_retryable(), "{error:?}");
                }
            }
        });
    }
    let mut most = 0;
    let there = "SELECT count(*) FROM (SELECT pg_stat_clear_snapshot()) fresh, pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..16 {
        sleep(Duration::from_millis(250)).await;
        most = most.max(count(&mut hands, there).await);
    }
    run(&mut hands, "ROLLBACK").await;
    // Twice as many would be there after the first limit already.
    assert!(most < 2 * i64::from(PLACES), "{most} connections of a pool of {PLACES}");
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    append(&*backend.message_log(), draft(room(0), "ann", "at-last")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_given_shorter_limits_keeps_them() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let mut hands = by_hand(database.url()).await;
    for (limit, at_most) in [("'300ms'", Duration::from_secs(4)), ("0", Duration::from_secs(30))] {
        run(&mut hands, &format!("ALTER DATABASE {} SET statement_timeout = {limit}", database.name())).await;
        run(&mut hands, END_ALL).await;
        run(&mut hands, "BEGIN; SELECT 1 FROM chat.rooms FOR UPDATE").await;
        let log = backend.message_log();
        let cancelled = timeout(Duration::from_secs(60), async {
            loop {
                let start = Instant::now();
                let error = log.append(&[draft(room(0), "ann", "late")]).await.unwrap_err();
                // The connections that were ended come first.
                if kind(&error) != Some(PostgresErrorKind::Connection) {
                    return (kind(&error), start.elapsed());
                }
            }
        });
        let (kind, after) = cancelled.await.unwrap();
        run(&mut hands, "ROLLBACK").await;
        assert_eq!(kind, Some(PostgresErrorKind::Cancelled), "{limit}");
        assert!(after < at_most, "{limit}: {after:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_over_an_applications_pool_are_ended_by_the_server_and_its_sessions_stay_as_they_are() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let pool = PgPoolOptions::new().max_connections(1).connect(database.url()).await.unwrap();
    let config = PostgresConfig::from_url(database.url()).unwrap();
    let config = config.with_statement_timeout(Duration::from_secs(1));
    let backend = PostgresBackend::from_pool(pool.clone(), config).await.unwrap();
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let mut hands = by_hand(database.url()).await;
    run(&mut hands, "BEGIN; SELECT 1 FROM chat.rooms FOR UPDATE").await;
    let change = chat_core::MemberChange::add(support::user("eve"), chat_core::Role::Member);
    let error = backend.rooms().change_member(&room(0), change).await.unwrap_err();
    assert_eq!(kind(&error), Some(PostgresErrorKind::Cancelled), "{error:?}");
    run(&mut hands, "ROLLBACK").await;
    let limits = "SELECT current_setting('statement_timeout') || current_setting('idle_in_transaction_session_timeout')";
    let row = sqlx::query(limits).fetch_one(&pool).await.unwrap();
    assert_eq!(row.get::<&str, _>(0), "00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_whose_node_was_cut_off_lets_go_of_its_locks() {
    let server = Postgres::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let hole = Hole::start(server.address().unwrap()).await;
    let url = database.url_through(&hole.address.to_string()).unwrap();
    let config = PostgresConfig::from_url(&url).unwrap().with_statement_timeout(Duration::from_secs(1));
    let (cut_off, other) = (PostgresBackend::connect(config).await.unwrap(), connect(database.url()).await);
    make_rooms(&*cut_off.rooms(), 2, &["ann"]).await;
    let mut hands = by_hand(database.url()).await;
    // Between its two locks it hears nothing any more.
    run(&mut hands, "BEGIN; SELECT 1 FROM chat.members FOR UPDATE").await;
    let change = tokio::spawn({
        let rooms = cut_off.rooms();
        let change = chat_core::MemberChange::add(support::user("ann"), chat_core::Role::Owner);
        async move { rooms.change_member(&room(0), change).await }
    });
    let waits = "SELECT count(*) FROM (SELECT pg_stat_clear_snapshot()) fresh, pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while count(&mut hands, waits).await == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    hole.freeze();
    run(&mut hands, "ROLLBACK").await;
    let log = other.message_log();
    timeout(Duration::from_secs(30), append(&*log, draft(room(0), "ann", "free"))).await.unwrap();
    assert!(change.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_server_that_takes_no_writes_are_given_up() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let mut hands = by_hand(database.url()).await;
    let name = database.name();
    run(&mut hands, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    run(&mut hands, END_ALL).await;
    let log = backend.message_log();
    let read_only = async {
        loop {
            let error = log.append(&[draft(room(0), "ann", "refused")]).await.unwrap_err();
            if kind(&error) == Some(PostgresErrorKind::ReadOnly) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(20), read_only).await.unwrap();
    // As after a failover: new connections lead to a server that takes writes, old ones do not.
    run(&mut hands, &format!("ALTER DATABASE {name} RESET default_transaction_read_only")).await;
    let served = async {
        while let Err(error) = log.append(&[draft(room(0), "ann", "served")]).await {
            assert!(error.is_retryable(), "{error:?}");
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), served).await.expect("old connections are not kept");
}

/// It started again as a replica: what it holds can be read, and some of it not even that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_told_from_a_server_that_refuses() {
    let server = Postgres::private().await.unwrap();
    let database = server.database().await.unwrap();
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let (log, presence) = (backend.message_log(), backend.presence());
    let before = append(&*log, draft(room(0), "ann", "before")).await;
    let lease = NodeLease { node: NodeId::new("one").unwrap(), incarnation: Incarnation(1) };
    presence.renew(&lease, Duration::from_secs(30)).await.unwrap();
    let mut hands = by_hand(server.url()).await;
    let folder = sqlx::query("SHOW data_directory").fetch_one(&mut hands).await.unwrap();
    let folder: String = folder.get(0);
    // By the server, which may be in a container. It looks for it when it starts.
    run(&mut hands, &format!("COPY (SELECT) TO '{folder}/standby.signal'")).await;
    server.stop().await.unwrap();
    server.start().await.unwrap();
    for _ in 0..2 {
        let refused = async {
            loop {
                let errors = [
                    log.append(&[draft(room(0), "ann", "refused")]).await.map(drop).unwrap_err(),
                    presence.renew(&lease, Duration::from_secs(30)).await.map(drop).unwrap_err(),
                ];
                assert!(errors.iter().all(Error::is_retryable), "{errors:?}");
                if errors.iter().all(|error| kind(error) == Some(PostgresErrorKind::ReadOnly)) {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(30), refused).await.unwrap();
    }
    let mut hands = by_hand(server.url()).await;
    run(&mut hands, "SELECT pg_promote()").await;
    let (served, renewed) = timeout(Duration::from_secs(30), async {
        loop {
            let served = log.append(&[draft(room(0), "ann", "after")]).await;
            let renewed = presence.renew(&lease, Duration::from_secs(30)).await;
            if let (Ok(mut served), Ok(renewed)) = (served, renewed) {
                return (served.remove(0), renewed);
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    match served {
        AppendOutcome::New(position) | AppendOutcome::Duplicate(position) => {
            assert_ne!(position.cursor.epoch, before.epoch, "it may have lost what others had read");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(renewed, LeaseStatus::Started, "a promoted replica has no unlogged rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_is_said_to_be_out_of_reach() {
    let server = Postgres::private().await.unwrap();
    let database = server.database().await.unwrap();
    let config = || {
        let config = PostgresConfig::from_url(database.url()).unwrap();
        config.with_max_connections(4).with_acquire_timeout(Duration::from_secs(1))
    };
    let backend = PostgresBackend::connect(config()).await.unwrap();
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    server.kill().await.unwrap();
    let log = backend.message_log();
    let mut reads = JoinSet::new();
    // More than there are places.
    for _ in 0..12 {
        let log = Arc::clone(&log);
        reads.spawn(async move { log.read(&room(0), ReadQuery::newest()).await });
    }
    while let Some(read) = reads.join_next().await {
        let error = read.unwrap().unwrap_err();
        assert_eq!(kind(&error), Some(PostgresErrorKind::Connection), "{error:?}");
    }
    match PostgresBackend::connect(config()).await.unwrap_err() {
        ConnectError::Postgres(error) => assert_eq!(error.kind(), PostgresErrorKind::Connection),
        other => panic!("{other:?}"),
    }
    server.start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_used_up_is_busy() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let config = PostgresConfig::from_url(database.url()).unwrap();
    let config = config.with_max_connections(2).with_acquire_timeout(Duration::from_millis(500));
    let backend = PostgresBackend::connect(config).await.unwrap();
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let mut hands = by_hand(database.url()).await;
    run(&mut hands, "BEGIN; LOCK TABLE chat.rooms").await;
    let mut reads = JoinSet::new();
    for _ in 0..6 {
        let log = backend.message_log();
        reads.spawn(async move { log.read(&room(0), ReadQuery::newest()).await });
    }
    for _ in 0..4 {
        let error = reads.join_next().await.unwrap().unwrap().unwrap_err();
        assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    }
    run(&mut hands, "ROLLBACK").await;
    while let Some(read) = reads.join_next().await {
        read.unwrap().unwrap();
    }
}

/// The store seems to be another one, and the question which one is not answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_is_asked_for_with_patience_that_ends() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let config = PostgresConfig::from_url(database.url()).unwrap();
    let config = config.with_max_connections(4).with_statement_timeout(Duration::from_secs(1));
    let backend = PostgresBackend::connect(config).await.unwrap();
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let log = backend.message_log();
    append(&*log, draft(room(0), "ann", "a")).await;
    let mut hands = by_hand(database.url()).await;
    run(
        &mut hands,
        "UPDATE chat.store SET place = '1/1'; \
         CREATE OR REPLACE FUNCTION chat.here_place(p_table oid) RETURNS text LANGUAGE plpgsql STABLE AS \
         $$ BEGIN PERFORM pg_sleep(60); RETURN '1/1'; END $$",
    )
    .await;
    let asked = timeout(Duration::from_secs(20), log.append(&[draft(room(0), "ann", "b")])).await;
    let error = asked.expect("it does not wait for ever").unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
}

//! What servers refuse, each for real: no space, other isolation, deadlocks, no connections, shutting down, no database. Every
//! answer says whether to try again, nothing that was acknowledged is lost, and service goes on once the reason is gone.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::time::Duration;

use chat_backend_postgres::{ConnectError, PostgresBackend, PostgresConfig, PostgresErrorKind};
use chat_core::{
    AppendOutcome, Error, MemberChange, MessageLog as _, ReadQuery, Role, Rooms as _, search::SearchQuery,
};
use chat_test_services::{Database, Postgres};
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgPoolOptions};
use support::{
    append, by_hand, connect, draft, kind,
    load::{Load, ROOMS},
    make_rooms, read, room, run, sqlstate, user,
};
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends all connections to the database but this one.
const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";

async fn database() -> Database {
    Postgres::shared().await.unwrap().database().await.unwrap()
}

async fn number(connection: &mut PgConnection, statement: &str) -> i64 {
    sqlx::query(AssertSqlSafe(statement.to_owned())).fetch_one(connection).await.unwrap().get(0)
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until somebody waits for a lock.
async fn until_blocked(hands: &mut PgConnection, count: i64) {
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("somebody waits for a lock", async || number(hands, blocked).await >= count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_nothing_is_lost_once_there_is_space_again() {
    let server = Postgres::private_on_disk(192, &[]).await.unwrap();
    let database = server.database().await.unwrap();
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), ROOMS, &["ann"]).await;
    let first = append(&*backend.message_log(), draft(room(0), "ann", "first")).await;
    let load = Load::start(&backend);
    load.more(50, PATIENCE).await;
    server.fill_disk().unwrap();
    until("the disk is full", async || load.refused(PostgresErrorKind::Full, Some("53100")) > 0).await;
    // Reading goes on.
    let page = backend.message_log().read(&room(0), ReadQuery::after(first)).await.unwrap();
    assert!(!page.entries.is_empty());
    sleep(Duration::from_secs(1)).await;
    server.free_disk().unwrap();
    load.more(50, PATIENCE).await;

    // Without space for its log the server gives up altogether, and recovers when it is started with space.
    server.fill_disk().unwrap();
    let mut superuser = by_hand(server.url()).await;
    until("the server has no space for its log", async || {
        let switch = sqlx::raw_sql("SELECT pg_switch_wal()").execute(&mut superuser).await;
        switch.is_err()
    })
    .await;
    until("writers are told", async || load.refused(PostgresErrorKind::Connection, None) > 0).await;
    server.free_disk().unwrap();
    // It recovers by itself, or ends once it has found no space for that either.
    let before = load.count();
    until("it serves again", async || {
        let _ = server.start().await;
        load.count() > before + 50
    })
    .await;
    load.check(&backend).await;
    let last = append(&*backend.message_log(), draft(room(0), "ann", "pineapple")).await;
    backend.settle_search().await.unwrap();
    let found = backend.search().search(SearchQuery::new(user("ann"), "pineapple")).await.unwrap();
    assert_eq!(found.messages[0].position.cursor, last);
}

/// The defaults of databases and roles are not ours; under these two, whoever waited for a lock would lose.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_default_isolation_changes_nothing() {
    for isolation in ["repeatable read", "serializable"] {
        for own_pool in [true, false] {
            let database = database().await;
            let mut hands = by_hand(database.url()).await;
            let name = database.name();
            run(
                &mut hands,
                &format!("ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'"),
            )
            .await;
            let open = async || {
                if own_pool {
                    return connect(database.url()).await;
                }
                let pool = PgPoolOptions::new().max_connections(8).connect(database.url()).await.unwrap();
                let config = PostgresConfig::from_url(database.url()).unwrap();
                PostgresBackend::from_pool(pool, config).await.unwrap()
            };
            // All of them find nothing there, and make it.
            let (one, two, three) = tokio::join!(open(), open(), open());
            make_rooms(&*one.rooms(), ROOMS, &["ann"]).await;
            let (load, joining) = (Load::start(&one), Load::start(&two));
            // Members change meanwhile, under the same locks.
            for n in 0..100 {
                let change = MemberChange::add(user(&format!("user-{n}")), Role::Member);
                three.rooms().change_member(&room(n % ROOMS), change).await.unwrap();
            }
            load.more(100, PATIENCE).await;
            let at = format!("{isolation}, own pool: {own_pool}");
            for load in [&load, &joining] {
                assert_eq!(load.all_refused(), "{}", "{at}");
            }
            joining.end().await;
            load.check(&one).await;
        }
    }
}

/// The application's pool turns to another isolation after the backend looked, so that the server refuses for real.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serialization_failure_is_told_and_can_be_tried_again() {
    let database = database().await;
    let pool = PgPoolOptions::new().max_connections(8).connect(database.url()).await.unwrap();
    let config = PostgresConfig::from_url(database.url()).unwrap();
    let backend = PostgresBackend::from_pool(pool, config).await.unwrap();
    make_rooms(&*backend.rooms(), ROOMS, &["ann"]).await;
    let mut hands = by_hand(database.url()).await;
    let set = "SET default_transaction_isolation = 'repeatable read'";
    run(&mut hands, &format!("ALTER DATABASE {} {set}", database.name())).await;
    run(&mut hands, END).await;
    let log = backend.message_log();
    // Idle connections take turns.
    let mut answers = 0;
    until("only living connections are left", async || {
        answers = if log.heads(&[room(0)]).await.is_ok() { answers + 1 } else { 0 };
        answers > 8
    })
    .await;
    // A marker's statement waits for a member's row that changes meanwhile.
    let cursor = append(&*log, draft(room(0), "ann", "read-me")).await;
    run(&mut hands, "BEGIN; UPDATE chat.members SET read = read").await;
    let (rooms, at) = (backend.rooms(), cursor.clone());
    let marking = tokio::spawn(async move { rooms.mark_read(&room(0), &user("ann"), &at).await });
    until_blocked(&mut by_hand(database.url()).await, 1).await;
    run(&mut hands, "COMMIT").await;
    let error = marking.await.unwrap().unwrap_err();
    assert_eq!(kind(&error), Some(PostgresErrorKind::Conflict), "{error:?}");
    assert_eq!(sqlstate(&error).as_deref(), Some("40001"));
    assert!(error.is_retryable());
    assert_eq!(backend.rooms().mark_read(&room(0), &user("ann"), &cursor).await.unwrap().cursor, cursor);
    // Appends try again by themselves, and what gives up in the end was not stored.
    let load = Load::start(&backend);
    load.more(100, PATIENCE).await;
    load.check(&backend).await;
}

/// Closes the circle and ends the transaction, and answers whether somebody else lost. The server chooses whoever has waited
/// for a second: mostly the other one, who was first.
async fn closes_the_circle(hands: &mut PgConnection, lock: &'static str) -> bool {
    let done = sqlx::raw_sql(lock).execute(&mut *hands).await;
    run(hands, "COMMIT").await;
    match done {
        Ok(_) => true,
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code());
            assert_eq!(code.as_deref(), Some("40P01"), "{error:?}");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_loses_a_deadlock_is_tried_again_and_nothing_is_lost() {
    let database = database().await;
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 2, &["ann"]).await;
    let (mut hands, mut eyes) = (by_hand(database.url()).await, by_hand(database.url()).await);
    let mut appended = 0;
    until("the append loses", async || {
        // In the other order: the second room first.
        run(&mut hands, "BEGIN; SELECT 1 FROM chat.rooms WHERE id = 'room-1' FOR UPDATE").await;
        appended += 1;
        let (log, id) = (backend.message_log(), appended.to_string());
        let appending = tokio::spawn(async move {
            log.append(&[draft(room(0), "ann", &id), draft(room(1), "ann", &id)]).await
        });
        until_blocked(&mut eyes, 1).await;
        let lost =
            closes_the_circle(&mut hands, "SELECT 1 FROM chat.rooms WHERE id = 'room-0' FOR UPDATE").await;
        let outcomes = timeout(PATIENCE, appending).await.unwrap().unwrap().unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::New(_))), "{outcomes:?}");
        lost
    })
    .await;
    for n in 0..2 {
        assert_eq!(read(&*backend.message_log(), &room(n)).await.len(), appended);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_loses_a_deadlock_says_so_and_has_done_nothing() {
    let database = database().await;
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let (mut hands, mut eyes) = (by_hand(database.url()).await, by_hand(database.url()).await);
    let change = |role| MemberChange::add(user("ann"), role);
    let role = async || backend.rooms().member(&room(0), &user("ann")).await.unwrap().unwrap().role;
    until("the change loses", async || {
        run(&mut hands, "BEGIN; SELECT 1 FROM chat.members FOR UPDATE").await;
        let rooms = backend.rooms();
        let changing =
            tokio::spawn(async move { rooms.change_member(&room(0), change(Role::Moderator)).await });
        until_blocked(&mut eyes, 1).await;
        let lost = closes_the_circle(&mut hands, "SELECT 1 FROM chat.rooms FOR UPDATE").await;
        let changed = timeout(PATIENCE, changing).await.unwrap().unwrap();
        if lost {
            let error = changed.unwrap_err();
            assert_eq!(kind(&error), Some(PostgresErrorKind::Conflict), "{error:?}");
            assert_eq!(sqlstate(&error).as_deref(), Some("40P01"));
            assert!(error.is_retryable());
            assert_eq!(role().await, Role::Member);
        } else {
            changed.unwrap();
            backend.rooms().change_member(&room(0), change(Role::Member)).await.unwrap();
        }
        lost
    })
    .await;
    backend.rooms().change_member(&room(0), change(Role::Moderator)).await.unwrap();
    assert_eq!(role().await, Role::Moderator);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_free_connection_is_busy_until_there_is_one() {
    let database = database().await;
    let config =
        || PostgresConfig::from_url(database.url()).unwrap().with_acquire_timeout(Duration::from_millis(500));
    let backend = PostgresBackend::connect(config()).await.unwrap();
    make_rooms(&*backend.rooms(), ROOMS, &["ann"]).await;
    let load = Load::start(&backend);
    load.more(50, PATIENCE).await;
    let mut hands = by_hand(database.url()).await;
    run(&mut hands, &format!("ALTER DATABASE {} CONNECTION LIMIT 1", database.name())).await;
    run(&mut hands, END).await;
    until("writers are told", async || load.refused(PostgresErrorKind::Busy, None) > 0).await;
    let error = backend.message_log().heads(&[room(0)]).await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    match PostgresBackend::connect(config()).await {
        Err(ConnectError::Postgres(error)) => assert_eq!(error.kind(), PostgresErrorKind::Busy, "{error:?}"),
        other => panic!("{other:?}"),
    }
    run(&mut hands, &format!("ALTER DATABASE {} CONNECTION LIMIT -1", database.name())).await;
    load.more(50, PATIENCE).await;
    load.check(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_shut_down_says_so_and_is_used_again_once_it_is_back() {
    let server = Postgres::private().await.unwrap();
    let database = server.database().await.unwrap();
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), ROOMS, &["ann"]).await;
    let load = Load::start(&backend);
    for _ in 0..2 {
        load.more(50, PATIENCE).await;
        server.stop().await.unwrap();
        sleep(Duration::from_millis(300)).await;
        server.start().await.unwrap();
    }
    load.more(50, PATIENCE).await;
    assert!(load.refused(PostgresErrorKind::Connection, Some("57P01")) > 0, "{}", load.all_refused());
    load.check(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_the_server_that_crashes_ends_all_connections_and_loses_nothing() {
    let server = Postgres::private().await.unwrap();
    let database = server.database().await.unwrap();
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), ROOMS, &["ann"]).await;
    let load = Load::start(&backend);
    load.more(50, PATIENCE).await;
    // As the system's memory killer does: the server does not trust its memory any more, ends every process and recovers.
    let mut hands = by_hand(database.url()).await;
    let victim = number(&mut hands, "SELECT pg_backend_pid()::bigint").await;
    // From where the server is: in a container another process has that number. The one that asks for it waits until it is ended.
    let kill = format!("COPY (SELECT) TO PROGRAM 'kill -s KILL {victim}; sleep 30'");
    let ended = sqlx::raw_sql(AssertSqlSafe(kill)).execute(&mut by_hand(server.url()).await).await;
    assert!(ended.is_err(), "the server ends the one that asked for it, too");
    // Why, it says in a mere notice before it hangs up.
    until("writers are told", async || load.refused(PostgresErrorKind::Connection, None) > 0).await;
    load.more(50, PATIENCE).await;
    load.check(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_dropped_is_not_tried_again() {
    let server = Postgres::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let mut hands = by_hand(server.url()).await;
    run(&mut hands, &format!("DROP DATABASE {} WITH (FORCE)", database.name())).await;
    let log = backend.message_log();
    let mut last = None;
    until("it is told that the database is gone", async || {
        let error = log.append(&[draft(room(0), "ann", "a")]).await.unwrap_err();
        let is_gone = kind(&error) == Some(PostgresErrorKind::Schema);
        // Connections that were ended come first.
        assert!(is_gone || kind(&error) == Some(PostgresErrorKind::Connection), "{error:?}");
        last = Some(error);
        is_gone
    })
    .await;
    let error = last.unwrap();
    assert_eq!(sqlstate(&error).as_deref(), Some("3D000"));
    assert!(!error.is_retryable());
    match PostgresBackend::connect(PostgresConfig::from_url(database.url()).unwrap()).await {
        Err(ConnectError::Postgres(error)) => {
            assert_eq!(error.kind(), PostgresErrorKind::Schema, "{error:?}")
        }
        other => panic!("{other:?}"),
    }
}

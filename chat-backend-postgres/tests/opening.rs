//! What is found when the backend opens a database, and what it leaves there.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::time::Duration;

use chat_backend_postgres::{ConnectError, PostgresBackend, PostgresConfig};
use chat_core::{
    AppendOutcome,
    fanout::{FanoutEvent, Publication, Topic},
};
use chat_test_services::{PgBouncer, Postgres};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _, postgres::PgPoolOptions};
use support::{append, by_hand, connect, draft, make_rooms, read, room, run, user};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

async fn count(connection: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query(query).fetch_one(connection).await.unwrap().get(0)
}

async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(2).test_before_acquire(false).connect(url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_over_a_pool_that_is_given_up_leaves_the_pool_as_it_was() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    run(&mut hands, "CREATE TABLE public.own (n int); SELECT pg_advisory_lock(1667785076, hashtext('chat'))")
        .await;
    let pool = pool(database.url()).await;
    let config = PostgresConfig::from_url(database.url()).unwrap();
    let opened = timeout(Duration::from_secs(2), PostgresBackend::from_pool(pool.clone(), config)).await;
    assert!(opened.is_err(), "it waits for the program that holds the lock");
    run(&mut hands, "SELECT pg_advisory_unlock_all()").await;
    for number in 0..4 {
        sqlx::query("INSERT INTO public.own VALUES ($1)").bind(number).execute(&pool).await.unwrap();
    }
    assert_eq!(count(&mut hands, "SELECT count(*) FROM public.own").await, 4, "each was committed");
    let open = "SELECT count(*) FROM (SELECT pg_stat_clear_snapshot()) fresh, pg_stat_activity \
                WHERE state LIKE 'idle in transaction%' AND datname = current_database()";
    let none = async {
        while count(&mut hands, open).await > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), none).await.expect("no transaction is left open");
}

/// Other programs behind the same pooler use the same connections to the server, between any two transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_open_together_behind_a_pooler_beside_other_programs() {
    let server = Postgres::shared_without_fsync().await.unwrap();
    let database = server.database().await.unwrap();
    let pooler = PgBouncer::start(server).await.unwrap();
    let url = database.url_through(pooler.address()).unwrap();
    let mut noise = JoinSet::new();
    for number in 0..4 {
        let mut other = by_hand(&url).await;
        noise.spawn(async move {
            loop {
                let select = AssertSqlSafe(format!("SELECT 'noise{number}'::text"));
                let _ = sqlx::query(select).persistent(false).fetch_all(&mut other).await;
            }
        });
    }
    let mut nodes = JoinSet::new();
    for round in 0..8 {
        for _ in 0..3 {
            let config = PostgresConfig::from_url(&url).unwrap().with_schema(format!("s{round}"));
            let config = config.with_max_connections(2).with_transaction_pooler();
            nodes.spawn(PostgresBackend::connect(config));
        }
        while let Some(node) = nodes.join_next().await {
            node.unwrap().unwrap().close().await;
        }
    }
    noise.shutdown().await;
}

/// A node behind a pooler notices another store as every other one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_epoch_is_followed_behind_a_pooler_beside_other_programs() {
    let server = Postgres::shared_without_fsync().await.unwrap();
    let database = server.database().await.unwrap();
    let pooler = PgBouncer::start(server).await.unwrap();
    let url = database.url_through(pooler.address()).unwrap();
    let mut other = by_hand(&url).await;
    let noise = tokio::spawn(async move {
        loop {
            let _ = sqlx::query("SELECT 'noise'::text").persistent(false).fetch_all(&mut other).await;
        }
    });
    let config = || PostgresConfig::from_url(&url).unwrap().with_max_connections(2).with_transaction_pooler();
    let node = PostgresBackend::connect(config()).await.unwrap();
    make_rooms(&*node.rooms(), 1, &["ann"]).await;
    let log = node.message_log();
    let mut last = append(&*log, draft(room(0), "ann", "first")).await;
    for number in 0..20 {
        PostgresBackend::connect(config().with_new_epoch()).await.unwrap().close().await;
        let next = append(&*log, draft(room(0), "ann", &format!("{number}"))).await;
        assert_ne!(next.epoch, last.epoch);
        last = next;
    }
    noise.abort();
}

/// Appends of several writers to one room, and nodes that bring up schemas at the same time.
async fn works_at_isolation(level: &str, over_a_pool: bool) {
    let database = Postgres::shared_without_fsync().await.unwrap().database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    let set = format!("ALTER DATABASE {} SET default_transaction_isolation = '{level}'", database.name());
    run(&mut hands, &set).await;
    let backend = if over_a_pool {
        let pool = PgPoolOptions::new().max_connections(8).connect(database.url()).await.unwrap();
        let config = PostgresConfig::from_url(database.url()).unwrap();
        PostgresBackend::from_pool(pool, config).await.unwrap()
    } else {
        connect(database.url()).await
    };
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let log = backend.message_log();
        writers.spawn(async move {
            for number in 0..20 {
                append(&*log, draft(room(0), "ann", &format!("{writer}-{number}"))).await;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(read(&*backend.message_log(), &room(0)).await.len(), 160);
    for round in 0..3 {
        let mut nodes = JoinSet::new();
        for _ in 0..3 {
            let config = PostgresConfig::from_url(database.url()).unwrap();
            nodes.spawn(PostgresBackend::connect(
                config.with_schema(format!("s{round}")).with_max_connections(2),
            ));
        }
        while let Some(node) = nodes.join_next().await {
            node.unwrap().unwrap().close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_defaults_to_repeatable_read_works_as_any_other() {
    works_at_isolation("repeatable read", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_defaults_to_serializable_works_as_any_other() {
    works_at_isolation("serializable", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_whose_sessions_default_to_serializable_works_as_any_other() {
    works_at_isolation("serializable", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn temporary_tables_of_the_application_do_not_stand_before_the_chats_own() {
    let database = Postgres::shared_without_fsync().await.unwrap().database().await.unwrap();
    let pool = pool(database.url()).await;
    let config = PostgresConfig::from_url(database.url()).unwrap();
    let backend = PostgresBackend::from_pool(pool.clone(), config).await.unwrap();
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let make = "CREATE TEMP TABLE members AS \
                SELECT 1::bigint AS room, 'eve'::text AS \"user\", 1::smallint AS role, NULL::bigint AS left_at";
    let mut sessions = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    for session in &mut sessions {
        sqlx::raw_sql(make).execute(&mut **session).await.unwrap();
    }
    drop(sessions);
    let outcomes = backend.message_log().append(&[draft(room(0), "eve", "let-me-in")]).await.unwrap();
    assert!(matches!(outcomes[0], AppendOutcome::Refused(_)), "{outcomes:?}");
    append(&*backend.message_log(), draft(room(0), "ann", "hello")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_look_into_their_schema_first_and_into_temporary_tables_last() {
    let database = Postgres::shared_without_fsync().await.unwrap().database().await.unwrap();
    connect(database.url()).await;
    let mut hands = by_hand(database.url()).await;
    let paths = "SELECT p.proname::text AS name, c.setting FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
                 LEFT JOIN LATERAL unnest(p.proconfig) AS c(setting) ON c.setting LIKE 'search_path=%' \
                 WHERE n.nspname = 'chat'";
    let mut with_a_path = 0;
    for row in sqlx::query(paths).fetch_all(&mut hands).await.unwrap() {
        // The others name no table.
        if let Some(setting) = row.get::<Option<&str>, _>("setting") {
            assert_eq!(setting, "search_path=chat, pg_temp", "{}", row.get::<&str, _>("name"));
            with_a_path += 1;
        }
    }
    assert!(with_a_path >= 6, "{with_a_path}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_was_renamed_goes_on_under_its_new_name() {
    let database = Postgres::shared_without_fsync().await.unwrap().database().await.unwrap();
    let config = |schema: &str| PostgresConfig::from_url(database.url()).unwrap().with_schema(schema);
    let before = PostgresBackend::connect(config("one")).await.unwrap();
    make_rooms(&*before.rooms(), 1, &["ann"]).await;
    let first = append(&*before.message_log(), draft(room(0), "ann", "a")).await;
    before.close().await;
    run(&mut by_hand(database.url()).await, "ALTER SCHEMA one RENAME TO two").await;
    let after = PostgresBackend::connect(config("two")).await.unwrap();
    let second = append(&*after.message_log(), draft(room(0), "ann", "b")).await;
    assert_eq!((first.epoch, second.seq.get()), (second.epoch.clone(), 2));
    assert_eq!(after.presence().presence(&[user("ann")]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_in_utf8_is_refused() {
    let database = Postgres::shared_without_fsync().await.unwrap().database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    let name = format!("{}_latin", database.name());
    run(&mut hands, &format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")).await;
    let url = database.url().replace(database.name(), &name);
    let opened = PostgresBackend::connect(PostgresConfig::from_url(&url).unwrap()).await;
    let error = opened.unwrap_err();
    assert!(matches!(&error, ConnectError::Encoding { found } if found == "LATIN1"), "{error:?}");
    assert!(error.to_string().contains("UTF8"), "{error}");
    run(&mut hands, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

/// The longest times that are allowed overflow nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_patience_does_not_end_what_runs_behind() {
    let database = Postgres::shared_without_fsync().await.unwrap().database().await.unwrap();
    let config = || PostgresConfig::from_url(database.url()).unwrap();
    for config in [
        config().with_statement_timeout(Duration::MAX),
        config().with_listen_probe(Duration::MAX),
        config().with_acquire_timeout(Duration::MAX),
        config().with_retention_interval(Duration::MAX),
    ] {
        let error = PostgresBackend::connect(config).await.unwrap_err();
        assert!(matches!(error, ConnectError::Setting { .. }), "{error:?}");
    }
    let longest = PostgresConfig::MAX_TIMEOUT;
    let config = config()
        .with_statement_timeout(longest)
        .with_listen_probe(longest)
        .with_acquire_timeout(longest)
        .with_retention_interval(PostgresConfig::MAX_RETENTION_INTERVAL);
    let backend = PostgresBackend::connect(config).await.unwrap();
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    let head = append(&*backend.message_log(), draft(room(0), "ann", "a")).await;
    let (fanout, topic) = (backend.fanout(), Topic::Room(room(0)));
    let subscribed = timeout(Duration::from_secs(20), fanout.subscribe(&topic)).await;
    let subscription = subscribed.unwrap().unwrap();
    let event = Publication::new(topic, FanoutEvent::Head { room: room(0), cursor: head });
    timeout(Duration::from_secs(20), fanout.publish(&[event])).await.unwrap().unwrap();
    drop(subscription);
}

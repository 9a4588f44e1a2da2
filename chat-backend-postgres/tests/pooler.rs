//! Behind PgBouncer in transaction mode, with three connections for everybody: the whole contract holds, and nothing stays on
//! a connection from one transaction to the next. Only listening goes past it.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{
    Backend as _, Fanout, Presence,
    testkit::{FanoutHarness, LogHarness, LogNode, PresenceHarness, SearchHarness, SearchNode},
};
use chat_test_services::{Database, PgBouncer, Postgres};
use sqlx::{Row as _, postgres::PgPoolOptions};
use support::{
    by_hand,
    load::{Load, ROOMS},
    make_rooms, run,
};
use tokio::sync::{Mutex, OnceCell};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

async fn server() -> &'static Postgres {
    Postgres::shared_without_fsync().await.unwrap()
}

async fn bouncer() -> &'static PgBouncer {
    static SHARED: OnceCell<PgBouncer> = OnceCell::const_new();
    SHARED.get_or_init(async || PgBouncer::start(server().await).await.unwrap()).await
}

/// A database, and its address behind the pooler.
async fn database() -> (Database, String) {
    let database = server().await.database().await.unwrap();
    let url = database.url_through(bouncer().await.address()).unwrap();
    (database, url)
}

/// Where everything goes through the pooler, but listening.
fn config(database: &Database, url: &str) -> PostgresConfig {
    PostgresConfig::from_url(url)
        .unwrap()
        .with_transaction_pooler()
        .with_listen_at(database.url().parse().unwrap())
        .with_max_connections(4)
        // There are fewer at the server, and cases at once share them.
        .with_acquire_timeout(PATIENCE)
        .with_statement_timeout(PATIENCE)
}

/// A schema of its own for each case, in one database: cases at once use the same connections.
#[derive(Default)]
struct Pooled {
    opened: Mutex<Vec<PostgresBackend>>,
}

impl Pooled {
    async fn backends(&self, count: usize) -> Vec<PostgresBackend> {
        static SHARED: OnceCell<(Database, String)> = OnceCell::const_new();
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let (database, url) = SHARED.get_or_init(database).await;
        let schema = format!("chat_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut backends = Vec::new();
        for _ in 0..count {
            let config = config(database, url).with_schema(&schema);
            backends.push(PostgresBackend::connect(config).await.unwrap());
        }
        self.opened.lock().await.extend(backends.clone());
        backends
    }
}

fn node(backend: &PostgresBackend) -> LogNode {
    LogNode { log: backend.message_log(), rooms: backend.rooms() }
}

#[async_trait]
impl LogHarness for Pooled {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        self.backends(count).await.iter().map(node).collect()
    }
}

#[async_trait]
impl SearchHarness for Pooled {
    async fn node(&self) -> SearchNode {
        let backend = self.backends(1).await.remove(0);
        SearchNode { log: node(&backend), search: backend.search() }
    }

    async fn settle(&self) {
        for backend in self.opened.lock().await.iter() {
            backend.settle_search().await.unwrap();
        }
    }
}

#[async_trait]
impl PresenceHarness for Pooled {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Presence>> {
        self.backends(count).await.iter().map(PostgresBackend::presence).collect()
    }

    fn unit(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl FanoutHarness for Pooled {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Fanout>> {
        self.backends(count).await.iter().map(PostgresBackend::fanout).collect()
    }
}

chat_core::message_log_tests!(Pooled::default());
chat_core::rooms_tests!(Pooled::default());
chat_core::rooms_members_tests!(Pooled::default());
chat_core::rooms_read_tests!(Pooled::default());
chat_core::rooms_unread_tests!(Pooled::default());
chat_core::rooms_listing_tests!(Pooled::default());
chat_core::search_tests!(Pooled::default());
chat_core::presence_tests!(Pooled::default());
chat_core::presence_race_tests!(Pooled::default());
chat_core::fanout_tests!(Pooled::default());

/// Its statements would be kept on connections if it were for the pool alone, and its isolation is not ours.
async fn of_an_applications_pool(url: &str) -> PostgresBackend {
    let pool = PgPoolOptions::new().max_connections(8).connect(url).await.unwrap();
    let config = PostgresConfig::from_url(url).unwrap().with_transaction_pooler();
    PostgresBackend::from_pool(pool, config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_and_write_leave_nothing_on_a_connection() {
    let (database, url) = database().await;
    let mut hands = by_hand(database.url()).await;
    let isolation = "SET default_transaction_isolation = 'serializable'";
    run(&mut hands, &format!("ALTER DATABASE {} {isolation}", database.name())).await;
    let connect = async || PostgresBackend::connect(config(&database, &url)).await.unwrap();
    let (one, two, three) = tokio::join!(connect(), connect(), of_an_applications_pool(&url));
    make_rooms(&*one.rooms(), ROOMS, &["ann"]).await;
    let loads = [Load::start(&two), Load::start(&three)];
    for load in &loads {
        load.more(100, PATIENCE).await;
        assert_eq!(load.all_refused(), "{}");
    }
    one.health().await.unwrap();
    let [first, second] = loads;
    second.end().await;
    first.check(&one).await;

    // One after the other, the connections that all of this went over.
    let mut eyes = by_hand(&url).await;
    for _ in 0..20 {
        let left = "SELECT (SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql) AS prepared, \
                    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks, \
                    current_setting('search_path') AS path, current_setting('jit') AS jit, \
                    current_setting('default_transaction_isolation') AS isolation";
        let row = sqlx::raw_sql(left).fetch_one(&mut eyes).await.unwrap();
        assert_eq!((row.get::<i64, _>("prepared"), row.get::<i64, _>("locks")), (0, 0));
        assert_eq!(row.get::<String, _>("path"), "\"$user\", public");
        assert_eq!(
            (row.get::<String, _>("jit"), row.get::<String, _>("isolation")),
            ("on".into(), "serializable".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_end_behind_the_pooler_lose_nothing() {
    let (database, url) = database().await;
    let backend = PostgresBackend::connect(config(&database, &url)).await.unwrap();
    make_rooms(&*backend.rooms(), ROOMS, &["ann"]).await;
    let load = Load::start(&backend);
    let mut hands = by_hand(database.url()).await;
    for _ in 0..5 {
        load.more(50, PATIENCE).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        run(&mut hands, end).await;
    }
    load.more(50, PATIENCE).await;
    load.check(&backend).await;
}

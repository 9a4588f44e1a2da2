//! The messages split by room into partitions, by the statements that come with this crate: the contract holds on them, and
//! a chat goes on through the split.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::testkit::{ArchiveHarness, ArchiveNode, LogHarness, LogNode, SearchHarness, SearchNode};
use chat_test_services::{Database, Postgres};
use sqlx::{PgConnection, Row as _};
use support::{
    by_hand,
    load::{Load, ROOMS},
    make_rooms, run,
};
use tokio::sync::{Mutex, OnceCell};

const SPLIT: &str = include_str!("../partitioning.sql");

async fn split(hands: &mut PgConnection, schema: &str) {
    let statements = SPLIT.replace("search_path TO chat,", &format!("search_path TO {schema},"));
    run(hands, &statements).await;
}

async fn connect(url: &str, schema: &str) -> PostgresBackend {
    let config = PostgresConfig::from_url(url).unwrap().with_schema(schema).with_max_connections(4);
    PostgresBackend::connect(config).await.unwrap()
}

/// A partitioned schema of its own for each namespace, in one database.
#[derive(Default)]
struct Partitioned {
    opened: Mutex<Vec<PostgresBackend>>,
}

impl Partitioned {
    async fn open(&self, count: usize) -> Vec<PostgresBackend> {
        static SHARED: OnceCell<Database> = OnceCell::const_new();
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let database = async || Postgres::shared_without_fsync().await.unwrap().database().await.unwrap();
        let url = SHARED.get_or_init(database).await.url();
        let schema = format!("chat_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut nodes = vec![connect(url, &schema).await];
        split(&mut by_hand(url).await, &schema).await;
        for _ in 1..count {
            nodes.push(connect(url, &schema).await);
        }
        self.opened.lock().await.extend(nodes.iter().cloned());
        nodes
    }
}

fn node(backend: &PostgresBackend) -> LogNode {
    LogNode { log: backend.message_log(), rooms: backend.rooms() }
}

#[async_trait]
impl LogHarness for Partitioned {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        self.open(count).await.iter().map(node).collect()
    }
}

#[async_trait]
impl SearchHarness for Partitioned {
    async fn node(&self) -> SearchNode {
        let backend = self.open(1).await.remove(0);
        SearchNode { log: node(&backend), search: backend.search() }
    }

    async fn settle(&self) {
        for backend in self.opened.lock().await.iter() {
            backend.settle_search().await.unwrap();
        }
    }
}

#[async_trait]
impl ArchiveHarness for Partitioned {
    async fn nodes(&self, count: usize) -> Vec<ArchiveNode> {
        let node = |backend: &PostgresBackend| ArchiveNode {
            archive: backend.archive(),
            log: backend.message_log(),
            rooms: backend.rooms(),
            search: backend.search(),
        };
        self.open(count).await.iter().map(node).collect()
    }

    async fn settle(&self) {
        SearchHarness::settle(self).await;
    }
}

chat_core::message_log_tests!(Partitioned::default());
chat_core::rooms_unread_tests!(Partitioned::default());
chat_core::search_tests!(Partitioned::default());
chat_core::archive_tests!(Partitioned::default());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_go_on_through_the_split() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let backend = support::connect(database.url()).await;
    make_rooms(&*backend.rooms(), ROOMS, &["ann"]).await;
    let load = Load::start(&backend);
    load.more(200, Duration::from_secs(60)).await;
    let mut hands = by_hand(database.url()).await;
    run(&mut hands, "GRANT SELECT, INSERT ON chat.entries TO PUBLIC").await;
    run(&mut hands, SPLIT).await;
    load.more(200, Duration::from_secs(60)).await;
    load.check(&backend).await;
    let counts = "SELECT count(*), count(DISTINCT tableoid) FROM chat.entries";
    let row = sqlx::query(counts).fetch_one(&mut hands).await.unwrap();
    let (entries, parts): (i64, i64) = (row.get(0), row.get(1));
    let granted = "SELECT count(*) FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = 'chat.entries'::regclass AND a.grantee = 0";
    assert_eq!(sqlx::query(granted).fetch_one(&mut hands).await.unwrap().get::<i64, _>(0), 2);
    assert!(entries > 400 && parts > 1, "{entries} entries in {parts} parts");
}

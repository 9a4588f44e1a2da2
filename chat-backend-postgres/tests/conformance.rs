//! The PostgreSQL backend keeps the whole contract, on one node and on several. The server does not wait for its disk: what
//! is kept when something breaks is looked at in `faults.rs`, on one that does.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::testkit::{LogHarness, LogNode, Restore, RestoreHarness, SearchHarness, SearchNode};
use chat_test_services::{Database, Postgres};
use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};

/// A schema of its own for each namespace, in one database.
#[derive(Default)]
struct Server {
    opened: Mutex<Vec<PostgresBackend>>,
}

async fn connect(url: &str, schema: &str) -> PostgresBackend {
    let config = PostgresConfig::from_url(url).unwrap().with_schema(schema).with_max_connections(4);
    PostgresBackend::connect(config).await.unwrap()
}

async fn database() -> Database {
    Postgres::shared_without_fsync().await.unwrap().database().await.unwrap()
}

/// The address of the database that all cases share, and the name of a fresh schema.
async fn namespace() -> (&'static str, String) {
    static SHARED: OnceCell<Database> = OnceCell::const_new();
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let shared = SHARED.get_or_init(database).await;
    (shared.url(), format!("chat_{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
}

fn node(backend: &PostgresBackend) -> LogNode {
    LogNode { log: backend.message_log(), rooms: backend.rooms() }
}

#[async_trait]
impl LogHarness for Server {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        let (url, schema) = namespace().await;
        let mut nodes = Vec::new();
        for _ in 0..count {
            let backend = connect(url, &schema).await;
            nodes.push(node(&backend));
            self.opened.lock().await.push(backend);
        }
        nodes
    }
}

/// Dumps the database, and puts the dump in its place: as `pg_dump` and `pg_restore` in an operator's hands.
struct Dump {
    database: Database,
    backend: PostgresBackend,
    folder: TempDir,
}

impl Dump {
    fn run(&self, program: &str, arguments: &[&str]) {
        let file = self.folder.path().join("chat.dump");
        let output = Command::new(program).args(arguments).arg(file).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[async_trait]
impl RestoreHarness for Server {
    async fn node_with_backup(&self) -> (LogNode, Box<dyn Restore>) {
        let database = database().await;
        let backend = connect(database.url(), PostgresConfig::DEFAULT_SCHEMA).await;
        (node(&backend), Box::new(Dump { database, backend, folder: tempfile::tempdir().unwrap() }))
    }
}

#[async_trait]
impl Restore for Dump {
    async fn backup(&mut self) {
        self.run("pg_dump", &["--format=custom", "--dbname", self.database.url(), "--file"]);
    }

    async fn restore(&mut self) -> LogNode {
        self.backend.close().await;
        self.run("pg_restore", &["--clean", "--if-exists", "--no-owner", "--dbname", self.database.url()]);
        self.backend = connect(self.database.url(), PostgresConfig::DEFAULT_SCHEMA).await;
        node(&self.backend)
    }
}

#[async_trait]
impl SearchHarness for Server {
    async fn node(&self) -> SearchNode {
        let (url, schema) = namespace().await;
        let backend = connect(url, &schema).await;
        let found = SearchNode { log: node(&backend), search: backend.search() };
        self.opened.lock().await.push(backend);
        found
    }

    async fn settle(&self) {
        for backend in self.opened.lock().await.iter() {
            backend.settle_search().await.unwrap();
        }
    }
}

chat_core::message_log_tests!(Server::default());
chat_core::message_log_epoch_tests!(Server::default());
chat_core::rooms_tests!(Server::default());
chat_core::rooms_members_tests!(Server::default());
chat_core::rooms_read_tests!(Server::default());
chat_core::rooms_unread_tests!(Server::default());
chat_core::rooms_listing_tests!(Server::default());
chat_core::search_tests!(Server::default());

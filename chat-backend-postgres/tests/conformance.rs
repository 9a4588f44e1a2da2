//! The PostgreSQL backend keeps the whole contract, on one node and on several.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{process::Command, sync::Arc};

use async_trait::async_trait;
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::testkit::{LogHarness, LogNode, Restore, RestoreHarness, SearchHarness, SearchNode};
use chat_test_services::{Database, Postgres};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// A database of its own for each namespace.
#[derive(Default)]
struct Server {
    opened: Mutex<Vec<(Arc<Database>, PostgresBackend)>>,
}

async fn connect(database: &Database) -> PostgresBackend {
    let config = PostgresConfig::from_url(database.url()).unwrap().with_max_connections(4);
    PostgresBackend::connect(config).await.unwrap()
}

async fn database() -> Arc<Database> {
    Arc::new(Postgres::shared().await.unwrap().database().await.unwrap())
}

fn node(backend: &PostgresBackend) -> LogNode {
    LogNode { log: backend.message_log(), rooms: backend.rooms() }
}

#[async_trait]
impl LogHarness for Server {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        let database = database().await;
        let mut nodes = Vec::new();
        for _ in 0..count {
            let backend = connect(&database).await;
            nodes.push(node(&backend));
            self.opened.lock().await.push((Arc::clone(&database), backend));
        }
        nodes
    }
}

/// Dumps the database, and puts the dump in its place: as `pg_dump` and `pg_restore` in an operator's hands.
struct Dump {
    database: Arc<Database>,
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
        let backend = connect(&database).await;
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
        self.backend = connect(&self.database).await;
        node(&self.backend)
    }
}

#[async_trait]
impl SearchHarness for Server {
    async fn node(&self) -> SearchNode {
        let database = database().await;
        let backend = connect(&database).await;
        let found = SearchNode { log: node(&backend), search: backend.search() };
        self.opened.lock().await.push((database, backend));
        found
    }

    async fn settle(&self) {
        for (_, backend) in self.opened.lock().await.iter() {
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

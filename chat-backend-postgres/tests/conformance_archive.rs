//! The PostgreSQL backend keeps the contract of an archive, on one node and on several.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::testkit::{ArchiveHarness, ArchiveNode};
use chat_test_services::{Database, Postgres};
use tokio::sync::{Mutex, OnceCell};

/// A schema of its own for each namespace, in one database.
#[derive(Default)]
struct Server {
    opened: Mutex<Vec<PostgresBackend>>,
}

async fn database() -> Database {
    Postgres::shared_without_fsync().await.unwrap().database().await.unwrap()
}

#[async_trait]
impl ArchiveHarness for Server {
    async fn nodes(&self, count: usize) -> Vec<ArchiveNode> {
        static SHARED: OnceCell<Database> = OnceCell::const_new();
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let url = SHARED.get_or_init(database).await.url();
        let schema = format!("chat_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut nodes = Vec::new();
        for _ in 0..count {
            let config = PostgresConfig::from_url(url).unwrap();
            let config = config.with_schema(&schema).with_max_connections(4);
            let backend = PostgresBackend::connect(config).await.unwrap();
            nodes.push(ArchiveNode {
                archive: backend.archive(),
                log: backend.message_log(),
                rooms: backend.rooms(),
                search: backend.search(),
            });
            self.opened.lock().await.push(backend);
        }
        nodes
    }

    async fn settle(&self) {
        for backend in self.opened.lock().await.iter() {
            backend.settle_search().await.unwrap();
        }
    }
}

chat_core::archive_tests!(Server::default());

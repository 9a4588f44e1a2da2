//! A queue that waits for its worker keeps the contract of a log, in front of memory and in front of PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod log;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::testkit::{LogHarness, LogNode};
use chat_test_services::{Database, Kafka, Postgres};
use log::{Kept, Stage, persisted};
use tokio::sync::OnceCell;

/// Queues with one worker in front of one store.
async fn nodes(
    stage: Stage,
    keeps: impl std::fmt::Debug + Send + Sync + 'static,
    count: usize,
) -> Vec<LogNode> {
    let keeps = Arc::new((stage.worker(), keeps));
    let mut nodes = Vec::with_capacity(count);
    for _ in 0..count {
        let log = Kept { log: stage.queue(persisted()).await, keeps: Arc::clone(&keeps) };
        nodes.push(LogNode { log: Arc::new(log), rooms: Arc::clone(&stage.rooms) });
    }
    nodes
}

struct OverMemory;

#[async_trait]
impl LogHarness for OverMemory {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        let kafka = Kafka::shared().await.unwrap();
        nodes(Stage::memory(kafka, 3).await, (), count).await
    }
}

/// A schema of its own for each case, in one database.
struct OverPostgres;

async fn database() -> Database {
    Postgres::shared_without_fsync().await.unwrap().database().await.unwrap()
}

#[async_trait]
impl LogHarness for OverPostgres {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        static SHARED: OnceCell<Database> = OnceCell::const_new();
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let schema = format!("chat_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let config = PostgresConfig::from_url(SHARED.get_or_init(database).await.url()).unwrap();
        let store =
            PostgresBackend::connect(config.with_schema(schema).with_max_connections(4)).await.unwrap();
        let kafka = Kafka::shared().await.unwrap();
        let stage = Stage::over(log::fresh(kafka), &store, 3).await;
        nodes(stage, store, count).await
    }
}

mod over_memory {
    use super::OverMemory;

    chat_core::message_log_tests!(OverMemory);
}

mod over_postgres {
    use super::OverPostgres;

    chat_core::message_log_tests!(OverPostgres);
}

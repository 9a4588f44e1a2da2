//! A queue, its workers and a store, for the tests of both.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod broken;
pub(crate) mod history;
pub(crate) mod load;
pub(crate) mod topic;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_backend_kafka::{
    Ack, KafkaConfig, QueueConfig, QueuedLog, TopicNames, TopicSpec, Worker, WorkerConfig, ensure_topics,
};
use chat_core::{
    AppendOutcome, Backend, Draft, Durability, Head, MessageLog, Page, ReadQuery, Result, Retention, RoomId,
    Rooms, Storage, memory::MemoryStore, testkit::LogNode,
};
use chat_test_services::Kafka;
use tokio::time::{Instant, sleep};
use tracing_subscriber::EnvFilter;

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// On topics that no other test has. What happens is shown with a test that fails, as much of it as `RUST_LOG` asks for.
pub(crate) fn fresh(kafka: &Kafka) -> KafkaConfig {
    // The first test of the program has done it.
    let filter = EnvFilter::try_from_default_env().unwrap_or(EnvFilter::new("chat_backend_kafka=debug"));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_test_writer().try_init();
    KafkaConfig::new(kafka.url())
        .with_topics(TopicNames::with_prefix(&kafka.prefix()))
        .with_property("topic.metadata.refresh.interval.ms", "500")
}

/// Makes the topics of the queue and its workers.
pub(crate) async fn make_topics(config: &KafkaConfig, partitions: i32) {
    let names = config.topics();
    let spec = |name: &String, partitions| TopicSpec::new(name, partitions);
    let specs =
        [spec(&names.messages, partitions), spec(&names.persisted, partitions), spec(&names.dead_letters, 1)];
    ensure_topics(config, &specs).await.unwrap();
}

/// Workers of a group of this test's own, that find out soon what is wrong.
pub(crate) fn quick(config: &KafkaConfig) -> WorkerConfig {
    WorkerConfig::new()
        .with_group(format!("{}-workers", config.topics().messages))
        .with_session_timeout(Duration::from_secs(6))
        .with_refresh(Duration::from_millis(500))
        .with_growth_pause(Duration::from_millis(1_500))
        .with_pauses(Duration::from_millis(20), Duration::from_millis(500))
}

/// Waits for the workers.
pub(crate) fn persisted() -> QueueConfig {
    QueueConfig::new()
        .with_ack(Ack::Persisted)
        .with_persist_timeout(PATIENCE)
        .with_refresh(Duration::from_millis(500))
}

/// A store and what is in front of it.
pub(crate) struct Stage {
    pub(crate) config: KafkaConfig,
    pub(crate) log: Arc<dyn MessageLog>,
    pub(crate) rooms: Arc<dyn Rooms>,
}

impl Stage {
    /// In memory.
    pub(crate) async fn memory(kafka: &Kafka, partitions: i32) -> Self {
        Self::over(fresh(kafka), &MemoryStore::new(), partitions).await
    }

    pub(crate) async fn over(config: KafkaConfig, store: &(impl Storage + Sync), partitions: i32) -> Self {
        make_topics(&config, partitions).await;
        Self { config, log: store.message_log(), rooms: store.rooms() }
    }

    pub(crate) async fn queue(&self, queue: QueueConfig) -> QueuedLog {
        let (log, rooms) = (Arc::clone(&self.log), Arc::clone(&self.rooms));
        QueuedLog::start(&self.config, queue, log, rooms).await.unwrap()
    }

    pub(crate) fn worker(&self) -> Worker {
        self.worker_with(quick(&self.config))
    }

    pub(crate) fn worker_with(&self, worker: WorkerConfig) -> Worker {
        Worker::start(&self.config, worker, Arc::clone(&self.log), None).unwrap()
    }

    /// The store itself.
    pub(crate) fn store(&self) -> LogNode {
        LogNode { log: Arc::clone(&self.log), rooms: Arc::clone(&self.rooms) }
    }
}

/// A queue that keeps what works for it alive.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    pub(crate) log: QueuedLog,
    pub(crate) keeps: T,
}

#[async_trait]
impl<T: std::fmt::Debug + Send + Sync + 'static> Backend for Kept<T> {
    fn name(&self) -> &'static str {
        self.log.name()
    }

    async fn health(&self) -> Result<()> {
        self.log.health().await
    }
}

#[async_trait]
impl<T: std::fmt::Debug + Send + Sync + 'static> MessageLog for Kept<T> {
    fn durability(&self) -> Durability {
        self.log.durability()
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        self.log.append(drafts).await
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        self.log.read(room, query).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        self.log.heads(rooms).await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.log.trim(room, retention).await
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

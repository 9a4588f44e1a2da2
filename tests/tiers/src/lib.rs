//! Redis in front of PostgreSQL, for tests and benchmarks.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test says why by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_backend_redis::{HotLogConfig, RedisBackend, RedisConfig};
use chat_core::{
    Storage,
    memory::MemoryStore,
    testkit::{LogHarness, LogNode, SearchHarness, SearchNode},
    tiered::{Archive, Tiered, TieredSettings},
    unread::CachedUnread,
};
use chat_test_services::{Database, Postgres, Redis, RedisCluster};
use tokio::sync::{Mutex, OnceCell};

/// The machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the hot log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// On one server.
    Single,
    /// On three.
    Cluster,
}

/// What is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// A store in memory.
    Memory,
    /// A schema in PostgreSQL.
    Postgres,
}

/// Tiers on fresh names for each case.
#[derive(Debug)]
pub struct Tiers {
    front: Front,
    behind: Behind,
    /// So many entries stay in Redis when they are archived; with few of them everything is archived at once.
    window: u64,
    /// Unread counts are remembered in Redis.
    remembers: bool,
    /// Connections live as long as the case.
    kept: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    tiered: Tiered,
    redis: RedisBackend,
    postgres: Option<PostgresBackend>,
}

async fn cluster() -> &'static RedisCluster {
    static SHARED: OnceCell<RedisCluster> = OnceCell::const_new();
    SHARED.get_or_try_init(RedisCluster::private).await.unwrap()
}

async fn database() -> &'static Database {
    static SHARED: OnceCell<Database> = OnceCell::const_new();
    let database = async { Postgres::shared_without_fsync().await?.database().await };
    SHARED.get_or_try_init(|| database).await.unwrap()
}

impl Tiers {
    /// Tiers of these parts.
    #[must_use]
    pub fn new(front: Front, behind: Behind, window: u64) -> Self {
        Self { front, behind, window, remembers: false, kept: Mutex::default() }
    }

    /// With unread counts that are remembered in Redis.
    #[must_use]
    pub fn remembering(mut self) -> Self {
        self.remembers = true;
        self
    }

    /// Nodes that share everything.
    pub async fn tiered(&self, count: usize) -> Vec<Tiered> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let server = Redis::shared().await.unwrap();
        let url = match self.front {
            Front::Single => server.url().to_owned(),
            Front::Cluster => cluster().await.url().unwrap(),
        };
        let (prefix, store) = (server.prefix(), MemoryStore::new());
        let mut nodes = Vec::new();
        for _ in 0..count {
            let config = RedisConfig::from_url(&url).unwrap().with_prefix(&prefix);
            let config = config.with_connect_timeout(PATIENCE).with_command_timeout(PATIENCE);
            let redis = RedisBackend::connect(config).await.unwrap();
            let hot = redis.hot_log(HotLogConfig::new().with_window(self.window));
            let mut settings = TieredSettings::default();
            if self.window < 100 {
                (settings.batch_entries, settings.batch_age) = (1, Duration::ZERO);
            }
            let (tiered, postgres) = match self.behind {
                Behind::Memory => (Tiered::start(hot, store.archive(), &store, settings), None),
                Behind::Postgres => {
                    let config = PostgresConfig::from_url(database().await.url()).unwrap();
                    let config = config.with_schema(format!("tiers_{number}")).with_max_connections(3);
                    let postgres = PostgresBackend::connect(config).await.unwrap();
                    let archive: Arc<dyn Archive> = postgres.archive();
                    (Tiered::start(hot, archive, &postgres, settings), Some(postgres))
                }
            };
            nodes.push(tiered.clone());
            self.kept.lock().await.push(Kept { tiered, redis, postgres });
        }
        nodes
    }
}

fn node(tiered: &Tiered) -> LogNode {
    LogNode { log: tiered.message_log(), rooms: tiered.rooms() }
}

#[async_trait]
impl LogHarness for Tiers {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        let nodes = self.tiered(count).await;
        if !self.remembers {
            return nodes.iter().map(node).collect();
        }
        let kept = self.kept.lock().await;
        let remembering = |kept: &Kept| {
            let LogNode { log, rooms } = node(&kept.tiered);
            LogNode { rooms: Arc::new(CachedUnread::new(rooms, log.clone(), kept.redis.unread_cache())), log }
        };
        kept[kept.len() - count..].iter().map(remembering).collect()
    }
}

#[async_trait]
impl SearchHarness for Tiers {
    async fn node(&self) -> SearchNode {
        let tiered = self.tiered(1).await.remove(0);
        SearchNode { log: node(&tiered), search: tiered.search() }
    }

    async fn settle(&self) {
        for kept in self.kept.lock().await.iter() {
            kept.tiered.flush().await.unwrap();
            if let Some(postgres) = &kept.postgres {
                postgres.settle_search().await.unwrap();
            }
        }
    }
}

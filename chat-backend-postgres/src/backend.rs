use std::sync::{Arc, Weak};

use async_trait::async_trait;
use chat_core::{Backend, Durability, MessageLog, Result, RoomId, Rooms, Search, Storage};
use sqlx::PgPool;

use crate::{
    ConnectError, PostgresConfig, PostgresError, connect,
    epoch::Epochs,
    lease::{self, Lease},
    message_log::PostgresLog,
    rooms::PostgresRooms,
    search::{self, PostgresSearch, Unsearchable},
    sql::Sql,
    trim,
};

/// Everything of a chat in one schema of a PostgreSQL database. Cheap to clone; every clone is the same.
///
/// Any number of nodes may use one schema at the same time. What they share is in the database alone.
#[derive(Debug, Clone)]
pub struct PostgresBackend {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) pool: PgPool,
    pub(crate) sql: Sql,
    pub(crate) epochs: Epochs,
    pub(crate) durability: Durability,
    pub(crate) search_is_indexed: bool,
    /// The number of each room in an epoch: a restored store may have given it to another one.
    pub(crate) numbers: moka::future::Cache<(chat_core::Epoch, RoomId), i64>,
    /// What the search does not know yet.
    pub(crate) unsearchable: Arc<Unsearchable>,
    pub(crate) config: PostgresConfig,
}

impl PostgresBackend {
    /// Connects, and brings the schema to this release.
    ///
    /// # Errors
    /// A setting out of its bounds, a server out of reach or that refuses, a schema of a newer release.
    pub async fn connect(config: PostgresConfig) -> std::result::Result<Self, ConnectError> {
        Ok(Self::begin(connect::connect(config).await?))
    }

    /// Over a pool that the application has already; of the settings, those about connections do not count. The pool
    /// should have `test_before_acquire(false)`, and room for the chat's calls beside the application's.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn from_pool(pool: PgPool, config: PostgresConfig) -> std::result::Result<Self, ConnectError> {
        Ok(Self::begin(connect::over(pool, config).await?))
    }

    fn begin(shared: Shared) -> Self {
        let shared = Arc::new(shared);
        tokio::spawn(search::keep_up(Arc::downgrade(&shared)));
        if !shared.config.retention.keeps_everything() {
            tokio::spawn(trim::keep_to(Arc::downgrade(&shared)));
        }
        Self { shared }
    }

    /// The log of every room in the schema.
    #[must_use]
    pub fn message_log(&self) -> Arc<dyn MessageLog> {
        Arc::new(PostgresLog::new(Arc::clone(&self.shared)))
    }

    /// The rooms of the schema.
    #[must_use]
    pub fn rooms(&self) -> Arc<dyn Rooms> {
        Arc::new(PostgresRooms::new(Arc::clone(&self.shared)))
    }

    /// The search over the schema.
    #[must_use]
    pub fn search(&self) -> Arc<dyn Search> {
        Arc::new(PostgresSearch::new(Arc::clone(&self.shared)))
    }

    /// Returns once the search knows everything that was stored before. Otherwise it follows some milliseconds behind.
    ///
    /// # Errors
    /// When the server is out of reach.
    pub async fn settle_search(&self) -> Result<()> {
        search::settle(&self.shared).await.map_err(|error| error.during("index"))
    }

    /// Whether the search has an index, which takes the extension `pg_trgm` in the database.
    #[must_use]
    pub fn search_is_indexed(&self) -> bool {
        self.shared.search_is_indexed
    }

    /// Ends the connections. What is under way is finished first.
    pub async fn close(&self) {
        self.shared.pool.close().await;
    }

    /// How many connections there are, and how many of them are idle: for an application's metrics.
    #[must_use]
    pub fn connections(&self) -> (u32, usize) {
        (self.shared.pool.size(), self.shared.pool.num_idle())
    }
}

impl Storage for PostgresBackend {
    fn message_log(&self) -> Arc<dyn MessageLog> {
        Self::message_log(self)
    }

    fn rooms(&self) -> Arc<dyn Rooms> {
        Self::rooms(self)
    }

    fn search(&self) -> Arc<dyn Search> {
        Self::search(self)
    }
}

#[async_trait]
impl Backend for PostgresBackend {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

impl Shared {
    /// A connection of the pool.
    pub(crate) async fn lease(&self) -> std::result::Result<Lease, PostgresError> {
        let connection = self.pool.acquire().await?;
        Ok(Lease::new(connection, self.config.statement_timeout))
    }

    /// A connection for one statement. Behind a pooler that is a transaction, because sqlx prepares and runs a statement
    /// in two steps.
    pub(crate) async fn all(
        &self,
        statement: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> std::result::Result<Vec<sqlx::postgres::PgRow>, PostgresError> {
        let mut lease = self.lease().await?;
        if !self.config.transaction_pooler {
            return lease.all(statement).await;
        }
        lease.begin().await?;
        let rows = lease.all(statement).await;
        if rows.is_ok() {
            lease.commit().await?;
        } else {
            lease.roll_back().await;
        }
        rows
    }

    pub(crate) async fn health(&self) -> Result<()> {
        let alive = async {
            let mut lease = self.lease().await?;
            lease::ping(&mut lease).await
        };
        alive.await.map_err(|error: PostgresError| error.during("health"))
    }
}

/// The backend, unless it is gone or closed: for tasks that must not keep it alive.
pub(crate) fn alive(shared: &Weak<Shared>) -> Option<Arc<Shared>> {
    shared.upgrade().filter(|shared| !shared.pool.is_closed())
}

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use chat_core::{
    Backend, Durability, Fanout, MessageLog, Presence, Result, RoomId, Rooms, Search, Storage,
    tiered::Archive,
};
use sqlx::{PgPool, postgres::PgConnectOptions};

use crate::{
    ConnectError, PostgresConfig, PostgresError,
    archive::PostgresArchive,
    connect,
    connections::Connections,
    epoch::Epochs,
    fanout::PostgresFanout,
    lease::{self, Lease},
    message_log::PostgresLog,
    numbers::Numbered,
    presence::PostgresPresence,
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
    /// One per node, however often it is asked for.
    fanout: Arc<PostgresFanout>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connections: Connections,
    pub(crate) sql: Sql,
    pub(crate) epochs: Epochs,
    pub(crate) durability: Durability,
    pub(crate) search_is_indexed: bool,
    /// The number of each room in an epoch: a restored store may have given it to another one.
    pub(crate) numbers: moka::future::Cache<(chat_core::Epoch, RoomId), Arc<Numbered>>,
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

    /// Over a pool that the application has already; of the settings, those about connecting do not count. The pool
    /// should have `test_before_acquire(false)`, room for the chat's calls beside the application's, and sessions with the
    /// server's own `statement_timeout`, a little below [that of the chat](PostgresConfig::with_statement_timeout): what the
    /// chat gives up would go on at the server otherwise. Sessions whose default isolation level is not read committed cost
    /// two more round trips for every call.
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
        let fanout = Arc::new(PostgresFanout::new(Arc::clone(&shared)));
        Self { shared, fanout }
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

    /// What a log that stands in front of this schema hands its entries over to, in a [`Tiered`](chat_core::tiered) log.
    #[must_use]
    pub fn archive(&self) -> Arc<dyn Archive> {
        Arc::new(PostgresArchive::new(Arc::clone(&self.shared)))
    }

    /// Live events between all nodes on the schema, over one more connection of this node. Behind a transaction pooler
    /// subscribing needs [an address to listen at](PostgresConfig::with_listen_at). When the last clone of this
    /// and of the backend is gone, or the backend is closed, its subscriptions end.
    #[must_use]
    pub fn fanout(&self) -> Arc<dyn Fanout> {
        Arc::clone(&self.fanout) as Arc<dyn Fanout>
    }

    /// Who is online on all nodes on the schema.
    #[must_use]
    pub fn presence(&self) -> Arc<dyn Presence> {
        Arc::new(PostgresPresence::new(Arc::clone(&self.shared)))
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
        self.shared.connections.close().await;
    }

    /// How many connections there are, and how many of them are idle: for an application's metrics.
    #[must_use]
    pub fn connections(&self) -> (u32, usize) {
        self.shared.connections.count()
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
        self.connections.lease().await
    }

    /// All rows of one statement.
    pub(crate) async fn all(
        &self,
        statement: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> std::result::Result<Vec<sqlx::postgres::PgRow>, PostgresError> {
        self.connections.all(statement).await
    }

    pub(crate) async fn health(&self) -> Result<()> {
        let alive = async {
            let mut lease = self.lease().await?;
            lease::ping(&mut lease).await
        };
        alive.await.map_err(|error: PostgresError| error.during("health"))
    }

    /// Where to listen for notifications, if there is such a place.
    pub(crate) fn listen_options(&self) -> Option<PgConnectOptions> {
        let own = || (*self.connections.pool.connect_options()).clone();
        self.config.listen.clone().or_else(|| (!self.config.transaction_pooler).then(own))
    }
}

/// The backend, unless it is gone or closed: for tasks that must not keep it alive.
pub(crate) fn alive(shared: &Weak<Shared>) -> Option<Arc<Shared>> {
    shared.upgrade().filter(|shared| !shared.connections.pool.is_closed())
}

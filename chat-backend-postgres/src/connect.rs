//! Connects: pool, schema, epoch.

use std::sync::Arc;

use chat_core::Durability;
use sqlx::{Executor as _, PgPool, Row as _, postgres::PgPoolOptions, raw_sql};

use crate::{
    PostgresConfig, PostgresError,
    backend::Shared,
    epoch::Epochs,
    lease::Lease,
    schema,
    search::{self, Unsearchable},
    sql::{Sql, is_schema_name},
};

/// Statements of this library, each prepared once per connection.
const STATEMENTS: usize = 100;
/// Rooms whose number is remembered: an id of 26 bytes and a number each, some 100 bytes in all.
const ROOM_NUMBERS: u64 = 100_000;

/// Why the backend cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A setting is out of its bounds.
    #[error("{setting} {reason}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// The schema was written by a newer release.
    #[error(
        "schema \"{schema}\" has version {found}, and this release knows {known}: use the release that wrote it or a newer one"
    )]
    TooNew {
        /// The schema.
        schema: String,
        /// Its version.
        found: i32,
        /// The newest one known here.
        known: i32,
    },
    /// The server could not be reached or refused.
    #[error("PostgreSQL cannot be used: {0}")]
    Postgres(#[source] PostgresError),
}

/// Whatever the defaults of the database and the role are. All our statements are short, and compiling one takes longer than
/// running it.
const SESSION: &str =
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; SET jit = off";

const SETTINGS: &str = "
SELECT current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off' AS safe,
    current_setting('default_transaction_isolation') = 'read committed' AS read_committed";

pub(crate) async fn connect(config: PostgresConfig) -> Result<Shared, ConnectError> {
    check(&config)?;
    let statements = if config.transaction_pooler { 0 } else { STATEMENTS };
    let options = config.options.clone().statement_cache_capacity(statements);
    let mut pool = PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(config.acquire_timeout)
        // A call that meets a broken connection is answered so; asking each time would double the round trips.
        .test_before_acquire(false);
    if !config.transaction_pooler {
        pool = pool.after_connect(|connection, _| {
            Box::pin(async move { connection.execute(raw_sql(SESSION)).await.map(drop) })
        });
    }
    let pool = pool.connect_with(options).await.map_err(|error| ConnectError::Postgres(error.into()))?;
    over(pool, config).await
}

/// Over a pool that is there.
pub(crate) async fn over(pool: PgPool, config: PostgresConfig) -> Result<Shared, ConnectError> {
    check(&config)?;
    let sql = Sql::new(&config.schema, !config.transaction_pooler);
    let connection = pool.acquire().await.map_err(PostgresError::from).map_err(ConnectError::Postgres)?;
    let mut lease = Lease::new(connection, config.statement_timeout);
    lease.begin().await.map_err(ConnectError::Postgres)?;
    let store = match prepare(&mut lease, &sql, config.new_epoch).await {
        Ok(store) => store,
        Err(error) => {
            lease.roll_back().await;
            return Err(error);
        }
    };
    lease.commit().await.map_err(ConnectError::Postgres)?;
    drop(lease);
    let durability = if store.is_safe {
        Durability::Persisted
    } else {
        tracing::warn!(
            "fsync or synchronous_commit is off: a crash of the server may lose acknowledged messages"
        );
        Durability::Volatile
    };
    Ok(Shared {
        pool,
        sql,
        explicit: config.transaction_pooler || !store.is_read_committed,
        epochs: store.epochs,
        durability,
        search_is_indexed: store.search_is_indexed,
        numbers: moka::future::Cache::new(ROOM_NUMBERS),
        unsearchable: Arc::new(Unsearchable::default()),
        config,
    })
}

/// What is found out about the store, or made of it, before it is used.
struct Store {
    is_safe: bool,
    is_read_committed: bool,
    epochs: Epochs,
    search_is_indexed: bool,
}

/// In one transaction, so that programs that start together do all of it one after the other.
async fn prepare(lease: &mut Lease, sql: &Sql, new_epoch: bool) -> Result<Store, ConnectError> {
    let failed = ConnectError::Postgres;
    schema::migrate(lease.connection().map_err(failed)?, sql).await?;
    let row = lease.one(sqlx::query(SETTINGS).persistent(false)).await.map_err(failed)?;
    let setting = |name| row.try_get(name).map_err(PostgresError::from).map_err(failed);
    Ok(Store {
        is_safe: setting("safe")?,
        is_read_committed: setting("read_committed")?,
        epochs: Epochs::begin(lease, sql, new_epoch).await.map_err(failed)?,
        search_is_indexed: search::trigrams::prepare(lease.connection().map_err(failed)?, sql)
            .await
            .map_err(failed)?,
    })
}

fn check(config: &PostgresConfig) -> Result<(), ConnectError> {
    let wrong = |setting, reason| Err(ConnectError::Setting { setting, reason });
    if !is_schema_name(&config.schema) {
        return wrong(
            "schema",
            "must be a letter or _, then letters, digits and _, all lower case, at most 63, and not begin with pg_",
        );
    }
    if !(2..=1_000).contains(&config.max_connections) {
        return wrong("max_connections", "must be from 2 to 1,000");
    }
    if config.retention_interval.is_zero() {
        return wrong("retention_interval", "must not be zero");
    }
    Ok(())
}

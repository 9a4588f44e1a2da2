//! Connects: pool, schema, epoch.

use std::sync::Arc;

use chat_core::Durability;
use sqlx::{PgPool, Row as _, postgres::PgPoolOptions};

use crate::{
    PostgresConfig, PostgresError,
    backend::Shared,
    epoch::Epochs,
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

pub(crate) async fn connect(config: PostgresConfig) -> Result<Shared, ConnectError> {
    check(&config)?;
    let statements = if config.transaction_pooler { 0 } else { STATEMENTS };
    let options = config.options.clone().statement_cache_capacity(statements);
    let pool = PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(config.acquire_timeout)
        // A call that meets a broken connection is answered so; asking each time would double the round trips.
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(|error| ConnectError::Postgres(error.into()))?;
    over(pool, config).await
}

/// Over a pool that is there.
pub(crate) async fn over(pool: PgPool, config: PostgresConfig) -> Result<Shared, ConnectError> {
    check(&config)?;
    let failed = |error: sqlx::Error| ConnectError::Postgres(error.into());
    let sql = Sql::new(&config.schema, !config.transaction_pooler);
    let mut connection = pool.acquire().await.map_err(failed)?;
    schema::migrate(&mut connection, &sql).await?;
    let safe =
        "SELECT current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off' AS safe";
    let row = sqlx::query(safe).persistent(false).fetch_one(&mut *connection).await.map_err(failed)?;
    let durability = if row.try_get("safe").map_err(failed)? {
        Durability::Persisted
    } else {
        tracing::warn!(
            "fsync or synchronous_commit is off: a crash of the server may lose acknowledged messages"
        );
        Durability::Volatile
    };
    let epochs =
        Epochs::begin(&mut connection, &sql, config.new_epoch).await.map_err(ConnectError::Postgres)?;
    let search_is_indexed =
        search::trigrams::prepare(&mut connection, &sql).await.map_err(ConnectError::Postgres)?;
    drop(connection);
    Ok(Shared {
        pool,
        sql,
        epochs,
        durability,
        search_is_indexed,
        numbers: moka::future::Cache::new(ROOM_NUMBERS),
        unsearchable: Arc::new(Unsearchable::default()),
        config,
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

//! Connects: pool, schema, epoch.

use std::sync::Arc;

use chat_core::Durability;
use sqlx::{PgPool, Row as _};

use crate::{
    PostgresConfig, PostgresError,
    backend::Shared,
    connections::Connections,
    epoch::Epochs,
    schema,
    search::{self, Unsearchable},
    sql::Sql,
};

const SERVER: &str = "
SELECT current_setting('server_encoding') AS encoding,
    current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off' AS safe";
/// Rooms that are remembered: an id, a number and some authors each, up to a kilobyte in all.
const ROOM_NUMBERS: u64 = 50_000;

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
    /// The database's encoding has no room for every text.
    #[error(
        "the database is in {found}, and messages may be in any script: use one that was made with ENCODING 'UTF8'"
    )]
    Encoding {
        /// The one it has.
        found: String,
    },
    /// The server could not be reached or refused.
    #[error("PostgreSQL cannot be used: {0}")]
    Postgres(#[source] PostgresError),
}

impl From<PostgresError> for ConnectError {
    fn from(error: PostgresError) -> Self {
        Self::Postgres(error)
    }
}

pub(crate) async fn connect(config: PostgresConfig) -> Result<Shared, ConnectError> {
    config.check()?;
    open(Connections::new(&config), config).await
}

/// Over a pool that is there.
pub(crate) async fn over(pool: PgPool, config: PostgresConfig) -> Result<Shared, ConnectError> {
    config.check()?;
    open(Connections::of_application(pool, &config), config).await
}

/// Whoever goes away meanwhile leaves nothing behind in the pool: every statement is that of a lease.
async fn open(mut connections: Connections, config: PostgresConfig) -> Result<Shared, ConnectError> {
    let sql = Sql::new(&config.schema, !config.transaction_pooler);
    connections.look_at_sessions(&config).await?;
    let durability = look_at_server(&connections).await?;
    let mut lease = connections.lease().await?;
    schema::migrate(&mut lease, &sql).await?;
    drop(lease);
    let epochs = Epochs::begin(&connections, &sql, config.new_epoch).await?;
    let search_is_indexed = search::trigrams::prepare(&connections, &sql).await;
    Ok(Shared {
        connections,
        sql,
        epochs,
        durability,
        search_is_indexed,
        numbers: moka::future::Cache::new(ROOM_NUMBERS),
        unsearchable: Arc::new(Unsearchable::default()),
        config,
    })
}

/// What it promises; an error where nothing of ours can be kept.
async fn look_at_server(connections: &Connections) -> Result<Durability, ConnectError> {
    let failed = |error: sqlx::Error| ConnectError::Postgres(error.into());
    let rows = connections.all(sqlx::query(SERVER).persistent(false)).await?;
    let row = rows.first().ok_or_else(|| PostgresError::corrupt("a server without settings"))?;
    let encoding: &str = row.try_get("encoding").map_err(failed)?;
    if encoding != "UTF8" {
        return Err(ConnectError::Encoding { found: encoding.to_owned() });
    }
    if row.try_get("safe").map_err(failed)? {
        return Ok(Durability::Persisted);
    }
    tracing::warn!(
        "fsync or synchronous_commit is off: a crash of the server may lose acknowledged messages"
    );
    Ok(Durability::Volatile)
}

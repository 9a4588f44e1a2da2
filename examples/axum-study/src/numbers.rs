//! Numbers for new rooms, out of a sequence beside the library's tables.

use std::time::Duration;

use chat_core::{Error, Result, Retry};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};

use crate::settings::Database;

/// Of no meaning: instances that start together make the sequence one after the other.
const LOCK: i64 = 0x7374_7564_795f_6e75;

/// Rooms are rarely made.
const CONNECTIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives each number once. A room's number is its id in the library, as decimal text.
#[derive(Debug, Clone)]
pub(crate) struct Numbers {
    pool: PgPool,
    next: String,
    raise: String,
}

impl Numbers {
    /// In the schema of the chat, which is there already: its name has been checked.
    pub(crate) async fn open(database: &Database) -> anyhow::Result<Self> {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        let pool = pool.connect_with(database.options()?).await?;
        let sequence = format!("{}.study_rooms", database.schema);
        let mut transaction = pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
        let make = format!("CREATE SEQUENCE IF NOT EXISTS {sequence}");
        sqlx::query(AssertSqlSafe(make)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        let next = format!("SELECT nextval('{sequence}')");
        let raise = format!(
            "SELECT setval('{sequence}', greatest($1, (SELECT last_value FROM {sequence}))) WHERE $1 > 0"
        );
        Ok(Self { pool, next, raise })
    }

    /// A new one.
    pub(crate) async fn next(&self) -> Result<u64> {
        let next = sqlx::query_scalar::<_, i64>(AssertSqlSafe(self.next.as_str()));
        let number = next.fetch_one(&self.pool).await.map_err(failed)?;
        u64::try_from(number)
            .map_err(|error| Error::backend("postgres", "number a room", Retry::Never, error))
    }

    /// Gives only greater ones than this from now on.
    pub(crate) async fn go_past(&self, number: i64) -> Result<()> {
        let raise = sqlx::query(AssertSqlSafe(self.raise.as_str())).bind(number);
        raise.execute(&self.pool).await.map(drop).map_err(failed)
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

fn failed(error: sqlx::Error) -> Error {
    Error::backend("postgres", "number a room", Retry::Later, error)
}

//! A connection for a while, that never goes back to the pool in a state nobody knows: if its user goes away in the middle
//! of a statement or a transaction, or the server does not answer in time, it is closed.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, Connection as _, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgConnection, PgRow},
    query::Query,
    raw_sql,
};

use crate::{PostgresError, PostgresErrorKind};

type Result<T> = std::result::Result<T, PostgresError>;
type Statement<'q> = Query<'q, Postgres, PgArguments>;

#[derive(Debug)]
pub(crate) struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    patience: Duration,
    /// Between the first byte of a statement and the last one of its answer.
    busy: bool,
    in_transaction: bool,
}

impl Lease {
    pub(crate) const fn new(connection: PoolConnection<Postgres>, patience: Duration) -> Self {
        Self { connection: Some(connection), patience, busy: false, in_transaction: false }
    }

    /// All rows.
    pub(crate) async fn all(&mut self, statement: Statement<'_>) -> Result<Vec<PgRow>> {
        self.within(async |connection| statement.fetch_all(connection).await).await
    }

    /// The one row.
    pub(crate) async fn one(&mut self, statement: Statement<'_>) -> Result<PgRow> {
        self.within(async |connection| statement.fetch_one(connection).await).await
    }

    /// The row, if there is one.
    pub(crate) async fn optional(&mut self, statement: Statement<'_>) -> Result<Option<PgRow>> {
        self.within(async |connection| statement.fetch_optional(connection).await).await
    }

    /// How many rows were changed.
    pub(crate) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64> {
        let done = self.within(async |connection| statement.execute(connection).await).await?;
        Ok(done.rows_affected())
    }

    pub(crate) async fn begin(&mut self) -> Result<()> {
        self.in_transaction = true;
        self.plain("BEGIN").await
    }

    pub(crate) async fn commit(&mut self) -> Result<()> {
        self.plain("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    /// For good or for nothing: where it fails, the connection is closed with the lease, and the server rolls back.
    pub(crate) async fn roll_back(&mut self) {
        if self.plain("ROLLBACK").await.is_ok() {
            self.in_transaction = false;
        }
    }

    async fn plain(&mut self, statement: &'static str) -> Result<()> {
        self.within(async |connection| raw_sql(AssertSqlSafe(statement)).execute(connection).await).await?;
        Ok(())
    }

    /// The bare connection, for code of sqlx's own. The caller does not go away meanwhile.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection> {
        self.connection.as_deref_mut().ok_or_else(gone)
    }

    async fn within<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> std::result::Result<T, sqlx::Error>,
    ) -> Result<T> {
        let connection = self.connection.as_deref_mut().ok_or_else(gone)?;
        self.busy = true;
        let done = tokio::time::timeout(self.patience, work(connection)).await;
        match done {
            Ok(Ok(value)) => {
                self.busy = false;
                Ok(value)
            }
            Ok(Err(error)) => {
                // What the server refuses leaves the connection as it was; anything else leaves it in doubt.
                self.busy = !matches!(error, sqlx::Error::Database(_) | sqlx::Error::RowNotFound);
                Err(error.into())
            }
            Err(_) => Err(PostgresError::new(
                PostgresErrorKind::Connection,
                format!("no answer within {:?}", self.patience),
            )),
        }
    }
}

fn gone() -> PostgresError {
    PostgresError::new(PostgresErrorKind::Closed, "the connection was given up")
}

impl Drop for Lease {
    fn drop(&mut self) {
        if (self.busy || self.in_transaction)
            && let Some(connection) = self.connection.take()
        {
            // Its socket closes with it.
            drop(connection.detach());
        }
    }
}

/// Asks for a sign of life.
pub(crate) async fn ping(lease: &mut Lease) -> Result<()> {
    lease.within(async |connection| connection.ping().await).await
}

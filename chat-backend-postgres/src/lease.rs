//! A connection for a while, that never goes back to the pool in a state nobody knows: if its user goes away in the middle
//! of a statement or a transaction, or the server does not answer in time, it is closed.

use std::{sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection as _, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgConnection, PgRow},
    query::Query,
    raw_sql,
};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use crate::{PostgresError, PostgresErrorKind, connections::Taken, warm::Warm};

/// How long an idle connection may take for a sign of life before it goes back to the pool.
pub(crate) const LONGEST_RETURN: Duration = Duration::from_secs(10);

type Result<T> = std::result::Result<T, PostgresError>;
type Statement<'q> = Query<'q, Postgres, PgArguments>;

#[derive(Debug)]
pub(crate) struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    /// When it came from the pool.
    since: Instant,
    /// Where it may go first when it is no longer needed.
    warm: Option<Arc<Warm>>,
    patience: Duration,
    /// How a transaction begins.
    begin: Arc<str>,
    /// Between the first byte of a statement and the last one of its answer, or broken.
    busy: bool,
    in_transaction: bool,
    /// Its place in the pool.
    taken: Taken,
}

impl Lease {
    pub(crate) fn new(
        (connection, since): (PoolConnection<Postgres>, Instant),
        warm: Option<Arc<Warm>>,
        patience: Duration,
        begin: Arc<str>,
        taken: Taken,
    ) -> Self {
        let connection = Some(connection);
        Self { connection, since, warm, patience, begin, busy: false, in_transaction: false, taken }
    }

    /// From now on one statement may take so long.
    pub(crate) const fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
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
        let begin = Arc::clone(&self.begin);
        self.plain(&begin).await
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

    /// Statements without values, in one step.
    pub(crate) async fn plain(&mut self, statements: &str) -> Result<()> {
        let text = AssertSqlSafe(statements.to_owned());
        self.within(async |connection| raw_sql(text).execute(connection).await).await?;
        Ok(())
    }

    /// Something with the bare connection, in the time of one statement.
    pub(crate) async fn within<T, E: Into<PostgresError>>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> std::result::Result<T, E>,
    ) -> Result<T> {
        let gone = || PostgresError::new(PostgresErrorKind::Closed, "the connection was given up");
        let connection = self.connection.as_deref_mut().ok_or_else(gone)?;
        self.busy = true;
        match timeout(self.patience, work(connection)).await {
            Ok(Ok(value)) => {
                self.busy = false;
                Ok(value)
            }
            Ok(Err(error)) => {
                let error = error.into();
                self.busy = breaks(&error);
                Err(error)
            }
            Err(_) => Err(PostgresError::new(
                PostgresErrorKind::Connection,
                format!("no answer within {:?}", self.patience),
            )),
        }
    }
}

/// What the server refuses leaves the connection as it was; anything else leaves it in doubt. And a server that takes no
/// writes now will not take any later on this connection: after a failover another one is at its address.
fn breaks(error: &PostgresError) -> bool {
    let is_lost = matches!(error.kind(), PostgresErrorKind::Connection | PostgresErrorKind::ReadOnly);
    is_lost || error.sqlstate().is_none()
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let Ok(runtime) = Handle::try_current() else { return drop(connection.detach()) };
        if self.busy || self.in_transaction {
            // Its socket closes with it.
            return drop(connection.detach());
        }
        let surplus = match &self.warm {
            Some(warm) => warm.keep(connection, self.since),
            None => Some(connection),
        };
        if let Some(connection) = surplus {
            let patience = self.patience.min(LONGEST_RETURN);
            runtime.spawn(give_back(connection, patience, self.taken.clone()));
        }
    }
}

/// Gives a connection back to the pool, which asks the server for a sign of life first. Where none comes in time the connection
/// is dropped, which closes it and frees its place: left to itself it would wait as long as the network is silent.
pub(crate) async fn give_back(mut connection: PoolConnection<Postgres>, patience: Duration, taken: Taken) {
    if timeout(patience, connection.return_to_pool()).await.is_err() {
        tracing::debug!("a connection that does not answer was closed");
    }
    drop(taken);
}

/// Asks for a sign of life.
pub(crate) async fn ping(lease: &mut Lease) -> Result<()> {
    lease.within(async |connection| connection.ping().await).await
}

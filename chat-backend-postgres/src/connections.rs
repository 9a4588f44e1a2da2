//! The pool, and how its connections are used: with which limits, and in what kind of transactions.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection as _, PgPool, Postgres, Row as _,
    postgres::{PgArguments, PgConnection, PgPoolOptions, PgRow},
    query::Query,
    raw_sql,
};
use tokio::time::{Instant, timeout};

use crate::{
    PostgresConfig, PostgresError, PostgresErrorKind,
    lease::{self, Lease},
    warm::{Dated, Found, Warm},
};

type Result<T> = std::result::Result<T, PostgresError>;

/// Statements of this library, each prepared once per connection.
const STATEMENTS: usize = 100;

/// Why no connection can be made is looked for so long, and holds for so long.
const FAILURE: Duration = Duration::from_secs(1);

/// Whatever the database's default is: appends rely on statements that see what others have committed meanwhile.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Likewise for single statements. All of ours are short, and compiling one takes longer than running it.
const SESSION: &str = "SET default_transaction_isolation = 'read committed'; SET jit = off";

/// A server that runs a statement looks this often whether anybody still waits for it.
const LOOK_FOR_CLIENT: &str = "SELECT set_config('client_connection_check_interval', '1s', false) \
                               WHERE current_setting('client_connection_check_interval', true) = '0'";

#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) pool: PgPool,
    /// Nobody else uses the pool.
    own: bool,
    /// Of a pool of our own: an application may need every connection of its pool.
    warm: Option<Arc<Warm>>,
    patience: Duration,
    begin: Arc<str>,
    /// A single statement is a transaction of ours, too.
    in_transactions: bool,
    taken: Taken,
    /// How many were handed out so far.
    given: AtomicU64,
    /// Why none could be made, and when that was found out.
    failure: Mutex<Option<(Instant, PostgresError)>>,
}

/// Counts a connection as taken, for as long as it lives; the first one counts for none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken(Arc<()>);

impl Taken {
    fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

impl Connections {
    /// Over a pool of its own. It connects when it is first used.
    pub(crate) fn new(config: &PostgresConfig) -> Self {
        let statements = if config.transaction_pooler { 0 } else { STATEMENTS };
        let options = config.options.clone().statement_cache_capacity(statements);
        let mut pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(config.acquire_timeout)
            // A call that meets a broken connection is answered so; asking each time would double the round trips.
            .test_before_acquire(false);
        if !config.transaction_pooler {
            let limits = limits(config.statement_timeout);
            pool = pool.after_connect(move |connection, _| Box::pin(prepare(connection, limits)));
        }
        Self::over(pool.connect_lazy_with(options), true, config)
    }

    /// Over a pool that the application has.
    pub(crate) fn of_application(pool: PgPool, config: &PostgresConfig) -> Self {
        Self::over(pool, false, config)
    }

    fn over(pool: PgPool, own: bool, config: &PostgresConfig) -> Self {
        Self {
            pool,
            own,
            warm: own.then(Arc::default),
            patience: config.statement_timeout,
            begin: BEGIN.into(),
            in_transactions: config.transaction_pooler,
            taken: Taken::default(),
            given: AtomicU64::new(0),
            failure: Mutex::new(None),
        }
    }

    /// Finds out what sessions are like that are not set up here, and sets up transactions instead.
    pub(crate) async fn look_at_sessions(&mut self, config: &PostgresConfig) -> Result<()> {
        if self.own && !config.transaction_pooler {
            return Ok(());
        }
        let mut lease = self.lease().await?;
        lease.begin().await?;
        let limits = limits(self.patience);
        let select = format!(
            "SELECT current_setting('default_transaction_isolation') = 'read committed' AS committed, \
             ARRAY(SELECT x.name {}) AS unlimited",
            without(&limits)
        );
        let row = lease.one(sqlx::query(AssertSqlSafe(select)).persistent(false)).await?;
        lease.commit().await?;
        let unlimited: Vec<String> = row.try_get("unlimited")?;
        let is_unlimited = |name: &str| unlimited.iter().any(|one| one == name);
        let locals: Vec<String> = limits
            .iter()
            .filter(|(name, _)| is_unlimited(name))
            .map(|(name, limit)| format!("; SET LOCAL {name} = {limit}"))
            .collect();
        self.begin = format!("{BEGIN}{}", locals.concat()).into();
        if !self.in_transactions && !row.try_get::<bool, _>("committed")? {
            tracing::warn!(
                "the pool's sessions do not default to the isolation level read committed: every statement takes two round \
                 trips more than it would"
            );
            self.in_transactions = true;
        }
        if is_unlimited(STATEMENT) && !self.in_transactions {
            tracing::warn!(
                limit = ?self.patience,
                "the pool's sessions have a longer statement_timeout than the chat, or none: what the chat gives up goes on at \
                 the server"
            );
        }
        Ok(())
    }

    pub(crate) async fn lease(&self) -> Result<Lease> {
        let waiting = match self.warm.as_ref().map(Warm::take) {
            Some((found, old)) => {
                for connection in old {
                    let patience = self.patience.min(lease::LONGEST_RETURN);
                    tokio::spawn(lease::give_back(connection, patience, self.taken.clone()));
                }
                match found {
                    Found::Kept(dated) => {
                        self.given.fetch_add(1, Ordering::Relaxed);
                        return Ok(self.lease_of(dated));
                    }
                    Found::Wait(waiting) => Some(waiting),
                }
            }
            None => None,
        };
        let given = self.given.load(Ordering::Relaxed);
        let acquired = self.pool.acquire().await;
        drop(waiting);
        match acquired {
            Ok(connection) => {
                self.given.fetch_add(1, Ordering::Relaxed);
                Ok(self.lease_of((connection, Instant::now())))
            }
            Err(sqlx::Error::PoolTimedOut) if !self.is_exhausted(given) => Err(self.failure().await),
            Err(error) => Err(error.into()),
        }
    }

    fn lease_of(&self, dated: Dated) -> Lease {
        Lease::new(dated, self.warm.clone(), self.patience, Arc::clone(&self.begin), self.taken.clone())
    }

    /// Ends the connections. What is under way is finished first.
    pub(crate) async fn close(&self) {
        // Closed from here on, also where nobody waits for the rest.
        let closing = self.pool.close();
        for (connection, _) in self.warm.iter().flat_map(|warm| warm.close()) {
            // One that does not answer is closed as it is dropped.
            let _ = timeout(self.patience, connection.close()).await;
        }
        closing.await;
    }

    /// How many connections there are, and how many of them are idle.
    pub(crate) fn count(&self) -> (u32, usize) {
        let warm = self.warm.as_ref().map_or(0, |warm| warm.len());
        (self.pool.size(), self.pool.num_idle() + warm)
    }

    /// Whether all connections were in use, and not one to be made the whole time.
    fn is_exhausted(&self, given_before: u64) -> bool {
        if self.given.load(Ordering::Relaxed) != given_before {
            return true;
        }
        // Places of a pool are also taken while their connections are being made, but nobody has those.
        let most = self.pool.options().get_max_connections() as usize;
        let in_use = if self.own { self.taken.count() } else { self.pool.size() as usize };
        in_use >= most && self.known_failure().is_none()
    }

    fn known_failure(&self) -> Option<PostgresError> {
        let known = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(at, _)| at.elapsed() < FAILURE).map(|(_, failure)| failure.clone())
    }

    /// Why no connection could be made in time: the pool tries again and again, and keeps what it hears to itself.
    async fn failure(&self) -> PostgresError {
        if let Some(failure) = self.known_failure() {
            return failure;
        }
        let late = || PostgresError::new(PostgresErrorKind::Connection, "no connection in time");
        // One looks for all: whoever asks meanwhile is told what was so before.
        let before = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.note_failure(before.map_or_else(late, |(_, failure)| failure));
        let options = self.pool.connect_options();
        let failure = match timeout(FAILURE, PgConnection::connect_with(&options)).await {
            Ok(Err(error)) => error.into(),
            // It is there again.
            Ok(Ok(_)) => PostgresError::new(PostgresErrorKind::Busy, sqlx::Error::PoolTimedOut),
            Err(_) => late(),
        };
        self.note_failure(failure.clone());
        failure
    }

    fn note_failure(&self, failure: PostgresError) {
        let mut known = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((Instant::now(), failure));
    }

    /// A connection for one statement. Behind a pooler that is a transaction, because sqlx prepares and runs a statement
    /// in two steps.
    pub(crate) async fn all(&self, statement: Query<'_, Postgres, PgArguments>) -> Result<Vec<PgRow>> {
        let mut lease = self.lease().await?;
        if !self.in_transactions {
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
}

const STATEMENT: &str = "statement_timeout";
/// By name, in milliseconds.
type Limits = [(&'static str, u128); 2];

/// What the server itself sets an end to. A statement a little before it is given up here: whoever gives up first should be
/// the one who can stop it. A transaction whose node was cut off in the middle of it, with its locks, later than any pause
/// that a living node makes.
fn limits(patience: Duration) -> Limits {
    let margin = (patience / 10).min(Duration::from_millis(500));
    let (statement, idle) = (patience.saturating_sub(margin), patience.saturating_mul(2));
    [
        (STATEMENT, statement.as_millis().max(1)),
        ("idle_in_transaction_session_timeout", idle.as_millis().max(1)),
    ]
}

/// The end of a statement that selects those of the limits, as `x`, that a session does not have already, or shorter ones.
fn without(limits: &Limits) -> String {
    let values = limits.map(|(name, limit)| format!("('{name}', {limit})"));
    format!(
        "FROM (VALUES {}) AS x(name, most) \
         WHERE current_setting(x.name)::interval NOT BETWEEN interval '1 ms' AND x.most * interval '1 ms'",
        values.join(", ")
    )
}

/// Sets up a session of our own, in which no limit becomes longer than it was.
async fn prepare(connection: &mut PgConnection, limits: Limits) -> std::result::Result<(), sqlx::Error> {
    let set = format!("{SESSION}; SELECT set_config(x.name, x.most || 'ms', false) {}", without(&limits));
    raw_sql(AssertSqlSafe(set)).execute(&mut *connection).await?;
    match raw_sql(LOOK_FOR_CLIENT).execute(connection).await {
        // Not every system can.
        Ok(_) | Err(sqlx::Error::Database(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_ends_a_statement_before_it_is_given_up_here() {
        for (patience, statement, idle) in [(8_000, 7_500, 16_000), (300, 270, 600), (10, 9, 20), (0, 1, 1)] {
            let limits = limits(Duration::from_millis(patience)).map(|(_, limit)| limit);
            assert_eq!(limits, [statement, idle]);
        }
    }
}

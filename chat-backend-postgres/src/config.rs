use std::{fmt, time::Duration};

use sqlx::postgres::PgConnectOptions;

use crate::{ConnectError, sql::is_schema_name};

/// Times are at least as long; below it everything fails.
const SHORTEST: Duration = Duration::from_millis(10);

/// What is kept of every room without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RetentionPolicy {
    /// At most this many newest entries of each room.
    pub max_entries: Option<u64>,
    /// Only entries younger than this.
    pub max_age: Option<Duration>,
}

impl RetentionPolicy {
    /// Keeps everything.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_entries: None, max_age: None }
    }

    /// Keeps at most this many newest entries of each room.
    #[must_use]
    pub const fn with_max_entries(mut self, max_entries: u64) -> Self {
        self.max_entries = Some(max_entries);
        self
    }

    /// Keeps only entries younger than this.
    #[must_use]
    pub const fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    pub(crate) const fn keeps_everything(&self) -> bool {
        self.max_entries.is_none() && self.max_age.is_none()
    }
}

/// Where the database is and how it is used.
#[derive(Clone)]
#[non_exhaustive]
pub struct PostgresConfig {
    pub(crate) options: PgConnectOptions,
    pub(crate) schema: String,
    pub(crate) max_connections: u32,
    pub(crate) acquire_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) transaction_pooler: bool,
    pub(crate) retention: RetentionPolicy,
    pub(crate) retention_interval: Duration,
    pub(crate) new_epoch: bool,
    pub(crate) listen: Option<PgConnectOptions>,
    pub(crate) listen_probe: Duration,
    pub(crate) fanout_buffer: usize,
}

impl PostgresConfig {
    /// The schema that holds everything, unless another one is named.
    pub const DEFAULT_SCHEMA: &str = "chat";
    /// Connections at most. Appends use at most as many at once as the chat has lanes.
    pub const DEFAULT_MAX_CONNECTIONS: u32 = 16;
    /// How long a call waits for a connection.
    pub const DEFAULT_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
    /// How long one statement may take before its connection is given up. Less than the chat's own timeout for appends.
    pub const DEFAULT_STATEMENT_TIMEOUT: Duration = Duration::from_secs(8);
    /// How often the retention policy is applied.
    pub const DEFAULT_RETENTION_INTERVAL: Duration = Duration::from_secs(600);
    /// How often the connection that listens is asked for a sign of life.
    pub const DEFAULT_LISTEN_PROBE: Duration = Duration::from_secs(5);
    /// How many events wait for one subscription.
    pub const DEFAULT_FANOUT_BUFFER: usize = chat_core::fanout::Topics::DEFAULT_BUFFER;
    /// The longest time to wait for a connection, for a statement or for a sign of life.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);
    /// The longest time between two times that the retention policy is applied.
    pub const MAX_RETENTION_INTERVAL: Duration = Duration::from_secs(366 * 24 * 3_600);

    /// The database that `options` lead to.
    #[must_use]
    pub fn new(options: PgConnectOptions) -> Self {
        Self {
            options,
            schema: Self::DEFAULT_SCHEMA.to_owned(),
            max_connections: Self::DEFAULT_MAX_CONNECTIONS,
            acquire_timeout: Self::DEFAULT_ACQUIRE_TIMEOUT,
            statement_timeout: Self::DEFAULT_STATEMENT_TIMEOUT,
            transaction_pooler: false,
            retention: RetentionPolicy::new(),
            retention_interval: Self::DEFAULT_RETENTION_INTERVAL,
            new_epoch: false,
            listen: None,
            listen_probe: Self::DEFAULT_LISTEN_PROBE,
            fanout_buffer: Self::DEFAULT_FANOUT_BUFFER,
        }
    }

    /// The database at a URL such as `postgres://user:password@host:5432/database?sslmode=require`.
    ///
    /// # Errors
    /// When the text is no such URL.
    pub fn from_url(url: &str) -> Result<Self, InvalidUrl> {
        // Anything with a host would do for the parser below.
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(InvalidUrl("it begins otherwise".to_owned()));
        }
        url.parse().map(Self::new).map_err(|error: sqlx::Error| InvalidUrl(error.to_string()))
    }

    /// In another schema: a letter or `_`, then letters, digits and `_`, all lower case, at most 63. It is made if it is
    /// not there and the user may.
    #[must_use]
    pub fn with_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// With this many connections at most, 2 to 1,000.
    #[must_use]
    pub const fn with_max_connections(mut self, max_connections: u32) -> Self {
        self.max_connections = max_connections;
        self
    }

    /// With another patience for a free connection, from 10 ms to [`MAX_TIMEOUT`](Self::MAX_TIMEOUT).
    #[must_use]
    pub const fn with_acquire_timeout(mut self, acquire_timeout: Duration) -> Self {
        self.acquire_timeout = acquire_timeout;
        self
    }

    /// With another patience for one statement, from 10 ms to [`MAX_TIMEOUT`](Self::MAX_TIMEOUT). A little before it runs out
    /// the server cancels the statement. When it runs out the connection is closed: behind a network that swallows everything
    /// it would be waited on for a quarter of an hour.
    #[must_use]
    pub const fn with_statement_timeout(mut self, statement_timeout: Duration) -> Self {
        self.statement_timeout = statement_timeout;
        self
    }

    /// For a pooler in transaction mode (PgBouncer and others) between here and the server: nothing is kept on a
    /// connection from one transaction to the next, prepared statements included.
    #[must_use]
    pub const fn with_transaction_pooler(mut self) -> Self {
        self.transaction_pooler = true;
        self
    }

    /// Removes old entries of every room by itself. Any number of nodes may have the same policy: one applies it.
    #[must_use]
    pub const fn with_retention(mut self, retention: RetentionPolicy) -> Self {
        self.retention = retention;
        self
    }

    /// Applies the retention policy this often, at most every [`MAX_RETENTION_INTERVAL`](Self::MAX_RETENTION_INTERVAL).
    #[must_use]
    pub const fn with_retention_interval(mut self, interval: Duration) -> Self {
        self.retention_interval = interval;
        self
    }

    /// Starts a new epoch at this connecting, so that no cursor from before is trusted. For what cannot be noticed: a
    /// server that was put back as a whole, on its own disk, to an earlier state without the promotion of a replica.
    #[must_use]
    pub const fn with_new_epoch(mut self) -> Self {
        self.new_epoch = true;
        self
    }

    /// Listens there for live events, and not where everything else goes: at the server itself, because a pooler in
    /// transaction mode passes no notifications on.
    #[must_use]
    pub fn with_listen_at(mut self, options: PgConnectOptions) -> Self {
        self.listen = Some(options);
        self
    }

    /// Asks the connection that listens for a sign of life this often, from every 10 ms to every
    /// [`MAX_TIMEOUT`](Self::MAX_TIMEOUT), and takes it for dead when none comes within the same time: a connection that broke
    /// without a word is found after twice this time.
    #[must_use]
    pub const fn with_listen_probe(mut self, listen_probe: Duration) -> Self {
        self.listen_probe = listen_probe;
        self
    }

    /// Lets up to this many events (at least one) wait for each subscription of the fan-out. What comes when they are as
    /// many is dropped and told as missed.
    #[must_use]
    pub const fn with_fanout_buffer(mut self, events: usize) -> Self {
        self.fanout_buffer = events;
        self
    }

    /// Whether every setting is within its bounds. No sum of a time and one of them overflows then.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        let wrong = |setting, reason| Err(ConnectError::Setting { setting, reason });
        if !is_schema_name(&self.schema) {
            return wrong(
                "schema",
                "must be a letter or _, then letters, digits and _, all lower case, at most 63, and not begin with pg_",
            );
        }
        if !(2..=1_000).contains(&self.max_connections) {
            return wrong("max_connections", "must be from 2 to 1,000");
        }
        for (setting, time) in [
            ("acquire_timeout", self.acquire_timeout),
            ("statement_timeout", self.statement_timeout),
            ("listen_probe", self.listen_probe),
        ] {
            if !(SHORTEST..=Self::MAX_TIMEOUT).contains(&time) {
                return wrong(setting, "must be from 10 ms to 24 hours");
            }
        }
        if self.retention_interval.is_zero() || self.retention_interval > Self::MAX_RETENTION_INTERVAL {
            return wrong("retention_interval", "must not be zero, and at most 366 days");
        }
        Ok(())
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the options: they hold the password.
        f.debug_struct("PostgresConfig")
            .field("host", &self.options.get_host())
            .field("port", &self.options.get_port())
            .field("database", &self.options.get_database())
            .field("schema", &self.schema)
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("transaction_pooler", &self.transaction_pooler)
            .field("retention", &self.retention)
            .field("retention_interval", &self.retention_interval)
            .field("new_epoch", &self.new_epoch)
            .field("listen_probe", &self.listen_probe)
            .field("fanout_buffer", &self.fanout_buffer)
            .finish_non_exhaustive()
    }
}

/// The text is no URL of a PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a URL of a PostgreSQL database, such as postgres://user:password@host:5432/database: {0}")]
pub struct InvalidUrl(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PostgresConfig {
        PostgresConfig::new(PgConnectOptions::new_without_pgpass())
    }

    fn wrong(config: &PostgresConfig) -> Option<&'static str> {
        match config.check() {
            Ok(()) => None,
            Err(ConnectError::Setting { setting, .. }) => Some(setting),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_time_out_of_its_bounds_is_named() {
        let (most, longest) = (PostgresConfig::MAX_TIMEOUT, PostgresConfig::MAX_RETENTION_INTERVAL);
        for time in [Duration::ZERO, Duration::from_millis(9), most + SHORTEST, Duration::MAX] {
            assert_eq!(wrong(&config().with_acquire_timeout(time)), Some("acquire_timeout"), "{time:?}");
            assert_eq!(wrong(&config().with_statement_timeout(time)), Some("statement_timeout"), "{time:?}");
            assert_eq!(wrong(&config().with_listen_probe(time)), Some("listen_probe"), "{time:?}");
        }
        for time in [Duration::ZERO, longest + SHORTEST, Duration::MAX] {
            assert_eq!(
                wrong(&config().with_retention_interval(time)),
                Some("retention_interval"),
                "{time:?}"
            );
        }
        assert_eq!(wrong(&config()), None);
        for time in [SHORTEST, most] {
            let config =
                config().with_acquire_timeout(time).with_statement_timeout(time).with_listen_probe(time);
            assert_eq!(wrong(&config.with_retention_interval(longest)), None, "{time:?}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_postgresql_database_is_refused_without_its_password() {
        for url in ["postgres://ann:hidden@db/chat", "postgresql://ann:hidden@db:5433/chat?sslmode=disable"] {
            assert!(!format!("{:?}", PostgresConfig::from_url(url).unwrap()).contains("hidden"));
        }
        for wrong in ["", "db", "mysql://ann:hidden@db/chat", "postgres://ann:hidden@db:port/chat"] {
            let error = PostgresConfig::from_url(wrong).unwrap_err().to_string();
            assert!(
                error.contains("not a URL of a PostgreSQL database") && !error.contains("hidden"),
                "{error}"
            );
        }
    }
}

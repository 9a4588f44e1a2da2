use std::{fmt, sync::Arc, time::Duration};

use chat_core::{Error, Retry};

/// How long a caller waits whom the server had no room for, or who lost against another transaction.
const BUSY_RETRY: Duration = Duration::from_millis(200);

/// What went wrong between here and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PostgresErrorKind {
    /// The server is out of reach, is starting or shutting down, or the connection broke: what was under way may have
    /// been done.
    Connection,
    /// All connections are in use, here or at the server.
    Busy,
    /// Lost against another transaction: a deadlock, a serialization failure, a lock that was not given in time.
    Conflict,
    /// The server cancelled the statement: its time limit, or an operator.
    Cancelled,
    /// This is a replica, or a server that takes no writes now. After a failover the same address leads elsewhere.
    ReadOnly,
    /// The server has no disk space or memory left, or no room for more notifications.
    Full,
    /// The server does not let this user do it, or does not let them in.
    Denied,
    /// The schema is not what this release made: a table is missing or another one, or the database is gone.
    Schema,
    /// What is stored is damaged, or is not what this library wrote.
    Corrupt,
    /// The backend was closed.
    Closed,
    /// Anything else.
    Other,
}

impl PostgresErrorKind {
    /// By [SQLSTATE](https://www.postgresql.org/docs/current/errcodes-appendix.html): single codes first, then classes.
    pub(crate) fn of_sqlstate(code: &str) -> Self {
        match code {
            // Too many connections, and cannot connect now: the server starts, stops or recovers.
            "53300" | "53400" => Self::Busy,
            "57P01" | "57P02" | "57P03" | "57P05" => Self::Connection,
            "57014" => Self::Cancelled,
            "25006" => Self::ReadOnly,
            // On a replica: functions that need the write-ahead log of a primary, and unlogged tables.
            "55000" | "0A000" => Self::ReadOnly,
            "40001" | "40P01" | "55P03" | "25P03" | "25P04" => Self::Conflict,
            "42501" => Self::Denied,
            // The table, the schema, the database itself.
            "42P01" | "42703" | "42883" | "3F000" | "3D000" | "57P04" => Self::Schema,
            // An error of the disk, and the server's queue of notifications.
            "58030" | "54000" => Self::Full,
            _ => match code.get(..2) {
                Some("08") => Self::Connection,
                Some("28") => Self::Denied,
                Some("40") => Self::Conflict,
                Some("53") => Self::Full,
                Some("XX") => Self::Corrupt,
                _ => Self::Other,
            },
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Self::Connection
            | Self::Busy
            | Self::Conflict
            | Self::Cancelled
            | Self::ReadOnly
            | Self::Full => Retry::Later,
            Self::Denied | Self::Schema | Self::Corrupt | Self::Closed | Self::Other => Retry::Never,
        }
    }
}

/// A failure of PostgreSQL: the source of an [`Error::Backend`](chat_core::Error::Backend) of this backend.
#[derive(Debug, Clone)]
pub struct PostgresError {
    kind: PostgresErrorKind,
    sqlstate: Option<String>,
    cause: Arc<dyn std::error::Error + Send + Sync>,
}

impl PostgresError {
    pub(crate) fn new(
        kind: PostgresErrorKind,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, sqlstate: None, cause: Arc::from(cause.into()) }
    }

    pub(crate) fn corrupt(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(PostgresErrorKind::Corrupt, cause)
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> PostgresErrorKind {
        self.kind
    }

    /// The server's own code for it, if it came from there.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }

    /// The error of a call.
    pub(crate) fn during(self, operation: &'static str) -> Error {
        match self.kind {
            PostgresErrorKind::Busy => Error::Busy { retry_after: BUSY_RETRY },
            kind => Error::backend(crate::NAME, operation, kind.retry(), self),
        }
    }
}

impl From<sqlx::Error> for PostgresError {
    fn from(error: sqlx::Error) -> Self {
        let sqlstate =
            error.as_database_error().and_then(|database| database.code()).map(|code| code.into_owned());
        let kind = match (&error, &sqlstate) {
            // A prepared statement whose table has another column since: a new connection prepares it anew.
            (sqlx::Error::Database(database), Some(_)) if is_outdated_plan(&**database) => {
                PostgresErrorKind::Connection
            }
            (_, Some(code)) => PostgresErrorKind::of_sqlstate(code),
            (sqlx::Error::PoolTimedOut, _) => PostgresErrorKind::Busy,
            (sqlx::Error::PoolClosed, _) => PostgresErrorKind::Closed,
            (sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_), _) => {
                PostgresErrorKind::Connection
            }
            (sqlx::Error::WorkerCrashed, _) => PostgresErrorKind::Connection,
            (sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }, _) => PostgresErrorKind::Corrupt,
            _ => PostgresErrorKind::Other,
        };
        Self { kind, sqlstate, cause: Arc::new(error) }
    }
}

/// It has its SQLSTATE in common with what a replica does not do, and its message depends on the server's language.
fn is_outdated_plan(error: &dyn sqlx::error::DatabaseError) -> bool {
    let error = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
    error.is_some_and(|error| error.routine() == Some("RevalidateCachedQuery"))
}

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            PostgresErrorKind::Connection => "the server is out of reach or the connection broke",
            PostgresErrorKind::Busy => "all connections are in use",
            PostgresErrorKind::Conflict => "lost against another transaction",
            PostgresErrorKind::Cancelled => "the server cancelled the statement",
            PostgresErrorKind::ReadOnly => "the server takes no writes",
            PostgresErrorKind::Full => "the server has no space left",
            PostgresErrorKind::Denied => "the server does not allow it",
            PostgresErrorKind::Schema => "the schema is not what this release made",
            PostgresErrorKind::Corrupt => "what is stored is damaged or of another program",
            PostgresErrorKind::Closed => "the backend was closed",
            PostgresErrorKind::Other => "PostgreSQL refused",
        })?;
        match &self.sqlstate {
            Some(code) => write!(f, " (SQLSTATE {code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PostgresError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_says_whether_to_try_again() {
        for (code, kind) in [
            ("08006", PostgresErrorKind::Connection),
            ("57P01", PostgresErrorKind::Connection),
            ("57P03", PostgresErrorKind::Connection),
            ("53300", PostgresErrorKind::Busy),
            ("40001", PostgresErrorKind::Conflict),
            ("40P01", PostgresErrorKind::Conflict),
            ("55P03", PostgresErrorKind::Conflict),
            ("57014", PostgresErrorKind::Cancelled),
            ("25006", PostgresErrorKind::ReadOnly),
            ("55000", PostgresErrorKind::ReadOnly),
            ("0A000", PostgresErrorKind::ReadOnly),
            ("54000", PostgresErrorKind::Full),
            ("53100", PostgresErrorKind::Full),
            ("53200", PostgresErrorKind::Full),
            ("28P01", PostgresErrorKind::Denied),
            ("42501", PostgresErrorKind::Denied),
            ("42P01", PostgresErrorKind::Schema),
            ("3D000", PostgresErrorKind::Schema),
            ("XX001", PostgresErrorKind::Corrupt),
            ("22001", PostgresErrorKind::Other),
            ("", PostgresErrorKind::Other),
        ] {
            assert_eq!(PostgresErrorKind::of_sqlstate(code), kind, "{code}");
        }
        assert_eq!(PostgresErrorKind::Full.retry(), Retry::Later);
        assert_eq!(PostgresErrorKind::Denied.retry(), Retry::Never);
    }
}

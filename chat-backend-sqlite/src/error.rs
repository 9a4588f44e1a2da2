use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use chat_core::{Error, Retry};

/// How long a caller waits who met a locked file.
const BUSY_RETRY: Duration = Duration::from_millis(200);

/// What went wrong in SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SqliteErrorKind {
    /// Another program has the file locked.
    Busy,
    /// The disk is full, or the file has reached the size set for it. Nothing was stored; reading goes on.
    DiskFull,
    /// The file or its folder may not be written.
    ReadOnly,
    /// The file is damaged, or holds what this library did not write.
    Corrupt,
    /// Reading or writing the disk failed.
    Disk,
    /// The backend was closed.
    Closed,
    /// Anything else.
    Other,
}

impl SqliteErrorKind {
    /// By SQLite's [result code](https://www.sqlite.org/rescode.html); the low byte is the primary one.
    fn of_code(code: u32) -> Self {
        match code & 0xff {
            5 | 6 => Self::Busy,
            8 => Self::ReadOnly,
            10 => Self::Disk,
            11 | 26 => Self::Corrupt,
            13 => Self::DiskFull,
            _ => Self::Other,
        }
    }

    const fn retry(self) -> Retry {
        match self {
            Self::Busy | Self::DiskFull | Self::Disk => Retry::Later,
            Self::ReadOnly | Self::Corrupt | Self::Closed | Self::Other => Retry::Never,
        }
    }
}

/// A failure of SQLite: the source of an [`Error::Backend`](chat_core::Error::Backend) of this backend.
#[derive(Debug, Clone)]
pub struct SqliteError {
    kind: SqliteErrorKind,
    cause: Arc<dyn std::error::Error + Send + Sync>,
}

impl SqliteError {
    pub(crate) fn new(
        kind: SqliteErrorKind,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, cause: Arc::from(cause.into()) }
    }

    pub(crate) fn corrupt(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(SqliteErrorKind::Corrupt, cause)
    }

    pub(crate) fn closed() -> Self {
        Self::new(SqliteErrorKind::Closed, "the backend was closed")
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> SqliteErrorKind {
        self.kind
    }

    /// The error of a call.
    pub(crate) fn during(self, operation: &'static str) -> Error {
        match self.kind {
            SqliteErrorKind::Busy => Error::Busy { retry_after: BUSY_RETRY },
            kind => Error::backend(crate::NAME, operation, kind.retry(), self),
        }
    }
}

impl From<sqlx::Error> for SqliteError {
    fn from(error: sqlx::Error) -> Self {
        let kind = match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().and_then(|code| code.parse().ok());
                code.map_or(SqliteErrorKind::Other, SqliteErrorKind::of_code)
            }
            sqlx::Error::PoolTimedOut => SqliteErrorKind::Busy,
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => SqliteErrorKind::Closed,
            sqlx::Error::Io(_) => SqliteErrorKind::Disk,
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => SqliteErrorKind::Corrupt,
            _ => SqliteErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            SqliteErrorKind::Busy => "another program has the file locked",
            SqliteErrorKind::DiskFull => "the disk, or the size set for the file, is full",
            SqliteErrorKind::ReadOnly => "the file may not be written",
            SqliteErrorKind::Corrupt => "the file is damaged or not of this library",
            SqliteErrorKind::Disk => "the disk failed",
            SqliteErrorKind::Closed => "the backend was closed",
            SqliteErrorKind::Other => "SQLite failed",
        })
    }
}

impl std::error::Error for SqliteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

/// Why a file could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Stop the other process, or give this one a file of its own: one process owns a file, since presence and fan-out
    /// live in its memory. Several nodes need a backend with a server.
    #[error("{} is in use by another process{}", path.display(), owner.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse {
        /// The file.
        path: PathBuf,
        /// The process that has it, where that is known.
        owner: Option<u32>,
    },
    /// Correct the setting.
    #[error("{setting}: {reason}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Use a release that knows this schema: the file was written by a newer one.
    #[error("{} was written by a newer release: its schema has version {found}, this one knows up to {known}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: i64,
        /// The newest version that is known here.
        known: i64,
    },
    /// Give this library a file of its own: the one named belongs to something else, and was left as it is.
    #[error("{} is not a file of this library; give it a file of its own", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Make the folder, or correct its rights.
    #[error("{} cannot be opened", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite could not open or migrate the file.
    #[error("{} cannot be opened", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SqliteError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_codes_say_whether_to_try_again() {
        for (code, kind, retry) in [
            (5, SqliteErrorKind::Busy, Retry::Later),
            (517, SqliteErrorKind::Busy, Retry::Later),
            (6, SqliteErrorKind::Busy, Retry::Later),
            (8, SqliteErrorKind::ReadOnly, Retry::Never),
            (1032, SqliteErrorKind::ReadOnly, Retry::Never),
            (10, SqliteErrorKind::Disk, Retry::Later),
            (778, SqliteErrorKind::Disk, Retry::Later),
            (11, SqliteErrorKind::Corrupt, Retry::Never),
            (26, SqliteErrorKind::Corrupt, Retry::Never),
            (13, SqliteErrorKind::DiskFull, Retry::Later),
            (1, SqliteErrorKind::Other, Retry::Never),
            (2067, SqliteErrorKind::Other, Retry::Never),
        ] {
            assert_eq!((SqliteErrorKind::of_code(code), kind.retry()), (kind, retry), "{code}");
        }
    }

    #[test]
    fn a_locked_file_is_busy_and_the_rest_names_the_backend() {
        let busy = SqliteError::new(SqliteErrorKind::Busy, "x").during("append");
        assert!(matches!(busy, Error::Busy { .. }) && busy.is_retryable());
        let full = SqliteError::new(SqliteErrorKind::DiskFull, "x").during("append");
        assert_eq!((full.code(), full.is_retryable()), ("unavailable", true));
        let Error::Backend { backend, operation, source, .. } = full else { panic!("{full:?}") };
        assert_eq!((backend, operation), ("sqlite", "append"));
        assert_eq!(
            source.downcast_ref::<SqliteError>().map(SqliteError::kind),
            Some(SqliteErrorKind::DiskFull)
        );
    }
}

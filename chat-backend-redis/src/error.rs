use std::{fmt, sync::Arc, time::Duration};

use chat_core::{Error, Retry};
use fred::error::{Error as Cause, ErrorKind};

/// How long a caller waits for whom there was no room.
const BUSY_RETRY: Duration = Duration::from_millis(200);

/// What the client says of commands that it found no connection for.
const UNWRITTEN: [&str; 3] =
    ["Too many failed write attempts.", "Failed to route command.", "Missing expected connection."];

/// What Redis and Valkey say of a script on a cluster whose slot is on its way to another server. It has no code of its own.
const SLOT_ON_ITS_WAY: [&str; 2] = ["access a non local key", "accessed during rehashing of the slot"];

/// What went wrong between here and Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedisErrorKind {
    /// The server is out of reach, or the connection broke: what was under way may have been done.
    Connection,
    /// No answer in time: it may have been done, and may yet be.
    Timeout,
    /// Too much is waiting here already.
    Busy,
    /// The server starts, a script runs for too long, or the cluster is being changed or incomplete.
    Unavailable,
    /// This is a replica that takes no writes. After a failover the same address leads elsewhere.
    ReadOnly,
    /// The server has no memory or disk space left, or fewer replicas than it demands.
    Full,
    /// The server does not let this user do it, or does not let them in.
    Denied,
    /// What is stored or was answered is not what this library wrote or expects.
    Corrupt,
    /// The backend was closed.
    Closed,
    /// A setting that the client cannot use.
    Setting,
    /// Anything else.
    Other,
}

impl RedisErrorKind {
    /// By the first word of the server's answer.
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "MOVED" | "ASK"
            | "UNBLOCKED" => Self::Unavailable,
            "READONLY" => Self::ReadOnly,
            "OOM" | "MISCONF" | "NOREPLICAS" => Self::Full,
            "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => Self::Denied,
            "WRONGTYPE" => Self::Corrupt,
            _ => return None,
        })
    }

    fn of(error: &Cause) -> Self {
        if let Some(kind) = code_of(error).and_then(Self::of_code) {
            return kind;
        }
        if SLOT_ON_ITS_WAY.iter().any(|words| error.details().contains(words)) {
            return Self::Unavailable;
        }
        // What the client says of a connection that went away before a command was written has no kind of its own either.
        if UNWRITTEN.contains(&error.details()) {
            return Self::Connection;
        }
        match error.kind() {
            ErrorKind::IO
            | ErrorKind::Canceled
            | ErrorKind::Routing
            | ErrorKind::Protocol
            | ErrorKind::Tls => Self::Connection,
            ErrorKind::Sentinel | ErrorKind::Cluster => Self::Unavailable,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Backpressure => Self::Busy,
            ErrorKind::Auth => Self::Denied,
            ErrorKind::Parse | ErrorKind::NotFound => Self::Corrupt,
            ErrorKind::Config | ErrorKind::Url => Self::Setting,
            ErrorKind::InvalidCommand | ErrorKind::InvalidArgument | ErrorKind::Unknown => Self::Other,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Self::Connection
            | Self::Timeout
            | Self::Busy
            | Self::Unavailable
            | Self::ReadOnly
            | Self::Full => Retry::Later,
            Self::Denied | Self::Corrupt | Self::Closed | Self::Setting | Self::Other => Retry::Never,
        }
    }
}

/// A failure of Redis: the source of an [`Error::Backend`](chat_core::Error::Backend) of this backend.
#[derive(Debug, Clone)]
pub struct RedisError {
    kind: RedisErrorKind,
    code: Option<String>,
    cause: Arc<dyn std::error::Error + Send + Sync>,
}

impl RedisError {
    pub(crate) fn new(
        kind: RedisErrorKind,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, code: None, cause: Arc::from(cause.into()) }
    }

    pub(crate) fn corrupt(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(RedisErrorKind::Corrupt, cause)
    }

    pub(crate) fn closed() -> Self {
        Self::new(RedisErrorKind::Closed, "the backend was closed")
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> RedisErrorKind {
        self.kind
    }

    /// The server's own code for it, such as `LOADING`, if it came from there.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The error of a call.
    pub(crate) fn during(self, operation: &'static str) -> Error {
        match self.kind {
            RedisErrorKind::Busy => Error::Busy { retry_after: BUSY_RETRY },
            kind => Error::backend(crate::NAME, operation, kind.retry(), self),
        }
    }
}

/// The first word of what a server answered, if that is a code.
fn code_of(error: &Cause) -> Option<&str> {
    let word = error.details().split_whitespace().next()?;
    (word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(word)
}

impl From<Cause> for RedisError {
    fn from(error: Cause) -> Self {
        Self {
            kind: RedisErrorKind::of(&error),
            code: code_of(&error).map(str::to_owned),
            cause: Arc::new(error),
        }
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            RedisErrorKind::Connection => "the server is out of reach or the connection broke",
            RedisErrorKind::Timeout => "no answer in time",
            RedisErrorKind::Busy => "too many commands are waiting",
            RedisErrorKind::Unavailable => "the server or the cluster is not ready",
            RedisErrorKind::ReadOnly => "the server takes no writes",
            RedisErrorKind::Full => "the server has no space left",
            RedisErrorKind::Denied => "the server does not allow it",
            RedisErrorKind::Corrupt => "what is stored is damaged or of another program",
            RedisErrorKind::Closed => "the backend was closed",
            RedisErrorKind::Setting => "a setting cannot be used",
            RedisErrorKind::Other => "Redis refused",
        })?;
        match &self.code {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RedisError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_says_whether_to_try_again() {
        for (details, kind, retry) in [
            ("LOADING Redis is loading the dataset in memory", RedisErrorKind::Unavailable, Retry::Later),
            ("CLUSTERDOWN The cluster is down", RedisErrorKind::Unavailable, Retry::Later),
            ("MOVED 7 127.0.0.1:7001", RedisErrorKind::Unavailable, Retry::Later),
            ("READONLY You can't write against a read only replica.", RedisErrorKind::ReadOnly, Retry::Later),
            ("OOM command not allowed when used memory > 'maxmemory'.", RedisErrorKind::Full, Retry::Later),
            ("MISCONF Errors writing to the AOF file", RedisErrorKind::Full, Retry::Later),
            ("NOPERM this user has no permissions", RedisErrorKind::Denied, Retry::Never),
            ("WRONGPASS invalid username-password pair", RedisErrorKind::Denied, Retry::Never),
            ("WRONGTYPE Operation against a key", RedisErrorKind::Corrupt, Retry::Never),
            (
                "ERR Script attempted to access a non local key in a cluster node",
                RedisErrorKind::Unavailable,
                Retry::Later,
            ),
            (
                "ERR Unable to execute command 'exists' in script because undeclared keys were accessed during rehashing of the slot",
                RedisErrorKind::Unavailable,
                Retry::Later,
            ),
            ("ERR unknown command", RedisErrorKind::Other, Retry::Never),
            ("", RedisErrorKind::Other, Retry::Never),
        ] {
            let error = RedisError::from(Cause::new(ErrorKind::Unknown, details));
            assert_eq!((error.kind(), error.kind().retry()), (kind, retry), "{details}");
        }
    }

    #[test]
    fn what_the_client_says_without_the_server_is_told_apart() {
        for (cause, kind) in [
            (ErrorKind::IO, RedisErrorKind::Connection),
            (ErrorKind::Canceled, RedisErrorKind::Connection),
            (ErrorKind::Timeout, RedisErrorKind::Timeout),
            (ErrorKind::Backpressure, RedisErrorKind::Busy),
            (ErrorKind::Auth, RedisErrorKind::Denied),
        ] {
            let error = RedisError::from(Cause::new(cause, "Connection closed."));
            assert_eq!((error.kind(), error.code()), (kind, None));
        }
        for unwritten in UNWRITTEN {
            let error = RedisError::from(Cause::new(ErrorKind::Unknown, unwritten));
            assert_eq!((error.kind(), error.code()), (RedisErrorKind::Connection, None), "{unwritten}");
        }
        let late = RedisError::from(Cause::new(ErrorKind::Timeout, "Request timed out.")).during("publish");
        assert!(late.is_retryable());
    }
}

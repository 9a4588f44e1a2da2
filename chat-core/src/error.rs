use std::{fmt, time::Duration};

use crate::{Cursor, InvalidBody, Position, Refusal, RoomId, Seq, UserId, auth::AuthError};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A cause of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whether trying again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It failed for now; the same call may succeed later.
    Later,
    /// The same call will fail again.
    Never,
}

/// What can go wrong. Each variant says what the caller does next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Create the room, or correct its id.
    #[error("room {room} does not exist")]
    RoomNotFound {
        /// The room asked for.
        room: RoomId,
    },
    /// Choose another id, or ask with the key that the room has.
    #[error("room {room} exists with another key")]
    RoomExists {
        /// The id that is taken.
        room: RoomId,
    },
    /// Become a member first.
    #[error("{user} is not a member of room {room}")]
    NotAMember {
        /// The room.
        room: RoomId,
        /// Who asked.
        user: UserId,
    },
    /// Ask for less, or for another role.
    #[error("not allowed: {reason}")]
    Forbidden {
        /// What stands in the way.
        reason: &'static str,
    },
    /// Name another owner first: without one, nobody could manage the room and its members any more.
    #[error("room {room} has no other owner; name one first")]
    LastOwner {
        /// The room.
        room: RoomId,
    },
    /// Correct the draft: the log did not take it.
    #[error("not stored: {0}")]
    Refused(Refusal),
    /// Correct the body.
    #[error("not stored: {0}")]
    Body(#[from] InvalidBody),
    /// Use a new client id: this one names another message already.
    #[error("the client id was used before for another message")]
    Conflict {
        /// Where that first one is.
        first: Position,
    },
    /// There is no such message in the room, or no longer.
    #[error("there is no such message in room {room}")]
    MessageNotFound {
        /// The room.
        room: RoomId,
    },
    /// The log no longer holds what follows the cursor: start again from the newest page.
    #[error("entries after the cursor are no longer kept in room {room}; the oldest kept is {oldest}")]
    CursorExpired {
        /// The room.
        room: RoomId,
        /// The first position that is still kept.
        oldest: Seq,
    },
    /// The cursor is not of this log's present life (restored, wiped, failed over): forget what was read, start again
    /// from the newest page.
    #[error("the cursor does not belong to room {room} as it is now")]
    CursorReset {
        /// The room.
        room: RoomId,
        /// Where its head is.
        current: Cursor,
    },
    /// Present other credentials.
    #[error("not authenticated: {0}")]
    Unauthenticated(#[from] AuthError),
    /// Send less often; try again after the time given.
    #[error("too many requests; try again in {} ms", retry_after.as_millis())]
    RateLimited {
        /// When.
        retry_after: Duration,
    },
    /// Too much is waiting already; nothing was done. Try again after the time given.
    #[error("too busy; try again in {} ms", retry_after.as_millis())]
    Busy {
        /// When.
        retry_after: Duration,
    },
    /// No answer in time. A send may have been stored all the same: repeat it with the same client id.
    #[error("no answer to {operation} in time; it may have been done")]
    Timeout {
        /// What was going on.
        operation: &'static str,
    },
    /// Ask for less: a bound was reached.
    #[error("{what}: at most {max}")]
    LimitExceeded {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// Correct the request.
    #[error("invalid {what}: {reason}")]
    Invalid {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The application's hook rejected the message; its reason is for the user.
    #[error("rejected: {reason}")]
    Rejected {
        /// Why.
        reason: String,
    },
    /// The session has ended; connect again.
    #[error("the session is closed")]
    SessionClosed,
    /// This node is shutting down; connect to another.
    #[error("the server is shutting down")]
    Draining,
    /// The application did not set this part.
    #[error("{part} is not available here")]
    Unsupported {
        /// Which part.
        part: &'static str,
    },
    /// The server behind a backend failed; [`Error::is_retryable`] says whether to try again.
    #[error("{backend} failed during {operation}")]
    Backend {
        /// Which backend.
        backend: &'static str,
        /// What it was doing.
        operation: &'static str,
        /// Whether to try again.
        retry: Retry,
        /// The cause.
        source: BoxError,
    },
}

impl Error {
    /// A failure of the server behind a backend.
    pub fn backend(
        backend: &'static str,
        operation: &'static str,
        retry: Retry,
        source: impl Into<BoxError>,
    ) -> Self {
        Self::Backend { backend, operation, retry, source: source.into() }
    }

    /// A part of a request that is not what it should be.
    pub fn invalid(what: &'static str, reason: impl fmt::Display) -> Self {
        Self::Invalid { what, reason: reason.to_string() }
    }

    /// The stable name of this error on every wire and in metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::RoomNotFound { .. } | Self::Refused(Refusal::RoomMissing) => "room_not_found",
            Self::RoomExists { .. } => "room_exists",
            Self::NotAMember { .. } | Self::Refused(Refusal::NotAMember) => "not_a_member",
            Self::Forbidden { .. } => "forbidden",
            Self::LastOwner { .. } => "last_owner",
            Self::Refused(Refusal::RoomInactive) => "room_inactive",
            Self::Refused(Refusal::TargetMissing) => "target_not_found",
            Self::Refused(Refusal::TargetNotOwn) => "target_not_own",
            Self::Refused(Refusal::Busy) => "busy",
            Self::Refused(Refusal::Body(body)) | Self::Body(body) => match body {
                InvalidBody::Blank => "body_blank",
                InvalidBody::TooLong { .. } | InvalidBody::TooLarge => "body_too_long",
                InvalidBody::NotJson | InvalidBody::ZeroCharacter | InvalidBody::Removed => "body_invalid",
            },
            Self::Conflict { .. } => "client_id_conflict",
            Self::MessageNotFound { .. } => "message_not_found",
            Self::CursorExpired { .. } => "cursor_expired",
            Self::CursorReset { .. } => "cursor_reset",
            Self::Unauthenticated(error) => match error {
                AuthError::Expired => "token_expired",
                AuthError::Revoked => "token_revoked",
                AuthError::OtherUser => "other_user",
                AuthError::Missing | AuthError::Malformed | AuthError::Invalid(_) | AuthError::InUse => {
                    "unauthenticated"
                }
            },
            Self::RateLimited { .. } => "rate_limited",
            Self::Busy { .. } => "busy",
            Self::Timeout { .. } => "timeout",
            Self::LimitExceeded { .. } => "limit_exceeded",
            Self::Invalid { .. } => "invalid_request",
            Self::Rejected { .. } => "rejected",
            Self::SessionClosed => "session_closed",
            Self::Draining => "draining",
            Self::Unsupported { .. } => "unsupported",
            // What failed is the log, however good the draft is.
            Self::Refused(Refusal::Unstorable) | Self::Backend { .. } => "unavailable",
        }
    }

    /// The same call may succeed later. A send is repeated with the same client id.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. }
                | Self::Busy { .. }
                | Self::Timeout { .. }
                | Self::Draining
                | Self::Backend { retry: Retry::Later, .. }
        )
    }

    /// The error with its causes, each thing once: for logs. Clients get the error alone.
    #[must_use]
    pub fn with_causes(&self) -> impl fmt::Display + '_ {
        WithCauses(self)
    }

    /// How long to wait before the next try, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Busy { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

struct WithCauses<'e>(&'e (dyn std::error::Error + 'static));

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let words = cause.to_string();
            // Some say their cause themselves.
            if !said.ends_with(&words) {
                write!(f, ": {words}")?;
            }
            said = words;
            next = cause.source();
        }
        Ok(())
    }
}

/// An error that many callers get: each a copy that says the same.
#[derive(Debug, Clone)]
pub(crate) struct SharedError(std::sync::Arc<Error>);

impl SharedError {
    pub(crate) fn new(error: Error) -> Self {
        Self(std::sync::Arc::new(error))
    }

    /// One caller's copy. What only the log and rooms answer per call is kept as it is; everything else becomes a
    /// backend error with the original as its source.
    pub(crate) fn to_error(&self) -> Error {
        match &*self.0 {
            Error::RoomNotFound { room } => Error::RoomNotFound { room: room.clone() },
            Error::MessageNotFound { room } => Error::MessageNotFound { room: room.clone() },
            Error::CursorExpired { room, oldest } => {
                Error::CursorExpired { room: room.clone(), oldest: *oldest }
            }
            Error::CursorReset { room, current } => {
                Error::CursorReset { room: room.clone(), current: current.clone() }
            }
            Error::Timeout { operation } => Error::Timeout { operation },
            Error::Busy { retry_after } => Error::Busy { retry_after: *retry_after },
            Error::Backend { backend, operation, retry, .. } => {
                Error::backend(backend, operation, *retry, self.clone())
            }
            other => {
                let retry = if other.is_retryable() { Retry::Later } else { Retry::Never };
                Error::backend("shared", "call", retry, self.clone())
            }
        }
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            // Its copy says this already: go on with the cause.
            Error::Backend { source, .. } => fmt::Display::fmt(source, f),
            other => fmt::Display::fmt(other, f),
        }
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Error::Backend { source, .. } => source.source(),
            other => other.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once_each() {
        let cause = std::io::Error::other("the disk is full");
        let error = Error::backend("postgres", "append", Retry::Later, cause);
        assert_eq!(error.with_causes().to_string(), "postgres failed during append: the disk is full");
        let draining = Error::backend("postgres", "append", Retry::Later, Error::Draining);
        let shared = SharedError::new(draining).to_error();
        let words = shared.with_causes().to_string();
        assert_eq!(words, "postgres failed during append: the server is shutting down");
        assert_eq!(Error::Draining.with_causes().to_string(), Error::Draining.to_string());
    }
}

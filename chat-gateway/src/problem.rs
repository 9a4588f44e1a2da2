//! Every error of the gateway: its code, how it looks in a frame and how it looks in an HTTP response.

use std::time::Duration;

use chat_core::Error;
use serde::Serialize;

use crate::json::DecodeError;

/// Every code that can come over the wire, with its HTTP status and what it means.
pub const CODES: &[(&str, u16, &str)] = &[
    ("malformed", 400, "Not JSON"),
    ("unknown_command", 400, "No such command"),
    ("invalid_request", 400, "A field is missing or wrong"),
    ("not_connected", 400, "Connect first"),
    ("already_connected", 400, "Connected already"),
    ("unauthenticated", 401, "Not authenticated"),
    ("token_expired", 401, "The token has expired"),
    ("token_revoked", 401, "The token was withdrawn"),
    ("other_user", 403, "The token is somebody else's"),
    ("forbidden", 403, "Not allowed"),
    ("not_a_member", 403, "Not a member of the room"),
    ("room_not_found", 404, "No such room"),
    ("last_owner", 409, "The only owner stays"),
    ("room_inactive", 409, "The room takes no new entries"),
    ("room_exists", 409, "The room exists with another key"),
    ("not_joined", 409, "The room is not joined"),
    ("body_blank", 422, "The body is blank"),
    ("body_too_long", 422, "The body is too long"),
    ("body_invalid", 422, "The body is not valid"),
    ("rejected", 422, "Rejected"),
    ("client_id_conflict", 409, "The client id names another message"),
    ("target_not_found", 404, "No such target"),
    ("target_not_own", 403, "Somebody else's message"),
    ("message_not_found", 404, "No such message"),
    ("cursor_expired", 410, "No longer kept"),
    ("cursor_reset", 409, "The log began a new life"),
    ("limit_exceeded", 400, "A bound was reached"),
    ("rate_limited", 429, "Too many requests"),
    ("busy", 503, "Too busy"),
    ("timeout", 504, "No answer in time"),
    ("unavailable", 503, "A backend failed"),
    ("unsupported", 501, "Not available here"),
    ("draining", 503, "Shutting down"),
    ("internal", 500, "Internal error"),
    ("not_found", 404, "No such resource"),
    ("method_not_allowed", 405, "No such method"),
    ("body_too_large", 413, "The request is too large"),
    ("unsupported_media_type", 415, "Send JSON"),
    ("upgrade_required", 426, "Open a WebSocket"),
];

/// The status and the title of one of [`CODES`].
pub(crate) fn status_and_title(code: &str) -> (u16, &'static str) {
    let found = CODES.iter().find(|(known, ..)| *known == code);
    found.map_or((500, "Internal error"), |(_, status, title)| (*status, *title))
}

/// What went wrong (RFC 9457).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatProblem))]
pub(crate) struct ProblemBody<'a> {
    /// The code in words.
    title: &'a str,
    /// The HTTP status.
    #[cfg_attr(feature = "openapi", schema(minimum = 400, maximum = 599))]
    status: u16,
    /// What is wrong with this request, for people.
    detail: &'a str,
    /// What went wrong, for programs.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::document::Code))]
    code: &'a str,
    /// The same request may succeed later.
    retryable: bool,
    /// How long to wait, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64, minimum = 0))]
    retry_after_ms: Option<u64>,
}

/// An error as a client is told it. It names what is wrong, never what lies behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// One of [`CODES`].
    pub code: &'static str,
    /// What is wrong, for people.
    pub message: String,
    /// The same call may succeed later.
    pub retryable: bool,
    /// When to try again, where that is known.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// An error that trying again does not cure.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false, retry_after: None }
    }

    /// A field that is missing or wrong.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("invalid_request", message)
    }

    fn known(&self) -> (u16, &'static str) {
        status_and_title(self.code)
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.known().0
    }

    /// The milliseconds to wait, rounded up.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after.map(millis)
    }

    /// The whole seconds to wait, rounded up: the value of `Retry-After`.
    #[must_use]
    pub fn retry_after_secs(&self) -> Option<u64> {
        self.retry_after_ms().map(|ms| ms.div_ceil(1_000))
    }

    /// The body of an `application/problem+json` response.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let (status, title) = self.known();
        let body = ProblemBody {
            title,
            status,
            detail: &self.message,
            code: self.code,
            retryable: self.retryable,
            retry_after_ms: self.retry_after_ms(),
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

/// Milliseconds, rounded up, so that nobody comes too early.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let code = match error {
            // A session that ends says why itself; without one there is none to be closed.
            Error::SessionClosed => "draining",
            other => other.code(),
        };
        Self {
            code,
            message: error.to_string(),
            retryable: error.is_retryable() || matches!(error, Error::SessionClosed),
            retry_after: error.retry_after(),
        }
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        Self::new(error.kind.code(), error.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::Retry;

    #[test]
    fn a_problem_hides_its_cause() {
        let cause = std::io::Error::other("password=hunter2");
        let problem = Problem::from(Error::backend("postgres", "read", Retry::Later, cause));
        let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(json["code"], "unavailable");
        assert_eq!(json["status"], 503);
        assert_eq!(json["detail"], "postgres failed during read");
        assert!(!json.to_string().contains("hunter2"));
    }

    #[test]
    fn waiting_times_are_rounded_up() {
        let problem = Problem::from(Error::RateLimited { retry_after: Duration::from_micros(1_000_100) });
        assert_eq!((problem.retry_after_ms(), problem.retry_after_secs()), (Some(1_001), Some(2)));
        assert_eq!((problem.status(), problem.retryable), (429, true));
    }

    #[test]
    fn errors_of_the_engine_have_their_status() {
        let room = chat_core::RoomId::generate();
        for (error, code, status) in [
            (Error::RoomNotFound { room }, "room_not_found", 404),
            (Error::Busy { retry_after: Duration::from_millis(5) }, "busy", 503),
            (Error::Timeout { operation: "read" }, "timeout", 504),
            (Error::Unsupported { part: "search" }, "unsupported", 501),
            (Error::Body(chat_core::InvalidBody::NotJson), "body_invalid", 422),
            (Error::Draining, "draining", 503),
            (Error::SessionClosed, "draining", 503),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.code, problem.status()), (code, status));
        }
    }

    #[test]
    fn no_code_stands_twice() {
        for (i, (code, ..)) in CODES.iter().enumerate() {
            assert!(CODES[i + 1..].iter().all(|(other, ..)| other != code), "{code}");
        }
    }
}

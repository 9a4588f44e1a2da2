use std::{borrow::Cow, time::Duration};

use chat_core::session::{CloseReason, Closing};

/// Every code of a `closing` frame, with the WebSocket's close code.
pub const CLOSE_CODES: &[(&str, u16)] = &[
    ("closed", 1000),
    ("draining", 4000),
    ("token_expired", 4001),
    ("token_revoked", 4001),
    ("unauthenticated", 4001),
    ("replaced", 4002),
    ("connect_timeout", 4003),
    ("frame_too_large", 4004),
    ("binary_frame", 4004),
    ("malformed", 4004),
    ("too_slow", 4005),
    ("idle", 4006),
    ("internal", 4011),
];

/// How a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Goodbye {
    pub(crate) code: &'static str,
    pub(crate) message: Cow<'static, str>,
    pub(crate) reconnect_after: Option<Duration>,
}

impl Goodbye {
    pub(crate) const fn new(code: &'static str, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message), reconnect_after: None }
    }

    pub(crate) fn frame_too_large(max_bytes: usize) -> Self {
        let message = Cow::Owned(format!("a frame has at most {max_bytes} bytes"));
        Self { code: "frame_too_large", message, reconnect_after: None }
    }

    pub(crate) const BINARY_FRAME: Self = Self::new("binary_frame", "binary frames are refused");
    pub(crate) const MALFORMED: Self = Self::new("malformed", "the first frame was not a command");
    pub(crate) const CONNECT_TIMEOUT: Self = Self::new("connect_timeout", "no connect in time");
    pub(crate) const IDLE: Self = Self::new("idle", "nothing was heard for too long");
    pub(crate) const INTERNAL: Self = Self::new("internal", "internal error");

    pub(crate) fn websocket_code(&self) -> u16 {
        CLOSE_CODES.iter().find(|(code, _)| *code == self.code).map_or(4011, |(_, number)| *number)
    }
}

impl From<Closing> for Goodbye {
    fn from(closing: Closing) -> Self {
        let (code, message) = match closing.reason {
            CloseReason::Closed => ("closed", "the application ended the session"),
            CloseReason::Expired => ("token_expired", "the token has expired"),
            CloseReason::Revoked => ("token_revoked", "the token was withdrawn"),
            CloseReason::Replaced => ("replaced", "too many connections of this user; this was the oldest"),
            CloseReason::Superseded => {
                ("replaced", "another connection uses the same credentials, which are for one at a time")
            }
            CloseReason::Draining => ("draining", "the server is shutting down"),
            _ => ("internal", "the session was ended"),
        };
        Self { code, message: Cow::Borrowed(message), reconnect_after: closing.reconnect_after }
    }
}

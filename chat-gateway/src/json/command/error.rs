//! Why a frame is no command.

use std::fmt;

use chat_core::{ClientMessageId, RoomId};

/// A frame that is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// What kind of error.
    pub kind: DecodeErrorKind,
    /// The frame's `id`, if it could be read.
    pub id: Option<u64>,
    /// The frame's `room`, if it could be read.
    pub room: Option<RoomId>,
    /// The frame's `clientId`, if it could be read.
    pub client_id: Option<ClientMessageId>,
    /// What is wrong, for people; names the field.
    pub message: String,
}

/// How a frame fails to be a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// Not one JSON object.
    Malformed,
    /// No command has this `type`.
    UnknownCommand,
    /// A field is missing or wrong.
    InvalidRequest,
}

impl DecodeErrorKind {
    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownCommand => "unknown_command",
            Self::InvalidRequest => "invalid_request",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code(), self.message)
    }
}

impl std::error::Error for DecodeError {}

//! Frames of a client: text in, a checked command out.

mod decode;
mod error;
mod query;

use chat_core::{
    ClientMessageId, Content, Cursor, CustomKind, JsonText, ReadQuery, RoomId, UserId, auth::Secret,
    rooms::ActivityCursor,
};

#[cfg(feature = "axum")]
pub(crate) use self::query::read_query;
pub use self::{
    decode::decode,
    error::{DecodeError, DecodeErrorKind},
};

/// A command with the number by which its sender knows the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The client's number for it: 1 or greater.
    pub id: Option<u64>,
    /// What is to be done.
    pub action: Action,
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `connect`
    Connect {
        /// The credentials; `None` if they came in a header.
        token: Option<Secret>,
    },
    /// `join`
    Join {
        /// Which room.
        room: RoomId,
        /// The last entry that was applied.
        cursor: Option<Cursor>,
        /// Entries of the page, where the answer has one.
        limit: Option<usize>,
    },
    /// `leave`
    Leave {
        /// Which room.
        room: RoomId,
    },
    /// `send`, `edit`, `delete` or `react`
    Append {
        /// Into which room.
        room: RoomId,
        /// The sender's name for it.
        client_id: ClientMessageId,
        /// What it says.
        content: Content,
    },
    /// `typing`
    Typing {
        /// Where.
        room: RoomId,
        /// Types now.
        active: bool,
    },
    /// `signal`
    Signal {
        /// Where.
        room: RoomId,
        /// The application's name for it.
        name: CustomKind,
        /// Its data.
        data: JsonText,
    },
    /// `read`
    Read {
        /// Where.
        room: RoomId,
        /// Up to and with this entry.
        cursor: Cursor,
    },
    /// `history`
    History {
        /// Of which room.
        room: RoomId,
        /// Which page.
        query: ReadQuery,
    },
    /// `rooms`
    Rooms {
        /// Where the page before ended.
        after: Option<ActivityCursor>,
        /// At most this many.
        limit: Option<usize>,
    },
    /// `members`
    Members {
        /// Of which room.
        room: RoomId,
        /// Where the page before ended.
        after: Option<UserId>,
        /// At most this many.
        limit: Option<usize>,
    },
    /// `presence`
    Presence {
        /// Of whom.
        users: Vec<UserId>,
    },
    /// `token`
    Token {
        /// The new credentials.
        token: Secret,
    },
    /// `ping`
    Ping,
}

impl Action {
    /// The `type` of its frame. An [`Action::Append`] is told by its content.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Join { .. } => "join",
            Self::Leave { .. } => "leave",
            Self::Append { content, .. } => match content {
                Content::Edit { .. } => "edit",
                Content::Delete { .. } => "delete",
                Content::Reaction { .. } => "react",
                _ => "send",
            },
            Self::Typing { .. } => "typing",
            Self::Signal { .. } => "signal",
            Self::Read { .. } => "read",
            Self::History { .. } => "history",
            Self::Rooms { .. } => "rooms",
            Self::Members { .. } => "members",
            Self::Presence { .. } => "presence",
            Self::Token { .. } => "token",
            Self::Ping => "ping",
        }
    }
}

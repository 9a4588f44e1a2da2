//! The durable, ordered log of every room: the truth behind everything else.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    Backend, Body, Cursor, Draft, Error, InvalidBody, MessageId, Position, Result, RoomId, Seq,
    StoredMessage, Timestamp, UserId,
};

/// What an append made of one draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Stored here, now.
    New(Position),
    /// Stored before, under the same room, sender and client id, with the same payload: this is that first one.
    Duplicate(Position),
    /// The same room, sender and client id were used before for another payload. Nothing was stored.
    Conflict(Position),
    /// Not stored.
    Refused(Refusal),
    /// In a durable queue, not yet stored: where it is, or that it is not, will be told by an event
    /// ([`FanoutEvent::Message`](crate::fanout::FanoutEvent::Message),
    /// [`FanoutEvent::SendFailed`](crate::fanout::FanoutEvent::SendFailed)). Only of logs whose
    /// [`durability`](MessageLog::durability) is [`Durability::Accepted`].
    Accepted,
}

impl AppendOutcome {
    /// Where the entry is, if it is in the log.
    #[must_use]
    pub const fn stored(&self) -> Option<&Position> {
        match self {
            Self::New(position) | Self::Duplicate(position) => Some(position),
            Self::Conflict(_) | Self::Refused(_) | Self::Accepted => None,
        }
    }
}

/// Why the log did not take a draft. Checked in the same atomic step that would have stored it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such room.
    #[error("there is no such room")]
    RoomMissing,
    /// The room takes no new entries.
    #[error("the room is not active")]
    RoomInactive,
    /// The sender is not a member of the room at this instant.
    #[error("the sender is not a member of the room")]
    NotAMember,
    /// The message to be edited, deleted or reacted to is not in the room, is deleted, or is not of a kind that can be.
    #[error("the target is not in the room, is deleted, or cannot be changed")]
    TargetMissing,
    /// The message to be edited or deleted was sent by somebody else.
    #[error("only its sender may change this message")]
    TargetNotOwn,
    /// The body does not fit the room.
    #[error("{0}")]
    Body(InvalidBody),
    /// The room takes nothing for the moment: too much of it waits to be archived, or what has to be known of it cannot be
    /// asked for. It may be sent again in a while.
    #[error("the room takes nothing for the moment")]
    Busy,
    /// The log fails whenever it is to store it. What a durable queue had taken was put aside for operators to look at.
    #[error("the log cannot store it")]
    Unstorable,
}

/// Why a message is not stored that a durable queue had accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SendFailure {
    /// Its client id names another message, which is here.
    Conflict(Position),
    /// The log did not take it.
    Refused(Refusal),
}

impl SendFailure {
    /// The error that the sender would have been given, had it waited for the log.
    #[must_use]
    pub fn to_error(&self, room: &RoomId, user: &UserId) -> Error {
        let (room, user) = (room.clone(), user.clone());
        match self.clone() {
            Self::Conflict(first) => Error::Conflict { first },
            Self::Refused(Refusal::RoomMissing) => Error::RoomNotFound { room },
            Self::Refused(Refusal::NotAMember) => Error::NotAMember { room, user },
            Self::Refused(Refusal::Body(body)) => Error::Body(body),
            Self::Refused(Refusal::Busy) => Error::Busy { retry_after: BUSY_RETRY },
            Self::Refused(refusal) => Error::Refused(refusal),
        }
    }
}

/// What a sender is told to wait whose room takes nothing for the moment: an archive has to come back first.
const BUSY_RETRY: Duration = Duration::from_secs(2);

/// From where a page is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadFrom {
    /// The entries that follow this place, oldest first.
    After(Place),
    /// The entries that precede this place: the newest of them.
    Before(Place),
    /// The newest entries.
    Newest,
}

/// A place in a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// By position. The only safe way to resume.
    Cursor(Cursor),
    /// By identity, for clients of contracts that page by message id.
    Id(MessageId),
}

/// Which entries of the log a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// Every entry, for catching up.
    #[default]
    Log,
    /// Only entries that stand for themselves ([`EntryKind::in_timeline`](crate::EntryKind::in_timeline)), for showing a
    /// room: a page of 50 is then 50 messages, however many reactions lie between them. Deleted messages keep their
    /// place, without their body.
    Timeline,
}

/// One page's worth of reading.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadQuery {
    /// From where.
    pub from: ReadFrom,
    /// Which entries.
    pub view: View,
    /// At most this many, between 1 and [`ReadQuery::MAX_LIMIT`].
    pub limit: usize,
}

impl ReadQuery {
    /// The limit unless one is set.
    pub const DEFAULT_LIMIT: usize = 50;
    /// The greatest limit; a greater one is treated as this.
    pub const MAX_LIMIT: usize = 1_000;

    /// Reads from `from`, every entry, 50 of them.
    #[must_use]
    pub const fn new(from: ReadFrom) -> Self {
        Self { from, view: View::Log, limit: Self::DEFAULT_LIMIT }
    }

    /// What follows `cursor`.
    #[must_use]
    pub const fn after(cursor: Cursor) -> Self {
        Self::new(ReadFrom::After(Place::Cursor(cursor)))
    }

    /// What precedes `cursor`.
    #[must_use]
    pub const fn before(cursor: Cursor) -> Self {
        Self::new(ReadFrom::Before(Place::Cursor(cursor)))
    }

    /// The newest entries.
    #[must_use]
    pub const fn newest() -> Self {
        Self::new(ReadFrom::Newest)
    }

    /// With another view.
    #[must_use]
    pub const fn with_view(mut self, view: View) -> Self {
        self.view = view;
        self
    }

    /// With another limit, held between 1 and [`ReadQuery::MAX_LIMIT`].
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, Self::MAX_LIMIT);
        self
    }
}

/// One page of a room, oldest entry first whichever way it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The entries as they are now: edited bodies, removed bodies, reactions.
    pub entries: Vec<StoredMessage>,
    /// What the room held when the page was read.
    pub head: Head,
    /// Nothing that the view shows follows this page (at the instant it was read).
    pub reaches_head: bool,
    /// Nothing that is still kept and that the view shows precedes this page.
    pub reaches_start: bool,
}

/// The ends of a room's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last entry's position; [`Seq::ZERO`] in a room without any.
    pub cursor: Cursor,
    /// The first entry that is still kept: one past the last where none is.
    pub oldest: Seq,
}

impl Head {
    /// Checks that reading after `cursor` would miss nothing.
    ///
    /// # Errors
    /// [`Error::CursorReset`] for another epoch or a position that was never given out; [`Error::CursorExpired`] if
    /// entries that follow it were trimmed.
    pub fn honours(&self, room: &RoomId, cursor: &Cursor) -> Result<()> {
        if cursor.epoch != self.cursor.epoch || cursor.seq > self.cursor.seq {
            return Err(Error::CursorReset { room: room.clone(), current: self.cursor.clone() });
        }
        if cursor.seq.next() < self.oldest {
            return Err(Error::CursorExpired { room: room.clone(), oldest: self.oldest });
        }
        Ok(())
    }
}

/// What to keep of a room's log. An entry goes as soon as one of the rules says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retention {
    /// Keep at most this many newest entries.
    pub max_entries: Option<u64>,
    /// Keep only entries stored at or after this time. Everything before the first such entry goes.
    pub not_before: Option<Timestamp>,
}

/// How safe an entry is once an append has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Gone when this process ends.
    Volatile,
    /// In a durable queue: it will be stored, or its refusal announced.
    Accepted,
    /// On stable storage, as far as the store was set up to wait for it.
    Persisted,
}

/// Appends to and reads from the rooms' logs.
///
/// # Contract
/// - Positions are given out while the room's writes are serialised: 1, 2, 3 … per room and epoch, without gaps; ids
///   grow with them; no reader sees an entry before every earlier one is visible.
/// - A draft is stored once per (room, sender, client id) for as long as the entry is kept.
/// - Room, membership, target and body are checked in the same atomic step that stores the entry.
#[async_trait]
pub trait MessageLog: Backend {
    /// How safe an entry is when [`append`](Self::append) answers.
    fn durability(&self) -> Durability;

    /// How many [`append`](Self::append) calls the store works on at once; more wait for each other there. A chat that
    /// knows it gathers drafts into that many larger batches. At least 1; without a bound unless a log says otherwise.
    fn parallel_appends(&self) -> usize {
        usize::MAX
    }

    /// Stores a batch that may mix rooms, and answers one outcome per draft, in the batch's order. Drafts of one room
    /// get positions in the batch's order; the same key twice within a batch is one entry.
    ///
    /// Each draft is checked in one order: that the room is there; whether it is a repeat or a conflict; that the room is
    /// active; the membership; the body; the target. So a repeat gets its first answer whatever has changed since.
    ///
    /// # Errors
    /// An error is about the whole batch and says nothing about what was stored: retry with the same client ids.
    ///
    /// # Cancel safety
    /// A dropped call may or may not have stored the drafts, each whole. Calling again with the same client ids is safe.
    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>>;

    /// Reads one page.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`]; [`Error::CursorReset`] for a cursor of another epoch or beyond the head;
    /// [`Error::CursorExpired`] if entries after the cursor were trimmed (reading *before* a trimmed place is an empty
    /// page); [`Error::MessageNotFound`] for a [`Place::Id`] that is not in the room.
    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page>;

    /// The ends of many rooms' logs, in one call; `None` for a room that does not exist. In the order of `rooms`.
    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>>;

    /// Removes the oldest entries of a room; positions are not given out again. Answers the new ends.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`].
    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head>;
}

/// Checks that any log makes before it looks at its store, so that all answer alike.
///
/// # Errors
/// [`Refusal::Body`] if the draft's body does not fit a room with this limit.
pub fn check_body(draft: &Draft, max_body_chars: u32) -> std::result::Result<(), Refusal> {
    draft.content.body().map_or(Ok(()), |body: &Body| body.check(max_body_chars)).map_err(Refusal::Body)
}

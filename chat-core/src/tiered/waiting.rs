//! What waits in the hot log to be archived, and how it is taken.

use std::time::Duration;

use bytes::Bytes;

use super::hot::HotEntry;
use crate::{Epoch, RoomId, Seq};

/// Entries of a room that wait to be archived.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The room.
    pub room: RoomId,
    /// The life it has; `None` for a room that is closed with entries left: open it, and look again.
    pub life: Option<Epoch>,
    /// In the order of their positions, from the first one that is not archived. Fewer than there are, if there are many.
    pub entries: Vec<HotEntry>,
    /// Who took it, for [`HotLog::archived`](super::HotLog::archived). `None` if it was only looked at.
    pub ticket: Option<Bytes>,
}

/// How much [`HotLog::take`](super::HotLog::take) takes.
#[derive(Debug, Clone, Copy)]
pub struct Take {
    /// Only when so many entries wait …
    pub entries: usize,
    /// … or one waits so long.
    pub age: Duration,
    /// At most so many rooms.
    pub max_rooms: usize,
    /// At most so many entries of each.
    pub max_entries: usize,
    /// What another one took and did not finish within this time is taken over.
    pub idle: Duration,
}

/// A room whose entries were archived.
#[derive(Debug, Clone)]
pub struct Archived {
    /// The room.
    pub room: RoomId,
    /// The life it had.
    pub life: Epoch,
    /// The last one that is archived.
    pub upto: Seq,
    /// From [`Pending::ticket`].
    pub ticket: Option<Bytes>,
}

/// An entry that no archive will take.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Its room.
    pub room: RoomId,
    /// The life it was of.
    pub life: Epoch,
    /// The entry.
    pub entry: HotEntry,
    /// Why.
    pub reason: String,
}

/// How far the archive is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Rooms with entries that wait.
    pub rooms: u64,
    /// The entries that wait.
    pub entries: u64,
    /// For how long the room that waits longest does so.
    pub age: Duration,
}

/// How far the names in the archive are known here, so that most new drafts need not ask for a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unlearned {
    /// Those up to and with this position are known.
    pub after: Seq,
    /// Those up to and with this one are to be told.
    pub upto: Seq,
}

//! What a session tells its client.

use std::{sync::Arc, time::Duration};

use crate::{
    Broadcast, Cursor, RoomId, Timestamp,
    fanout::FanoutEvent,
    hub::{LiveEntry, LivePage},
};

/// A request to follow a room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinRequest {
    /// Which room.
    pub room: RoomId,
    /// The last entry the client has applied; `None` if it has nothing of the room.
    pub cursor: Option<Cursor>,
    /// Entries of the page, where the answer has one.
    pub page: Option<usize>,
    /// Comes back in [`Joined`], for matching answers with requests.
    pub tag: u64,
}

impl JoinRequest {
    /// From the newest page on.
    #[must_use]
    pub const fn new(room: RoomId) -> Self {
        Self { room, cursor: None, page: None, tag: 0 }
    }

    /// From this cursor on.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.cursor = Some(cursor);
        self
    }

    /// With another page size.
    #[must_use]
    pub const fn with_page(mut self, entries: usize) -> Self {
        self.page = Some(entries);
        self
    }

    /// With a tag.
    #[must_use]
    pub const fn with_tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }
}

/// Entries that are not sent: after the one cursor, before the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// The last entry before the hole.
    pub after: Cursor,
    /// The first entry after the hole.
    pub before: Cursor,
}

/// The answer to a join. It comes before every event of the room.
#[derive(Debug, Clone)]
pub struct Joined {
    /// The request's tag.
    pub tag: u64,
    /// The room.
    pub room: RoomId,
    /// How it goes on.
    pub outcome: JoinOutcome,
    /// The room's head as far as it is known: with [`JoinOutcome::Recovered`] the client has caught up once it gets there.
    pub cursor: Cursor,
}

/// How a join goes on.
#[derive(Debug, Clone)]
pub enum JoinOutcome {
    /// There was no cursor: this is the newest page, and everything after it follows.
    New {
        /// The newest page of the room's timeline.
        page: Arc<LivePage>,
    },
    /// Everything after the cursor follows, exactly once and in order.
    Recovered,
    /// Too much was missed, or it is no longer kept: this is the newest page, and everything after it follows. What the
    /// client has from before the hole may have been changed since.
    Limited {
        /// The newest page of the room's timeline.
        page: Arc<LivePage>,
        /// What lies between the cursor and the page.
        hole: Hole,
    },
    /// The cursor is not of the log's present life: forget the room. This is the newest page.
    Reset {
        /// The newest page of the room's timeline.
        page: Arc<LivePage>,
    },
}

impl JoinOutcome {
    /// The newest page, where the answer has one.
    #[must_use]
    pub const fn page(&self) -> Option<&Arc<LivePage>> {
        match self {
            Self::New { page } | Self::Limited { page, .. } | Self::Reset { page } => Some(page),
            Self::Recovered => None,
        }
    }
}

/// Why the server ended a room's subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftReason {
    /// The user is no longer a member.
    Removed,
    /// The room is gone, or this server ends.
    Closed,
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The application or the client closed it.
    Closed,
    /// The credentials expired and were not renewed.
    Expired,
    /// The credentials were withdrawn.
    Revoked,
    /// The user has too many sessions; this was the oldest.
    Replaced,
    /// Another session presents what this one was bound to.
    Superseded,
    /// This server ends; reconnect elsewhere.
    Draining,
}

/// The end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// Why.
    pub reason: CloseReason,
    /// When to reconnect, spread so that not all come at once.
    pub reconnect_after: Option<Duration>,
}

/// A live event that is not part of a room's log: typing, a signal, a read marker, presence, a changed room or membership.
pub type LiveNotice = Arc<Broadcast<FanoutEvent>>;

/// Something for the client, in the order in which it is to be sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A join's answer.
    Joined(Box<Joined>),
    /// The next entry of a joined room.
    Entry(LiveEntry),
    /// The session fell behind what is kept in memory. Without a page, the entries in the hole follow from the log; with
    /// one, the hole stays and everything after the page follows.
    Resync {
        /// The room.
        room: RoomId,
        /// What the session had not been sent when it fell behind.
        hole: Box<Hole>,
        /// The newest page, where too much was missed.
        page: Option<Arc<LivePage>>,
    },
    /// The log began a new life: forget the room, go on from this page.
    Reset {
        /// The room.
        room: RoomId,
        /// The newest page of the room's timeline.
        page: Arc<LivePage>,
    },
    /// The server ended the subscription.
    Left {
        /// The room.
        room: RoomId,
        /// Why.
        reason: LeftReason,
    },
    /// A live event outside the log. These are the first to be dropped where a session is slow.
    Notice(LiveNotice),
    /// Notices were dropped: what they would have said must be fetched.
    NoticesLost,
    /// The heartbeat, with the heads of the joined rooms that changed since the last one.
    Heads(Vec<(RoomId, Cursor)>),
    /// The session ends at this time unless it gets new credentials.
    Expiring {
        /// When.
        at: Timestamp,
    },
    /// The last event.
    Closing(Closing),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions hold events by the thousand for a moment; each is a few words.
    #[test]
    fn an_event_is_small() {
        assert!(size_of::<Event>() <= 40, "{}", size_of::<Event>());
    }
}

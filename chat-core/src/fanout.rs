//! Live events between nodes: fast, and allowed to lose, repeat and reorder. The log makes good what is lost.

mod topics;
pub mod wire;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use futures::Stream;
use serde::{Deserialize, Serialize};

use crate::{
    Backend, ClientMessageId, ConnectionId, Cursor, CustomKind, JsonText, Member, Result, Room, RoomId,
    SendFailure, StoredMessage, UserId, auth::Revocation, presence::UserPresence,
};

pub use self::topics::{Interest, Topics};

/// To whom an event goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Every session in a room.
    Room(RoomId),
    /// Every session of one user.
    User(UserId),
}

/// A live event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FanoutEvent {
    /// A new entry of a room's log, whole.
    Message(StoredMessage),
    /// A room's log has got this far: a hint without the entry.
    Head {
        /// The room.
        room: RoomId,
        /// How far.
        cursor: Cursor,
    },
    /// Somebody types, or stopped.
    Typing {
        /// Where.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Types now.
        active: bool,
    },
    /// A read marker moved.
    Read {
        /// Where.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Up to where.
        cursor: Cursor,
    },
    /// A user came online or went offline.
    Presence(UserPresence),
    /// A room's metadata, limits or active flag changed.
    RoomChanged(Room),
    /// A membership began, changed or ended.
    MemberChanged {
        /// Where.
        room: RoomId,
        /// The membership as it is now.
        member: Member,
    },
    /// Sessions are no longer welcome.
    Revoked(Revocation),
    /// Another session took what this connection's session was bound to.
    Superseded {
        /// The connection that is to be ended: it never gets the binding back.
        connection: ConnectionId,
    },
    /// A message of this user's that a durable queue had accepted is not stored. On the user's own topic.
    SendFailed {
        /// For which room it was.
        room: RoomId,
        /// Its sender's name for it.
        client_id: ClientMessageId,
        /// Who sent it.
        user: UserId,
        /// Why it is not stored.
        reason: SendFailure,
    },
    /// The application's own short-lived event; never stored, never repeated.
    Signal {
        /// Where.
        room: RoomId,
        /// From whom.
        user: UserId,
        /// The application's name for it.
        name: CustomKind,
        /// Its data.
        data: JsonText,
    },
}

/// An event on its way to a topic.
#[derive(Debug, Clone)]
pub struct Publication {
    /// To whom.
    pub topic: Topic,
    /// What.
    pub event: Arc<FanoutEvent>,
}

impl Publication {
    /// Puts the two together.
    #[must_use]
    pub fn new(topic: Topic, event: FanoutEvent) -> Self {
        Self { topic, event: Arc::new(event) }
    }
}

/// What a subscription yields.
#[derive(Debug, Clone)]
pub enum FanoutItem {
    /// An event.
    Event(Arc<FanoutEvent>),
    /// Events may have been lost since the item before: after a reconnect, a failover or a full buffer. Compare heads
    /// and read the log.
    Missed,
}

/// A live subscription; dropping it ends it. An `Err` is its last item.
pub struct Subscription {
    items: Pin<Box<dyn Stream<Item = Result<FanoutItem>> + Send>>,
}

impl Subscription {
    /// Wraps a backend's stream.
    #[must_use]
    pub fn new(items: impl Stream<Item = Result<FanoutItem>> + Send + 'static) -> Self {
        Self { items: Box::pin(items) }
    }
}

impl Stream for Subscription {
    type Item = Result<FanoutItem>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// Carries events to every subscriber of a topic on every node, at most once each, with loss reported where it is noticed.
#[async_trait]
pub trait Fanout: Backend {
    /// Hands the events to the carrier. Those of one topic published by one call or by calls one after the other reach
    /// a subscriber in that order, if they reach it.
    ///
    /// # Errors
    /// When the carrier is out of reach. Some events may have been carried.
    async fn publish(&self, events: &[Publication]) -> Result<()>;

    /// Subscribes. Once this returns, every event published afterwards is either delivered or covered by a
    /// [`FanoutItem::Missed`]. Buffers are bounded; what overflows is dropped and shows as `Missed`.
    ///
    /// # Cancel safety
    /// Dropping the call leaves no subscription behind.
    async fn subscribe(&self, topic: &Topic) -> Result<Subscription>;
}

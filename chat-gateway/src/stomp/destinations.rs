//! What an application's destinations mean.

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::{
    ClientMessageId, RoomId, Session, StoredMessage, UserId, auth::Credentials, fanout::FanoutEvent,
    session::LeftReason,
};
use serde_json::json;

use super::{Connect, SendFrame};
use crate::Problem;

/// The queue on which a user is told of messages that were not stored, unless [`Destinations::send_failed`] says otherwise: an application
/// whose log only accepts what is sent routes a destination of each user's own to it.
pub const ERROR_QUEUE: &str = "errors";

/// What a subscription follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A room: its entries, live and from a cursor on.
    Room(RoomId),
    /// One of the user's own queues, by a name that is the application's: what is told to this connection alone.
    Queue(String),
}

/// A message on one of the user's queues; lost where the queue is not subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMessage {
    /// The queue, as in [`Route::Queue`].
    pub queue: String,
    /// What it says.
    pub body: Bytes,
}

impl QueueMessage {
    /// On a queue.
    #[must_use]
    pub fn new(queue: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { queue: queue.into(), body: body.into() }
    }
}

/// Where something is told that is no entry of a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// By the subscriptions of a room.
    Room {
        /// The room.
        room: RoomId,
        /// What it says.
        body: Bytes,
    },
    /// On a queue.
    Queue(QueueMessage),
}

/// Maps destinations to commands of a session, and its events back. What a [`ChatApplication`](super::ChatApplication) needs
/// to know of an application.
#[async_trait]
pub trait Destinations: Send + Sync + 'static {
    /// The credentials of a `CONNECT`. Unless overridden, those of the header `Authorization: Bearer …`, or else the
    /// `passcode` as a token.
    fn credentials(&self, connect: &Connect) -> Credentials {
        // Browsers' clients write the names of headers as they like.
        let named = |name: &str| {
            connect
                .headers
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim())
        };
        let bearer = named("authorization").map(|value| match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => value,
        });
        let token = bearer.or_else(|| named("passcode")).filter(|token| !token.is_empty());
        token.map_or(Credentials::none(), Credentials::token)
    }

    /// What a `SUBSCRIBE` of this user's follows. Whether they may read a room is the engine's to say.
    ///
    /// # Errors
    /// There is no such destination, or it is not this user's: an `ERROR` frame, and the end.
    fn route(&self, user: &UserId, destination: &str) -> Result<Route, Problem>;

    /// Does what a `SEND` asks for, through the session or its [actor](Session::actor).
    ///
    /// # Errors
    /// Why not: told as [`refused`](Self::refused) says.
    async fn send(&self, session: &Session, frame: &SendFrame) -> Result<(), Problem>;

    /// The body of the message that tells an entry of a room; `None` if it is not told. Made once for all connections of
    /// the process, so that a [`Chat`](chat_core::Chat) has one implementation of this trait.
    fn entry(&self, entry: &StoredMessage) -> Option<Bytes>;

    /// Of what type all bodies are. Unless overridden, JSON.
    fn content_type(&self) -> Option<&'static str> {
        Some("application/json")
    }

    /// How a `SEND` that was refused is told. Unless overridden, by an `ERROR` frame, and the end.
    ///
    /// The message on the queue gets the header `receipt-id` where the frame asked for a receipt, and `code`.
    fn refused(&self, user: &UserId, problem: &Problem, frame: &SendFrame) -> Option<QueueMessage> {
        let _ = (user, problem, frame);
        None
    }

    /// How it is told that a message of this user's which a durable queue had accepted is not stored. Unless overridden, by JSON on the queue
    /// [`ERROR_QUEUE`], as the JSON protocol says it: `room`, `clientId`, `code`, `message`, `retryable` and perhaps `retryAfterMs`. Every
    /// connection of the user's that follows the queue gets it.
    ///
    /// The message gets the header `code`.
    fn send_failed(
        &self,
        user: &UserId,
        room: &RoomId,
        client_id: &ClientMessageId,
        problem: &Problem,
    ) -> Option<QueueMessage> {
        let _ = user;
        let mut body = json!({
            "type": "sendFailed", "room": room, "clientId": client_id, "code": problem.code,
            "message": problem.message, "retryable": problem.retryable,
        });
        if let Some(ms) = problem.retry_after_ms() {
            body["retryAfterMs"] = ms.into();
        }
        Some(QueueMessage::new(ERROR_QUEUE, body.to_string()))
    }

    /// How it is told that the server ended the subscription of a room, such as because the user is no longer a member.
    /// Unless overridden, by an `ERROR` frame, and the end: the protocol has nothing less.
    fn left(&self, user: &UserId, room: &RoomId, reason: LeftReason) -> Option<QueueMessage> {
        let _ = (user, room, reason);
        None
    }

    /// How something is told that is no entry: typing, read markers, presence. Unless overridden, it is not.
    fn notice(&self, user: &UserId, notice: &FanoutEvent) -> Option<Notice> {
        let _ = (user, notice);
        None
    }
}

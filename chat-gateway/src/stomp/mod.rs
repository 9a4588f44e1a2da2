//! [STOMP] 1.2, 1.1 and 1.0: the codec without I/O, a server for any transport, and a [`Chat`](chat_core::Chat) behind it whose
//! rooms have whatever destinations an application gives them.
//!
//! ```
//! use chat_core::{Body, Chat, ClientMessageId, RoomId, Session, StoredMessage, UserId};
//! use chat_gateway::{Problem, stomp::{ChatApplication, Destinations, Route, SendFrame}};
//!
//! #[derive(Debug)]
//! struct Topics;
//!
//! #[async_trait::async_trait]
//! impl Destinations for Topics {
//!     fn route(&self, _: &UserId, destination: &str) -> Result<Route, Problem> {
//!         let room = destination.strip_prefix("/topic/").unwrap_or_default();
//!         Ok(Route::Room(RoomId::new(room).map_err(|error| Problem::invalid(error.to_string()))?))
//!     }
//!     async fn send(&self, session: &Session, frame: &SendFrame) -> Result<(), Problem> {
//!         let Route::Room(room) = self.route(session.user(), frame.destination())? else { return Ok(()) };
//!         session.actor()?.send_text(&room, ClientMessageId::generate(), frame.text()?).await?;
//!         Ok(())
//!     }
//!     fn entry(&self, entry: &StoredMessage) -> Option<bytes::Bytes> {
//!         let Some(Body::Text(text)) = entry.content.body() else { return None };
//!         Some(format!("{}: {text}", entry.sender).into())
//!     }
//! }
//! # fn application(chat: Chat) -> ChatApplication<Topics> { ChatApplication::new(chat, Topics) }
//! ```
//!
//! With the feature `axum`, [`websocket`] is a route for plain WebSockets; with `sockjs`, [`sockjs_router`] has those and every
//! transport of SockJS. For anything else there is [`serve`], which takes a stream and a sink.
//!
//! # What holds
//! - Frames are worked on one at a time, in order. `RECEIPT` says that one was worked on and not refused.
//! - What the protocol has no answer for, and a subscription that is refused, is an `ERROR` frame and the end; its header
//!   `code` is one of [`CODES`](crate::CODES). A `SEND` that is refused may be told on a queue of the user's instead:
//!   [`Destinations::refused`].
//! - Each message of a room has the header `cursor`. A `SUBSCRIBE` with the last one in its own header `cursor` goes on from
//!   there, with every entry once and in order; where that cannot be, the newest page comes, and its first message says so
//!   in the header `resync`: `limited` (there is a hole) or `reset` (forget the room). Without the header only what is new
//!   comes.
//! - `client` and `client-individual` are taken, and their `ACK` and `NACK` checked; nothing hangs on them. Where a client
//!   stands is its cursor.
//! - What a durable queue had accepted and is not stored is told on the user's queue [`ERROR_QUEUE`], unless
//!   [`Destinations::send_failed`] says otherwise.
//! - Nothing is delivered to a subscription after the receipt of its `UNSUBSCRIBE`.
//! - A client's heart-beats may be late by [`heartbeat_tolerance`](StompConfig::heartbeat_tolerance): browsers slow the timers of pages in the
//!   background. Those are noticed to be gone by the pings of a plain WebSocket ([`ping_interval`](StompConfig::ping_interval)).
//! - A client that does not read holds up nobody: its rooms wait in their shared memory. One that takes nothing for
//!   [`write_timeout`](crate::Limits::write_timeout) loses its connection.
//!
//! [STOMP]: https://stomp.github.io/

mod application;
mod chat;
mod config;
mod decode;
mod destinations;
mod encode;
mod escape;
mod frame;
mod heartbeat;
mod limits;
mod protocol;
mod reader;
mod request;
mod routes;
mod serve;
#[cfg(feature = "axum")]
mod transport;
mod version;
mod writer;

#[cfg(feature = "sockjs")]
#[cfg_attr(docsrs, doc(cfg(feature = "sockjs")))]
pub use self::transport::sockjs_router;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub use self::transport::websocket;
pub use self::{
    application::{Application, Commands, Delivery, Link, Message},
    chat::ChatApplication,
    config::StompConfig,
    decode::{DecodeError, Decoded, Decoder},
    destinations::{Destinations, ERROR_QUEUE, Notice, QueueMessage, Route},
    frame::{Command, Frame, Headers},
    limits::FrameLimits,
    request::{AckMode, Acknowledge, Connect, SendFrame, Subscribe, Subscription},
    serve::{Incoming, Outgoing, serve},
    version::Version,
};

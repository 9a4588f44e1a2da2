//! Socket.IO: a session behind each socket, in the event names and payloads of an application's own.
//!
//! Socket.IO says how events travel, not what they are called. A [`Dialect`] says that: it turns a client's events into
//! [`Request`]s, their outcomes into acknowledgements, and entries of a room into events. Everything else, from order and
//! resume to limits, is the session's, and the same as for every other protocol.
//!
//! ```
//! use chat_core::{Body, Chat, ClientMessageId, Content, StoredMessage};
//! use chat_gateway::{GatewayConfig, Problem, socketio::{self, Asked, Answer, Dialect, Done, Emit, Request}};
//! use serde_json::{Value, json};
//!
//! #[derive(Debug)]
//! struct Lounge;
//!
//! impl Dialect for Lounge {
//!     fn request(&self, asked: &Asked<'_>) -> Result<Request, Problem> {
//!         let room = asked.text("room")?.parse().map_err(|_| Problem::invalid("`room`"))?;
//!         match asked.event {
//!             "enter" => Ok(Request::Join { room, after: None }),
//!             "say" => {
//!                 let content = Content::text(asked.text("text")?);
//!                 Ok(Request::Send { room, client_id: ClientMessageId::generate(), content })
//!             }
//!             _ => Err(asked.unknown()),
//!         }
//!     }
//!
//!     fn answer(&self, _: &Asked<'_>, done: Result<Done, Problem>) -> Answer {
//!         Answer::Ack(match done {
//!             Ok(_) => json!({ "ok": true }),
//!             Err(problem) => json!({ "ok": false, "error": problem.message }),
//!         })
//!     }
//!
//!     fn entry(&self, entry: &StoredMessage) -> Option<Emit> {
//!         let Some(Body::Text(text)) = entry.content.body() else { return None };
//!         Some(Emit::new("said", &json!({ "room": entry.room, "from": entry.sender, "text": text })))
//!     }
//! }
//!
//! fn routes(chat: Chat) -> axum::Router {
//!     let (layer, io) = socketio::layer(GatewayConfig::new().limits());
//!     socketio::mount(&io, chat, Lounge, GatewayConfig::new());
//!     axum::Router::new().layer(layer)
//! }
//! ```

mod commands;
mod dialect;
mod draining;
mod emit;
mod handshake;
mod pump;
mod socket;

use std::sync::Arc;

use chat_core::Chat;
pub use socketioxide;
use socketioxide::{ParserConfig, SocketIo, SocketIoBuilder, layer::SocketIoLayer};

pub use self::{
    dialect::{Answer, Asked, Call, Dialect, Done, Emit, Refusal, Request},
    draining::refuse_while_draining,
    handshake::Handshake,
};
use self::{emit::DialectId, socket::Mount};
use crate::{GatewayConfig, Limits};

/// Packets that may wait for a slow client in Socket.IO's own buffer. What comes then waits in the session, which holds
/// no more than positions.
pub const PACKETS: usize = 128;
/// Binary attachments of one event; a chat has no use for more.
const ATTACHMENTS: usize = 8;

/// A layer for axum and the server behind it, set up for these limits. An application with wishes of its own makes them with
/// [`SocketIo::builder`] itself.
#[must_use]
pub fn layer(limits: &Limits) -> (SocketIoLayer, SocketIo) {
    builder(limits).build_layer()
}

/// What [`layer`] begins with: the path is `/socket.io`, an event has at most [`Limits::frame_bytes`], attachments included; a client
/// that names no namespace within [`Limits::connect_timeout`] is let go.
#[must_use]
pub fn builder(limits: &Limits) -> SocketIoBuilder {
    let parser = ParserConfig::common()
        .max_incoming_binaries(ATTACHMENTS)
        .max_incoming_binary_buf_size(limits.frame_bytes)
        .packet_completion_timeout(limits.connect_timeout);
    SocketIo::builder()
        .max_payload(limits.frame_bytes as u64)
        .ws_max_message_size(limits.frame_bytes)
        .ws_max_frame_size(limits.frame_bytes)
        .max_buffer_size(PACKETS)
        .connect_timeout(limits.connect_timeout)
        .with_parser(parser)
}

/// Serves a dialect on its namespace. Several dialects, each on a namespace of its own, may be mounted on one server. Pages of other
/// origins get in as over the WebSocket ([`GatewayConfig::with_allowed_origins`]).
///
/// On shutdown call [`Chat::drain`] before [`SocketIo::close`]: clients whose session is over come back to another server when they
/// lose the connection. The latter waits for clients that take nothing, so it should have a time.
pub fn mount(io: &SocketIo, chat: Chat, dialect: impl Dialect, config: GatewayConfig) {
    Arc::new(Mount { chat, id: DialectId::next(), dialect: Box::new(dialect), config }).mount(io);
}

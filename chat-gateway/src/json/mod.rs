//! The JSON protocol, free of any web framework: see `PROTOCOL.md` beside this crate.
//!
//! A server of one's own asks [`GatewayConfig::allows_origin`](crate::GatewayConfig::allows_origin) about the page that asks, opens a
//! WebSocket with the subprotocol [`SUBPROTOCOL`], and hands its messages to [`serve`], with what [`bearer`] found in the request's
//! headers. `examples/warp-websocket` is such a server.

mod asyncapi;
pub(crate) mod close;
mod command;
mod execute;
pub(crate) mod frame;
mod incoming;
mod opening;
pub(crate) mod sent;
mod serve;
pub(crate) mod view;
mod writer;

#[cfg(feature = "axum")]
pub(crate) use self::command::read_query;
pub use self::{
    asyncapi::ASYNCAPI,
    close::CLOSE_CODES,
    command::{Action, Command, DecodeError, DecodeErrorKind, decode},
    incoming::{Incoming, Outgoing},
    opening::{SUBPROTOCOL, bearer},
    serve::serve,
};

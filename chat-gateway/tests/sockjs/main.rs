//! What the protocol's own suite asks of the HTTP transports, and the bounds around it. WebSockets and the real client are
//! tested in `tests/stomp-sockjs`.
#![cfg(feature = "sockjs")]
#![allow(clippy::unwrap_used)]

mod answers;
mod bounds;
mod server;
mod transports;
mod websocket;

//! The [SockJS] protocol for axum: a WebSocket where a browser and everything on the way let one through, and HTTP where they
//! do not. An application gives a handler, which gets a session per client: a stream of texts, and a sender.
//!
//! ```
//! use axum::Router;
//! use chat_gateway::sockjs::{self, SockJsConfig, SockJsSession};
//! use futures::StreamExt as _;
//!
//! async fn echo(mut session: SockJsSession) {
//!     let sender = session.sender();
//!     while let Some(text) = session.next().await {
//!         if sender.send(text).await.is_err() {
//!             break; // the client is gone
//!         }
//!     }
//! }
//!
//! let routes: Router = Router::new().merge(sockjs::router("/echo", SockJsConfig::new(), echo));
//! ```
//!
//! # What holds
//! - A session ends when its handler returns: the client is told [`Close::GO_AWAY`] unless [`SockJsSender::close`] said
//!   something else. What was sent before is delivered first.
//! - A client that does not fetch what waits for it holds up [`SockJsSender::send`], and after
//!   [`write_timeout`](SockJsConfig::write_timeout) its session ends. A handler that does not read holds up its client in the
//!   same way. Both queues are bounded in the [configuration](SockJsConfig), by their bytes too.
//! - Requests of one session that send take turns, in the order in which they came: what the next one carries is not read before.
//! - There are so many [sessions](SockJsConfig::sessions), and so many of [one peer](SockJsConfig::sessions_per_peer); one that nobody comes back
//!   for counts until its timeout.
//! - A session without a request that waits for messages ends after [`session_timeout`](SockJsConfig::session_timeout). A
//!   request that breaks off ends its session at once: nobody knows what of the answer arrived.
//! - Over HTTP all requests of a session must reach the same process. A balancer can go by the path's first segment after the
//!   prefix, or by the cookie of [`with_cookie_needed`](SockJsConfig::with_cookie_needed).
//!
//! # Which rules
//! Those of the protocol's [test suite] as it stands now, with which `sockjs-client` 1 and its Node server agree. Where version
//! 0.3.3 of it differs, browsers have since forced a change: JSONP answers begin with `/**/`, no answer allows credentials to
//! every origin, and `Cache-Control` has `no-transform`. WebSockets older than RFC 6455 are refused.
//!
//! A message is text. Half of a surrogate pair, which JavaScript takes for text, arrives as U+FFFD.
//!
//! [SockJS]: https://github.com/sockjs/sockjs-client
//! [test suite]: https://github.com/sockjs/sockjs-protocol

mod close;
mod config;
mod core;
mod frame;
mod headers;
mod pages;
mod payload;
mod places;
mod receive;
mod router;
mod send;
mod service;
mod session;
mod websocket;

pub use self::{
    close::Close,
    config::SockJsConfig,
    router::router,
    session::{Opening, SessionEnded, SockJsSender, SockJsSession, TransportKind},
};

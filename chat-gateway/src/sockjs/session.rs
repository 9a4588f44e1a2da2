//! What an application's handler holds of a session.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::http::HeaderMap;
use futures::{Sink, Stream, sink};
use tokio::sync::mpsc;

use super::{
    Close,
    core::{Core, Incoming},
};

/// The session is over: nothing more can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionEnded;

impl fmt::Display for SessionEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session is over")
    }
}

impl std::error::Error for SessionEnded {}

/// How the request that opened a session carries messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportKind {
    /// A WebSocket with the protocol's frames.
    WebSocket,
    /// A WebSocket without them.
    RawWebSocket,
    /// HTTP: any of the other transports.
    Http,
}

/// The request that opened a session.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Opening {
    /// How messages are carried.
    pub transport: TransportKind,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its query, where it has one.
    pub query: Option<String>,
    /// The WebSocket's subprotocol, where one was agreed on.
    pub subprotocol: Option<String>,
}

/// One client: the stream of what it sends, which ends with the session. Over when the handler returns.
pub struct SockJsSession {
    core: Arc<Core>,
    incoming: mpsc::Receiver<Incoming>,
    opening: Opening,
}

impl SockJsSession {
    pub(super) const fn new(core: Arc<Core>, incoming: mpsc::Receiver<Incoming>, opening: Opening) -> Self {
        Self { core, incoming, opening }
    }

    /// The request that opened the session.
    #[must_use]
    pub const fn opening(&self) -> &Opening {
        &self.opening
    }

    /// What speaks to the client; as many as wanted.
    #[must_use]
    pub fn sender(&self) -> SockJsSender {
        SockJsSender { core: self.core.clone() }
    }
}

impl Stream for SockJsSession {
    type Item = String;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<String>> {
        self.incoming.poll_recv(context).map(|message| message.map(|(text, _)| text))
    }
}

impl fmt::Debug for SockJsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SockJsSession").field("transport", &self.opening.transport).finish_non_exhaustive()
    }
}

/// Speaks to one client. It does not keep the session open.
#[derive(Clone)]
pub struct SockJsSender {
    core: Arc<Core>,
}

impl SockJsSender {
    /// Sends a text, once there is room for it.
    ///
    /// # Errors
    /// The session is over, or there was no room for
    /// [`write_timeout`](super::SockJsConfig::write_timeout), which ends it.
    ///
    /// # Cancel safety
    /// A dropped call has sent nothing, unless it was ready.
    pub async fn send(&self, text: impl Into<String> + Send) -> Result<(), SessionEnded> {
        self.core.send(text.into()).await
    }

    /// Ends the session, after what was sent before; the first close holds.
    pub fn close(&self, close: Close) {
        self.core.close(close);
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.core.is_closed()
    }

    /// Waits until the session is over.
    pub async fn closed(&self) {
        self.core.closed().await;
    }

    /// The same as a sink: for whatever speaks to a stream and a sink.
    pub fn into_sink(self) -> impl Sink<String, Error = SessionEnded> + Send + 'static {
        sink::unfold(self, |sender, text| async move {
            sender.core.send(text).await?;
            Ok(sender)
        })
    }
}

impl fmt::Debug for SockJsSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SockJsSender").field("closed", &self.is_closed()).finish()
    }
}

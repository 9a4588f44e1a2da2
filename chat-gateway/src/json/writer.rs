//! The writing half of a connection: replies and events, gathered and flushed together.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use chat_core::{Event, SessionEvents};
use futures::{Sink, SinkExt};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tracing::debug;

use crate::{
    json::{close::Goodbye, frame, incoming::Outgoing},
    observe::{self, Transport},
};

/// Events written before there is a flush and a look at the replies.
const BATCH: usize = 64;

/// The client takes nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// The transport failed.
    Gone,
    /// Nothing could be written for too long.
    TooSlow,
}

/// A sink with a bound on how long each step may take.
pub(super) struct Wire<O> {
    sink: Pin<Box<O>>,
    timeout: Duration,
}

impl<O: Sink<Outgoing>> Wire<O> {
    pub(super) fn new(sink: O, timeout: Duration) -> Self {
        Self { sink: Box::pin(sink), timeout }
    }

    async fn feed(&mut self, frame: Outgoing) -> Result<(), Broken> {
        let fed = timeout(self.timeout, self.sink.feed(frame)).await.map(|fed| fed.is_ok());
        Self::checked(fed.ok())
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        let flushed = timeout(self.timeout, self.sink.flush()).await.map(|flushed| flushed.is_ok());
        Self::checked(flushed.ok())
    }

    fn checked(done: Option<bool>) -> Result<(), Broken> {
        match done {
            Some(true) => Ok(()),
            Some(false) => Err(Broken::Gone),
            None => Err(Broken::TooSlow),
        }
    }

    pub(super) async fn send(&mut self, frame: Bytes) -> Result<(), Broken> {
        self.feed(Outgoing::Text(frame)).await?;
        self.flush().await
    }

    /// The last frames.
    pub(super) async fn close(&mut self, goodbye: &Goodbye) -> Result<(), Broken> {
        observe::closing(Transport::WebSocket, goodbye.code);
        debug!(code = goodbye.code, "a connection is closed");
        self.feed(Outgoing::Text(frame::closing(goodbye))).await?;
        self.feed(Outgoing::Close { code: goodbye.websocket_code(), reason: goodbye.code }).await?;
        self.flush().await
    }
}

/// What the reading half has for the client.
#[derive(Debug)]
pub(super) enum Reply {
    Frame(Bytes),
    Close(Goodbye),
}

/// Writes until the session, the reading half or the client ends. The session ends with it.
pub(super) struct Writer<O> {
    pub(super) wire: Wire<O>,
    pub(super) events: SessionEvents,
    pub(super) replies: mpsc::Receiver<Reply>,
    pub(super) heartbeat: Duration,
}

impl<O: Sink<Outgoing>> Writer<O> {
    /// True if the client was told of the end.
    pub(super) async fn run(mut self) -> bool {
        match self.write().await {
            Ok(told) => told,
            Err(Broken::TooSlow) => {
                observe::closing(Transport::WebSocket, "too_slow");
                debug!("a connection could not be written to for too long");
                false
            }
            Err(Broken::Gone) => false,
        }
    }

    async fn write(&mut self) -> Result<bool, Broken> {
        let mut batch: Vec<Event> = Vec::new();
        let mut next_ping = Instant::now() + self.heartbeat;
        loop {
            let mut waiting = None;
            let mut open = true;
            let mut ended = false;
            // Whichever wakes it, everything that is ready is written: neither events nor replies starve the other.
            tokio::select! {
                biased;
                more = self.events.next_batch(&mut batch, BATCH) => ended = !more,
                reply = self.replies.recv() => {
                    open = reply.is_some();
                    waiting = reply;
                }
                () = tokio::time::sleep_until(next_ping) => {}
            }
            while batch.len() < BATCH {
                match self.events.try_next() {
                    Some(event) => batch.push(event),
                    None => break,
                }
            }
            let mut frames = 0;
            for event in batch.drain(..) {
                if let Event::Closing(closing) = event {
                    self.wire.close(&closing.into()).await?;
                    return Ok(true);
                }
                if let Some(frame) = frame::event(&event) {
                    self.wire.feed(Outgoing::Text(frame)).await?;
                    frames += 1;
                }
            }
            loop {
                let reply = match waiting.take() {
                    Some(reply) => reply,
                    None => match self.replies.try_recv() {
                        Ok(reply) => reply,
                        Err(mpsc::error::TryRecvError::Empty) => break,
                        Err(mpsc::error::TryRecvError::Disconnected) => {
                            open = false;
                            break;
                        }
                    },
                };
                match reply {
                    Reply::Frame(frame) => self.wire.feed(Outgoing::Text(frame)).await?,
                    Reply::Close(goodbye) => {
                        self.wire.close(&goodbye).await?;
                        return Ok(true);
                    }
                }
                frames += 1;
            }
            if ended {
                // The last event says why and was seen already; without one something is wrong here.
                self.wire.close(&Goodbye::INTERNAL).await?;
                return Ok(true);
            }
            if Instant::now() >= next_ping {
                next_ping = Instant::now() + self.heartbeat;
                self.wire.feed(Outgoing::Ping).await?;
            }
            self.wire.flush().await?;
            observe::frames_sent(Transport::WebSocket, frames);
            if !open {
                return Ok(false);
            }
        }
    }
}

//! The writing half of a connection: replies and events, gathered and flushed together.

use std::{
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use chat_core::{Event, SessionEvents};
use futures::{Sink, SinkExt};
use tokio::{
    sync::mpsc,
    task::yield_now,
    time::{Instant, sleep, timeout},
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
        within(self.timeout, self.sink.feed(frame)).await
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        within(self.timeout, self.sink.flush()).await
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

/// A step that is mostly done at once: only one that has to wait needs a timer.
async fn within<E>(limit: Duration, step: impl Future<Output = Result<(), E>>) -> Result<(), Broken> {
    let mut step = pin!(step);
    let done = match futures::poll!(&mut step) {
        Poll::Ready(done) => done,
        Poll::Pending => timeout(limit, step).await.map_err(|_| Broken::TooSlow)?,
    };
    done.map_err(|_| Broken::Gone)
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
    pub(super) replies: mpsc::Receiver<Box<Reply>>,
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
        let mut ping = pin!(sleep(self.heartbeat));
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
                () = ping.as_mut() => {}
            }
            // Whoever else is ready goes first, so that on a busy node more is there to be written at once: a call of the
            // system for each frame is most of what a delivery costs. On an idle one this is a microsecond.
            yield_now().await;
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
                match *reply {
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
            // Not only where it woke this: however much there is to write, it has its time.
            if Instant::now() >= ping.deadline() {
                ping.as_mut().reset(Instant::now() + self.heartbeat);
                // What a burst needed is given back.
                batch.shrink_to(0);
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

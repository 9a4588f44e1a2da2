//! The writing half of a connection: replies and messages, gathered and flushed together.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, Sink, SinkExt, StreamExt, stream::BoxStream};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tracing::debug;

use super::{AckMode, Command, Delivery, Message, Outgoing, Version, encode::encode};
use crate::{
    Problem,
    observe::{self, Transport},
};

/// Messages written before there is a flush and a look at the replies.
const BATCH: usize = 64;

/// A sign of life.
const BEAT: Bytes = Bytes::from_static(b"\n");

/// The client takes nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// The transport failed.
    Gone,
    /// Nothing could be written for too long.
    TooSlow,
}

/// How a connection ends: a frame that says so, if there is one, and the transport's close.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) frame: Option<Bytes>,
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

/// What is to be written.
#[derive(Debug)]
pub(super) enum Reply {
    Frame(Bytes),
    Message(Message),
    Problem(Problem),
    Close(Last),
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

    async fn feed(&mut self, out: Outgoing) -> Result<(), Broken> {
        let fed = timeout(self.timeout, self.sink.feed(out)).await.map(|fed| fed.is_ok());
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
        self.feed(Outgoing::Data(frame)).await?;
        self.flush().await
    }

    /// The last frame.
    pub(super) async fn close(&mut self, last: Last) -> Result<(), Broken> {
        observe::closing(Transport::Stomp, last.reason);
        debug!(code = last.reason, "a connection is closed");
        if let Some(frame) = last.frame {
            self.feed(Outgoing::Data(frame)).await?;
        }
        self.feed(Outgoing::Close { code: last.code, reason: last.reason }).await?;
        self.flush().await
    }
}

/// Writes until the application, the reading half or the client ends. The link to the application ends with it.
pub(super) struct Writer<O> {
    pub(super) wire: Wire<O>,
    pub(super) deliveries: BoxStream<'static, Delivery>,
    pub(super) replies: mpsc::Receiver<Reply>,
    /// How often there is something to read for the client.
    pub(super) every: Option<Duration>,
    /// How often its transport is pinged.
    pub(super) pings: Option<Duration>,
    pub(super) version: Version,
}

impl<O: Sink<Outgoing>> Writer<O> {
    /// True if the client was told of the end.
    pub(super) async fn run(mut self) -> bool {
        match self.write().await {
            Ok(told) => told,
            Err(Broken::TooSlow) => {
                observe::closing(Transport::Stomp, "too_slow");
                debug!("a connection could not be written to for too long");
                false
            }
            Err(Broken::Gone) => false,
        }
    }

    async fn write(&mut self) -> Result<bool, Broken> {
        let mut beat_at = next(self.every);
        let mut ping_at = next(self.pings);
        loop {
            let mut ready = tokio::select! {
                biased;
                () = reached(ping_at) => {
                    ping_at = next(self.pings);
                    self.wire.feed(Outgoing::Ping).await?;
                    self.wire.flush().await?;
                    continue;
                }
                reply = self.replies.recv() => match reply {
                    Some(reply) => Some(reply),
                    // The client is gone.
                    None => return Ok(false),
                },
                delivery = self.deliveries.next() => Some(ended(delivery)),
                () = reached(beat_at) => None,
            };
            let mut frames = 0;
            if ready.is_none() {
                self.wire.feed(Outgoing::Data(BEAT)).await?;
            }
            // Whichever woke it, what else is ready is written too: neither messages nor replies starve the other.
            while let Some(reply) = ready {
                if let Some(last) = self.feed(reply).await? {
                    self.wire.close(last).await?;
                    return Ok(true);
                }
                frames += 1;
                ready = if frames >= BATCH as u64 { None } else { self.ready() };
            }
            self.wire.flush().await?;
            observe::frames_sent(Transport::Stomp, frames);
            beat_at = next(self.every);
        }
    }

    fn ready(&mut self) -> Option<Reply> {
        if let Ok(reply) = self.replies.try_recv() {
            return Some(reply);
        }
        self.deliveries.next().now_or_never().map(ended)
    }

    /// Writes one, or says how this ends.
    async fn feed(&mut self, reply: Reply) -> Result<Option<Last>, Broken> {
        match reply {
            Reply::Frame(frame) => self.wire.feed(Outgoing::Data(frame)).await?,
            // Nothing comes after the receipt of `UNSUBSCRIBE`.
            Reply::Message(message) if message.subscription.is_over() => {}
            Reply::Message(message) => self.wire.feed(Outgoing::Data(self.encode(&message))).await?,
            Reply::Problem(problem) => return Ok(Some(Last::error(self.version, &problem, None))),
            Reply::Close(last) => return Ok(Some(last)),
        }
        Ok(None)
    }

    fn encode(&self, message: &Message) -> Bytes {
        let subscription = &message.subscription;
        let confirmed = subscription.ack() != AckMode::Auto && self.version == Version::V1_2;
        let ack = confirmed.then(|| format!("{}.{}", subscription.id(), message.id));
        let destination = message.destination.as_deref().unwrap_or(subscription.destination());
        let headers = [
            ("subscription", subscription.id()),
            ("message-id", message.id.as_str()),
            ("destination", destination),
        ];
        let headers = headers
            .into_iter()
            .chain(message.content_type.as_deref().map(|kind| ("content-type", kind)))
            .chain(ack.as_deref().map(|ack| ("ack", ack)))
            .chain(message.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        encode(Command::Message, self.version, headers, &message.body)
    }
}

/// The end of the deliveries is the connection's.
fn ended(delivery: Option<Delivery>) -> Reply {
    delivery.map_or(Reply::Close(Last::receipt(None)), Reply::from)
}

fn next(every: Option<Duration>) -> Option<Instant> {
    every.map(|every| Instant::now() + every)
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

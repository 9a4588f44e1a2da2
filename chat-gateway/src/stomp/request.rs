//! What a client's frames ask for.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

use super::{Headers, Version};
use crate::Problem;

/// `CONNECT` or `STOMP`, with the version that was agreed on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Connect {
    /// The version.
    pub version: Version,
    /// The frame's headers, `login`, `passcode` and `Authorization` among them.
    pub headers: Headers,
}

/// What a client confirms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckMode {
    /// Nothing.
    Auto,
    /// Each message with all before it.
    Client,
    /// Each message.
    ClientIndividual,
}

/// A subscription, by which messages are [delivered](super::Message). Cheap to clone.
#[derive(Clone)]
pub struct Subscription {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    destination: String,
    ack: AckMode,
    over: AtomicBool,
}

/// Two are the same if the client's words for them are.
impl PartialEq for Subscription {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (&self.inner, &other.inner);
        (&one.id, &one.destination, one.ack) == (&other.id, &other.destination, other.ack)
    }
}

impl Eq for Subscription {}

impl Subscription {
    pub(super) fn new(id: String, destination: String, ack: AckMode) -> Self {
        Self { inner: Arc::new(Inner { id, destination, ack, over: AtomicBool::new(false) }) }
    }

    /// The client's name for it, unique on its connection. Version 1.0 knows subscriptions without: there it is the
    /// destination.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// What it follows.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.inner.destination
    }

    /// The client ended it: what comes by it from now on is not delivered. Another one of the same id is none of its clones.
    pub(super) fn end(&self) {
        self.inner.over.store(true, Ordering::Release);
    }

    pub(super) fn is_over(&self) -> bool {
        self.inner.over.load(Ordering::Acquire)
    }

    /// What the client confirms.
    #[must_use]
    pub fn ack(&self) -> AckMode {
        self.inner.ack
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.id()).field(&self.destination()).finish()
    }
}

/// `SUBSCRIBE`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Subscribe {
    /// What messages are delivered by.
    pub subscription: Subscription,
    /// The frame's headers.
    pub headers: Headers,
}

/// `SEND`.
#[derive(Debug, Clone)]
pub struct SendFrame {
    pub(super) destination: String,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
}

impl SendFrame {
    /// Where it goes.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// The frame's headers.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// What is sent.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The same as text.
    ///
    /// # Errors
    /// The code `invalid_request` if it is not UTF-8.
    pub fn text(&self) -> Result<&str, Problem> {
        str::from_utf8(&self.body).map_err(|_| Problem::invalid("the body is not UTF-8"))
    }
}

/// `ACK` or `NACK`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Acknowledge {
    /// Whether the client could use the message.
    pub positive: bool,
    /// The frame's headers: `id` in version 1.2, `message-id` before.
    pub headers: Headers,
}

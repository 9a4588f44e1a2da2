//! What is behind a STOMP server: whatever takes commands and delivers messages.

use std::borrow::Cow;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use super::{Acknowledge, Connect, SendFrame, Subscribe, Subscription};
use crate::Problem;

/// Lets clients in.
#[async_trait]
pub trait Application: Send + Sync + 'static {
    /// Lets a client in, or not: then it is told why in an `ERROR` frame, and its connection ends.
    ///
    /// # Errors
    /// Why not.
    ///
    /// # Cancel safety
    /// Dropping the call, like dropping the link, ends what it began.
    async fn connect(&self, connect: &Connect) -> Result<Link, Problem>;
}

/// One client that was let in.
#[expect(missing_debug_implementations, reason = "both halves are the application's own")]
#[non_exhaustive]
pub struct Link {
    /// Headers of the `CONNECTED` frame beyond the protocol's own, such as `user-name`.
    pub headers: Vec<(String, String)>,
    /// Takes what the client asks for.
    pub commands: Box<dyn Commands>,
    /// What the client is sent. Taken from no faster than the client reads; its end is the connection's.
    pub deliveries: BoxStream<'static, Delivery>,
}

impl Link {
    /// Without more headers.
    #[must_use]
    pub fn new(commands: Box<dyn Commands>, deliveries: BoxStream<'static, Delivery>) -> Self {
        Self { headers: Vec::new(), commands, deliveries }
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// Takes what one client asks for, one at a time. An error is told in an `ERROR` frame, and is the end of the connection.
#[async_trait]
pub trait Commands: Send {
    /// Begins a subscription. Its id is not in use.
    ///
    /// # Errors
    /// Why there is none.
    async fn subscribe(&mut self, subscribe: &Subscribe) -> Result<(), Problem>;

    /// Ends one. What the deliveries still have for it is not delivered.
    ///
    /// # Errors
    /// Why the connection ends.
    async fn unsubscribe(&mut self, subscription: &Subscription) -> Result<(), Problem>;

    /// Takes a message. False if it was refused and the client told by other means: then it gets no receipt.
    ///
    /// # Errors
    /// Why the connection ends.
    async fn send(&mut self, frame: &SendFrame) -> Result<bool, Problem>;

    /// Takes word of a message.
    ///
    /// # Errors
    /// Why the connection ends.
    async fn acknowledge(&mut self, acknowledge: &Acknowledge) -> Result<(), Problem>;
}

/// Something for the client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Delivery {
    /// A message.
    Message(Message),
    /// The end, told in an `ERROR` frame.
    Close(Problem),
}

/// A `MESSAGE` frame. `subscription`, `destination`, `message-id`, `content-length`, and `ack` where the client confirms,
/// are added.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Message {
    /// By which subscription it comes.
    pub subscription: Subscription,
    /// Its name, unique among messages.
    pub id: String,
    /// Where it was sent to, if that is not what is subscribed.
    pub destination: Option<String>,
    /// Of what type the body is.
    pub content_type: Option<Cow<'static, str>>,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// What it says.
    pub body: Bytes,
}

impl Message {
    /// Without more headers.
    #[must_use]
    pub fn new(subscription: Subscription, id: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            subscription,
            id: id.into(),
            destination: None,
            content_type: None,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// With a type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: Option<Cow<'static, str>>) -> Self {
        self.content_type = content_type;
        self
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

//! Topics that everybody may write to and follow.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use chat_gateway::{
    Problem,
    stomp::{
        Acknowledge, Application, Commands, Connect, Delivery, Link, Message, SendFrame, Subscribe,
        Subscription,
    },
};
use futures::{StreamExt as _, stream};
use tokio::sync::broadcast::{self, error::RecvError};

/// Messages that a connection may be behind by.
const KEPT: usize = 8_192;

/// Headers of a `SEND` that are not its receiver's business.
const OWN: [&str; 7] =
    ["destination", "content-length", "content-type", "receipt", "transaction", "subscription", "message-id"];

#[derive(Debug)]
struct Posted {
    id: u64,
    destination: String,
    content_type: Option<String>,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// All topics.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    posted: broadcast::Sender<Arc<Posted>>,
    last_id: Arc<AtomicU64>,
}

impl Topics {
    pub(crate) fn new() -> Self {
        Self { posted: broadcast::channel(KEPT).0, last_id: Arc::default() }
    }
}

type Subscriptions = Arc<Mutex<Vec<Subscription>>>;

fn lock(subscriptions: &Subscriptions) -> MutexGuard<'_, Vec<Subscription>> {
    subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_topic(destination: &str) -> Result<(), Problem> {
    match destination.strip_prefix("/topic/") {
        Some(name) if !name.is_empty() => Ok(()),
        _ => Err(Problem::new("not_found", "destinations here begin with /topic/")),
    }
}

#[async_trait]
impl Application for Topics {
    async fn connect(&self, _: &Connect) -> Result<Link, Problem> {
        let subscriptions = Subscriptions::default();
        let commands = TopicCommands { topics: self.clone(), subscriptions: subscriptions.clone() };
        let deliveries =
            stream::unfold((self.posted.subscribe(), subscriptions), |(mut posted, subscriptions)| async {
                let deliveries = match posted.recv().await {
                    Ok(message) => deliveries(&message, &subscriptions),
                    Err(RecvError::Lagged(_)) => {
                        vec![Delivery::Close(Problem::new("busy", "this client reads too slowly"))]
                    }
                    Err(RecvError::Closed) => return None,
                };
                Some((stream::iter(deliveries), (posted, subscriptions)))
            });
        Ok(Link::new(Box::new(commands), deliveries.flatten().boxed()))
    }
}

/// One for each subscription of the topic.
fn deliveries(posted: &Posted, subscriptions: &Subscriptions) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for subscription in lock(subscriptions).iter().filter(|one| one.destination() == posted.destination) {
        let mut message = Message::new(subscription.clone(), posted.id.to_string(), posted.body.clone())
            .with_content_type(posted.content_type.clone().map(Into::into));
        message.headers = posted.headers.clone();
        deliveries.push(Delivery::Message(message));
    }
    deliveries
}

struct TopicCommands {
    topics: Topics,
    subscriptions: Subscriptions,
}

#[async_trait]
impl Commands for TopicCommands {
    async fn subscribe(&mut self, subscribe: &Subscribe) -> Result<(), Problem> {
        is_topic(subscribe.subscription.destination())?;
        lock(&self.subscriptions).push(subscribe.subscription.clone());
        Ok(())
    }

    async fn unsubscribe(&mut self, subscription: &Subscription) -> Result<(), Problem> {
        lock(&self.subscriptions).retain(|known| known != subscription);
        Ok(())
    }

    async fn send(&mut self, frame: &SendFrame) -> Result<bool, Problem> {
        is_topic(frame.destination())?;
        let headers = frame.headers().iter().filter(|(name, _)| !OWN.contains(name));
        let posted = Posted {
            id: self.topics.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            destination: frame.destination().to_owned(),
            content_type: frame.headers().get("content-type").map(str::to_owned),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: frame.body().clone(),
        };
        // Without anybody who follows it, it is gone.
        let _ = self.topics.posted.send(Arc::new(posted));
        Ok(true)
    }

    async fn acknowledge(&mut self, _: &Acknowledge) -> Result<(), Problem> {
        Ok(())
    }
}

//! Topics that everybody may write to and follow.

mod ring;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

use self::ring::{Lagged, Ring};

/// Headers of a `SEND` that are not its receiver's business.
const OWN: [&str; 7] =
    ["destination", "content-length", "content-type", "receipt", "transaction", "subscription", "message-id"];

#[derive(Debug)]
struct Posted {
    destination: String,
    content_type: Option<String>,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Posted {
    /// Bytes that it is counted with.
    fn cost(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 48).sum::<usize>();
        self.destination.len() + headers + self.body.len() + 256
    }
}

/// All topics.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    posted: Arc<Ring<Posted>>,
}

impl Topics {
    /// Topics that keep so many bytes for those who are behind.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { posted: Arc::new(Ring::new(max_bytes)) }
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
        let at = self.posted.head();
        let deliveries = stream::unfold(
            (self.posted.clone(), at, subscriptions),
            |(ring, at, subscriptions)| async move {
                let (deliveries, next) = match ring.next(at).await {
                    Ok(posted) => (deliveries(at, &posted, &subscriptions), at + 1),
                    Err(Lagged) => {
                        (vec![Delivery::Close(Problem::new("busy", "this client reads too slowly"))], at)
                    }
                };
                Some((stream::iter(deliveries), (ring, next, subscriptions)))
            },
        );
        Ok(Link::new(Box::new(commands), deliveries.flatten().boxed()))
    }
}

/// One for each subscription of the topic.
fn deliveries(id: u64, posted: &Posted, subscriptions: &Subscriptions) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for subscription in lock(subscriptions).iter().filter(|one| one.destination() == posted.destination) {
        let mut message = Message::new(subscription.clone(), id.to_string(), posted.body.clone())
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
            destination: frame.destination().to_owned(),
            content_type: frame.headers().get("content-type").map(str::to_owned),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: frame.body().clone(),
        };
        let cost = posted.cost();
        self.topics.posted.push(posted, cost);
        Ok(true)
    }

    async fn acknowledge(&mut self, _: &Acknowledge) -> Result<(), Problem> {
        Ok(())
    }
}

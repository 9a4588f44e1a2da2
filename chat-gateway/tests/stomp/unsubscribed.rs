//! An application whose deliveries know nothing of what was unsubscribed meanwhile.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chat_gateway::{
    Problem,
    stomp::{
        Acknowledge, Application, Command, Commands, Connect, Delivery, Incoming, Link, Message, Outgoing,
        SendFrame, StompConfig, Subscribe, Subscription, Version, serve,
    },
};
use futures::{SinkExt, StreamExt, channel::mpsc};

use crate::client::frame;

type Feed = mpsc::UnboundedSender<Delivery>;

/// Delivers to the latest subscription at its beginning and at its end, and to the one before that whenever something is sent.
struct Careless {
    feed: Feed,
    deliveries: Mutex<Option<mpsc::UnboundedReceiver<Delivery>>>,
}

struct CarelessCommands {
    feed: Feed,
    subscriptions: Vec<Subscription>,
}

impl CarelessCommands {
    fn deliver(&self, subscription: &Subscription, text: &'static str) {
        let message = Message::new(subscription.clone(), text, text);
        self.feed.unbounded_send(Delivery::Message(message)).unwrap();
    }
}

#[async_trait]
impl Application for Careless {
    async fn connect(&self, _: &Connect) -> Result<Link, Problem> {
        let commands = CarelessCommands { feed: self.feed.clone(), subscriptions: Vec::new() };
        let deliveries = self.deliveries.lock().unwrap().take().unwrap();
        Ok(Link::new(Box::new(commands), deliveries.boxed()))
    }
}

#[async_trait]
impl Commands for CarelessCommands {
    async fn subscribe(&mut self, subscribe: &Subscribe) -> Result<(), Problem> {
        self.subscriptions.push(subscribe.subscription.clone());
        Ok(())
    }

    async fn unsubscribe(&mut self, _: &Subscription) -> Result<(), Problem> {
        Ok(())
    }

    async fn send(&mut self, _: &SendFrame) -> Result<bool, Problem> {
        for (subscription, text) in self.subscriptions.iter().zip(["first", "second"]) {
            self.deliver(subscription, text);
        }
        Ok(true)
    }

    async fn acknowledge(&mut self, _: &Acknowledge) -> Result<(), Problem> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_comes_after_the_receipt_of_unsubscribe_and_the_id_may_be_used_again() {
    let (feed, deliveries) = mpsc::unbounded();
    let application = Arc::new(Careless { feed, deliveries: Mutex::new(Some(deliveries)) });
    let (mut client, incoming) = mpsc::channel::<Result<Incoming, ()>>(16);
    let (outgoing, mut written) = mpsc::channel(16);
    tokio::spawn(async move { serve(&*application, StompConfig::new(), incoming, outgoing).await });
    let follow = || frame(Command::Subscribe).with("id", "1").with("destination", "/a").with("receipt", "on");
    for frame in [
        frame(Command::Connect).with("accept-version", "1.2"),
        follow(),
        frame(Command::Unsubscribe).with("id", "1").with("receipt", "off"),
        follow(),
        frame(Command::Send).with("destination", "/a").with("receipt", "sent"),
        frame(Command::Disconnect).with("receipt", "end"),
    ] {
        client.send(Ok(Incoming::Data(frame.encode(Version::V1_2)))).await.unwrap();
        // Nothing overtakes anything: what is delivered is written before the next frame is read.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut messages = Vec::new();
    while let Some(out) = written.next().await {
        match out {
            Outgoing::Data(bytes) if bytes.starts_with(b"MESSAGE") => {
                messages.push(String::from_utf8(bytes.to_vec()).unwrap());
            }
            Outgoing::Close { .. } => break,
            _ => {}
        }
    }
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].contains("message-id:second"), "{messages:?}");
}

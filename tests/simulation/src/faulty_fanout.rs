use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, Error, Fanout, Result, Retry,
    fanout::{FanoutItem, Publication, Subscription, Topic},
    memory::MemoryFanout,
};
use futures::StreamExt;

use crate::dice::Dice;

/// A fan-out that loses, repeats, reorders, delays and fails, and does not always say so.
#[derive(Debug)]
pub(crate) struct FaultyFanout {
    pub(crate) bus: MemoryFanout,
    pub(crate) dice: Dice,
    /// The node is dead: nothing leaves it.
    pub(crate) dead: Arc<AtomicBool>,
}

pub(crate) fn broken(operation: &'static str) -> Error {
    Error::backend("simulation", operation, Retry::Later, "fault")
}

#[async_trait]
impl Backend for FaultyFanout {
    fn name(&self) -> &'static str {
        "faulty"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Fanout for FaultyFanout {
    async fn publish(&self, events: &[Publication]) -> Result<()> {
        if self.dead.load(Ordering::Relaxed) || self.dice.fault(4) {
            return Err(broken("publish"));
        }
        for event in events {
            if self.dice.fault(10) {
                continue;
            }
            let copies = if self.dice.fault(10) { 2 } else { 1 };
            for _ in 0..copies {
                let late = if self.dice.fault(20) { self.dice.millis(1..800) } else { Duration::ZERO };
                let (bus, event) = (self.bus.clone(), event.clone());
                if late.is_zero() {
                    bus.publish(&[event]).await?;
                } else {
                    tokio::spawn(async move {
                        tokio::time::sleep(late).await;
                        bus.publish(&[event]).await
                    });
                }
            }
        }
        Ok(())
    }

    async fn subscribe(&self, topic: &Topic) -> Result<Subscription> {
        tokio::time::sleep(self.dice.millis(0..10)).await;
        if self.dice.fault(5) {
            return Err(broken("subscribe"));
        }
        let dice = self.dice.clone();
        let items = self.bus.subscribe(topic).await?;
        let mut over = false;
        Ok(Subscription::new(items.filter_map(move |item| {
            let item = match item {
                _ if over => None,
                // Lost with a word, lost without one, or the end of the subscription.
                Ok(FanoutItem::Event(_)) if dice.fault(3) => Some(Ok(FanoutItem::Missed)),
                Ok(FanoutItem::Event(_)) if dice.fault(3) => None,
                Ok(FanoutItem::Event(_)) if dice.fault(1) => {
                    over = true;
                    Some(Err(broken("subscription")))
                }
                item => Some(item),
            };
            async move { item }
        })))
    }
}

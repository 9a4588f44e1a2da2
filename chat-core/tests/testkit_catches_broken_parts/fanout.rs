use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    Backend, Fanout, Result, RoomId,
    fanout::{FanoutItem, Publication, Subscription, Topic},
    memory::MemoryFanout,
    testkit::{FanoutHarness, FanoutInterruptionHarness, FanoutOverflowHarness, fanout as cases},
};
use futures::{StreamExt, future, stream};
use tokio::sync::watch;

use super::{catches, panics};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    LosesSilently,
    Reorders,
    MixesTopics,
    NoMarkOfInterruption,
}

/// A memory bus that can be cut, with a fault.
#[derive(Debug, Clone)]
struct BrokenFanout {
    bus: MemoryFanout,
    /// Whether it is cut, and how often it was mended.
    carrier: watch::Sender<(bool, u64)>,
    fault: Option<Fault>,
}

impl BrokenFanout {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn topic(&self, topic: &Topic) -> Topic {
        match topic {
            Topic::User(user) if self.has(Fault::MixesTopics) => {
                Topic::Room(RoomId::new(user.as_str()).unwrap())
            }
            other => other.clone(),
        }
    }
}

#[async_trait]
impl Backend for BrokenFanout {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Fanout for BrokenFanout {
    async fn publish(&self, events: &[Publication]) -> Result<()> {
        if self.carrier.borrow().0 {
            return Ok(());
        }
        let mut events = events.to_vec();
        for event in &mut events {
            event.topic = self.topic(&event.topic);
        }
        if self.has(Fault::Reorders) {
            events.reverse();
        }
        self.bus.publish(&events).await
    }

    async fn subscribe(&self, topic: &Topic) -> Result<Subscription> {
        let silent = self.has(Fault::LosesSilently);
        let events = self.bus.subscribe(&self.topic(topic)).await?;
        let events =
            events.filter(move |item| future::ready(!(silent && matches!(item, Ok(FanoutItem::Missed)))));
        if self.has(Fault::NoMarkOfInterruption) {
            return Ok(Subscription::new(events));
        }
        let carrier = self.carrier.subscribe();
        let mended = carrier.borrow().1;
        let marks = stream::unfold((carrier, mended), |(mut carrier, before)| async move {
            let now = carrier.wait_for(|(cut, mended)| !*cut && *mended > before).await.ok()?.1;
            Some((Ok(FanoutItem::Missed), (carrier, now)))
        });
        Ok(Subscription::new(stream::select(Box::pin(events), Box::pin(marks))))
    }
}

struct Broken {
    fault: Option<Fault>,
    carrier: watch::Sender<(bool, u64)>,
}

impl Broken {
    fn new(fault: Option<Fault>) -> Self {
        Self { fault, carrier: watch::Sender::new((false, 0)) }
    }
}

#[async_trait]
impl FanoutHarness for Broken {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Fanout>> {
        let (bus, carrier) = (MemoryFanout::with_buffer(128), self.carrier.clone());
        let fanout = BrokenFanout { bus, carrier, fault: self.fault };
        (0..count).map(|_| Arc::new(fanout.clone()) as Arc<dyn Fanout>).collect()
    }
}

#[async_trait]
impl FanoutOverflowHarness for Broken {
    fn overflow(&self) -> usize {
        300
    }
}

#[async_trait]
impl FanoutInterruptionHarness for Broken {
    async fn cut(&self) {
        self.carrier.send_modify(|(cut, _)| *cut = true);
    }

    async fn mend(&self) {
        self.carrier.send_modify(|(cut, mended)| (*cut, *mended) = (false, *mended + 1));
    }
}

/// Sound except for what a fault adds.
mod sound {
    use super::Broken;

    chat_core::fanout_interruption_tests!(Broken::new(None));
    chat_core::fanout_overflow_tests!(Broken::new(None));
}

catches! {
    loss_without_a_mark: Broken, Fault::LosesSilently, cases::overflow::every_gap_is_marked;
    a_batch_out_of_order: Broken, Fault::Reorders, cases::delivery::events_of_one_call_arrive_in_order;
    a_user_mixed_up_with_a_room:
        Broken, Fault::MixesTopics, cases::delivery::a_room_and_a_user_of_the_same_name_are_two_topics;
    an_interruption_without_a_mark:
        Broken, Fault::NoMarkOfInterruption, cases::interruption::a_quiet_subscription_is_told_of_the_interruption_too;
}

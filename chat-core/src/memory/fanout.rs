use std::fmt;

use async_trait::async_trait;

use crate::{
    Backend, Fanout, Result,
    fanout::{Publication, Subscription, Topic, Topics},
};

/// [`Fanout`] in memory: a bus within one process. Nodes that hold clones of it share it.
///
/// Each subscription buffers up to [`MemoryFanout::DEFAULT_BUFFER`] events unless another bound is set; see [`Topics`].
#[derive(Clone)]
pub struct MemoryFanout {
    topics: Topics,
}

impl MemoryFanout {
    /// How many events wait for one subscriber unless another bound is set.
    pub const DEFAULT_BUFFER: usize = Topics::DEFAULT_BUFFER;

    /// A bus without subscribers.
    #[must_use]
    pub fn new() -> Self {
        Self::with_buffer(Self::DEFAULT_BUFFER)
    }

    /// A bus on which up to `events` (at least one) wait for each subscriber.
    #[must_use]
    pub fn with_buffer(events: usize) -> Self {
        Self { topics: Topics::new(events) }
    }

    /// How many topics have a subscriber now.
    #[must_use]
    pub fn topics(&self) -> usize {
        self.topics.len()
    }
}

impl Default for MemoryFanout {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryFanout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFanout")
            .field("buffer", &self.topics.buffer())
            .field("topics", &self.topics())
            .finish()
    }
}

#[async_trait]
impl Backend for MemoryFanout {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Fanout for MemoryFanout {
    async fn publish(&self, events: &[Publication]) -> Result<()> {
        self.topics.deliver_all(events.iter().map(|publication| (&publication.topic, &publication.event)));
        Ok(())
    }

    async fn subscribe(&self, topic: &Topic) -> Result<Subscription> {
        Ok(self.topics.subscribe(topic))
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;
    use crate::{
        RoomId, UserId,
        fanout::{FanoutEvent, FanoutItem},
    };

    fn room(name: &str) -> RoomId {
        RoomId::new(name).unwrap()
    }

    fn topic(name: &str) -> Topic {
        Topic::Room(room(name))
    }

    /// An event that carries a number.
    fn numbered(name: &str, number: usize) -> Publication {
        let user = UserId::new(&number.to_string()).unwrap();
        Publication::new(topic(name), FanoutEvent::Typing { room: room(name), user, active: true })
    }

    /// What waits: the events' numbers, and `None` for a loss.
    fn waiting(subscription: &mut Subscription) -> Vec<Option<usize>> {
        let mut seen = Vec::new();
        while let Some(Some(item)) = subscription.next().now_or_never() {
            seen.push(match item.unwrap() {
                FanoutItem::Event(event) => match &*event {
                    FanoutEvent::Typing { user, .. } => Some(user.as_str().parse().unwrap()),
                    other => panic!("{other:?}"),
                },
                FanoutItem::Missed => None,
            });
        }
        seen
    }

    #[tokio::test]
    async fn every_node_with_a_clone_gets_the_events_of_its_topics_in_order() {
        let here = MemoryFanout::new();
        let there = here.clone();
        let mut a = here.subscribe(&topic("a")).await.unwrap();
        let mut also_a = there.subscribe(&topic("a")).await.unwrap();
        let mut b = there.subscribe(&topic("b")).await.unwrap();
        here.publish(&[numbered("a", 1), numbered("b", 2), numbered("a", 3)]).await.unwrap();
        there.publish(&[numbered("a", 4)]).await.unwrap();
        assert_eq!(waiting(&mut a), [Some(1), Some(3), Some(4)]);
        assert_eq!(waiting(&mut also_a), [Some(1), Some(3), Some(4)]);
        assert_eq!(waiting(&mut b), [Some(2)]);
    }

    #[tokio::test]
    async fn what_overflows_shows_as_one_missed_in_its_place() {
        let fanout = MemoryFanout::with_buffer(3);
        let mut slow = fanout.subscribe(&topic("a")).await.unwrap();
        let mut quick = fanout.subscribe(&topic("a")).await.unwrap();
        for number in 0..6 {
            fanout.publish(&[numbered("a", number)]).await.unwrap();
            assert_eq!(waiting(&mut quick), [Some(number)]);
        }
        assert_eq!(waiting(&mut slow), [Some(0), Some(1), Some(2), None]);
        fanout.publish(&[numbered("a", 6)]).await.unwrap();
        assert_eq!(waiting(&mut slow), [Some(6)]);
    }

    #[tokio::test]
    async fn a_reader_that_lags_for_good_never_holds_more_than_its_buffer() {
        let fanout = MemoryFanout::with_buffer(4);
        let mut slow = fanout.subscribe(&topic("a")).await.unwrap();
        let mut last = None;
        for number in 0..1_000 {
            fanout.publish(&[numbered("a", number)]).await.unwrap();
            if number % 3 == 0
                && let Some(Some(Ok(FanoutItem::Missed))) = slow.next().now_or_never()
            {
                assert_ne!(last, Some(number), "two marks of one loss");
                last = Some(number);
            }
        }
        assert!(last.is_some());
        let rest = waiting(&mut slow);
        assert!(rest.len() <= 5, "{rest:?}");
        assert!(!rest.windows(2).any(|pair| pair == [None, None]), "{rest:?}");
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let fanout = MemoryFanout::new();
        let mut subscription = fanout.subscribe(&topic("a")).await.unwrap();
        let reader = tokio::spawn(async move { subscription.next().await });
        tokio::task::yield_now().await;
        fanout.publish(&[numbered("a", 1)]).await.unwrap();
        assert!(matches!(reader.await.unwrap(), Some(Ok(FanoutItem::Event(_)))));
    }

    #[tokio::test]
    async fn dropping_a_subscription_leaves_nothing_behind() {
        let fanout = MemoryFanout::new();
        let mut subscriptions = Vec::new();
        for number in 0..10_000 {
            subscriptions.push(fanout.subscribe(&topic(&number.to_string())).await.unwrap());
        }
        let second = fanout.subscribe(&topic("7")).await.unwrap();
        assert_eq!(fanout.topics(), 10_000);
        drop(subscriptions);
        assert_eq!(fanout.topics(), 1);
        drop(second);
        assert_eq!(fanout.topics(), 0);
        fanout.publish(&[numbered("7", 1)]).await.unwrap();
    }
}

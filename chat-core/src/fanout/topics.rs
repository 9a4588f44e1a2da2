//! The subscriptions of one node, and what waits for each.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures::Stream;

use super::{FanoutEvent, FanoutItem, Subscription, Topic};
use crate::{Error, Result, error::SharedError};

/// Buffers up to this size are kept when they run empty.
const KEPT_CAPACITY: usize = 16;

/// Whether anybody on this node wants a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// It has its first subscriber.
    Begins,
    /// It has lost its last subscriber.
    Ends,
}

/// Hands events out to the subscribers within one node: what every [`Fanout`](super::Fanout) needs behind its carrier.
///
/// Each subscription buffers up to a bound. Memory is taken as events wait and given back once they were taken, so idle
/// subscriptions are cheap. When a buffer is full, newer events are dropped and one [`FanoutItem::Missed`] stands in
/// their place, before anything later. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Topics {
    shared: Arc<Shared>,
}

struct Shared {
    buffer: usize,
    watch: Option<Watch>,
    table: Mutex<Table>,
}

type Watch = Box<dyn Fn(&Topic, Interest) + Send + Sync>;

#[derive(Default)]
struct Table {
    next: u64,
    /// By number, so that subscribers are woken in the order they came. No topic is without a subscriber.
    subscribers: HashMap<Topic, BTreeMap<u64, Arc<Mutex<Inbox>>>>,
    ended: Option<SharedError>,
}

/// What waits for one subscriber.
#[derive(Default)]
struct Inbox {
    /// At most as many events as the buffer holds, and a mark of loss at the end.
    items: VecDeque<FanoutItem>,
    end: End,
    waker: Option<Waker>,
}

#[derive(Default)]
enum End {
    #[default]
    Open,
    /// After what waits still comes this.
    Coming(SharedError),
    Told,
}

impl Topics {
    /// How many events wait for one subscriber unless another bound is set.
    pub const DEFAULT_BUFFER: usize = 1_024;

    /// No subscribers yet. Up to `buffer` events (at least one) wait for each.
    #[must_use]
    pub fn new(buffer: usize) -> Self {
        Self::with(buffer, None)
    }

    /// As [`new`](Self::new), and `watch` is told when a topic gets its first subscriber and when it loses its last one,
    /// in the order in which that happens. It is called under a lock: it takes note and returns, and calls nothing of
    /// this.
    #[must_use]
    pub fn watched(buffer: usize, watch: impl Fn(&Topic, Interest) + Send + Sync + 'static) -> Self {
        Self::with(buffer, Some(Box::new(watch)))
    }

    fn with(buffer: usize, watch: Option<Watch>) -> Self {
        Self { shared: Arc::new(Shared { buffer: buffer.max(1), watch, table: Mutex::default() }) }
    }

    /// Subscribes: every event delivered from now on waits for the subscriber or is covered by a mark of loss. After
    /// [`end_all`](Self::end_all) the subscription's only item is that error.
    #[must_use]
    pub fn subscribe(&self, topic: &Topic) -> Subscription {
        let mut table = lock(&self.shared.table);
        let end = table.ended.clone().map_or(End::Open, End::Coming);
        let inbox = Arc::new(Mutex::new(Inbox { end, ..Inbox::default() }));
        let number = table.next;
        table.next += 1;
        let subscribers = table.subscribers.entry(topic.clone()).or_default();
        subscribers.insert(number, Arc::clone(&inbox));
        if subscribers.len() == 1 {
            self.shared.tell(topic, Interest::Begins);
        }
        drop(table);
        let shared = Arc::clone(&self.shared);
        Subscription::new(Subscriber { shared, topic: topic.clone(), number, inbox })
    }

    /// An event for every subscriber of the topic.
    pub fn deliver(&self, topic: &Topic, event: &Arc<FanoutEvent>) {
        self.deliver_all([(topic, event)]);
    }

    /// Several events, in this order, in one step.
    pub fn deliver_all<'e>(&self, events: impl IntoIterator<Item = (&'e Topic, &'e Arc<FanoutEvent>)>) {
        self.shared.step(|table, wakers| {
            for (topic, event) in events {
                for inbox in table.subscribers.get(topic).into_iter().flat_map(BTreeMap::values) {
                    let item = FanoutItem::Event(Arc::clone(event));
                    wakers.extend(lock(inbox).push(item, self.shared.buffer));
                }
            }
        });
    }

    /// Every subscriber of the topic may have missed events.
    pub fn missed(&self, topic: &Topic) {
        self.shared.step(|table, wakers| {
            for inbox in table.subscribers.get(topic).into_iter().flat_map(BTreeMap::values) {
                wakers.extend(lock(inbox).push(FanoutItem::Missed, self.shared.buffer));
            }
        });
    }

    /// Every subscriber of every topic may have missed events.
    pub fn missed_all(&self) {
        self.missed_where(|_| true);
    }

    /// Every subscriber of these topics may have missed events.
    pub fn missed_where(&self, mut of: impl FnMut(&Topic) -> bool) {
        self.shared.step(|table, wakers| {
            for inbox in table.inboxes(&mut of) {
                wakers.extend(lock(inbox).push(FanoutItem::Missed, self.shared.buffer));
            }
        });
    }

    /// The carrier is gone for good: after what waits for it, every subscription yields this error and ends; so does
    /// every later one.
    pub fn end_all(&self, error: Error) {
        self.shared.step(|table, wakers| {
            let error = table.ended.get_or_insert_with(|| SharedError::new(error)).clone();
            for inbox in table.inboxes(|_| true) {
                let mut inbox = lock(inbox);
                if matches!(inbox.end, End::Open) {
                    inbox.end = End::Coming(error.clone());
                    wakers.extend(inbox.waker.take());
                }
            }
        });
    }

    /// Whether anybody subscribes to the topic now.
    #[must_use]
    pub fn contains(&self, topic: &Topic) -> bool {
        lock(&self.shared.table).subscribers.contains_key(topic)
    }

    /// How many topics have a subscriber now.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.shared.table).subscribers.len()
    }

    /// Whether nobody subscribes to anything now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many events may wait for one subscriber.
    #[must_use]
    pub fn buffer(&self) -> usize {
        self.shared.buffer
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").field("buffer", &self.buffer()).field("topics", &self.len()).finish()
    }
}

impl Shared {
    fn tell(&self, topic: &Topic, interest: Interest) {
        if let Some(watch) = &self.watch {
            watch(topic, interest);
        }
    }

    /// One step under the lock. A waker is foreign code, so it runs without our locks.
    fn step(&self, step: impl FnOnce(&mut Table, &mut Vec<Waker>)) {
        let mut wakers = Vec::new();
        step(&mut lock(&self.table), &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Table {
    /// In the order they came: that of the map differs from run to run.
    fn inboxes(&self, mut of: impl FnMut(&Topic) -> bool) -> impl Iterator<Item = &Arc<Mutex<Inbox>>> {
        let inboxes: BTreeMap<_, _> =
            self.subscribers.iter().filter(|(topic, _)| of(topic)).flat_map(|(_, inboxes)| inboxes).collect();
        inboxes.into_values()
    }
}

impl Inbox {
    /// Adds an event, or the mark of its loss.
    fn push(&mut self, item: FanoutItem, buffer: usize) -> Option<Waker> {
        if !matches!(self.end, End::Open) {
            return None;
        }
        let fits = self.items.len() < buffer && matches!(item, FanoutItem::Event(_));
        if fits {
            self.items.push_back(item);
        } else if !matches!(self.items.back(), Some(FanoutItem::Missed)) {
            self.items.push_back(FanoutItem::Missed);
        }
        self.waker.take()
    }

    fn pop(&mut self) -> Option<FanoutItem> {
        let item = self.items.pop_front();
        if self.items.is_empty() && self.items.capacity() > KEPT_CAPACITY {
            self.items = VecDeque::new();
        }
        item
    }
}

/// The stream behind a subscription.
struct Subscriber {
    shared: Arc<Shared>,
    topic: Topic,
    number: u64,
    inbox: Arc<Mutex<Inbox>>,
}

impl Stream for Subscriber {
    type Item = Result<FanoutItem>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut inbox = lock(&self.inbox);
        if let Some(item) = inbox.pop() {
            return Poll::Ready(Some(Ok(item)));
        }
        match &inbox.end {
            End::Open => {}
            End::Coming(error) => {
                let error = error.to_error();
                inbox.end = End::Told;
                return Poll::Ready(Some(Err(error)));
            }
            End::Told => return Poll::Ready(None),
        }
        match &mut inbox.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let mut table = lock(&self.shared.table);
        if let Some(subscribers) = table.subscribers.get_mut(&self.topic) {
            subscribers.remove(&self.number);
            if subscribers.is_empty() {
                table.subscribers.remove(&self.topic);
                self.shared.tell(&self.topic, Interest::Ends);
            }
        }
    }
}

/// Every step leaves the state whole, so a panic elsewhere takes nothing from it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

//! The thread that takes records off.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc::Receiver},
    time::Duration,
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError as Cause,
    message::{BorrowedMessage, Message as _},
    types::RDKafkaErrorCode as Code,
};

use super::{
    Shared, Sink,
    context::Context,
    places::{Held, Place},
};
use crate::{KafkaError, KafkaErrorKind, forsaken::close_aside};

/// How long it waits for a record before it looks for orders.
const POLL: Duration = Duration::from_millis(50);

/// How many records are taken before it looks for orders and the sink passes on what it has gathered.
const BURST: usize = 512;

/// A consumer of its own for each beginning: what librdkafka 2.12 was assigned once must not be taken from it and assigned again, which
/// ends the process where it happens twice within a moment.
pub(super) type TailConsumer = Arc<BaseConsumer<Context>>;

/// What the watcher has found out. Only the reader changes positions, so that none is changed under a record in its hand.
pub(super) enum Order {
    /// Read these with this consumer, each from this offset.
    Begin(TailConsumer, BTreeMap<Place, i64>),
    /// Read these as well, each from where it was or from its beginning.
    Add(BTreeMap<Place, Held>),
    /// Something may be lacking or late.
    Missed,
    /// Something is lacking: go on with this consumer where that is possible, and forget what is not named. What a partition holds is
    /// not known of each: the others are [added](Self::Add) later.
    Restart(TailConsumer, BTreeMap<Place, Option<Held>>),
}

pub(super) struct Reader<S> {
    shared: Arc<Shared>,
    /// None until it is known where to begin.
    consumer: Option<TailConsumer>,
    orders: Receiver<Order>,
    sink: S,
    /// The next offset of each partition, also of those that are to be added again.
    positions: BTreeMap<Place, i64>,
}

impl<S: Sink> Reader<S> {
    pub(super) fn new(shared: Arc<Shared>, orders: Receiver<Order>, sink: S) -> Self {
        Self { shared, consumer: None, orders, sink, positions: BTreeMap::new() }
    }

    /// Reads until it is closed. Whoever listens is told here when that is because a thread died, as the sink is nobody else's.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        shared.guard("reads", || self.read());
        if let Some(why) = shared.death() {
            self.sink.died(&why);
        }
    }

    fn read(&mut self) {
        while !self.shared.bell.is_closed() {
            while let Ok(order) = self.orders.try_recv() {
                self.obey(order);
            }
            let Some(consumer) = self.consumer.clone() else {
                // Its end is told by the bell.
                if let Ok(order) = self.orders.recv_timeout(POLL) {
                    self.obey(order);
                }
                continue;
            };
            let mut next = consumer.poll(POLL);
            if next.is_none() {
                continue;
            }
            let mut left = BURST;
            while let Some(record) = next {
                self.take(record);
                left -= 1;
                next = if left > 0 { consumer.poll(Duration::ZERO) } else { None };
            }
            self.shared.positions().clone_from(&self.positions);
            self.sink.flush();
        }
    }

    fn take(&mut self, record: Result<BorrowedMessage<'_>, Cause>) {
        let record = match record {
            Ok(record) => record,
            Err(error) => return self.trouble(error),
        };
        let Some(topic) = self.shared.topics.iter().position(|topic| topic == record.topic()) else { return };
        let place = Place { topic, partition: record.partition() };
        // After a restart what was read before may come again.
        let Some(position) = self.positions.get_mut(&place).filter(|next| **next <= record.offset()) else {
            return;
        };
        *position = record.offset() + 1;
        self.sink.record(&record);
    }

    fn trouble(&self, error: Cause) {
        // Nobody joins the group, so nobody needs leave for it.
        if error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed) {
            return;
        }
        tracing::debug!(%error, "reading met an error");
        let error = KafkaError::from(error);
        match error.kind() {
            KafkaErrorKind::OffsetLost => self.shared.bell.lost(),
            // It comes back by itself, and the watcher sees whether something was late.
            KafkaErrorKind::Connection | KafkaErrorKind::Timeout | KafkaErrorKind::Unavailable => {}
            _ => self.shared.bell.disturbed(),
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Begin(consumer, places) => {
                self.positions.clone_from(&places);
                self.take_up(consumer, &places);
            }
            Order::Add(held) => {
                let places = self.resume(held);
                let list = self.list(&places);
                let done = self.consumer.as_ref().map(|consumer| consumer.incremental_assign(&list));
                self.check(done.unwrap_or(Ok(())));
            }
            Order::Missed => self.sink.missed(),
            Order::Restart(consumer, held) => {
                self.positions.retain(|place, _| held.contains_key(place));
                let held = held.into_iter().filter_map(|(place, held)| Some((place, held?)));
                let places = self.resume(held.collect());
                self.take_up(consumer, &places);
                self.sink.missed();
            }
        }
        self.shared.positions().clone_from(&self.positions);
    }

    /// Where to go on in each of these.
    fn resume(&mut self, held: BTreeMap<Place, Held>) -> BTreeMap<Place, i64> {
        let resume = |(place, held): (Place, Held)| {
            // One that is new is read from its beginning.
            let position = self.positions.entry(place).or_insert(0);
            *position = held.resume(*position);
            (place, *position)
        };
        held.into_iter().map(resume).collect()
    }

    /// Reads these with this consumer from now on.
    fn take_up(&mut self, consumer: TailConsumer, places: &BTreeMap<Place, i64>) {
        let done = consumer.assign(&self.list(places));
        if let Some(old) = self.consumer.replace(consumer) {
            close_aside(old);
        }
        self.check(done);
    }

    fn list(&self, places: &BTreeMap<Place, i64>) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (place, offset) in places {
            let added = self
                .shared
                .topics
                .get(place.topic)
                .map(|topic| list.add_partition_offset(topic, place.partition, Offset::Offset(*offset)));
            debug_assert!(matches!(added, Some(Ok(()))), "an offset that cannot be said");
        }
        list
    }

    /// An assignment fails when the client is fatally broken or this list is not to be had; then all is assigned anew.
    fn check(&self, done: Result<(), Cause>) {
        if let Err(error) = done {
            tracing::warn!(%error, "partitions could not be assigned");
            self.shared.bell.lost();
        }
    }
}

//! The thread that asks the cluster whether all is as it should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc::SyncSender},
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError as Cause,
    types::RDKafkaErrorCode as Code,
};

use super::{
    Shared, State,
    context::Context,
    places::{Behind, Held, Place},
    reader::Order,
};
use crate::KafkaError;

/// After a question that had no answer.
const PAUSE: Duration = Duration::from_millis(200);

/// How long an answer may take at least: a broker that waits for records answers nothing else on that connection, by default
/// for half a second.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);

const MISSED: &str = "chat_kafka_tail_missed_total";
const LAG: &str = "chat_kafka_tail_lag_records";

pub(super) struct Watcher {
    shared: Arc<Shared>,
    consumer: Arc<BaseConsumer<Context>>,
    orders: SyncSender<Order>,
    /// The partitions that are read.
    known: BTreeSet<Place>,
    behind: Behind,
    /// What is to be told as soon as the cluster answers again.
    disturbed: bool,
    lost: bool,
}

impl Watcher {
    pub(super) fn new(
        shared: Arc<Shared>,
        consumer: Arc<BaseConsumer<Context>>,
        orders: SyncSender<Order>,
    ) -> Self {
        Self {
            shared,
            consumer,
            orders,
            known: BTreeSet::new(),
            behind: Behind::default(),
            disturbed: false,
            lost: false,
        }
    }

    pub(super) fn run(mut self) {
        while let Err(error) = self.begin() {
            self.shared.is_in(State::Starting(Some(error)));
            self.shared.bell.pause(PAUSE);
            if self.shared.bell.is_closed() {
                return;
            }
        }
        self.shared.is_in(State::Live);
        while let Some(alarm) = self.shared.bell.wait(self.shared.settings.refresh) {
            self.disturbed |= alarm.disturbed;
            self.lost |= alarm.lost;
            while let Err(error) = self.look() {
                tracing::debug!(%error, "the topics cannot be looked at");
                self.shared.is_in(State::Troubled(error));
                self.disturbed = true;
                self.shared.bell.pause(PAUSE);
                if self.shared.bell.is_closed() {
                    return;
                }
            }
            self.shared.is_in(State::Live);
        }
    }

    /// Has everything read from where it ends now.
    fn begin(&mut self) -> Result<(), KafkaError> {
        let places = self.partitions()?;
        let ends = self.ends(&places)?;
        self.known = places;
        self.order(Order::Add(ends));
        Ok(())
    }

    fn look(&mut self) -> Result<(), KafkaError> {
        let places = self.partitions()?;
        // One that has just been made may have no leader yet.
        let settled: BTreeSet<Place> = places.intersection(&self.known).copied().collect();
        let new: BTreeMap<Place, i64> = places.difference(&self.known).map(|place| (*place, 0)).collect();
        if !new.is_empty() {
            tracing::info!(partitions = new.len(), "new partitions are read from their beginning");
            self.known.extend(new.keys());
            self.order(Order::Add(new));
        }
        // A topic never gets fewer: it was made anew.
        self.lost |= self.known.len() > places.len();
        let positions = self.shared.positions().clone();
        let ends = self.ends(&settled)?;
        self.lost |= ends.iter().any(|(place, end)| positions.get(place).is_some_and(|next| next > end));
        if self.lost {
            self.restart(&places)?;
        } else {
            let late = self.behind.note(&positions, &ends, self.shared.settings.stall, Instant::now());
            if late {
                tracing::warn!("records wait for longer than they should");
            }
            if late || self.disturbed {
                metrics::counter!(MISSED).increment(1);
                self.order(Order::Missed);
            }
        }
        (self.lost, self.disturbed) = (false, false);
        self.tell_lag(&ends);
        Ok(())
    }

    fn restart(&mut self, places: &BTreeSet<Place>) -> Result<(), KafkaError> {
        let positions = self.shared.positions().clone();
        let mut held = BTreeMap::new();
        for place in places {
            let bounds =
                self.consumer.fetch_watermarks(self.topic(*place), place.partition, self.patience())?;
            held.insert(*place, Held::new(bounds, positions.get(place).copied().unwrap_or(0)));
        }
        tracing::warn!("records that were to be read are gone; reading goes on behind them");
        metrics::counter!(MISSED).increment(1);
        self.known.clone_from(places);
        self.behind = Behind::default();
        self.order(Order::Restart(held));
        Ok(())
    }

    /// The partitions that there are now.
    fn partitions(&self) -> Result<BTreeSet<Place>, KafkaError> {
        let mut places = BTreeSet::new();
        for (topic, name) in self.shared.topics.iter().enumerate() {
            let metadata = self.consumer.fetch_metadata(Some(name), self.patience())?;
            let found = metadata.topics().iter().find(|found| found.name() == name);
            if let Some(error) = found.and_then(|found| found.error()) {
                return Err(Cause::MetadataFetch(error.into()).into());
            }
            let found = found.filter(|found| !found.partitions().is_empty());
            let Some(found) = found else { return Err(Cause::MetadataFetch(Code::UnknownTopic).into()) };
            places.extend(found.partitions().iter().map(|found| Place { topic, partition: found.id() }));
        }
        Ok(places)
    }

    /// The offset of the next record of each, by one question to each broker.
    fn ends(&self, places: &BTreeSet<Place>) -> Result<BTreeMap<Place, i64>, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(places.len());
        for place in places {
            list.add_partition_offset(self.topic(*place), place.partition, Offset::End)?;
        }
        let list = self.consumer.offsets_for_times(list, self.patience())?;
        let mut ends = BTreeMap::new();
        for found in list.elements() {
            found.error()?;
            let topic = self.shared.topics.iter().position(|topic| topic == found.topic());
            if let (Some(topic), Offset::Offset(end)) = (topic, found.offset()) {
                ends.insert(Place { topic, partition: found.partition() }, end);
            }
        }
        if ends.len() < places.len() {
            return Err(Cause::OffsetFetch(Code::NoOffset).into());
        }
        Ok(ends)
    }

    fn topic(&self, place: Place) -> &str {
        self.shared.topics.get(place.topic).map_or("", String::as_str)
    }

    fn patience(&self) -> Duration {
        self.shared.settings.refresh.max(LEAST_PATIENCE)
    }

    /// Without a reader nobody needs it.
    fn order(&self, order: Order) {
        drop(self.orders.send(order));
    }

    fn tell_lag(&self, ends: &BTreeMap<Place, i64>) {
        let positions = self.shared.positions().clone();
        for (topic, name) in self.shared.topics.iter().enumerate() {
            let ends = ends.iter().filter(|(place, _)| place.topic == topic);
            let lag: i64 = ends.map(|(place, end)| (end - positions.get(place).unwrap_or(end)).max(0)).sum();
            #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
            metrics::gauge!(LAG, "topic" => name.clone()).set(lag as f64);
        }
    }
}

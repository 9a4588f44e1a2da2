//! The thread that asks the cluster whether all is as it should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc::SyncSender},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList, consumer::Consumer as _, error::KafkaError as Cause,
    types::RDKafkaErrorCode as Code,
};

use super::{
    Shared, State,
    context::Context,
    places::{Behind, Held, Place},
    reader::{Order, TailConsumer},
};
use crate::{
    KafkaError,
    forsaken::{close_aside, hear},
};

/// After a question that had no answer.
const PAUSE: Duration = Duration::from_millis(200);

/// How long an answer may take at least: a broker that waits for records answers nothing else on that connection, by default
/// for half a second.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);

const MISSED: &str = "chat_kafka_tail_missed_total";
const LAG: &str = "chat_kafka_tail_lag_records";

pub(super) struct Watcher {
    shared: Arc<Shared>,
    config: ClientConfig,
    consumer: TailConsumer,
    /// The reader has this consumer, and nobody else reads with it.
    is_read: bool,
    orders: SyncSender<Order>,
    /// The partitions that are read.
    known: BTreeSet<Place>,
    behind: Behind,
    /// What is to be told as soon as the cluster answers again.
    disturbed: bool,
    lost: bool,
}

impl Watcher {
    /// # Errors
    /// A setting that librdkafka does not take.
    pub(super) fn new(
        shared: Arc<Shared>,
        config: ClientConfig,
        orders: SyncSender<Order>,
    ) -> Result<Self, KafkaError> {
        let consumer = open(&shared, &config)?;
        Ok(Self {
            shared,
            config,
            consumer,
            is_read: false,
            orders,
            known: BTreeSet::new(),
            behind: Behind::default(),
            disturbed: false,
            lost: false,
        })
    }

    pub(super) fn run(mut self) {
        while let Err(error) = self.begin() {
            hear(&self.consumer);
            let error = self.consumer.context().denial.behind(error);
            self.shared.is_in(State::Starting(Some(error)));
            self.shared.bell.pause(PAUSE);
            if self.shared.bell.is_closed() {
                return;
            }
        }
        self.live();
        while let Some(alarm) = self.shared.bell.wait(self.shared.settings.refresh) {
            self.disturbed |= alarm.disturbed;
            self.lost |= alarm.lost;
            while let Err(error) = self.look() {
                let error = self.consumer.context().denial.behind(error);
                tracing::debug!(%error, "the topics cannot be looked at");
                self.shared.is_in(State::Troubled(error));
                self.disturbed = true;
                self.shared.bell.pause(PAUSE);
                if self.shared.bell.is_closed() {
                    return;
                }
            }
            self.live();
        }
    }

    fn live(&self) {
        self.consumer.context().denial.is_over();
        self.shared.is_in(State::Live);
    }

    /// Has everything read from where it ends now.
    fn begin(&mut self) -> Result<(), KafkaError> {
        self.renew_if_forsaken()?;
        let places = self.partitions()?;
        let ends = self.ends(&places)?;
        self.known = places;
        self.order(Order::Begin(Arc::clone(&self.consumer), ends));
        (self.is_read, self.lost) = (true, false);
        Ok(())
    }

    /// A consumer that knows no broker any more is of no use to anybody.
    fn renew_if_forsaken(&mut self) -> Result<(), KafkaError> {
        if !self.is_read {
            hear(&self.consumer);
        }
        if self.consumer.context().forsaken.is() {
            tracing::info!("a consumer that knows no broker any more is made anew");
            self.renew()?;
            self.lost = true;
        }
        Ok(())
    }

    fn renew(&mut self) -> Result<(), KafkaError> {
        let old = std::mem::replace(&mut self.consumer, open(&self.shared, &self.config)?);
        if !std::mem::take(&mut self.is_read) {
            close_aside(old);
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), KafkaError> {
        self.renew_if_forsaken()?;
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
        if self.is_read {
            self.renew()?;
        }
        let positions = self.shared.positions().clone();
        let mut held = BTreeMap::new();
        for place in places {
            let bounds =
                self.consumer.fetch_watermarks(self.topic(*place), place.partition, self.patience())?;
            held.insert(*place, Held::new(bounds, positions.get(place).copied().unwrap_or(0)));
        }
        tracing::warn!("reading begins anew where it was, or behind records that are gone");
        metrics::counter!(MISSED).increment(1);
        self.known.clone_from(places);
        self.behind = Behind::default();
        self.order(Order::Restart(Arc::clone(&self.consumer), held));
        self.is_read = true;
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

fn open(shared: &Shared, config: &ClientConfig) -> Result<TailConsumer, KafkaError> {
    Ok(Arc::new(config.create_with_context(Context::new(Arc::clone(&shared.bell)))?))
}

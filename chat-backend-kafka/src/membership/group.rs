//! The thread that is a member of the consumer group.
//!
//! A thread, because librdkafka calls back in the middle of reading when partitions go to another member, and goes on only
//! when that returns: there the work on them has to end, and what is done has to be committed.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel as Level,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
    error::KafkaError as Cause,
    message::Message as _,
};
use serde::Deserialize;
use tokio::runtime::Handle;

use super::{
    Shared,
    partition::{Given, Partition},
    work::Work,
};
use crate::{
    KafkaError, KafkaErrorKind, client_log,
    forsaken::{Broker, Forsaken, close_aside},
};

/// How long it waits for a record before it looks what else is to be done.
const POLL: Duration = Duration::from_millis(50);

/// How often what is done is committed.
const COMMIT: Duration = Duration::from_millis(250);

/// After the client has failed for good, before it is made anew.
const PAUSE: Duration = Duration::from_secs(1);

const LAG: &str = "chat_kafka_membership_lag_records";

pub(super) struct Group {
    pub(super) client: ClientConfig,
    pub(super) topic: String,
    pub(super) work: Arc<Work>,
    pub(super) max_waiting: usize,
    pub(super) runtime: Handle,
    pub(super) shared: Arc<Shared>,
}

impl Group {
    pub(super) fn run(self) {
        while !self.shared.is_stopping() {
            if let Err(error) = self.join() {
                tracing::warn!(%error, "reading events of membership failed and begins anew");
                self.shared.failed(error);
                self.shared.pause(PAUSE);
            }
        }
    }

    /// Reads as a member until it is told to stop, or the client cannot go on.
    fn join(&self) -> Result<(), KafkaError> {
        let context = Context {
            topic: self.topic.clone(),
            patience: self.work.attempt_timeout(),
            partitions: Mutex::default(),
            forsaken: Forsaken::default(),
        };
        let consumer: BaseConsumer<Context> = self.client.create_with_context(context)?;
        consumer.subscribe(&[&self.topic])?;
        // What is under way is ended in order, whatever went wrong.
        let read = catch_unwind(AssertUnwindSafe(|| self.read(&consumer)));
        let read = read.unwrap_or_else(|_| Err(KafkaError::new(KafkaErrorKind::Fatal, "reading panicked")));
        consumer.context().leave(&consumer, None);
        // Dropping it leaves the group, so that nobody waits until it is missed. One that knows no broker can only be missed.
        if consumer.context().forsaken.is() {
            close_aside(consumer);
        }
        read
    }

    fn read(&self, consumer: &BaseConsumer<Context>) -> Result<(), KafkaError> {
        let mut committed = Instant::now();
        while !self.shared.is_stopping() {
            if consumer.context().forsaken.is() {
                return Err(KafkaError::new(KafkaErrorKind::Connection, "the consumer knows no broker"));
            }
            match consumer.poll(POLL) {
                Some(Ok(record)) => {
                    let partition = record.partition();
                    let mut partitions = consumer.context().partitions();
                    let to = partitions.entry(partition).or_insert_with(|| {
                        Partition::start(&self.runtime, Arc::clone(&self.work), self.max_waiting)
                    });
                    let given = to.give(record.detach());
                    drop(partitions);
                    match given {
                        Given::Taken => {}
                        Given::Full => consumer.pause(&self.list([(partition, None)])?)?,
                        Given::Ended => return Err(ended()),
                    }
                }
                Some(Err(error)) => self.trouble(error)?,
                None => {}
            }
            self.give_held(consumer)?;
            if committed.elapsed() >= COMMIT {
                consumer.context().commit(consumer, CommitMode::Async);
                committed = Instant::now();
            }
        }
        Ok(())
    }

    fn give_held(&self, consumer: &BaseConsumer<Context>) -> Result<(), KafkaError> {
        let mut free = Vec::new();
        for (partition, to) in &mut *consumer.context().partitions() {
            match to.give_held() {
                Some(Given::Taken) => free.push((*partition, None)),
                Some(Given::Ended) => return Err(ended()),
                Some(Given::Full) | None => {}
            }
        }
        if !free.is_empty() {
            consumer.resume(&self.list(free)?)?;
        }
        Ok(())
    }

    fn list(
        &self,
        partitions: impl IntoIterator<Item = (i32, Option<i64>)>,
    ) -> Result<TopicPartitionList, KafkaError> {
        list(&self.topic, partitions)
    }

    /// What comes back by itself is waited for.
    fn trouble(&self, error: Cause) -> Result<(), KafkaError> {
        let error = KafkaError::from(error);
        match error.kind() {
            KafkaErrorKind::Fatal => return Err(error),
            KafkaErrorKind::Connection | KafkaErrorKind::Timeout | KafkaErrorKind::Unavailable => {
                tracing::debug!(%error, "reading events of membership met an error");
            }
            _ => {
                tracing::warn!(%error, "reading events of membership met an error");
                self.shared.failed(error);
            }
        }
        Ok(())
    }
}

fn ended() -> KafkaError {
    KafkaError::new(KafkaErrorKind::Fatal, "the task of a partition ended")
}

fn list(
    topic: &str,
    partitions: impl IntoIterator<Item = (i32, Option<i64>)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        list.add_partition_offset(topic, partition, offset.map_or(Offset::Invalid, Offset::Offset))?;
    }
    Ok(list)
}

/// The partitions that are read, also for librdkafka's calls back.
struct Context {
    topic: String,
    /// How long attempts that are under way may take when their partition goes.
    patience: Duration,
    partitions: Mutex<BTreeMap<i32, Partition>>,
    forsaken: Forsaken,
}

impl Context {
    fn partitions(&self) -> MutexGuard<'_, BTreeMap<i32, Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits what is done since the last time.
    fn commit(&self, consumer: &BaseConsumer<Self>, mode: CommitMode) {
        let mut partitions = self.partitions();
        let done = partitions.iter().filter_map(|(partition, of)| Some((*partition, of.uncommitted()?)));
        let done: Vec<_> = done.collect();
        if done.is_empty() {
            return;
        }
        match commit(consumer, &self.topic, &done, mode) {
            Ok(()) => {
                for (partition, offset) in done {
                    if let Some(of) = partitions.get_mut(&partition) {
                        of.committed(offset);
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "offsets of membership events could not be committed"),
        }
    }

    /// Ends the work on these partitions, or on all, and commits what is done.
    fn leave(&self, consumer: &BaseConsumer<Self>, gone: Option<&[i32]>) {
        let mut left = BTreeMap::new();
        let mut partitions = self.partitions();
        match gone {
            None => left.append(&mut partitions),
            Some(gone) => left.extend(gone.iter().filter_map(|gone| partitions.remove_entry(gone))),
        }
        drop(partitions);
        left.values().for_each(Partition::stop);
        let deadline = Instant::now() + self.patience;
        left.values().for_each(|partition| partition.ended(deadline));
        // Whatever was committed before: nobody waited for that.
        let done: Vec<_> =
            left.iter().filter_map(|(partition, of)| Some((*partition, of.committable()?))).collect();
        if done.is_empty() || consumer.assignment_lost() || self.forsaken.is() {
            return;
        }
        if let Err(error) = commit(consumer, &self.topic, &done, CommitMode::Sync) {
            tracing::debug!(%error, "what was done is not committed and comes again");
        }
    }
}

fn commit(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    done: &[(i32, i64)],
    mode: CommitMode,
) -> Result<(), KafkaError> {
    let done = list(topic, done.iter().map(|(partition, offset)| (*partition, Some(*offset))))?;
    Ok(consumer.commit(&done, mode)?)
}

impl ClientContext for Context {
    fn log(&self, level: Level, facility: &str, message: &str) {
        client_log::pass_on(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        // The gauge is another's by now.
        if self.forsaken.is() {
            return;
        }
        if let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) {
            #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
            metrics::gauge!(LAG).set(statistics.lag() as f64);
            // Of a commit that is not waited for nothing else tells whether it was done.
            let of_topic = statistics.topics.get(&self.topic).into_iter().flat_map(|topic| &topic.partitions);
            let mut partitions = self.partitions();
            for (partition, of) in of_topic.filter(|(_, of)| of.committed_offset >= 0) {
                let partition =
                    partition.parse().ok().and_then(|partition: i32| partitions.get_mut(&partition));
                if let Some(partition) = partition {
                    partition.confirmed(of.committed_offset);
                }
            }
            drop(partitions);
            // It is in a group, or wants to be.
            self.forsaken.note(statistics.brokers.values(), true);
        }
    }

    fn error(&self, error: Cause, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka tells of an error");
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(gone) = rebalance {
            let gone: Vec<i32> = gone.elements().iter().map(|partition| partition.partition()).collect();
            self.leave(consumer, Some(&gone));
        }
    }
}

/// As far as it matters here.
#[derive(Debug, Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
    #[serde(default)]
    topics: BTreeMap<String, TopicStatistics>,
}

#[derive(Debug, Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: BTreeMap<String, PartitionStatistics>,
}

#[derive(Debug, Deserialize)]
struct PartitionStatistics {
    /// Records behind what is committed; -1 where it is not known.
    #[serde(default)]
    consumer_lag: i64,
    /// -1001 where there is none.
    #[serde(default)]
    committed_offset: i64,
}

impl Statistics {
    fn lag(&self) -> i64 {
        let partitions = self.topics.values().flat_map(|topic| topic.partitions.values());
        partitions.map(|partition| partition.consumer_lag.max(0)).sum()
    }
}

//! Asks, beside the consumer, how far the group has come: for the lag, and for partitions that were added.
//!
//! When partitions are added to a topic, a room may go to another partition. What is in the new one must not be stored before what
//! is in the old one. So a partition that the group has never begun with is held until every node knows of it, and then until the
//! others are done as far as they go by that time. A partition counts as begun with by what is committed of it, so that is done as
//! soon as it is released, be it empty.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
};
use tokio::time::{Instant, sleep_until};

use super::{Shared, metrics};
use crate::KafkaError;

/// How often it asks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often it asks while a partition is held.
const SOON: Duration = Duration::from_millis(100);
/// How long it waits for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far a partition goes, and how far the group has come in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    low: i64,
    high: i64,
    committed: Option<i64>,
}

impl Extent {
    /// What follows what is done, or is not kept any more.
    fn at(self) -> i64 {
        self.committed.unwrap_or(self.low).max(self.low)
    }
}

/// Ends of other partitions.
type Ends = BTreeMap<i32, i64>;

/// What a held partition waits for.
#[derive(Debug)]
struct Hold {
    since: Instant,
    /// None until every node knows of the partition.
    ends: Option<Ends>,
}

/// Asks until the worker ends.
pub(super) async fn watch(shared: Arc<Shared>, consumer: Arc<BaseConsumer>, patience: Duration) {
    let mut held: BTreeMap<(i32, u64), Hold> = BTreeMap::new();
    loop {
        let began = Instant::now();
        let holds = shared.ledger().held();
        match ask(&shared, &consumer, patience).await {
            Ok(extents) => {
                tell_lag(&shared, &extents);
                release(&shared, &extents, holds, &mut held);
            }
            Err(error) => tracing::debug!(?error, "it is not known how far the workers have come"),
        }
        let next = began + if shared.ledger().held().is_empty() { INTERVAL } else { SOON };
        tokio::select! {
            () = sleep_until(next) => {}
            () = shared.assigned.notified() => {}
        }
    }
}

/// The partitions of the topic, each with its ends, and how far the group has come.
async fn ask(
    shared: &Shared,
    consumer: &Arc<BaseConsumer>,
    patience: Duration,
) -> Result<BTreeMap<i32, Extent>, KafkaError> {
    let (consumer, topic) = (Arc::clone(consumer), shared.topics.messages.clone());
    let all = !shared.ledger().held().is_empty();
    let own: Vec<_> = shared.ledger().partitions().collect();
    // The client waits for answers on its thread.
    let asked = tokio::task::spawn_blocking(move || {
        let patience = patience.min(PATIENCE);
        let partitions = if all {
            let metadata = consumer.fetch_metadata(Some(&topic), patience)?;
            let topic = metadata.topics().first();
            topic.map(|topic| topic.partitions().iter().map(|partition| partition.id()).collect())
        } else {
            Some(own)
        };
        let mut list = TopicPartitionList::new();
        for partition in partitions.unwrap_or_default() {
            list.add_partition(&topic, partition);
        }
        let mut extents = BTreeMap::new();
        if list.count() == 0 {
            return Ok(extents);
        }
        for element in consumer.committed_offsets(list, patience)?.elements() {
            element.error()?;
            let committed = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let partition = element.partition();
            let (low, high) = consumer.fetch_watermarks(&topic, partition, patience)?;
            extents.insert(partition, Extent { low, high, committed });
        }
        Ok::<_, rdkafka::error::KafkaError>(extents)
    });
    Ok(asked.await.map_err(|_| KafkaError::closed())??)
}

fn tell_lag(shared: &Shared, extents: &BTreeMap<i32, Extent>) {
    let ledger = shared.ledger();
    let own = extents.iter().filter(|(partition, _)| ledger.term(**partition).is_some());
    let lag = own.map(|(_, extent)| (extent.high - extent.at()).max(0)).sum();
    drop(ledger);
    shared.lag.store(lag, std::sync::atomic::Ordering::Relaxed);
    metrics::lag(lag);
}

/// Lets those of these partitions go on that need not wait any more. They were held before it was asked how far the group has come: what
/// another worker committed of them before is known.
fn release(
    shared: &Shared,
    extents: &BTreeMap<i32, Extent>,
    holds: Vec<(i32, u64)>,
    held: &mut BTreeMap<(i32, u64), Hold>,
) {
    let mut ledger = shared.ledger();
    held.retain(|hold, _| holds.contains(hold));
    let mut released = 0;
    for (partition, term) in holds {
        let Some(extent) = extents.get(&partition) else { continue };
        let hold =
            held.entry((partition, term)).or_insert_with(|| Hold { since: Instant::now(), ends: None });
        let others = others(partition, *extent, extents);
        if !others.is_empty() && hold.since.elapsed() < shared.config.growth_pause {
            continue;
        }
        let ends = hold.ends.get_or_insert(others);
        if ends.iter().all(|(other, end)| extents.get(other).is_some_and(|extent| extent.at() >= *end)) {
            let first = extent.committed.is_none().then_some(extent.low);
            ledger.release(partition, term, first);
            held.remove(&(partition, term));
            released += 1;
        }
    }
    drop(ledger);
    if released > 0 {
        shared.changed.notify_one();
    }
}

/// How far the partitions go that were there before this one: none, where the group has begun with it, or with no other.
fn others(partition: i32, extent: Extent, extents: &BTreeMap<i32, Extent>) -> Ends {
    if extent.committed.is_some() {
        return Ends::new();
    }
    let begun = extents.iter().filter(|(other, extent)| **other != partition && extent.committed.is_some());
    begun.map(|(other, extent)| (*other, extent.high)).collect()
}

/// Who asks: of the group, and never a member of it.
pub(super) fn client(member: &ClientConfig) -> KafkaResult<Arc<BaseConsumer>> {
    let mut client = member.clone();
    client.remove("statistics.interval.ms");
    client.create().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(low: i64, high: i64, committed: Option<i64>) -> Extent {
        Extent { low, high, committed }
    }

    #[test]
    fn a_partition_that_was_added_waits_for_those_that_were_there() {
        let new = extent(0, 3, None);
        let extents = BTreeMap::from([(0, extent(0, 10, Some(4))), (1, extent(0, 0, None)), (2, new)]);
        assert_eq!(others(2, new, &extents), Ends::from([(0, 10)]));
        assert_eq!(others(0, extents[&0], &extents), Ends::new());
        // A topic that nobody has read yet.
        let extents = BTreeMap::from([(0, extent(0, 10, None)), (1, extent(0, 5, None))]);
        assert_eq!(others(1, extents[&1], &extents), Ends::new());
    }

    #[test]
    fn what_is_not_kept_any_more_is_not_waited_for() {
        assert_eq!(extent(10, 10, Some(4)).at(), 10);
        assert_eq!(extent(0, 10, Some(4)).at(), 4);
        assert_eq!(extent(3, 10, None).at(), 3);
    }
}

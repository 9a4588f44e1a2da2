//! Asks, beside the consumer, how far the group has come: for the lag, and for partitions that were added.
//!
//! When partitions are added to a topic, a room may go to another partition. What is in the new one must not be stored before what
//! is in the old one. So a partition that the group has never begun with is held until every node knows of it, and then until the
//! others are done as far as they go by that time. A partition counts as begun with by what is committed of it, so that is done as
//! soon as it is released, be it empty.
//!
//! What the group has committed its coordinator knows; where a partition ends only its leader does. So each partition is asked about by
//! itself, and one that has no leader holds up none that the group has begun with.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use rdkafka::{ClientConfig, Offset, TopicPartitionList, consumer::Consumer as _, error::KafkaResult};
use tokio::time::{Instant, sleep_until};

use super::{Shared, metrics};
use crate::{KafkaError, forsaken::Asker};

/// How often it asks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often it asks while a partition is held.
const SOON: Duration = Duration::from_millis(100);
/// How long it waits for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// And for one of a partition that gave none the time before.
const IMPATIENCE: Duration = Duration::from_millis(200);

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

/// How far the group has come in each partition of which that is known; `None` in one that it has not begun with.
type Committed = BTreeMap<i32, Option<i64>>;

/// How far the group has come.
#[derive(Debug, Default)]
struct Progress {
    committed: Committed,
    /// It is known of every partition that was asked about.
    complete: bool,
}

impl Progress {
    /// Whether the ends are known of all partitions that the group has begun with.
    fn has_ends(&self, extents: &BTreeMap<i32, Extent>) -> bool {
        let mut begun = self.committed.iter().filter(|(_, committed)| committed.is_some());
        self.complete && begun.all(|(partition, _)| extents.contains_key(partition))
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
pub(super) async fn watch(shared: Arc<Shared>, asker: Asker, patience: Duration) {
    let patience = patience.min(PATIENCE);
    let mut held: BTreeMap<(i32, u64), Hold> = BTreeMap::new();
    let mut known: BTreeMap<i32, Extent> = BTreeMap::new();
    let mut silent = BTreeSet::new();
    loop {
        let began = Instant::now();
        let mut holds = shared.ledger().held();
        match ask_progress(&shared, &asker, patience).await {
            Ok(progress) => {
                release_begun(&shared, &progress, &mut holds);
                match ask_extents(&shared, &asker, &progress.committed, silent.clone(), patience).await {
                    Ok(extents) => {
                        let asked = progress.committed.keys().filter(|number| !extents.contains_key(number));
                        silent = asked.copied().collect();
                        learn(&mut known, &progress.committed, &extents);
                        tell_lag(&shared, &known);
                        release(&shared, &progress, &extents, holds, &mut held);
                    }
                    Err(error) => tracing::debug!(?error, "it is not known how far partitions go"),
                }
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

/// How far the group has come: in this worker's partitions, or, while one is held, in all of the topic.
async fn ask_progress(shared: &Shared, asker: &Asker, patience: Duration) -> Result<Progress, KafkaError> {
    let (consumer, topic) = (asker.client()?, shared.topics.messages.clone());
    let all = !shared.ledger().held().is_empty();
    let own: Vec<_> = shared.ledger().partitions().collect();
    // The client waits for answers on its thread.
    let asked = tokio::task::spawn_blocking(move || {
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
        let mut progress = Progress { complete: true, ..Progress::default() };
        if list.count() == 0 {
            return Ok(progress);
        }
        for element in consumer.committed_offsets(list, patience)?.elements() {
            match (element.error(), element.offset()) {
                (Ok(()), Offset::Offset(offset)) => {
                    progress.committed.insert(element.partition(), Some(offset));
                }
                (Ok(()), _) => {
                    progress.committed.insert(element.partition(), None);
                }
                (Err(_), _) => progress.complete = false,
            }
        }
        Ok::<_, rdkafka::error::KafkaError>(progress)
    });
    Ok(asked.await.map_err(|_| KafkaError::closed())??)
}

/// How far these partitions go: those whose leaders say so. Those that were silent before come last.
async fn ask_extents(
    shared: &Shared,
    asker: &Asker,
    committed: &Committed,
    silent: BTreeSet<i32>,
    patience: Duration,
) -> Result<BTreeMap<i32, Extent>, KafkaError> {
    let (consumer, topic, committed) = (asker.client()?, shared.topics.messages.clone(), committed.clone());
    let asked = tokio::task::spawn_blocking(move || {
        let (last, first): (Vec<_>, Vec<_>) =
            committed.into_iter().partition(|(partition, _)| silent.contains(partition));
        let first = first.into_iter().map(|asked| (asked, patience));
        let last = last.into_iter().map(|asked| (asked, patience.min(IMPATIENCE)));
        let extents = first.chain(last).filter_map(|((partition, committed), patience)| {
            match consumer.fetch_watermarks(&topic, partition, patience) {
                Ok((low, high)) => Some((partition, Extent { low, high, committed })),
                Err(error) => {
                    tracing::debug!(partition, %error, "it is not known how far a partition goes");
                    None
                }
            }
        });
        extents.collect()
    });
    asked.await.map_err(|_| KafkaError::closed())
}

/// Adds what is known now; of a partition that gave no answer what it gave before counts on.
fn learn(known: &mut BTreeMap<i32, Extent>, committed: &Committed, extents: &BTreeMap<i32, Extent>) {
    for (partition, committed) in committed {
        if let Some(extent) = known.get_mut(partition) {
            extent.committed = *committed;
        }
    }
    known.extend(extents);
}

fn tell_lag(shared: &Shared, extents: &BTreeMap<i32, Extent>) {
    let ledger = shared.ledger();
    let own = extents.iter().filter(|(partition, _)| ledger.term(**partition).is_some());
    let lag = own.map(|(_, extent)| (extent.high - extent.at()).max(0)).sum();
    drop(ledger);
    shared.lag.store(lag, std::sync::atomic::Ordering::Relaxed);
    metrics::lag(lag);
}

/// Lets those of these partitions go on that the group has begun with: nothing else needs to be known of them. They were held before it
/// was asked how far the group has come: what another worker committed of them before is known.
fn release_begun(shared: &Shared, progress: &Progress, holds: &mut Vec<(i32, u64)>) {
    let before = holds.len();
    let mut ledger = shared.ledger();
    holds.retain(|(partition, term)| {
        let is_begun = matches!(progress.committed.get(partition), Some(Some(_)));
        if is_begun {
            ledger.release(*partition, *term, None);
        }
        !is_begun
    });
    drop(ledger);
    if holds.len() < before {
        shared.changed.notify_one();
    }
}

/// Lets those of the others go on that need not wait any more.
fn release(
    shared: &Shared,
    progress: &Progress,
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
        if hold.ends.is_none() {
            let others = others(partition, extents);
            // What is before it in one that gives no answer is not known.
            let is_soon = !others.is_empty() && hold.since.elapsed() < shared.config.growth_pause;
            if is_soon || !progress.has_ends(extents) {
                continue;
            }
            hold.ends = Some(others);
        }
        let mut ends = hold.ends.iter().flatten();
        if ends.all(|(other, end)| extents.get(other).is_some_and(|extent| extent.at() >= *end)) {
            ledger.release(partition, term, Some(extent.low));
            held.remove(&(partition, term));
            released += 1;
        }
    }
    drop(ledger);
    if released > 0 {
        shared.changed.notify_one();
    }
}

/// How far the partitions go that were there before this one, which the group has not begun with: none, where it has begun with no
/// other.
fn others(partition: i32, extents: &BTreeMap<i32, Extent>) -> Ends {
    let begun = extents.iter().filter(|(other, extent)| **other != partition && extent.committed.is_some());
    begun.map(|(other, extent)| (*other, extent.high)).collect()
}

/// Who asks: of the group, and never a member of it.
pub(super) fn asker(member: &ClientConfig) -> KafkaResult<Asker> {
    Asker::new(member.clone())
}

#[cfg(test)]
mod tests {
    use chat_core::{Storage as _, memory::MemoryStore};

    use super::*;
    use crate::worker::WorkerConfig;

    fn extent(low: i64, high: i64, committed: Option<i64>) -> Extent {
        Extent { low, high, committed }
    }

    #[test]
    fn a_partition_that_was_added_waits_for_those_that_were_there() {
        let new = extent(0, 3, None);
        let extents = BTreeMap::from([(0, extent(0, 10, Some(4))), (1, extent(0, 0, None)), (2, new)]);
        assert_eq!(others(2, &extents), Ends::from([(0, 10)]));
        // A topic that nobody has read yet.
        let extents = BTreeMap::from([(0, extent(0, 10, None)), (1, extent(0, 5, None))]);
        assert_eq!(others(1, &extents), Ends::new());
    }

    #[tokio::test]
    async fn a_partition_without_a_leader_holds_up_no_other_that_was_begun_with() {
        let log = MemoryStore::new().message_log();
        let shared = Shared::of_test(WorkerConfig::new().with_growth_pause(Duration::ZERO), log);
        (0..4).for_each(|partition| shared.ledger().begin(partition));
        let mut holds = shared.ledger().held();
        // The coordinator knows nothing of 0; 1 has no leader; 3 is new.
        let committed = BTreeMap::from([(1, Some(4)), (2, Some(7)), (3, None)]);
        let mut progress = Progress { committed, complete: false };
        release_begun(&shared, &progress, &mut holds);
        let held = || shared.ledger().held().iter().map(|(partition, _)| *partition).collect::<Vec<_>>();
        assert_eq!(held(), [0, 3]);
        // The new one waits for all that were there, so all must be known.
        let mut waits = BTreeMap::new();
        let mut extents = BTreeMap::from([(2, extent(0, 7, Some(7))), (3, extent(0, 0, None))]);
        release(&shared, &progress, &extents, holds.clone(), &mut waits);
        assert_eq!(held(), [0, 3]);
        progress.committed.insert(0, Some(1));
        progress.complete = true;
        release_begun(&shared, &progress, &mut holds);
        release(&shared, &progress, &extents, holds.clone(), &mut waits);
        assert_eq!(held(), [3]);
        extents.extend([(0, extent(0, 1, Some(1))), (1, extent(0, 9, Some(4)))]);
        release(&shared, &progress, &extents, holds.clone(), &mut waits);
        assert_eq!(held(), [3], "what is in 1 comes first");
        extents.insert(1, extent(0, 12, Some(9)));
        release(&shared, &progress, &extents, holds, &mut waits);
        assert!(held().is_empty());
    }

    #[test]
    fn of_a_silent_partition_what_was_known_counts_on() {
        let mut known = BTreeMap::from([(0, extent(0, 10, Some(4)))]);
        learn(
            &mut known,
            &BTreeMap::from([(0, Some(6)), (1, None)]),
            &BTreeMap::from([(1, extent(0, 3, None))]),
        );
        assert_eq!(known, BTreeMap::from([(0, extent(0, 10, Some(6))), (1, extent(0, 3, None))]));
    }

    #[test]
    fn what_is_not_kept_any_more_is_not_waited_for() {
        assert_eq!(extent(10, 10, Some(4)).at(), 10);
        assert_eq!(extent(0, 10, Some(4)).at(), 4);
        assert_eq!(extent(3, 10, None).at(), 3);
    }
}

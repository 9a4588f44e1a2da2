//! Asks, beside the consumer, how far the group has come: for the lag, and for partitions that were added.
//!
//! When partitions are added to a topic, a room may go to another partition. What is in the new one must not be stored before what
//! is in the old one. So a partition that the group has never begun with is held until every node knows of it, and then until the
//! others are done as far as they go by that time. A partition counts as begun with by what is committed of it, so that is done as
//! soon as it is released, be it empty.
//!
//! What the group has committed its coordinator knows; where a partition ends only its leader does. So each partition is asked about by
//! itself, and while leaders are silent, what was committed is asked again and again: partitions without a leader hold up none that the
//! group has begun with.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use rdkafka::{ClientConfig, Offset, TopicPartitionList, consumer::Consumer as _, error::KafkaResult};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Shared, metrics, shared::Stop};
use crate::{KafkaError, forsaken::Asker};

/// How often it asks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often it asks while a partition is held.
const SOON: Duration = Duration::from_millis(100);
/// How long it waits for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// And for one of a partition that gave none the time before, or once another one gave none this time.
const IMPATIENCE: Duration = Duration::from_millis(200);
/// How long it goes on asking about other partitions once one gave no answer. Those that were not asked come first the next time.
const ROUND: Duration = Duration::from_secs(5);

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
                let asked = ask_extents(&shared, &asker, &progress.committed, &silent, patience);
                match meanwhile(asked, &shared, &asker, patience).await {
                    Ok(answers) => {
                        silent = answers.silent;
                        learn(&mut known, &progress.committed, &answers.extents);
                        tell_lag(&shared, &known);
                        let extents = &answers.extents;
                        if shared.ledger().note_ends(|partition| Some(extents.get(&partition)?.high)) {
                            shared.changed.notify_one();
                        }
                        let still = shared.ledger().held();
                        holds.retain(|hold| still.contains(hold));
                        release(&shared, &progress, &answers.extents, holds, &mut held);
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

/// Waits for what was asked, and lets partitions that come until then go on where the group has begun with them.
async fn meanwhile<T>(
    asked: impl Future<Output = T>,
    shared: &Shared,
    asker: &Asker,
    patience: Duration,
) -> T {
    let mut asked = pin!(asked);
    loop {
        tokio::select! {
            biased;
            answer = &mut asked => return answer,
            () = sleep(SOON) => {}
        }
        let mut holds = shared.ledger().held();
        if holds.is_empty() {
            continue;
        }
        match ask_progress(shared, asker, patience).await {
            Ok(progress) => release_begun(shared, &progress, &mut holds),
            Err(error) => tracing::debug!(?error, "it is not known how far the workers have come"),
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

/// How far partitions go.
#[derive(Debug, Default)]
struct Answers {
    extents: BTreeMap<i32, Extent>,
    /// They were asked about, and gave no answer.
    silent: BTreeSet<i32>,
}

/// How far these partitions go: those whose leaders say so. Those that were silent before come last. It asks about no further one when the
/// worker ends.
async fn ask_extents(
    shared: &Arc<Shared>,
    asker: &Asker,
    committed: &Committed,
    silent: &BTreeSet<i32>,
    patience: Duration,
) -> Result<Answers, KafkaError> {
    let (consumer, shared) = (asker.client()?, Arc::clone(shared));
    let (last, first): (Vec<_>, Vec<_>) = committed
        .iter()
        .map(|(partition, committed)| (*partition, *committed))
        .partition(|(partition, _)| silent.contains(partition));
    let asked = tokio::task::spawn_blocking(move || {
        let mut answers = Answers::default();
        let mut until = None;
        let first = first.into_iter().map(|asked| (asked, patience));
        let last = last.into_iter().map(|asked| (asked, patience.min(IMPATIENCE)));
        for ((partition, committed), patience) in first.chain(last) {
            let is_late = until.is_some_and(|until| Instant::now() >= until);
            if is_late || *shared.stop.borrow() != Stop::No {
                break;
            }
            let patience = if until.is_some() { patience.min(IMPATIENCE) } else { patience };
            match consumer.fetch_watermarks(&shared.topics.messages, partition, patience) {
                Ok((low, high)) => {
                    answers.extents.insert(partition, Extent { low, high, committed });
                }
                Err(error) => {
                    tracing::debug!(partition, %error, "it is not known how far a partition goes");
                    answers.silent.insert(partition);
                    until.get_or_insert_with(|| Instant::now() + ROUND);
                }
            }
        }
        answers
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
        let committed = progress.committed.get(partition).copied().flatten();
        if let Some(committed) = committed {
            ledger.release(*partition, *term, committed, true);
        }
        committed.is_none()
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
            tracing::debug!(partition, ends = ?others, "a partition waits until the others are done that far");
            hold.ends = Some(others);
        }
        let mut ends = hold.ends.iter().flatten();
        if ends.all(|(other, end)| extents.get(other).is_some_and(|extent| extent.at() >= *end)) {
            ledger.release(partition, term, extent.low, false);
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
mod tests;

//! What a worker holds: its partitions, what waits of each, what is being stored, and how far each is done.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use chat_core::{Draft, RoomId};
use tokio::time::Instant;

use super::{Item, reading::Reading};

/// For so long the brokers may leave a commit without an answer until it is made again, which changes nothing where it was done.
const UNCONFIRMED: Duration = Duration::from_secs(10);

/// One of a worker's partitions, for as long as it has it.
#[derive(Debug)]
struct Partition {
    /// Which of the times that it was given to this worker.
    term: u64,
    /// It is not begun with before others are done.
    held: bool,
    reading: Reading,
    /// What is next in it is of this version, which this release cannot read.
    blocked: Option<u32>,
    /// The consumer reads nothing of it.
    paused: bool,
    /// What follows the last record that is done.
    done: Option<i64>,
    /// What the brokers were last told of it, and when.
    told: Option<i64>,
    told_at: Instant,
    /// What they have confirmed of that.
    committed: Option<i64>,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Item>,
    bytes: usize,
    /// A batch is at the store.
    storing: bool,
    /// The store fails.
    troubled: bool,
}

impl Lane {
    fn is_full(&self, max_batch: usize, max_bytes: usize) -> bool {
        self.waiting.len() >= 2 * max_batch || self.bytes >= 2 * max_bytes
    }
}

/// Records in the same lane keep their order; those of a partition are always in the same lane.
#[derive(Debug)]
pub(super) struct Ledger {
    terms: u64,
    partitions: BTreeMap<i32, Partition>,
    lanes: Vec<Lane>,
    /// How many batches that are not done have something of a partition's term.
    busy: BTreeMap<(i32, u64), usize>,
    to_seek: Vec<(i32, u64, i64)>,
    /// When the consumer had nothing more that was fetched.
    drained: Option<Instant>,
    max_batch: usize,
    max_bytes: usize,
}

impl Ledger {
    pub(super) fn new(lanes: usize, max_batch: usize, max_bytes: usize) -> Self {
        let lanes = (0..lanes.max(1)).map(|_| Lane::default()).collect();
        Self {
            terms: 0,
            partitions: BTreeMap::new(),
            lanes,
            busy: BTreeMap::new(),
            to_seek: Vec::new(),
            drained: None,
            max_batch,
            max_bytes,
        }
    }

    /// A partition is this worker's from now on. It is paused, and held until it is [released](Self::release).
    pub(super) fn begin(&mut self, partition: i32) {
        self.terms += 1;
        let begun = Partition {
            term: self.terms,
            held: true,
            reading: Reading::default(),
            blocked: None,
            paused: true,
            done: None,
            told: None,
            told_at: Instant::now(),
            committed: None,
        };
        self.partitions.insert(partition, begun);
    }

    /// It can be begun with, at `first`. Of one that nobody `is_begun` with, that is to be committed.
    pub(super) fn release(&mut self, partition: i32, term: u64, first: i64, is_begun: bool) {
        if let Some(partition) = self.partitions.get_mut(&partition)
            && partition.term == term
        {
            partition.held = false;
            partition.reading.begin(first);
            if !is_begun {
                partition.done = partition.done.max(Some(first));
            }
        }
    }

    /// The partitions that are held, with their terms.
    pub(super) fn held(&self) -> Vec<(i32, u64)> {
        let held = self.partitions.iter().filter(|(_, partition)| partition.held);
        held.map(|(number, partition)| (*number, partition.term)).collect()
    }

    /// A partition is this worker's no longer, and what waits of it is not either.
    pub(super) fn end(&mut self, partition: i32) {
        self.partitions.remove(&partition);
        self.forget(partition);
    }

    /// No partition is this worker's any more.
    pub(super) fn end_all(&mut self) {
        self.partitions.clear();
        self.drained = None;
        for lane in &mut self.lanes {
            lane.waiting.clear();
            lane.bytes = 0;
        }
    }

    /// Nothing more of a partition is read until another worker has it, or this one has it anew: what is next is of this version.
    pub(super) fn block(&mut self, partition: i32, version: u32) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.blocked = Some(version);
        }
    }

    /// The partitions that are blocked, each with the version that it is for.
    pub(super) fn blocked(&self) -> impl Iterator<Item = (i32, u32)> {
        self.partitions.iter().filter_map(|(number, partition)| Some((*number, partition.blocked?)))
    }

    /// Nothing that waits of a partition is begun any more.
    pub(super) fn forget(&mut self, partition: i32) {
        let lane = lane_of(partition, self.lanes.len());
        let lane = &mut self.lanes[lane];
        lane.waiting.retain(|item| item.partition != partition);
        lane.bytes = lane.waiting.iter().map(Item::len_bytes).sum();
    }

    /// Whether the partition is this worker's since this term began.
    pub(super) fn has(&self, partition: i32, term: u64) -> bool {
        self.partitions.get(&partition).is_some_and(|has| has.term == term)
    }

    /// The term of a partition; `None` where it is not this worker's.
    pub(super) fn term(&self, partition: i32) -> Option<u64> {
        self.partitions.get(&partition).map(|partition| partition.term)
    }

    /// The term of a partition of which the next record can be taken, and where it is read.
    pub(super) fn readable(&mut self, partition: i32) -> Option<(u64, &mut Reading)> {
        let is_readable = |partition: &&mut Partition| partition.blocked.is_none() && !partition.held;
        let partition = self.partitions.get_mut(&partition).filter(is_readable);
        partition.map(|partition| (partition.term, &mut partition.reading))
    }

    /// Partitions go up to here. Answers whether one is to be read anew, since nothing more has come of it for long.
    pub(super) fn note_ends(&mut self, end: impl Fn(i32) -> Option<i64>) -> bool {
        for (number, partition) in &mut self.partitions {
            let end = end(*number).filter(|_| !partition.paused);
            if let Some(offset) = partition.reading.lacks(end, self.drained) {
                self.to_seek.push((*number, partition.term, offset));
            }
        }
        !self.to_seek.is_empty()
    }

    /// From where partitions are to be read anew, each once. What came in the meantime is not asked for.
    pub(super) fn take_seeks(&mut self) -> Vec<(i32, i64)> {
        let to_seek = std::mem::take(&mut self.to_seek).into_iter();
        let is_lacking = |(number, term, at): &(i32, u64, i64)| {
            let partition = self.partitions.get(number);
            partition.is_some_and(|partition| partition.term == *term && partition.reading.awaits(*at))
        };
        to_seek.filter(is_lacking).map(|(number, _, at)| (number, at)).collect()
    }

    /// The consumer has nothing more that was fetched.
    pub(super) fn drained(&mut self) {
        self.drained = Some(Instant::now());
    }

    /// The first message that waits in a lane for another room than this one.
    pub(super) fn waits_of_another_room(&self, lane: usize, room: &RoomId) -> Option<Draft> {
        let waiting = self.lanes.get(lane)?.waiting.iter();
        waiting.filter_map(Item::draft).find(|draft| draft.room != *room).cloned()
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = i32> {
        self.partitions.keys().copied()
    }

    /// The next record of its partition waits for its turn.
    pub(super) fn push(&mut self, item: Item) {
        let lane = lane_of(item.partition, self.lanes.len());
        let lane = &mut self.lanes[lane];
        lane.bytes += item.len_bytes();
        lane.waiting.push_back(item);
    }

    /// Whether some lane has enough: two batches wait.
    pub(super) fn is_full(&self) -> bool {
        self.lanes.iter().any(|lane| lane.is_full(self.max_batch, self.max_bytes))
    }

    /// A lane's next batch, if its last one is stored and there is something to store.
    pub(super) fn next_batch(&mut self, lane: usize) -> Option<Vec<Item>> {
        let (max_batch, max_bytes) = (self.max_batch, self.max_bytes);
        let lane = self.lanes.get_mut(lane)?;
        if lane.storing || lane.waiting.is_empty() {
            return None;
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(item) = lane.waiting.front() {
            bytes += item.len_bytes();
            if !batch.is_empty() && (bytes > max_bytes || batch.len() == max_batch) {
                break;
            }
            lane.bytes -= item.len_bytes();
            batch.extend(lane.waiting.pop_front());
        }
        lane.storing = true;
        for term in terms(&batch) {
            *self.busy.entry(term).or_default() += 1;
        }
        Some(batch)
    }

    /// The lane's batch is stored: the next one can follow, while this one is told.
    pub(super) fn stored(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.storing = false;
            lane.troubled = false;
        }
    }

    /// The store fails at a lane's batch, or no longer does.
    pub(super) fn trouble(&mut self, lane: usize, troubled: bool) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.troubled = troubled;
        }
    }

    /// A batch is done: stored, told, and not needed again. What is not this worker's any more is not counted.
    pub(super) fn finish(&mut self, batch: &[Item]) {
        for term in terms(batch) {
            if let Some(count) = self.busy.get_mut(&term) {
                *count -= 1;
                if *count == 0 {
                    self.busy.remove(&term);
                }
            }
        }
        for item in batch {
            if let Some(partition) = self.partitions.get_mut(&item.partition)
                && partition.term == item.term
            {
                partition.done = partition.done.max(Some(item.offset + 1));
            }
        }
    }

    /// Whether nothing of these partitions is under way.
    pub(super) fn is_idle(&self, of: impl Fn(i32) -> bool) -> bool {
        self.busy.keys().all(|(partition, _)| !of(*partition))
    }

    /// How far these partitions are done, where the brokers were not told, or have not confirmed it for long, or at all, if it is to be
    /// `sure`. They count as told from now on.
    pub(super) fn uncommitted(&mut self, sure: bool, of: impl Fn(i32) -> bool) -> Vec<(i32, i64)> {
        let mut offsets = Vec::new();
        for (number, partition) in &mut self.partitions {
            let is_late = partition.told_at.elapsed() >= UNCONFIRMED;
            let known = if sure || is_late { partition.committed } else { partition.told };
            if of(*number)
                && known != partition.done
                && let Some(done) = partition.done
            {
                (partition.told, partition.told_at) = (partition.done, Instant::now());
                offsets.push((*number, done));
            }
        }
        offsets
    }

    /// Whether something is done that the brokers were not told.
    pub(super) fn is_dirty(&self) -> bool {
        self.partitions.values().any(|partition| partition.told != partition.done)
    }

    /// The brokers confirm how far a partition is done.
    pub(super) fn committed(&mut self, partition: i32, offset: i64) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.committed = Some(offset);
        }
    }

    /// A commit failed: its partitions are committed again.
    pub(super) fn not_committed(&mut self, partition: i32) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.told = partition.committed;
        }
    }

    /// Which partitions are to be paused, and which resumed. Those can take no more for now that are held or blocked, or whose store
    /// fails, or, if `slow`, whose lane has enough. They count as paused and resumed from now on.
    pub(super) fn turn(&mut self, slow: bool) -> (Vec<i32>, Vec<i32>) {
        let (count, max_batch, max_bytes) = (self.lanes.len(), self.max_batch, self.max_bytes);
        let (mut to_pause, mut to_resume) = (Vec::new(), Vec::new());
        for (number, partition) in &mut self.partitions {
            let lane = &self.lanes[lane_of(*number, count)];
            let stop = partition.held
                || partition.blocked.is_some()
                || lane.troubled
                || slow && lane.is_full(max_batch, max_bytes);
            if stop != partition.paused {
                partition.paused = stop;
                if stop { &mut to_pause } else { &mut to_resume }.push(*number);
            }
        }
        (to_pause, to_resume)
    }

    /// That was not to be done: it is tried again.
    pub(super) fn not_turned(&mut self, partitions: &[i32]) {
        for partition in partitions {
            if let Some(partition) = self.partitions.get_mut(partition) {
                partition.paused = !partition.paused;
            }
        }
    }

    /// Of each partition whether it is held, what follows what is done, and what the brokers confirmed of that: for whoever looks for what
    /// holds a worker up.
    pub(super) fn standing(&self) -> BTreeMap<i32, (bool, Option<i64>, Option<i64>)> {
        let standing = |partition: &Partition| (partition.held, partition.done, partition.committed);
        self.partitions.iter().map(|(number, partition)| (*number, standing(partition))).collect()
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }
}

fn lane_of(partition: i32, lanes: usize) -> usize {
    usize::try_from(partition).unwrap_or(0) % lanes
}

/// The partitions of a batch, each once.
fn terms(batch: &[Item]) -> std::collections::BTreeSet<(i32, u64)> {
    batch.iter().map(|item| (item.partition, item.term)).collect()
}

#[cfg(test)]
mod tests;

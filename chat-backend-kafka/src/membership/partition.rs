//! The events of one partition: those of one membership one after the other, the others meanwhile.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc as blocking,
    },
    time::{Duration, Instant},
};

use chat_core::UserId;
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use rdkafka::message::{Message as _, OwnedMessage};
use tokio::{
    runtime::Handle,
    sync::{
        Semaphore,
        mpsc::{self, error::TrySendError},
        watch,
    },
    task::JoinHandle,
};

use super::{
    event::MembershipEvent,
    progress::Progress,
    work::{Stop, Work},
};

/// For so long the brokers may leave a commit without an answer until it is made again, which changes nothing where it was done.
const UNCONFIRMED: Duration = Duration::from_secs(10);

/// Records between the thread that reads and the task.
const INBOX: usize = 32;

/// A partition that this member of the group reads, as the thread that reads sees it.
pub(super) struct Partition {
    records: mpsc::Sender<OwnedMessage>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    /// Ends with the task.
    ended: blocking::Receiver<()>,
    committable: Arc<AtomicI64>,
    /// What was last to be committed, when that was, and what the brokers have confirmed of it.
    committed: i64,
    committed_at: Instant,
    confirmed: i64,
    /// For which there was no room: the partition is paused until there is. One, and what librdkafka had in hand by then.
    held: VecDeque<OwnedMessage>,
}

/// What became of a record that was given to a partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given {
    Taken,
    /// There is no room: nothing more is to be read for now.
    Full,
    /// The task is gone.
    Ended,
}

impl Partition {
    pub(super) fn start(runtime: &Handle, work: Arc<Work>, max_waiting: usize) -> Self {
        let (records, inbox) = mpsc::channel(INBOX);
        let (stop, stopped) = watch::channel(false);
        let (alive, ended) = blocking::sync_channel(0);
        let committable = Arc::new(AtomicI64::new(-1));
        let lanes = Lanes {
            permits: work.permits(),
            work,
            max_waiting,
            progress: Progress::default(),
            committable: Arc::clone(&committable),
            waiting: HashMap::new(),
            running: FuturesUnordered::new(),
            stop: stopped,
        };
        let task = runtime.spawn(async move {
            let _alive: blocking::SyncSender<()> = alive;
            lanes.run(inbox).await;
        });
        Self {
            records,
            stop,
            task,
            ended,
            committable,
            committed: -1,
            committed_at: Instant::now(),
            confirmed: -1,
            held: VecDeque::new(),
        }
    }

    pub(super) fn give(&mut self, record: OwnedMessage) -> Given {
        let is_waiting = !self.held.is_empty();
        self.held.push_back(record);
        if is_waiting { Given::Full } else { self.give_held().unwrap_or(Given::Taken) }
    }

    /// Gives what was held, as far as there is room again; nothing where nothing was.
    pub(super) fn give_held(&mut self) -> Option<Given> {
        let mut given = None;
        while let Some(record) = self.held.pop_front() {
            match self.records.try_send(record) {
                Ok(()) => given = Some(Given::Taken),
                Err(TrySendError::Full(record)) => {
                    self.held.push_front(record);
                    return Some(Given::Full);
                }
                Err(TrySendError::Closed(_)) => return Some(Given::Ended),
            }
        }
        given
    }

    /// Where a successor begins, once anything was read.
    pub(super) fn committable(&self) -> Option<i64> {
        Some(self.committable.load(Ordering::Acquire)).filter(|offset| *offset >= 0)
    }

    /// The same, where it was not committed yet, or nobody has confirmed it for long.
    pub(super) fn uncommitted(&self) -> Option<i64> {
        let is_late = self.committed_at.elapsed() >= UNCONFIRMED;
        let known = if is_late { self.confirmed } else { self.committed };
        self.committable().filter(|offset| *offset > known)
    }

    pub(super) fn committed(&mut self, offset: i64) {
        self.committed = self.committed.max(offset);
        self.committed_at = Instant::now();
    }

    /// The brokers have it.
    pub(super) fn confirmed(&mut self, offset: i64) {
        self.confirmed = offset;
    }

    /// Begins no further attempt.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the attempts that are under way are over, or breaks them off.
    pub(super) fn ended(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        if self.ended.recv_timeout(left) == Err(blocking::RecvTimeoutError::Timeout) {
            tracing::warn!("an event of membership takes too long and is left to whoever reads on");
            self.task.abort();
            let _ = self.ended.recv_timeout(Duration::from_secs(1));
        }
    }
}

/// Whose turn it is: one of a membership, and one of each record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Lane {
    Membership(String, UserId),
    Record(i64),
}

type Job = (OwnedMessage, Result<MembershipEvent, String>);

struct Lanes {
    work: Arc<Work>,
    permits: Arc<Semaphore>,
    max_waiting: usize,
    progress: Progress,
    committable: Arc<AtomicI64>,
    /// Behind the one that is under way. A lane without one is not there.
    waiting: HashMap<Lane, VecDeque<Job>>,
    running: FuturesUnordered<BoxFuture<'static, (Lane, i64, bool)>>,
    stop: Stop,
}

impl Lanes {
    async fn run(mut self, mut inbox: mpsc::Receiver<OwnedMessage>) {
        let mut stop = self.stop.clone();
        loop {
            let has_room = self.progress.under_way() < self.max_waiting;
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some((lane, offset, is_done)) = self.running.next(), if !self.running.is_empty() => {
                    self.finish(&lane, offset, is_done);
                    self.follow(lane);
                }
                record = inbox.recv(), if has_room => match record {
                    Some(record) => self.admit(record),
                    None => break,
                },
            }
        }
        // Each ends with the attempt that it is at.
        while let Some((lane, offset, is_done)) = self.running.next().await {
            self.finish(&lane, offset, is_done);
        }
    }

    fn admit(&mut self, record: OwnedMessage) {
        let offset = record.offset();
        self.progress.begin(offset);
        let (lane, event) = match self.work.decode(&record) {
            Ok(None) => {
                Work::passed_over();
                self.progress.done(offset);
                return self.publish();
            }
            Ok(Some(event)) => {
                let (room, user) = event.membership();
                (Lane::Membership(room, user), Ok(event))
            }
            Err(reason) => (Lane::Record(offset), Err(reason)),
        };
        self.publish();
        match self.waiting.get_mut(&lane) {
            Some(waiting) => waiting.push_back((record, event)),
            None => {
                self.waiting.insert(lane.clone(), VecDeque::new());
                self.begin(lane, (record, event));
            }
        }
    }

    fn begin(&self, lane: Lane, (record, event): Job) {
        let (work, permits) = (Arc::clone(&self.work), Arc::clone(&self.permits));
        let stop = self.stop.clone();
        self.running.push(Box::pin(async move {
            let offset = record.offset();
            let is_done = work.settle(record, event, &permits, stop).await;
            (lane, offset, is_done)
        }));
    }

    /// One that was left is not done, and neither is what waits behind it.
    fn finish(&mut self, lane: &Lane, offset: i64, is_done: bool) {
        if is_done {
            self.progress.done(offset);
            self.publish();
        } else if let Some(waiting) = self.waiting.get_mut(lane) {
            waiting.clear();
        }
    }

    fn follow(&mut self, lane: Lane) {
        match self.waiting.get_mut(&lane).and_then(VecDeque::pop_front) {
            Some(job) => self.begin(lane, job),
            None => drop(self.waiting.remove(&lane)),
        }
    }

    fn publish(&self) {
        if let Some(committable) = self.progress.committable() {
            self.committable.store(committable, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests;

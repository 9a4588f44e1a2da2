//! What the threads and tasks of a worker have in common.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use chat_core::{Error, Fanout, MessageLog, Result};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{Item, Step, WorkerConfig, ledger::Ledger};
use crate::{KafkaError, KafkaErrorKind, TopicNames, producer::Producer};

/// Whether a worker is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// What was begun is finished until then.
    Finish(Instant),
    /// At once, with nothing committed any more.
    Abort,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: WorkerConfig,
    pub(super) topics: TopicNames,
    pub(super) log: Arc<dyn MessageLog>,
    pub(super) fanout: Option<Arc<dyn Fanout>>,
    pub(super) producer: Producer,
    /// Something is stored, told, or troubled: the consumer looks again.
    pub(super) changed: Notify,
    /// Partitions came.
    pub(super) assigned: Notify,
    /// Counts how often something was taken away that a lane was busy with.
    pub(super) losses: watch::Sender<u64>,
    pub(super) stop: watch::Sender<Stop>,
    /// Dead letters since something was stored.
    pub(super) poison_in_a_row: AtomicU32,
    /// Messages behind the end of this worker's partitions; negative while it is not known.
    pub(super) lag: AtomicI64,
    ledger: Mutex<Ledger>,
    /// A batch is done.
    finished: Condvar,
    troubles: Mutex<Troubles>,
}

/// What stands in the way now.
#[derive(Debug, Default)]
struct Troubles {
    /// By lane.
    store: BTreeMap<usize, Arc<Error>>,
    telling: Option<KafkaError>,
    consumer: Option<KafkaError>,
    ended: bool,
}

impl Shared {
    pub(super) fn new(
        config: WorkerConfig,
        topics: TopicNames,
        log: Arc<dyn MessageLog>,
        fanout: Option<Arc<dyn Fanout>>,
        producer: Producer,
    ) -> Arc<Self> {
        let lanes = config.lanes.min(log.parallel_appends()).max(1);
        let ledger = Ledger::new(lanes, config.max_batch, config.max_batch_bytes);
        Arc::new(Self {
            config,
            topics,
            log,
            fanout,
            producer,
            changed: Notify::new(),
            assigned: Notify::new(),
            losses: watch::Sender::new(0),
            stop: watch::Sender::new(Stop::No),
            poison_in_a_row: AtomicU32::new(0),
            lag: AtomicI64::new(-1),
            ledger: Mutex::new(ledger),
            finished: Condvar::new(),
            troubles: Mutex::default(),
        })
    }

    /// Every step leaves it whole, so a panic elsewhere takes nothing from it.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, on a thread that may, until nothing is under way of these partitions.
    pub(super) fn wait_idle(&self, patience: Duration, of: impl Fn(i32) -> bool) {
        let busy = |ledger: &mut Ledger| !ledger.is_idle(&of) && !self.is_aborted();
        let waited = self.finished.wait_timeout_while(self.ledger(), patience, busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// A batch is done with.
    pub(super) fn finish(&self, batch: &[Item]) {
        self.ledger().finish(batch);
        self.finished.notify_all();
        self.changed.notify_one();
    }

    /// What lanes are busy with may not be this worker's any more.
    pub(super) fn lose(&self) {
        self.losses.send_modify(|losses| *losses += 1);
    }

    /// Ends at once.
    pub(super) fn abort(&self) {
        self.stop.send_replace(Stop::Abort);
        self.lose();
        self.finished.notify_all();
    }

    pub(super) fn is_aborted(&self) -> bool {
        *self.stop.borrow() == Stop::Abort
    }

    pub(super) async fn reached(&self, step: Step) {
        if let Some(steps) = &self.config.steps {
            steps.reached(step).await;
        }
    }

    pub(super) fn store_trouble(&self, lane: usize, trouble: Option<Error>) {
        let troubled = trouble.is_some();
        self.ledger().trouble(lane, troubled);
        let mut troubles = self.troubles();
        match trouble {
            Some(error) => troubles.store.insert(lane, Arc::new(error)),
            None => troubles.store.remove(&lane),
        };
        drop(troubles);
        if troubled {
            self.changed.notify_one();
        }
    }

    pub(super) fn stored(&self, lane: usize) {
        self.ledger().stored(lane);
        self.troubles().store.remove(&lane);
        self.changed.notify_one();
    }

    pub(super) fn telling_trouble(&self, trouble: Option<KafkaError>) {
        self.troubles().telling = trouble;
    }

    pub(super) fn consumer_trouble(&self, trouble: Option<KafkaError>) {
        self.troubles().consumer = trouble;
    }

    /// A broker answers, whatever else stands in the way.
    pub(super) fn consumer_connected(&self) {
        let mut troubles = self.troubles();
        if troubles
            .consumer
            .as_ref()
            .is_some_and(|error| matches!(error.kind(), KafkaErrorKind::Connection | KafkaErrorKind::Timeout))
        {
            troubles.consumer = None;
        }
    }

    pub(super) fn ended(&self) {
        self.troubles().ended = true;
    }

    /// What stands in the way now.
    pub(super) fn health(&self) -> Result<()> {
        let troubles = self.troubles();
        if troubles.ended {
            return Err(Error::Draining);
        }
        if let Some(error) = troubles.consumer.as_ref().or(troubles.telling.as_ref()) {
            return Err(error.clone().during("work"));
        }
        match troubles.store.values().next() {
            None => Ok(()),
            Some(error) => {
                let retry =
                    if error.is_retryable() { chat_core::Retry::Later } else { chat_core::Retry::Never };
                Err(Error::backend(crate::NAME, "work", retry, Arc::clone(error)))
            }
        }
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_poisonous(&self) -> bool {
        self.poison_in_a_row.load(Ordering::Relaxed) < self.config.max_poison_in_a_row
    }
}

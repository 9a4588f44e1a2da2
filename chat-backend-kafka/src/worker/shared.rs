//! What the threads and tasks of a worker have in common.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicI64},
    time::Duration,
};

use chat_core::{Error, Fanout, MessageLog, Result, Retry};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{Item, Step, WorkerConfig, ledger::Ledger, metrics, store::Proofs};
use crate::{InvalidRecord, KafkaError, KafkaErrorKind, TopicNames, producer::Producer};

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
    /// What the store has shown that it can.
    pub(super) proofs: Proofs,
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
            proofs: Proofs::default(),
            lag: AtomicI64::new(-1),
            ledger: Mutex::new(ledger),
            finished: Condvar::new(),
            troubles: Mutex::default(),
        })
    }

    /// Of a worker without a consumer, whose brokers do not exist.
    #[cfg(test)]
    pub(super) fn of_test(config: WorkerConfig, log: Arc<dyn MessageLog>) -> Arc<Self> {
        Self::of_test_with(config, TopicNames::with_prefix(""), log, None)
    }

    #[cfg(test)]
    pub(super) fn of_test_with(
        config: WorkerConfig,
        topics: TopicNames,
        log: Arc<dyn MessageLog>,
        fanout: Option<Arc<dyn Fanout>>,
    ) -> Arc<Self> {
        let nowhere =
            crate::KafkaConfig::new("127.0.0.1:1").with_delivery_timeout(Duration::from_millis(300));
        let producer = Producer::start(&nowhere, crate::producer::ProducerSettings::default());
        Self::new(config, topics, log, fanout, producer.unwrap_or_else(|error| panic!("{error}")))
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

    /// The store fails at a lane's batch, and its partitions are paused; or it no longer does.
    pub(super) fn store_trouble(&self, lane: usize, trouble: Option<Arc<Error>>) {
        let troubled = trouble.is_some();
        self.ledger().trouble(lane, troubled);
        self.note_store_trouble(lane, trouble);
        if troubled {
            self.changed.notify_one();
        }
    }

    /// The store fails at one message of a lane. What follows is read on, up to what a lane takes.
    pub(super) fn suspicion(&self, lane: usize, error: Arc<Error>) {
        self.ledger().trouble(lane, false);
        self.note_store_trouble(lane, Some(error));
        self.changed.notify_one();
    }

    fn note_store_trouble(&self, lane: usize, trouble: Option<Arc<Error>>) {
        let mut troubles = self.troubles();
        match trouble {
            Some(error) => troubles.store.insert(lane, error),
            None => troubles.store.remove(&lane),
        };
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

    /// There is no consumer any more: none of the partitions is this worker's.
    pub(super) fn lose_all(&self) {
        self.ledger().end_all();
        metrics::partitions(0);
        metrics::blocked(0);
        self.lose();
        self.finished.notify_all();
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
        if let Some(error) = troubles.store.values().next() {
            let retry = if error.is_retryable() { Retry::Later } else { Retry::Never };
            return Err(Error::backend(crate::NAME, "work", retry, Arc::clone(error)));
        }
        drop(troubles);
        match self.ledger().blocked().next() {
            None => Ok(()),
            Some((_, version)) => {
                let reason = InvalidRecord::OtherVersion { version };
                Err(Error::backend(crate::NAME, "work", Retry::Never, reason))
            }
        }
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_poisonous(&self) -> bool {
        self.proofs.in_a_row() < self.config.max_poison_in_a_row
    }
}

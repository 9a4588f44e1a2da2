//! Stores what waits in the queue, and tells what became of it.

mod arrival;
#[cfg(test)]
mod commit_tests;
mod config;
mod consumer;
mod context;
mod item;
mod lane;
mod ledger;
mod metrics;
mod offsets;
mod pauses;
mod reading;
mod shared;
mod steps;
mod store;
mod tell;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use chat_core::{Error, Fanout, MessageLog, Result};
use tokio::{sync::oneshot, task::JoinSet, time::Instant, time::timeout};

pub use self::{
    config::WorkerConfig,
    steps::{Step, Steps},
};
use self::{
    item::Item,
    shared::{Shared, Stop},
};
use crate::{
    ConnectError, KafkaConfig, KafkaError,
    producer::{Producer, ProducerSettings},
    record::Persisted,
};

/// How much longer than its deadline a shutdown waits for the brokers to hear that this worker leaves.
const LEAVE: Duration = Duration::from_millis(500);

/// A member of the workers' consumer group: takes messages out of the queue, stores them in a log, and tells what became of them.
///
/// For each batch it appends to the log, then writes what became of each message to the persisted topic (and tells a fan-out, if
/// it was given one), then commits: in this order. So a worker may be killed at any point: what is not committed is read again,
/// by the next one, which finds what is stored already and tells it again, with the position that it has.
///
/// - **Order.** A room is in one partition, and a partition in one lane, where one batch follows the other. So the messages of a room are
///   stored in the order in which the queue took them.
/// - **A store that fails** for now holds its lane up: the batch is tried again, with pauses that grow, while the partitions are
///   paused and the worker stays in its group.
/// - **Dead letters.** A record that is no message, and a message that the store fails at for good while it is seen to store others,
///   goes to the topic of dead letters.
/// - **A record of another version** stops its partition, until a worker of a release that can read it has the partition.
/// - **A rebalance.** Partitions that go to another worker are finished and committed first, within
///   [`WorkerConfig::with_handover`].
///
/// Dropping it ends it at once, with nothing committed any more; [`shutdown`](Self::shutdown) ends it in good order.
pub struct Worker {
    shared: Arc<Shared>,
    tasks: Mutex<Option<JoinSet<()>>>,
    left: Mutex<Option<oneshot::Receiver<bool>>>,
}

impl Worker {
    /// Begins to store in `log`. It joins its group by and by; brokers that are out of reach are waited for. Where nobody reads the
    /// persisted topic for it, `fanout` tells every node's sessions what was stored, and senders what was not.
    ///
    /// The topics must be there, see [`ensure_topics`](crate::ensure_topics).
    ///
    /// # Errors
    /// [`ConnectError::Setting`] or [`ConnectError::Kafka`] for a setting that cannot be used.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(
        config: &KafkaConfig,
        worker: WorkerConfig,
        log: Arc<dyn MessageLog>,
        fanout: Option<Arc<dyn Fanout>>,
    ) -> Result<Self, ConnectError> {
        worker.check()?;
        let settings = ProducerSettings {
            compression: worker.compression,
            // A batch goes together anyway.
            linger: Duration::ZERO,
            ..ProducerSettings::default()
        };
        let producer = Producer::start(config, settings)?;
        let client = consumer::client(config, &worker);
        client.create_native_config().map_err(KafkaError::from)?;
        let shared = Shared::new(worker, config.topics().clone(), log, fanout, producer);
        let mut tasks = JoinSet::new();
        let lanes = shared.ledger().lanes();
        let lanes = (0..lanes).map(|lane| lane::start(&shared, lane, &mut tasks)).collect();
        let asker = offsets::asker(&client).map_err(KafkaError::from)?;
        tasks.spawn(offsets::watch(Arc::clone(&shared), asker, config.connect_timeout()));
        let left = consumer::start(Arc::clone(&shared), client, lanes)?;
        Ok(Self { shared, tasks: Mutex::new(Some(tasks)), left: Mutex::new(Some(left)) })
    }

    /// What stands in the way of storing now.
    ///
    /// # Errors
    /// The brokers, or the store, fail; a partition waits for another release; or the worker has ended ([`Error::Draining`]), be it by a
    /// panic.
    pub fn health(&self) -> Result<()> {
        self.shared.health()
    }

    /// How many messages of this worker's partitions are not stored and committed yet, as of about a second ago. `None` as long
    /// as it has not been told.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        u64::try_from(self.shared.lag.load(Ordering::Relaxed)).ok()
    }

    /// How many partitions this worker has now.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.shared.ledger().partitions().count()
    }

    /// Reads nothing more, stores and tells what was begun, commits it, and leaves the group, within this time.
    ///
    /// # Errors
    /// [`Error::Timeout`] when that was not done in time. What was begun is done again by another worker, then.
    ///
    /// # Cancel safety
    /// The worker ends either way. Only the first call waits for it.
    pub async fn shutdown(&self, patience: Duration) -> Result<()> {
        self.shared.stop.send_if_modified(|stop| {
            let begins = *stop == Stop::No;
            if begins {
                *stop = Stop::Finish(Instant::now() + patience);
            }
            begins
        });
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(left) = left else { return Ok(()) };
        let finished = timeout(patience + LEAVE, left).await;
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(tasks);
        if matches!(finished, Ok(Ok(true))) { Ok(()) } else { Err(Error::Timeout { operation: "shutdown" }) }
    }

    /// Ends at once, with nothing stored, told or committed any more, and answers when the group knows. For tests of what is left by a
    /// worker that was killed.
    #[doc(hidden)]
    pub async fn abort(self) {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(self);
        if let Some(left) = left {
            let _ = left.await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.abort();
        // Its tasks end with the set.
        drop(self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("group", &self.shared.config.group)
            .field("partitions", &self.shared.ledger().standing())
            .field("lag", &self.lag())
            .finish_non_exhaustive()
    }
}

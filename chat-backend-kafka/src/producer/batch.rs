//! The records of one call: their share of what may wait, and what became of them.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, Sleep, sleep_until},
};

use super::ProducerSettings;
use crate::{KafkaError, KafkaErrorKind};

/// How much longer than its time to be delivered a record may take until it is said what became of it: librdkafka looks once a second.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// How much of all calls' records may wait.
pub(super) struct Bound {
    records: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    max_records: u32,
    max_bytes: u32,
}

impl Bound {
    pub(super) fn new(settings: &ProducerSettings) -> Self {
        let (max_records, max_bytes) = (settings.max_records, settings.max_bytes);
        Self {
            records: Arc::new(Semaphore::new(max_records as usize)),
            bytes: Arc::new(Semaphore::new(max_bytes as usize)),
            max_records,
            max_bytes,
        }
    }

    /// A share for one call's records; [`KafkaErrorKind::Busy`] where too much waits.
    pub(super) fn take(&self, records: usize, bytes: usize) -> Result<Room, KafkaError> {
        let of = |semaphore: &Arc<Semaphore>, wanted, most: u32| {
            // What is larger than all of it goes alone.
            let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(most);
            let busy = |error| KafkaError::new(KafkaErrorKind::Busy, error);
            semaphore.clone().try_acquire_many_owned(wanted).map_err(busy)
        };
        let records = of(&self.records, records, self.max_records)?;
        Ok(Room { _records: records, _bytes: of(&self.bytes, bytes, self.max_bytes)? })
    }

    /// Waits until nothing is on its way any more.
    pub(super) async fn is_empty(&self) {
        // The semaphore is never closed.
        let _ = self.records.acquire_many(self.max_records).await;
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.records.available_permits()
    }
}

/// The share of what may wait that one call's records take.
pub(super) struct Room {
    _records: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// The records of one call. Each that is on its way holds it; with the last one it is answered.
pub(super) struct Batch {
    failure: OnceLock<KafkaError>,
    done: Mutex<Option<oneshot::Sender<Outcome>>>,
    _room: Room,
}

impl Batch {
    /// And what it will say.
    pub(super) fn new(room: Room) -> (Arc<Self>, oneshot::Receiver<Outcome>) {
        let (done, outcome) = oneshot::channel();
        (Arc::new(Self { failure: OnceLock::new(), done: Mutex::new(Some(done)), _room: room }), outcome)
    }

    /// The first failure counts.
    pub(super) fn fail(&self, error: KafkaError) {
        let _ = self.failure.set(error);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(done) = done {
            // Nobody may wait any more.
            let _ = done.send(self.failure.take().map_or(Ok(()), Err));
        }
    }
}

/// What became of one call's records.
type Outcome = Result<(), KafkaError>;

/// Whether the records of one call are there.
#[derive(Debug)]
pub(crate) struct Sending {
    outcome: oneshot::Receiver<Outcome>,
    /// By then it is known: of many that are waited for in turns, too.
    known_at: Instant,
    /// From when it is waited for.
    time: Option<Pin<Box<Sleep>>>,
    /// Of the client that took them.
    fatal: Arc<AtomicBool>,
}

impl Sending {
    pub(super) const fn new(
        outcome: oneshot::Receiver<Outcome>,
        known_at: Instant,
        fatal: Arc<AtomicBool>,
    ) -> Self {
        Self { outcome, known_at, time: None, fatal }
    }
}

impl Future for Sending {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(outcome) = Pin::new(&mut self.outcome).poll(cx) {
            return Poll::Ready(outcome.unwrap_or_else(|_| Err(KafkaError::closed())));
        }
        let known_at = self.known_at;
        let time = self.time.get_or_insert_with(|| Box::pin(sleep_until(known_at)));
        ready!(time.as_mut().poll(cx));
        // Whoever waits must not wait for ever for a client that has forgotten it.
        tracing::error!("a producer does not say what became of its records");
        self.fatal.store(true, Ordering::Relaxed);
        Poll::Ready(Err(KafkaError::new(KafkaErrorKind::Timeout, Code::MessageTimedOut.to_string())))
    }
}

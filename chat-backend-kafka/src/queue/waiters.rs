//! Who waits for what a worker makes of their messages.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use chat_core::{AppendOutcome, Error, Result, Retry};
use rdkafka::Message;
use tokio::sync::oneshot;

use crate::{
    KafkaError, KafkaErrorKind,
    record::{self, Persisted, RequestId},
    tail::Sink,
};

type Answer = Result<AppendOutcome, String>;

/// The waiting sends of one node, by the numbers that their messages carry.
#[derive(Debug)]
pub(super) struct Waiters {
    node: u128,
    next: AtomicU64,
    most: usize,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
}

impl Waiters {
    pub(super) fn new(most: usize) -> Arc<Self> {
        let node = u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..));
        Arc::new(Self { node, next: AtomicU64::new(0), most, waiting: Mutex::default() })
    }

    /// Waits for this many answers from now on, until the value is dropped.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Busy`] when too many wait already.
    pub(super) fn begin(self: &Arc<Self>, count: usize) -> Result<Waiting, KafkaError> {
        let mut waiting = self.lock();
        if waiting.len() + count > self.most.max(count) {
            return Err(KafkaError::new(KafkaErrorKind::Busy, "too many sends wait for a worker"));
        }
        let first = self.next.fetch_add(count as u64, Ordering::Relaxed);
        let answers = (first..first + count as u64).map(|number| {
            let (answer, outcome) = oneshot::channel();
            waiting.insert(number, answer);
            outcome
        });
        let answers = answers.collect();
        drop(waiting);
        Ok(Waiting { waiters: Arc::clone(self), first, answers })
    }

    /// A record of the persisted topic: somebody's answer, or another node's.
    fn hear(&self, request: &[u8], value: Option<&[u8]>) {
        let Some(request) = RequestId::parse(request).filter(|request| request.node == self.node) else {
            return;
        };
        let Some(answer) = self.lock().remove(&request.number) else { return };
        match Persisted::decode(value) {
            // Whoever waited may be gone.
            Ok(persisted) => drop(answer.send(persisted.into_outcome())),
            // The sender repeats it, and is answered by a worker whose answers can be read, in the end.
            Err(error) => tracing::warn!(%error, "what became of a message cannot be read"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some answers that are waited for. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Waiting {
    waiters: Arc<Waiters>,
    first: u64,
    answers: Vec<oneshot::Receiver<Answer>>,
}

impl Waiting {
    /// What the message with this place in the batch carries.
    pub(super) fn request(&self, index: usize) -> RequestId {
        RequestId { node: self.waiters.node, number: self.first + index as u64 }
    }

    /// Waits for all of them.
    ///
    /// # Errors
    /// [`Error::Timeout`] for an answer that cannot be read; [`Error::Backend`] for a message that became a dead letter.
    pub(super) async fn all(&mut self) -> Result<Vec<AppendOutcome>> {
        let mut outcomes = Vec::with_capacity(self.answers.len());
        for answer in &mut self.answers {
            let answer = answer.await.map_err(|_| Error::Timeout { operation: "append" })?;
            outcomes
                .push(answer.map_err(|reason| Error::backend(crate::NAME, "append", Retry::Never, reason))?);
        }
        Ok(outcomes)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.waiters.lock();
        for number in self.first..self.first + self.answers.len() as u64 {
            waiting.remove(&number);
        }
    }
}

/// Hears the answers.
pub(super) struct Answers(pub(super) Arc<Waiters>);

impl Sink for Answers {
    fn record(&mut self, record: &impl Message) {
        if let Some(request) = record::header(record.headers(), record::REQUEST) {
            self.0.hear(request, record.payload());
        }
    }

    fn flush(&mut self) {}

    /// Whoever waits for what was lost waits until the time is up, and repeats the message.
    fn missed(&mut self) {}
}

#[cfg(test)]
mod tests {
    use chat_core::{Refusal, testkit::fixtures::draft};

    use super::*;

    fn refused() -> Vec<u8> {
        let outcome = AppendOutcome::Refused(Refusal::NotAMember);
        Persisted::new(&draft("r", "ann", "c1", "hello"), outcome).unwrap().encode().unwrap()
    }

    #[tokio::test]
    async fn each_gets_the_answer_to_its_own() {
        let waiters = Waiters::new(10);
        let mut waiting = waiters.begin(2).unwrap();
        let elsewhere = RequestId { node: waiters.node ^ 1, number: waiting.request(0).number };
        waiters.hear(elsewhere.to_string().as_bytes(), Some(&refused()));
        assert_eq!(waiters.lock().len(), 2);
        for index in [1, 0] {
            waiters.hear(waiting.request(index).to_string().as_bytes(), Some(&refused()));
        }
        let refused = AppendOutcome::Refused(Refusal::NotAMember);
        assert_eq!(waiting.all().await.unwrap(), [refused.clone(), refused]);
        let mut next = waiters.begin(1).unwrap();
        waiters.hear(next.request(0).to_string().as_bytes(), Some(b"of a later release"));
        assert!(matches!(next.all().await, Err(Error::Timeout { .. })));
    }

    #[test]
    fn as_many_wait_as_may_and_none_is_left_behind() {
        let waiters = Waiters::new(2);
        let waiting = waiters.begin(2).unwrap();
        assert_eq!(waiters.begin(1).unwrap_err().kind(), KafkaErrorKind::Busy);
        drop(waiting);
        assert!(waiters.lock().is_empty());
        // A batch that is larger than the bound goes alone.
        drop(waiters.begin(3).unwrap());
    }
}

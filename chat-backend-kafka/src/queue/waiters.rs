//! Who waits for what a worker makes of their messages.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use chat_core::{AppendOutcome, Draft, Error, Result};
use rdkafka::Message;
use tokio::sync::oneshot;

use crate::{
    KafkaError, KafkaErrorKind,
    record::{self, Persisted, RequestId, SentName},
    tail::Sink,
};

/// Which message waits, and who for its answer.
type Waiter = (SentName, oneshot::Sender<AppendOutcome>);

/// The waiting sends of one node, by the numbers that their messages carry.
#[derive(Debug)]
pub(super) struct Waiters {
    node: u128,
    next: AtomicU64,
    most: usize,
    waiting: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_number: HashMap<u64, Waiter>,
    /// Why no answer comes any more.
    deaf: Option<KafkaError>,
}

impl Waiters {
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn new(most: usize) -> Result<Arc<Self>, KafkaError> {
        let mut node = [0; 16];
        // Of all nodes, by the system's numbers: two that were copied while they ran would go on with the same ones of their own.
        getrandom::fill(&mut node)
            .map_err(|error| KafkaError::new(KafkaErrorKind::Other, error.to_string()))?;
        let node = u128::from_ne_bytes(node);
        Ok(Arc::new(Self { node, next: AtomicU64::new(0), most, waiting: Mutex::default() }))
    }

    /// Waits for the answers to these from now on, until the value is dropped.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Busy`] when too many wait already; [`KafkaErrorKind::Fatal`] when no answer would be heard.
    pub(super) fn begin(self: &Arc<Self>, drafts: &[&Draft]) -> Result<Waiting, KafkaError> {
        let mut waiting = self.lock();
        if let Some(why) = &waiting.deaf {
            return Err(why.clone());
        }
        if waiting.by_number.len() + drafts.len() > self.most.max(drafts.len()) {
            return Err(KafkaError::new(KafkaErrorKind::Busy, "too many sends wait for a worker"));
        }
        let first = self.next.fetch_add(drafts.len() as u64, Ordering::Relaxed);
        let answers = (first..).zip(drafts).map(|(number, draft)| {
            let (answer, outcome) = oneshot::channel();
            waiting.by_number.insert(number, (SentName::of(draft), answer));
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
        let is_awaited = self.lock().by_number.contains_key(&request.number);
        if !is_awaited {
            return;
        }
        let persisted = match Persisted::decode(value) {
            Ok(persisted) => persisted,
            // The sender repeats it, and is answered by a worker whose answers can be read, in the end.
            Err(error) => {
                tracing::warn!(%error, "what became of a message cannot be read");
                return drop(self.lock().by_number.remove(&request.number));
            }
        };
        let mut waiting = self.lock();
        let Some((sent, answer)) = waiting.by_number.remove(&request.number) else { return };
        if persisted.is_of(&sent) {
            // Whoever waited may be gone.
            drop(answer.send(persisted.into_outcome()));
        } else {
            // Its own may yet come.
            waiting.by_number.insert(request.number, (sent, answer));
            drop(waiting);
            tracing::warn!("the answer to a message is about another one");
        }
    }

    /// No answer comes any more: whoever waits repeats the message, and nobody else begins to.
    fn end(&self, why: &KafkaError) {
        let mut waiting = self.lock();
        waiting.deaf = Some(why.clone());
        waiting.by_number.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some answers that are waited for. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Waiting {
    waiters: Arc<Waiters>,
    first: u64,
    answers: Vec<oneshot::Receiver<AppendOutcome>>,
}

impl Waiting {
    /// What the message with this place in the batch carries.
    pub(super) fn request(&self, index: usize) -> RequestId {
        RequestId { node: self.waiters.node, number: self.first + index as u64 }
    }

    /// Waits for all of them.
    ///
    /// # Errors
    /// [`Error::Timeout`] for an answer that cannot be read, or when none is heard any more.
    pub(super) async fn all(&mut self) -> Result<Vec<AppendOutcome>> {
        let mut outcomes = Vec::with_capacity(self.answers.len());
        for answer in &mut self.answers {
            outcomes.push(answer.await.map_err(|_| Error::Timeout { operation: "append" })?);
        }
        Ok(outcomes)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.waiters.lock();
        for number in self.first..self.first + self.answers.len() as u64 {
            waiting.by_number.remove(&number);
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

    fn died(&mut self, why: &KafkaError) {
        self.0.end(why);
    }
}

#[cfg(test)]
mod tests {
    use chat_core::{Refusal, testkit::fixtures::draft};

    use super::*;

    fn sent(name: &str) -> Draft {
        draft("r", "ann", name, "hello")
    }

    fn told(persisted: &Persisted) -> Vec<u8> {
        persisted.encode().unwrap()
    }

    fn refused(name: &str) -> Vec<u8> {
        let outcome = AppendOutcome::Refused(Refusal::NotAMember);
        told(&Persisted::new(&sent(name), outcome).unwrap())
    }

    fn hear(waiters: &Waiters, request: RequestId, value: &[u8]) {
        waiters.hear(request.to_string().as_bytes(), Some(value));
    }

    #[tokio::test]
    async fn each_gets_the_answer_to_its_own() {
        let waiters = Waiters::new(10).unwrap();
        let mut waiting = waiters.begin(&[&sent("c0"), &sent("c1")]).unwrap();
        let elsewhere = RequestId { node: waiters.node ^ 1, number: waiting.request(0).number };
        hear(&waiters, elsewhere, &refused("c0"));
        // By a node with the same name, if there ever were one.
        hear(&waiters, waiting.request(0), &refused("c1"));
        assert_eq!(waiters.lock().by_number.len(), 2);
        for (index, name) in [(1, "c1"), (0, "c0")] {
            hear(&waiters, waiting.request(index), &refused(name));
        }
        let refused = AppendOutcome::Refused(Refusal::NotAMember);
        assert_eq!(waiting.all().await.unwrap(), [refused.clone(), refused]);
        let mut next = waiters.begin(&[&sent("c2")]).unwrap();
        hear(&waiters, next.request(0), b"of a later release");
        assert!(matches!(next.all().await, Err(Error::Timeout { .. })));
    }

    #[tokio::test]
    async fn a_dead_letter_is_refused_and_the_others_of_its_batch_have_their_answers() {
        let waiters = Waiters::new(10).unwrap();
        let mut waiting = waiters.begin(&[&sent("c0"), &sent("c1")]).unwrap();
        let dead = Persisted::DeadLettered { sent: SentName::of(&sent("c0")), reason: "no".to_owned() };
        hear(&waiters, waiting.request(0), &told(&dead));
        hear(&waiters, waiting.request(1), &refused("c1"));
        let outcomes = [Refusal::Unstorable, Refusal::NotAMember].map(AppendOutcome::Refused);
        assert_eq!(waiting.all().await.unwrap(), outcomes);
    }

    #[tokio::test]
    async fn nobody_waits_for_answers_that_are_not_heard() {
        let waiters = Waiters::new(10).unwrap();
        let mut waiting = waiters.begin(&[&sent("c0")]).unwrap();
        Answers(Arc::clone(&waiters)).died(&KafkaError::new(KafkaErrorKind::Fatal, "a bug"));
        assert!(matches!(waiting.all().await, Err(Error::Timeout { .. })));
        assert_eq!(waiters.begin(&[&sent("c1")]).unwrap_err().kind(), KafkaErrorKind::Fatal);
    }

    #[test]
    fn as_many_wait_as_may_and_none_is_left_behind() {
        let waiters = Waiters::new(2).unwrap();
        let drafts = [sent("c0"), sent("c1"), sent("c2")];
        let all: Vec<_> = drafts.iter().collect();
        let waiting = waiters.begin(&all[..2]).unwrap();
        assert_eq!(waiters.begin(&all[2..]).unwrap_err().kind(), KafkaErrorKind::Busy);
        drop(waiting);
        assert!(waiters.lock().by_number.is_empty());
        // A batch that is larger than the bound goes alone.
        drop(waiters.begin(&all).unwrap());
    }
}

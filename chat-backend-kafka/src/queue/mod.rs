//! A durable queue in front of a log.

mod admission;
mod config;
mod waiters;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Backend, Clock as _, Draft, Durability, Error, Head, InvalidBody, MessageLog, Page,
    ReadQuery, Refusal, Result, Retention, RoomId, Rooms, SystemClock,
};
use rdkafka::message::OwnedHeaders;
use tokio::time::timeout;

pub use self::config::{Ack, QueueConfig};
use self::{
    admission::Admission,
    waiters::{Answers, Waiters, Waiting},
};
use crate::{
    ConnectError, KafkaConfig, NAME,
    producer::{Outgoing, Producer, ProducerSettings},
    record::{self, RequestId},
    tail::{Tail, TailSettings},
};

/// What a worker writes of a message is larger than the message by less than this, in bytes: it has to fit into a record as well.
const ANSWER: usize = 1_024;

/// A log that puts what is appended into a durable queue, out of which a [`Worker`](crate::Worker) stores it in the log beneath.
/// Whatever is read comes from the log beneath.
///
/// # What an answer means
/// With [`Ack::Accepted`] a draft is answered `Accepted` once every broker that has to has it (`acks=all`). From then on it will be
/// stored, or the sender is told that it is not, by an event. Before it is put into the queue it is checked, from what is
/// remembered for at most a second: that the room is there and active, the membership, the body. What is refused there is
/// refused for good, also where it is the repeat of a message that was stored before; the log beneath decides about everything
/// else, and about this once more.
///
/// With [`Ack::Persisted`] every draft goes into the queue, and the answer is what the log beneath has said. So it is
/// the log's first answer for every repeat, whatever has changed since, and nothing needs to be checked twice.
///
/// The drafts of one call, and of calls one after the other, are stored in that order within a room.
pub struct QueuedLog {
    producer: Producer,
    topic: String,
    inner: Arc<dyn MessageLog>,
    admission: Admission,
    persisted: Option<Answered>,
    closed: AtomicBool,
}

/// What it takes to wait for workers.
#[derive(Debug)]
struct Answered {
    waiters: Arc<Waiters>,
    tail: Tail,
    patience: Duration,
}

impl QueuedLog {
    /// Begins: a queue in front of `inner`, for the rooms in `rooms`. With [`Ack::Persisted`] it returns once answers are
    /// listened for. The topics must be there, see [`ensure_topics`](crate::ensure_topics).
    ///
    /// # Errors
    /// [`ConnectError::Setting`]; with [`Ack::Persisted`] also [`ConnectError::Kafka`] when the brokers do not answer within
    /// [`KafkaConfig::with_connect_timeout`].
    pub async fn start(
        config: &KafkaConfig,
        queue: QueueConfig,
        inner: Arc<dyn MessageLog>,
        rooms: Arc<dyn Rooms>,
    ) -> Result<Self, ConnectError> {
        queue.check()?;
        let settings = ProducerSettings {
            compression: queue.compression,
            linger: queue.linger,
            max_records: queue.max_records,
            max_bytes: queue.max_bytes,
        };
        let producer = Producer::start(config, settings)?;
        let persisted = match queue.ack {
            Ack::Accepted => None,
            Ack::Persisted => {
                let waiters = Waiters::new(queue.max_waiting)?;
                let topics = vec![config.topics().persisted.clone()];
                let settings = TailSettings { refresh: queue.refresh, ..TailSettings::default() };
                let tail = Tail::start(config, topics, settings, Answers(Arc::clone(&waiters)))?;
                tail.ready(config.connect_timeout()).await?;
                Some(Answered { waiters, tail, patience: queue.persist_timeout })
            }
        };
        Ok(Self {
            producer,
            topic: config.topics().messages.clone(),
            inner,
            admission: Admission::new(rooms, &queue),
            persisted,
            closed: AtomicBool::new(false),
        })
    }

    /// Takes nothing more, and waits until the brokers have what was taken, or until the time is up.
    ///
    /// # Errors
    /// [`Error::Timeout`] when something is still on its way: it may yet arrive while this process lives.
    ///
    /// # Cancel safety
    /// It takes nothing more either way, and can be called again.
    pub async fn shutdown(&self, patience: Duration) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        timeout(patience, self.producer.flush()).await.map_err(|_| Error::Timeout { operation: "shutdown" })
    }

    /// What a draft is in the queue. One that no record can hold leaves its neighbours alone.
    ///
    /// # Errors
    /// Why it is not taken.
    fn write(&self, draft: &Draft) -> std::result::Result<Vec<u8>, Refusal> {
        let payload = match record::encode_draft(draft) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::warn!(%error, room = %draft.room, "a message cannot be written");
                return Err(Refusal::Unstorable);
            }
        };
        // With headers as long as any.
        let headers = self.headers("0".repeat(20).as_str(), Some(RequestId { node: 0, number: u64::MAX }));
        let room_left = self.producer.room_left(&self.outgoing(draft, &payload, headers));
        if room_left.is_none_or(|left| left < ANSWER) {
            tracing::warn!(bytes = payload.len(), room = %draft.room, "a message is too large for the queue");
            return Err(Refusal::Body(InvalidBody::TooLarge));
        }
        Ok(payload)
    }

    fn headers(&self, produced_at: &str, request: Option<RequestId>) -> OwnedHeaders {
        let headers = OwnedHeaders::new_with_capacity(2);
        let headers = record::with_header(headers, record::PRODUCED_AT, produced_at);
        match request {
            Some(request) => record::with_header(headers, record::REQUEST, &request.to_string()),
            None => headers,
        }
    }

    fn outgoing<'a>(&'a self, draft: &'a Draft, payload: &'a [u8], headers: OwnedHeaders) -> Outgoing<'a> {
        Outgoing { topic: &self.topic, key: draft.room.as_str().as_bytes(), payload, headers }
    }

    /// Puts the drafts into the queue, in their order, and waits until the brokers have them.
    ///
    /// # Errors
    /// Of what may be there nothing is said but [`Error::Timeout`].
    async fn enqueue(&self, written: &[(&Draft, Vec<u8>)], waiting: Option<&Waiting>) -> Result<()> {
        let produced_at = SystemClock.now().as_millis().to_string();
        let records = written.iter().enumerate().map(|(index, (draft, payload))| {
            let request = waiting.map(|waiting| waiting.request(index));
            self.outgoing(draft, payload, self.headers(&produced_at, request))
        });
        let sending = self.producer.send(records.collect()).map_err(|error| error.during("append"))?;
        sending.await.map_err(|error| {
            tracing::warn!(error = ?error.kind(), messages = written.len(), "messages were not acknowledged");
            error.undelivered(written.len()).during("append")
        })
    }

    async fn accept(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        let mut refusals = self.admission.check(drafts).await?;
        let mut taken = Vec::with_capacity(drafts.len());
        for (draft, refusal) in drafts.iter().zip(&mut refusals).filter(|(_, refusal)| refusal.is_none()) {
            match self.write(draft) {
                Ok(payload) => taken.push((draft, payload)),
                Err(why) => *refusal = Some(why),
            }
        }
        if !taken.is_empty() {
            self.enqueue(&taken, None).await?;
        }
        let outcome = |refusal: Option<_>| refusal.map_or(AppendOutcome::Accepted, AppendOutcome::Refused);
        Ok(refusals.into_iter().map(outcome).collect())
    }

    async fn persist(&self, drafts: &[Draft], answered: &Answered) -> Result<Vec<AppendOutcome>> {
        let (mut refusals, mut taken) = (Vec::with_capacity(drafts.len()), Vec::with_capacity(drafts.len()));
        for draft in drafts {
            refusals.push(self.write(draft).map(|payload| taken.push((draft, payload))).err());
        }
        let mut answers = Vec::new();
        if !taken.is_empty() {
            let names: Vec<_> = taken.iter().map(|(draft, _)| *draft).collect();
            let mut waiting = answered.waiters.begin(&names).map_err(|error| error.during("append"))?;
            self.enqueue(&taken, Some(&waiting)).await?;
            let outcomes = timeout(answered.patience, waiting.all()).await;
            answers = outcomes.unwrap_or(Err(Error::Timeout { operation: "append" }))?;
        }
        let mut answers = answers.into_iter();
        let outcome = |refusal: Option<_>| match refusal {
            Some(refusal) => AppendOutcome::Refused(refusal),
            None => answers.next().unwrap_or(AppendOutcome::Refused(Refusal::Unstorable)),
        };
        Ok(refusals.into_iter().map(outcome).collect())
    }
}

impl std::fmt::Debug for QueuedLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueuedLog")
            .field("topic", &self.topic)
            .field("inner", &self.inner)
            .field("waits", &self.persisted.is_some())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for QueuedLog {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn health(&self) -> Result<()> {
        if let Some(answered) = &self.persisted {
            answered.tail.health().map_err(|error| error.during("health"))?;
        }
        self.producer.health(&self.topic).await?;
        self.inner.health().await
    }
}

#[async_trait]
impl MessageLog for QueuedLog {
    fn durability(&self) -> Durability {
        match &self.persisted {
            None => Durability::Accepted,
            Some(_) => self.inner.durability(),
        }
    }

    /// A draft that no record of the queue can hold is refused as [`InvalidBody::TooLarge`], and with [`Ack::Persisted`] one that became
    /// a dead letter as [`Refusal::Unstorable`].
    ///
    /// # Errors
    /// [`Error::Busy`] when too much is on its way already; nothing was done then. [`Error::Timeout`] when it is not known
    /// whether the brokers have the drafts, or what a worker made of them: they may be stored, now or later; repeat them with
    /// the same client ids. [`Error::Draining`] after [`shutdown`](QueuedLog::shutdown).
    ///
    /// # Cancel safety
    /// The drafts of a dropped call may or may not be in the queue, each whole.
    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Draining);
        }
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        match &self.persisted {
            None => self.accept(drafts).await,
            Some(answered) => self.persist(drafts, answered).await,
        }
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        self.inner.read(room, query).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        self.inner.heads(rooms).await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.inner.trim(room, retention).await
    }
}

#[cfg(test)]
mod tests;

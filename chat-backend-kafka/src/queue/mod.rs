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
    AppendOutcome, Backend, Clock as _, Draft, Durability, Error, Head, MessageLog, Page, ReadQuery, Result,
    Retention, Retry, RoomId, Rooms, SystemClock,
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
    record,
    tail::{Tail, TailSettings},
};

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
                let waiters = Waiters::new(queue.max_waiting);
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

    /// Puts the drafts into the queue, in their order, and waits until the brokers have them.
    async fn enqueue(&self, drafts: &[&Draft], waiting: Option<&Waiting>) -> Result<()> {
        let produced_at = SystemClock.now().as_millis().to_string();
        let encode = |draft: &&Draft| {
            record::encode_draft(draft).map_err(|error| Error::backend(NAME, "append", Retry::Never, error))
        };
        let payloads: Vec<_> = drafts.iter().map(encode).collect::<Result<_>>()?;
        let records = drafts.iter().zip(&payloads).enumerate().map(|(index, (draft, payload))| {
            let headers = OwnedHeaders::new_with_capacity(2);
            let mut headers = record::with_header(headers, record::PRODUCED_AT, &produced_at);
            if let Some(waiting) = waiting {
                let request = waiting.request(index).to_string();
                headers = record::with_header(headers, record::REQUEST, &request);
            }
            Outgoing { topic: &self.topic, key: draft.room.as_str().as_bytes(), payload, headers }
        });
        let sending = self.producer.send(records.collect()).map_err(|error| error.during("append"))?;
        sending.await.map_err(|error| error.during("append"))
    }

    async fn accept(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        let refusals = self.admission.check(drafts).await?;
        let taken: Vec<_> = drafts
            .iter()
            .zip(&refusals)
            .filter(|(_, refusal)| refusal.is_none())
            .map(|(draft, _)| draft)
            .collect();
        if !taken.is_empty() {
            self.enqueue(&taken, None).await?;
        }
        let outcome = |refusal: Option<_>| refusal.map_or(AppendOutcome::Accepted, AppendOutcome::Refused);
        Ok(refusals.into_iter().map(outcome).collect())
    }

    async fn persist(&self, drafts: &[Draft], answered: &Answered) -> Result<Vec<AppendOutcome>> {
        let mut waiting = answered.waiters.begin(drafts.len()).map_err(|error| error.during("append"))?;
        let all: Vec<_> = drafts.iter().collect();
        self.enqueue(&all, Some(&waiting)).await?;
        let outcomes = timeout(answered.patience, waiting.all()).await;
        outcomes.unwrap_or(Err(Error::Timeout { operation: "append" }))
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

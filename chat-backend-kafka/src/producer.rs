//! One idempotent producer for many callers: records of one call go in their order, and what waits is bounded.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use chat_core::{Error, Result};
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Statistics,
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    error::KafkaError as Cause,
    message::{Headers as _, OwnedHeaders},
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode as Code,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Sleep, sleep},
};

use crate::{
    ConnectError, KafkaConfig, KafkaError, KafkaErrorKind, client_log,
    forsaken::{self, Forsaken, close_aside},
};

/// How much longer than its time to be delivered a record may take until it is said what became of it: librdkafka looks once a second.
const GRACE: Duration = Duration::from_secs(5);

/// How often it is looked for new partitions, in milliseconds.
const REFRESH: &str = "topic.metadata.refresh.interval.ms";

/// How large a record may be, in bytes: librdkafka's name for it, and its default.
const LARGEST: &str = "message.max.bytes";
const DEFAULT_LARGEST: usize = 1_000_000;

/// What a record and each of its headers take besides their contents, or a little more.
const RECORD_OVERHEAD: usize = 64;
const HEADER_OVERHEAD: usize = 10;

/// How records are made smaller on their way and at the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast: 2 to 3 times smaller in batches of messages.
    #[default]
    Lz4,
    /// Smaller still, for more of the processor's time.
    Zstd,
}

impl Compression {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// How a producer goes about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProducerSettings {
    pub(crate) compression: Compression,
    /// How long a record waits for others to go with.
    pub(crate) linger: Duration,
    /// How many records wait at most, and how many bytes of them.
    pub(crate) max_records: u32,
    pub(crate) max_bytes: u32,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            compression: Compression::Lz4,
            linger: Duration::from_millis(1),
            max_records: 100_000,
            max_bytes: 64 * 1024 * 1024,
        }
    }
}

/// A record on its way. Its key decides its partition, as other clients of Kafka decide it too (murmur2).
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a str,
    pub(crate) key: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) headers: OwnedHeaders,
}

impl Outgoing<'_> {
    /// At least as much as librdkafka takes it for.
    fn size(&self) -> usize {
        let header = |header: rdkafka::message::Header<'_, &[u8]>| {
            HEADER_OVERHEAD + header.key.len() + header.value.map_or(0, <[u8]>::len)
        };
        let headers: usize = self.headers.iter().map(header).sum();
        RECORD_OVERHEAD + self.key.len() + self.payload.len() + headers
    }
}

/// A producer, acknowledged by all replicas in step (`acks=all`), that neither repeats nor reorders records while it tries again.
/// Cheap to clone; every clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    config: ClientConfig,
    settings: ProducerSettings,
    /// The size of the largest record that librdkafka takes.
    largest: usize,
    patience: Duration,
    /// By then it is known of every record what became of it.
    known_within: Duration,
    /// Made anew after a fatal error.
    current: RwLock<Arc<Client>>,
    records: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

type Client = ThreadedProducer<Deliveries>;

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Producer {
    /// Begins. Connections are made when they are needed.
    pub(crate) fn start(config: &KafkaConfig, settings: ProducerSettings) -> Result<Self, ConnectError> {
        config.check()?;
        let mut client = config.client();
        if client.get(REFRESH).is_none() {
            // While some nodes know of added partitions and others do not, they put a room into different ones.
            client.set(REFRESH, "10000");
        }
        client
            // Whoever asks about a topic, or writes to it, finds it missing where it is missing.
            .set("allow.auto.create.topics", "false")
            .set("acks", "all")
            .set(forsaken::STATISTICS, forsaken::INTERVAL)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("compression.type", settings.compression.as_str())
            .set("linger.ms", settings.linger.as_millis().to_string())
            .set("message.timeout.ms", config.delivery_timeout().as_millis().to_string())
            // What waits is bounded here. librdkafka's own bounds lie above, so that none of a call's records is refused
            // after others were taken.
            .set("queue.buffering.max.messages", settings.max_records.saturating_mul(2).to_string())
            .set("queue.buffering.max.kbytes", (settings.max_bytes / 512).max(1_024).to_string());
        let current = RwLock::new(Arc::new(open(&client)?));
        let largest = client.get(LARGEST).and_then(|bytes| bytes.trim().parse().ok());
        let largest = largest.unwrap_or(DEFAULT_LARGEST);
        Ok(Self {
            shared: Arc::new(Shared {
                config: client,
                patience: config.connect_timeout(),
                known_within: config.delivery_timeout() + GRACE,
                largest,
                current,
                records: Arc::new(Semaphore::new(settings.max_records as usize)),
                bytes: Arc::new(Semaphore::new(settings.max_bytes as usize)),
                settings,
            }),
        })
    }

    /// Takes all of these records, in this order, or none. What it answers is done once the brokers have acknowledged all of
    /// them, or given up on one; dropping that changes nothing about the records.
    ///
    /// # Errors
    /// Of this call: nothing was done. [`KafkaErrorKind::Busy`] when too much is waiting, [`KafkaErrorKind::TooLarge`] when one of
    /// them is larger than a record may be.
    ///
    /// Of what it answers: the first thing that went wrong with any of them. The others may have been written, and may yet be:
    /// see [`KafkaError::undelivered`].
    pub(crate) fn send(&self, records: Vec<Outgoing<'_>>) -> Result<Sending, KafkaError> {
        if records.iter().any(|record| self.room_left(record).is_none()) {
            return Err(KafkaError::new(KafkaErrorKind::TooLarge, Code::MessageSizeTooLarge.to_string()));
        }
        let bytes: usize = records.iter().map(|record| record.key.len() + record.payload.len()).sum();
        let room = Room {
            _records: take(&self.shared.records, records.len(), self.shared.settings.max_records)?,
            _bytes: take(&self.shared.bytes, bytes, self.shared.settings.max_bytes)?,
        };
        let (done, outcome) = oneshot::channel();
        let batch = Arc::new(Batch { failure: OnceLock::new(), done: Mutex::new(Some(done)), _room: room });
        let client = self.shared.client()?;
        for (index, record) in records.into_iter().enumerate() {
            let record = BaseRecord::with_opaque_to(record.topic, batch.clone())
                .key(record.key)
                .payload(record.payload)
                .headers(record.headers);
            if let Err((error, _)) = client.send(record) {
                let error = KafkaError::from(error);
                if error.kind() == KafkaErrorKind::Fatal {
                    client.client().context().fail();
                }
                if index == 0 {
                    return Err(error);
                }
                // Those before it are on their way.
                batch.fail(error.unknown());
                break;
            }
        }
        let fatal = Arc::clone(&client.client().context().fatal);
        Ok(Sending { outcome, within: self.shared.known_within, time: None, fatal })
    }

    /// How many bytes larger the record could be; nothing for one that is too large.
    pub(crate) fn room_left(&self, record: &Outgoing<'_>) -> Option<usize> {
        self.shared.largest.checked_sub(record.size())
    }

    /// Waits until nothing is on its way any more.
    pub(crate) async fn flush(&self) {
        // The semaphore is never closed.
        let _ = self.shared.records.acquire_many(self.shared.settings.max_records).await;
    }

    /// Asks the cluster about a topic.
    pub(crate) async fn health(&self, topic: &str) -> Result<()> {
        let client = self.shared.client().map_err(|error| error.during("health"))?;
        let (topic, patience) = (topic.to_owned(), self.shared.patience);
        // The client waits for the answer on its thread.
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = client.client().fetch_metadata(Some(&topic), patience);
            client.client().context().troubled.store(metadata.is_err(), Ordering::Relaxed);
            match metadata?.topics().first().and_then(|topic| topic.error()) {
                Some(code) => Err(Cause::MetadataFetch(code.into())),
                None => Ok(()),
            }
        });
        let answer = asked.await.map_err(|_| Error::Draining)?;
        answer.map_err(|error| KafkaError::from(error).during("health"))
    }
}

impl Shared {
    /// The client, made anew if it cannot go on.
    fn client(&self) -> Result<Arc<Client>, KafkaError> {
        let is_fatal = |client: &Client| client.client().context().is_dead();
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if !is_fatal(&current) {
            return Ok(current);
        }
        let mut slot = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if is_fatal(&slot) {
            tracing::warn!("a producer failed for good and is made anew");
            let dead = std::mem::replace(&mut *slot, Arc::new(open(&self.config)?));
            close_aside(dead);
        }
        Ok(slot.clone())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let slot = self.current.get_mut().unwrap_or_else(PoisonError::into_inner);
        close_aside(slot.clone());
    }
}

fn open(config: &ClientConfig) -> Result<Client, KafkaError> {
    Client::from_config_and_context(config, Deliveries::default()).map_err(KafkaError::from)
}

fn take(semaphore: &Arc<Semaphore>, wanted: usize, most: u32) -> Result<OwnedSemaphorePermit, KafkaError> {
    // What is larger than all of it goes alone.
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(most);
    let busy = |error| KafkaError::new(KafkaErrorKind::Busy, error);
    semaphore.clone().try_acquire_many_owned(wanted).map_err(busy)
}

/// The share of what may wait that one call's records take.
struct Room {
    _records: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// The records of one call. Each that is on its way holds it; with the last one it is answered.
struct Batch {
    failure: OnceLock<KafkaError>,
    done: Mutex<Option<oneshot::Sender<Result<(), KafkaError>>>>,
    _room: Room,
}

impl Batch {
    /// The first failure counts.
    fn fail(&self, error: KafkaError) {
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

/// Whether the records of one call are there.
#[derive(Debug)]
pub(crate) struct Sending {
    outcome: oneshot::Receiver<Result<(), KafkaError>>,
    within: Duration,
    /// Counts from when it is waited for.
    time: Option<Pin<Box<Sleep>>>,
    /// Of the client that took them.
    fatal: Arc<AtomicBool>,
}

impl Future for Sending {
    type Output = Result<(), KafkaError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(outcome) = Pin::new(&mut self.outcome).poll(cx) {
            return Poll::Ready(outcome.unwrap_or_else(|_| Err(KafkaError::closed())));
        }
        let within = self.within;
        let time = self.time.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(time.as_mut().poll(cx));
        // Whoever waits must not wait for ever for a client that has forgotten it.
        tracing::error!("a producer does not say what became of its records");
        self.fatal.store(true, Ordering::Relaxed);
        Poll::Ready(Err(KafkaError::new(KafkaErrorKind::Timeout, Code::MessageTimedOut.to_string())))
    }
}

/// Hears what became of each record, on the client's own thread.
#[derive(Debug, Default)]
struct Deliveries {
    fatal: Arc<AtomicBool>,
    forsaken: Forsaken,
    /// What it was asked last failed, be it long ago: it needs a broker although nothing is on its way.
    troubled: AtomicBool,
}

impl Deliveries {
    fn fail(&self) {
        self.fatal.store(true, Ordering::Relaxed);
    }

    /// The client is to be made anew.
    fn is_dead(&self) -> bool {
        self.fatal.load(Ordering::Relaxed) || self.forsaken.is()
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::pass_on(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        let needs = statistics.msg_cnt > 0 || self.troubled.load(Ordering::Relaxed);
        self.forsaken.note_statistics(&statistics, needs);
    }

    fn error(&self, error: Cause, reason: &str) {
        if error.rdkafka_error_code() == Some(Code::Fatal) {
            self.fail();
        }
        tracing::debug!(%error, reason, "a producer's connection failed");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Batch>;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: Arc<Batch>) {
        self.troubled.store(result.is_err(), Ordering::Relaxed);
        if let Err((error, record)) = result {
            let error = KafkaError::from(error.clone());
            tracing::debug!(error = ?error.kind(), topic = record.topic(), "a record was not delivered");
            if error.kind() == KafkaErrorKind::Fatal {
                self.fail();
            }
            batch.fail(error);
        }
    }
}

#[cfg(test)]
mod tests;

//! One idempotent producer for many callers: records of one call go in their order, and what waits is bounded.

use std::{
    sync::{Arc, PoisonError, RwLock, atomic::Ordering},
    time::Duration,
};

use chat_core::{Error, Result};
use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext as _,
    error::KafkaError as Cause,
    message::{Headers as _, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
    types::RDKafkaErrorCode as Code,
};
use tokio::time::Instant;

pub use self::settings::Compression;
pub(crate) use self::settings::ProducerSettings;
use self::{
    batch::{Batch, Bound, GRACE, Sending},
    context::Deliveries,
};
use crate::{ConnectError, KafkaConfig, KafkaError, KafkaErrorKind, forsaken::close_aside};

mod batch;
mod context;
mod settings;

/// What a record and each of its headers take besides their contents, or a little more.
const RECORD_OVERHEAD: usize = 64;
const HEADER_OVERHEAD: usize = 10;

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
    bound: Bound,
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
        let client = settings.client(config);
        Ok(Self {
            shared: Arc::new(Shared {
                current: RwLock::new(Arc::new(open(&client)?)),
                largest: settings::largest(&client),
                config: client,
                patience: config.connect_timeout(),
                known_within: config.delivery_timeout() + GRACE,
                bound: Bound::new(&settings),
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
        let (batch, outcome) = Batch::new(self.shared.bound.take(records.len(), bytes)?);
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
        Ok(Sending::new(outcome, Instant::now() + self.shared.known_within, fatal))
    }

    /// How many bytes larger the record could be; nothing for one that is too large.
    pub(crate) fn room_left(&self, record: &Outgoing<'_>) -> Option<usize> {
        self.shared.largest.checked_sub(record.size())
    }

    /// Waits until nothing is on its way any more.
    pub(crate) async fn flush(&self) {
        self.shared.bound.is_empty().await;
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

#[cfg(test)]
mod tests;

//! Live events through a topic that every node reads whole.

mod config;
mod inlet;
mod payload;

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, Error, Fanout, Result, Retry,
    fanout::{FanoutEvent, Publication, Subscription, Topic, Topics},
};
use tokio::time::timeout;

pub use self::config::{FanoutConfig, StoredMessages};
use self::inlet::Inlet;
use crate::{
    ConnectError, KafkaConfig, KafkaError,
    producer::{Outgoing, Producer, ProducerSettings},
    tail::Tail,
};

/// How much of what was published may wait for the brokers: it is short-lived, and what is more is refused as busy.
const WAITING: ProducerSettings = ProducerSettings {
    compression: crate::Compression::Lz4,
    linger: Duration::from_millis(1),
    max_records: 65_536,
    max_bytes: 16 * 1024 * 1024,
};

/// The fan-out of one node.
///
/// Each node reads all partitions of the topic of events (and of the workers' topic with [`StoredMessages::FromWorkers`]) by itself, from
/// where they end when it connects. So every node sees every event, and takes in all traffic of the chat, whichever rooms its
/// sessions are in: this is for clusters of a few nodes. Larger ones take a carrier with a channel for each room, such as Redis's.
///
/// Kafka keeps what is published, so an interruption delays events and loses none. Whoever subscribes is told all the same
/// ([`FanoutItem::Missed`](chat_core::fanout::FanoutItem::Missed)) when a connection that is read over broke, when the brokers gave no
/// answer, when events were late for longer than [`FanoutConfig::with_stall`], when what was to be read had been removed already
/// (retention, a topic made anew, a failover that lost records), and when a subscription's buffer was full.
///
/// Events of one topic are in one partition and keep their order. When partitions are added, topics move to other ones: an event there
/// may then be seen before an earlier one of the old partition. Between the two topics of [`StoredMessages::FromWorkers`] there is no
/// order, either. Messages carry their positions, by which the engine puts them in order.
///
/// Dropping it ends its subscriptions.
pub struct KafkaFanout {
    topics: Topics,
    tail: Tail,
    producer: Producer,
    events: String,
    stored_messages: StoredMessages,
    is_closed: AtomicBool,
}

impl KafkaFanout {
    /// Connects: returns once the ends of all partitions are known. The topics must be there; see
    /// [`ensure_topics`](crate::ensure_topics).
    ///
    /// # Errors
    /// A setting out of its bounds; brokers that are out of reach, or refuse; a topic that is missing.
    ///
    /// # Cancel safety
    /// Dropping the call leaves nothing behind.
    pub async fn connect(
        config: &KafkaConfig,
        fanout: FanoutConfig,
    ) -> std::result::Result<Self, ConnectError> {
        config.check()?;
        let FanoutConfig { stored_messages, buffer, publish_timeout, tail } = fanout;
        let names = config.topics();
        let mut read = vec![names.events.clone()];
        let persisted = (stored_messages == StoredMessages::FromWorkers).then(|| names.persisted.clone());
        read.extend(persisted.clone());
        let topics = Topics::new(buffer);
        let publishing = config.clone().with_delivery_timeout(publish_timeout);
        let producer = Producer::start(&publishing, WAITING)?;
        let tail = Tail::start(config, read, tail, Inlet::new(topics.clone(), persisted))?;
        tail.ready(config.connect_timeout()).await?;
        let events = names.events.clone();
        Ok(Self { topics, tail, producer, events, stored_messages, is_closed: AtomicBool::new(false) })
    }

    /// Takes nothing more, gives what was published until now this time to reach the brokers, and ends all subscriptions.
    ///
    /// # Cancel safety
    /// Dropping the call leaves it closed to publishers; what was published goes on its way.
    pub async fn shutdown(&self, patience: Duration) {
        self.is_closed.store(true, Ordering::Release);
        if timeout(patience, self.producer.flush()).await.is_err() {
            tracing::warn!("events were still on their way when the fan-out was shut down");
        }
        self.end();
    }

    fn end(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.tail.close();
        self.topics.end_all(Error::backend(crate::NAME, "listen", Retry::Never, KafkaError::closed()));
    }

    /// Whether the workers tell of it.
    fn is_told_by_workers(&self, event: &FanoutEvent) -> bool {
        self.stored_messages == StoredMessages::FromWorkers && matches!(event, FanoutEvent::Message(_))
    }
}

impl Drop for KafkaFanout {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for KafkaFanout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaFanout")
            .field("topics", &self.topics)
            .field("tail", &self.tail)
            .field("stored_messages", &self.stored_messages)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for KafkaFanout {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.tail.health().map_err(|error| error.during("listen"))?;
        self.producer.health(&self.events).await
    }
}

#[async_trait]
impl Fanout for KafkaFanout {
    /// Returns once the brokers have the events. With a call that is dropped, they go on their way all the same.
    async fn publish(&self, events: &[Publication]) -> Result<()> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Error::Draining);
        }
        let carried = events.iter().filter(|publication| !self.is_told_by_workers(&publication.event));
        let written: std::result::Result<Vec<_>, KafkaError> =
            carried.map(|event| Ok((payload::key(&event.topic), payload::value(event)?))).collect();
        let written = written.map_err(|error| error.during("publish"))?;
        if written.is_empty() {
            return Ok(());
        }
        let records = written.iter().map(|(key, value)| Outgoing {
            topic: &self.events,
            key: key.as_bytes(),
            payload: value.as_bytes(),
            headers: payload::headers(),
        });
        let sending = self.producer.send(records.collect());
        let sent = async { sending?.await }.await;
        sent.map_err(|error| error.during("publish"))
    }

    async fn subscribe(&self, topic: &Topic) -> Result<Subscription> {
        // All is read since this node connected, so nothing has to be waited for.
        Ok(self.topics.subscribe(topic))
    }
}

//! How a producer goes about it, and what its client is told of that.

use std::time::Duration;

use rdkafka::ClientConfig;

use crate::{KafkaConfig, forsaken};

/// How often it is looked for new partitions, in milliseconds.
const REFRESH: &str = "topic.metadata.refresh.interval.ms";

/// How large a record may be, in bytes: librdkafka's name for it, and its default.
const LARGEST: &str = "message.max.bytes";
pub(super) const DEFAULT_LARGEST: usize = 1_000_000;

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

impl ProducerSettings {
    /// What the client is like.
    pub(super) fn client(&self, config: &KafkaConfig) -> ClientConfig {
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
            .set("compression.type", self.compression.as_str())
            .set("linger.ms", self.linger.as_millis().to_string())
            .set("message.timeout.ms", config.delivery_timeout().as_millis().to_string())
            // What waits is bounded here. librdkafka's own bounds lie above, so that none of a call's records is refused
            // after others were taken.
            .set("queue.buffering.max.messages", self.max_records.saturating_mul(2).to_string())
            .set("queue.buffering.max.kbytes", (self.max_bytes / 512).max(1_024).to_string());
        client
    }
}

/// The size of the largest record that such a client takes, in bytes.
pub(super) fn largest(client: &ClientConfig) -> usize {
    let largest = client.get(LARGEST).and_then(|bytes| bytes.trim().parse().ok());
    largest.unwrap_or(DEFAULT_LARGEST)
}

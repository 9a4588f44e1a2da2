use std::time::Duration;

use chat_core::fanout::Topics;

use crate::tail::TailSettings;

/// From where a node hears of messages that were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StoredMessages {
    /// From the topic of events, where whoever stored a message publishes it.
    #[default]
    FromPublishers,
    /// From the topic that the workers write to ([`TopicNames::persisted`](crate::TopicNames::persisted)): a message is heard of
    /// when it is stored, or that it was not. Messages that are published are left out, since the workers tell of them. For chats
    /// whose log is a queue, and where nothing is stored past it; the workers then announce to no other fan-out.
    FromWorkers,
}

/// How a node's live events go through Kafka.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FanoutConfig {
    pub(super) stored_messages: StoredMessages,
    pub(super) buffer: usize,
    pub(super) publish_timeout: Duration,
    pub(super) tail: TailSettings,
}

impl FanoutConfig {
    /// How many events wait for one subscription.
    pub const DEFAULT_BUFFER: usize = Topics::DEFAULT_BUFFER;
    /// How long an event may take until the brokers have it.
    pub const DEFAULT_PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);
    /// How often a node asks for new partitions, and whether it has read what is there.
    pub const DEFAULT_REFRESH: Duration = TailSettings::DEFAULT_REFRESH;
    /// How late an event may be before all subscriptions are told.
    pub const DEFAULT_STALL: Duration = TailSettings::DEFAULT_STALL;

    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stored_messages: StoredMessages::default(),
            buffer: Self::DEFAULT_BUFFER,
            publish_timeout: Self::DEFAULT_PUBLISH_TIMEOUT,
            tail: TailSettings::default(),
        }
    }

    /// Hears of stored messages from there. All nodes of a chat do the same.
    #[must_use]
    pub const fn with_stored_messages(mut self, from: StoredMessages) -> Self {
        self.stored_messages = from;
        self
    }

    /// Lets up to this many events (at least one) wait for each subscription. What comes when they are as many is dropped and
    /// told as missed.
    #[must_use]
    pub const fn with_buffer(mut self, events: usize) -> Self {
        self.buffer = events;
        self
    }

    /// Gives an event up (after at least 100 ms) that the brokers do not have by then: it would be of no use any more.
    #[must_use]
    pub const fn with_publish_timeout(mut self, timeout: Duration) -> Self {
        self.publish_timeout = timeout;
        self
    }

    /// Looks this often (at least every 50 ms) whether there are new partitions and whether the brokers answer. What is written to a
    /// new partition is read as much later at most. A broken connection is noticed as soon, and at least once a second.
    #[must_use]
    pub fn with_refresh(mut self, refresh: Duration) -> Self {
        self.tail.refresh = refresh.max(Duration::from_millis(50));
        self
    }

    /// Tells all subscriptions that they missed something when an event was at the brokers for so long and was not read yet.
    #[must_use]
    pub const fn with_stall(mut self, stall: Duration) -> Self {
        self.tail.stall = stall;
        self
    }
}

impl Default for FanoutConfig {
    fn default() -> Self {
        Self::new()
    }
}

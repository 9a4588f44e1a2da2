use std::time::Duration;

use crate::{Compression, ConnectError};

/// When the queue answers a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ack {
    /// Once the brokers have it: `Accepted`, without a position. What becomes of it is told by an event.
    #[default]
    Accepted,
    /// Once a worker has stored it: with its position, as the log beneath answers.
    Persisted,
}

/// How a [`QueuedLog`](crate::QueuedLog) goes about it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct QueueConfig {
    pub(crate) ack: Ack,
    pub(crate) compression: Compression,
    pub(crate) linger: Duration,
    pub(crate) max_records: u32,
    pub(crate) max_bytes: u32,
    pub(crate) admission_kept: Duration,
    pub(crate) admissions: u64,
    pub(crate) persist_timeout: Duration,
    pub(crate) max_waiting: usize,
    pub(crate) refresh: Duration,
}

impl QueueConfig {
    /// How long a record waits for others to go with.
    pub const DEFAULT_LINGER: Duration = Duration::from_millis(1);
    /// How many messages may be on their way to the brokers at once.
    pub const DEFAULT_MAX_RECORDS: u32 = 100_000;
    /// How many bytes of messages may be on their way to the brokers at once: 64 MiB.
    pub const DEFAULT_MAX_BYTES: u32 = 64 * 1024 * 1024;
    /// How long it is remembered that somebody may write.
    pub const DEFAULT_ADMISSION_KEPT: Duration = Duration::from_millis(500);
    /// It is never remembered for longer than this.
    pub const MAX_ADMISSION_KEPT: Duration = Duration::from_secs(1);
    /// Of how many members it is remembered.
    pub const DEFAULT_ADMISSIONS: u64 = 100_000;
    /// How long a sender waits for a worker, with [`Ack::Persisted`].
    pub const DEFAULT_PERSIST_TIMEOUT: Duration = Duration::from_secs(5);
    /// How many messages may wait for a worker's answer at once, with [`Ack::Persisted`].
    pub const DEFAULT_MAX_WAITING: usize = 10_000;
    /// How often it is looked for new partitions to read answers from, with [`Ack::Persisted`].
    pub const DEFAULT_REFRESH: Duration = Duration::from_secs(5);

    /// Answers with [`Ack::Accepted`], and the defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ack: Ack::Accepted,
            compression: Compression::Lz4,
            linger: Self::DEFAULT_LINGER,
            max_records: Self::DEFAULT_MAX_RECORDS,
            max_bytes: Self::DEFAULT_MAX_BYTES,
            admission_kept: Self::DEFAULT_ADMISSION_KEPT,
            admissions: Self::DEFAULT_ADMISSIONS,
            persist_timeout: Self::DEFAULT_PERSIST_TIMEOUT,
            max_waiting: Self::DEFAULT_MAX_WAITING,
            refresh: Self::DEFAULT_REFRESH,
        }
    }

    /// Answers then.
    #[must_use]
    pub const fn with_ack(mut self, ack: Ack) -> Self {
        self.ack = ack;
        self
    }

    /// With another compression.
    #[must_use]
    pub const fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Lets a record wait this long (whole milliseconds) for others to go with. More makes larger batches, and every send
    /// that much slower.
    #[must_use]
    pub const fn with_linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Lets up to this many messages, and bytes of them (at least one each), be on their way to the brokers at once. What comes
    /// when they are as many is refused as busy.
    #[must_use]
    pub const fn with_bounds(mut self, records: u32, bytes: u32) -> Self {
        self.max_records = records;
        self.max_bytes = bytes;
        self
    }

    /// Remembers for this long, at most [`MAX_ADMISSION_KEPT`](Self::MAX_ADMISSION_KEPT), that somebody may write. The store
    /// looks again whatever is remembered here.
    #[must_use]
    pub fn with_admission_kept(mut self, time: Duration) -> Self {
        self.admission_kept = time.min(Self::MAX_ADMISSION_KEPT);
        self
    }

    /// Remembers it of up to this many members, and as many rooms.
    #[must_use]
    pub const fn with_admissions(mut self, members: u64) -> Self {
        self.admissions = members;
        self
    }

    /// With another patience for a worker's answer, counted from when the brokers have the message.
    #[must_use]
    pub const fn with_persist_timeout(mut self, timeout: Duration) -> Self {
        self.persist_timeout = timeout;
        self
    }

    /// Lets up to this many messages (at least one) wait for a worker's answer at once. More are refused as busy.
    #[must_use]
    pub const fn with_max_waiting(mut self, messages: usize) -> Self {
        self.max_waiting = messages;
        self
    }

    /// Looks this often (at least every 50 ms) for new partitions to read answers from.
    #[must_use]
    pub fn with_refresh(mut self, interval: Duration) -> Self {
        self.refresh = interval.max(Duration::from_millis(50));
        self
    }

    pub(crate) const fn check(&self) -> Result<(), ConnectError> {
        if self.max_records == 0 || self.max_bytes == 0 {
            return Err(ConnectError::Setting { setting: "bounds", reason: "must be at least one" });
        }
        if self.max_waiting == 0 {
            return Err(ConnectError::Setting { setting: "max_waiting", reason: "must be at least one" });
        }
        if self.persist_timeout.is_zero() {
            return Err(ConnectError::Setting {
                setting: "persist_timeout",
                reason: "must be longer than nothing",
            });
        }
        Ok(())
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self::new()
    }
}

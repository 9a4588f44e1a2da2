use std::{sync::Arc, time::Duration};

use super::Steps;
use crate::{Compression, ConnectError};

/// How a [`Worker`](crate::Worker) goes about it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerConfig {
    pub(crate) group: String,
    pub(crate) lanes: usize,
    pub(crate) max_batch: usize,
    pub(crate) max_batch_bytes: usize,
    pub(crate) append_timeout: Duration,
    pub(crate) first_pause: Duration,
    pub(crate) longest_pause: Duration,
    pub(crate) poison_tries: u32,
    pub(crate) max_poison_in_a_row: u32,
    pub(crate) handover: Duration,
    pub(crate) commit_interval: Duration,
    pub(crate) session_timeout: Duration,
    pub(crate) refresh: Duration,
    pub(crate) growth_pause: Duration,
    pub(crate) compression: Compression,
    pub(crate) steps: Option<Arc<dyn Steps>>,
}

impl WorkerConfig {
    /// The consumer group of the workers.
    pub const DEFAULT_GROUP: &str = "chat-persistor";
    /// How many batches of one worker are stored at once, each of other partitions.
    pub const DEFAULT_LANES: usize = 4;
    /// How many messages are stored together at most.
    pub const DEFAULT_MAX_BATCH: usize = 512;
    /// How many bytes of them: 4 MiB.
    pub const DEFAULT_MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
    /// How long the store may take for a batch before it is tried again.
    pub const DEFAULT_APPEND_TIMEOUT: Duration = Duration::from_secs(15);
    /// How long a worker waits after a first failure. It waits twice as long after each further one.
    pub const DEFAULT_FIRST_PAUSE: Duration = Duration::from_millis(100);
    /// It never waits longer than this.
    pub const DEFAULT_LONGEST_PAUSE: Duration = Duration::from_secs(10);
    /// How often a message is tried alone, at least, that the store fails at for good.
    pub const DEFAULT_POISON_TRIES: u32 = 3;
    /// How many messages may become dead letters with nothing stored between them.
    pub const DEFAULT_MAX_POISON_IN_A_ROW: u32 = 10;
    /// How long a worker that gives partitions away finishes what it has begun of them.
    pub const DEFAULT_HANDOVER: Duration = Duration::from_secs(5);
    /// How often it is committed what is done.
    pub const DEFAULT_COMMIT_INTERVAL: Duration = Duration::from_millis(100);
    /// After how long a worker that is silent loses its partitions to the others.
    pub const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(10);
    /// How often it is looked for new partitions.
    pub const DEFAULT_REFRESH: Duration = Duration::from_secs(5);

    /// How long an added partition is not begun with, so that every node knows of it by then. Nodes ask every 10 s.
    pub const DEFAULT_GROWTH_PAUSE: Duration = Duration::from_secs(15);

    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            group: Self::DEFAULT_GROUP.to_owned(),
            lanes: Self::DEFAULT_LANES,
            max_batch: Self::DEFAULT_MAX_BATCH,
            max_batch_bytes: Self::DEFAULT_MAX_BATCH_BYTES,
            append_timeout: Self::DEFAULT_APPEND_TIMEOUT,
            first_pause: Self::DEFAULT_FIRST_PAUSE,
            longest_pause: Self::DEFAULT_LONGEST_PAUSE,
            poison_tries: Self::DEFAULT_POISON_TRIES,
            max_poison_in_a_row: Self::DEFAULT_MAX_POISON_IN_A_ROW,
            handover: Self::DEFAULT_HANDOVER,
            commit_interval: Self::DEFAULT_COMMIT_INTERVAL,
            session_timeout: Self::DEFAULT_SESSION_TIMEOUT,
            refresh: Self::DEFAULT_REFRESH,
            growth_pause: Self::DEFAULT_GROWTH_PAUSE,
            compression: Compression::Lz4,
            steps: None,
        }
    }

    /// With another consumer group. All workers of a chat are in one.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// Stores this many batches at once, at least one and not more than the log works on
    /// ([`MessageLog::parallel_appends`](chat_core::MessageLog::parallel_appends)). A partition is always in the same lane, so
    /// more lanes than partitions are of no use.
    #[must_use]
    pub const fn with_lanes(mut self, lanes: usize) -> Self {
        self.lanes = lanes;
        self
    }

    /// With at most this many messages and bytes of text in a batch. As much again waits here for its turn in each lane.
    #[must_use]
    pub const fn with_max_batch(mut self, messages: usize, bytes: usize) -> Self {
        self.max_batch = messages;
        self.max_batch_bytes = bytes;
        self
    }

    /// With another patience for one append.
    #[must_use]
    pub const fn with_append_timeout(mut self, timeout: Duration) -> Self {
        self.append_timeout = timeout;
        self
    }

    /// With other pauses between tries: `first`, twice as long after each further failure, and never more than `longest`. Each is a
    /// little different, so that workers do not come all at once.
    #[must_use]
    pub const fn with_pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.first_pause = first;
        self.longest_pause = longest;
        self
    }

    /// Tries a message at least this often alone before it becomes a dead letter. Without the store's taking others meanwhile it is tried
    /// however long.
    #[must_use]
    pub const fn with_poison_tries(mut self, tries: u32) -> Self {
        self.poison_tries = tries;
        self
    }

    /// Makes no more dead letters after this many with nothing stored between them; none at all with 0.
    #[must_use]
    pub const fn with_max_poison_in_a_row(mut self, messages: u32) -> Self {
        self.max_poison_in_a_row = messages;
        self
    }

    /// With another time to finish what was begun of partitions that go to another worker.
    #[must_use]
    pub const fn with_handover(mut self, time: Duration) -> Self {
        self.handover = time;
        self
    }

    /// Commits this often. A worker that dies leaves to the next one what it stored since: that is found to be stored already.
    #[must_use]
    pub const fn with_commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// With another time after which a silent worker is taken to be dead. The brokers' bounds are 6 s and 30 min unless they were set up
    /// otherwise.
    #[must_use]
    pub const fn with_session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// Looks this often (at least every 50 ms) for new partitions.
    #[must_use]
    pub fn with_refresh(mut self, interval: Duration) -> Self {
        self.refresh = interval.max(Duration::from_millis(50));
        self
    }

    /// Begins with an added partition after this time, and not before what was in the others by then is done: a room that moved to it
    /// keeps its order. It must be longer than nodes take to learn of the partition: 10 s, or what the property
    /// `topic.metadata.refresh.interval.ms` says there.
    #[must_use]
    pub const fn with_growth_pause(mut self, pause: Duration) -> Self {
        self.growth_pause = pause;
        self
    }

    /// With another compression of what is told.
    #[must_use]
    pub const fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// For tests that stop a worker between two steps.
    #[doc(hidden)]
    #[must_use]
    pub fn with_steps(mut self, steps: Arc<dyn Steps>) -> Self {
        self.steps = Some(steps);
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        for (setting, is_good, reason) in [
            ("group", !self.group.is_empty(), "must have a name"),
            ("lanes", self.lanes > 0, "must be at least one"),
            ("max_batch", self.max_batch > 0 && self.max_batch_bytes > 0, "must be at least one"),
            ("append_timeout", !self.append_timeout.is_zero(), "must be longer than nothing"),
            (
                "pauses",
                !self.first_pause.is_zero() && self.first_pause <= self.longest_pause,
                "must be longer than nothing, the first one not longer than the longest",
            ),
            ("poison_tries", self.poison_tries > 0, "must be at least one"),
        ] {
            if !is_good {
                return Err(ConnectError::Setting { setting, reason });
            }
        }
        Ok(())
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self::new()
    }
}

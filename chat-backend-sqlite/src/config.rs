use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use chat_core::{Clock, SystemClock};

/// When SQLite waits for the disk ([`PRAGMA synchronous`](https://www.sqlite.org/pragma.html#pragma_synchronous)). None of
/// them loses anything when the process is killed; they differ in what a power cut or a crash of the operating system
/// may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// Each commit reaches the disk before it is answered: a power cut loses nothing that was acknowledged.
    #[default]
    Full,
    /// The disk is waited for at checkpoints alone: a power cut may lose the last commits, acknowledged ones too, and
    /// leaves the file sound. The next start takes a new epoch then, so that no cursor from before is trusted.
    Normal,
    /// The disk is never waited for: a power cut may also leave a damaged file. For data that can be made anew.
    Off,
}

/// What is kept of every room without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RetentionPolicy {
    /// At most this many newest entries of each room.
    pub max_entries: Option<u64>,
    /// Only entries younger than this.
    pub max_age: Option<Duration>,
}

impl RetentionPolicy {
    /// Keeps everything.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_entries: None, max_age: None }
    }

    /// Keeps at most this many newest entries of each room.
    #[must_use]
    pub const fn with_max_entries(mut self, max_entries: u64) -> Self {
        self.max_entries = Some(max_entries);
        self
    }

    /// Keeps only entries younger than this.
    #[must_use]
    pub const fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    pub(crate) const fn keeps_everything(&self) -> bool {
        self.max_entries.is_none() && self.max_age.is_none()
    }
}

/// Where the file is and how it is used.
#[derive(Clone)]
#[non_exhaustive]
pub struct SqliteConfig {
    pub(crate) path: PathBuf,
    pub(crate) synchronous: Synchronous,
    pub(crate) readers: u32,
    pub(crate) busy_timeout: Duration,
    pub(crate) queue: usize,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) cache_bytes: u64,
    pub(crate) retention: RetentionPolicy,
    pub(crate) retention_interval: Duration,
    pub(crate) new_epoch: bool,
    pub(crate) clock: Arc<dyn Clock>,
}

impl SqliteConfig {
    /// Connections that read beside the writer.
    pub const DEFAULT_READERS: u32 = 4;
    /// How long to wait for another program that has the file locked, such as a `sqlite3` shell.
    pub const DEFAULT_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
    /// Calls that may wait for the writer.
    pub const DEFAULT_QUEUE: usize = 1_024;
    /// Memory that each connection may use for pages.
    pub const DEFAULT_CACHE_BYTES: u64 = 16 * 1024 * 1024;
    /// How often the retention policy is applied.
    pub const DEFAULT_RETENTION_INTERVAL: Duration = Duration::from_secs(600);

    /// A file at `path`, made if it is not there (its folder must be), for this user alone (mode 0600). It holds nothing but
    /// this library's tables: a database of something else is refused. Beside it stand SQLite's own `-wal` and `-shm`
    /// files and one of ours, `-owner`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            synchronous: Synchronous::default(),
            readers: Self::DEFAULT_READERS,
            busy_timeout: Self::DEFAULT_BUSY_TIMEOUT,
            queue: Self::DEFAULT_QUEUE,
            max_bytes: None,
            cache_bytes: Self::DEFAULT_CACHE_BYTES,
            retention: RetentionPolicy::new(),
            retention_interval: Self::DEFAULT_RETENTION_INTERVAL,
            new_epoch: false,
            clock: Arc::new(SystemClock),
        }
    }

    /// With another promise about power cuts.
    #[must_use]
    pub const fn with_synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// With this many connections that read, 1 to 64.
    #[must_use]
    pub const fn with_readers(mut self, readers: u32) -> Self {
        self.readers = readers;
        self
    }

    /// With another patience for programs that have the file locked.
    #[must_use]
    pub const fn with_busy_timeout(mut self, busy_timeout: Duration) -> Self {
        self.busy_timeout = busy_timeout;
        self
    }

    /// With room for this many calls that wait for the writer, 1 to 1,000,000; further ones wait for room.
    #[must_use]
    pub const fn with_queue(mut self, queue: usize) -> Self {
        self.queue = queue;
        self
    }

    /// With a bound on the file: what would make it larger fails as a full disk does. At least 1 MiB. The write-ahead log
    /// comes on top, some 4 MiB as a rule. Removing old entries needs space before it gives some back, so a trim may go
    /// past the bound, by an eighth and 16 MiB at most; new entries then wait until the file has free pages.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = Some(max_bytes);
        self
    }

    /// With this much memory for pages per connection.
    #[must_use]
    pub const fn with_cache_bytes(mut self, cache_bytes: u64) -> Self {
        self.cache_bytes = cache_bytes;
        self
    }

    /// Removes old entries of every room by itself.
    #[must_use]
    pub const fn with_retention(mut self, retention: RetentionPolicy) -> Self {
        self.retention = retention;
        self
    }

    /// Applies the retention policy this often.
    #[must_use]
    pub const fn with_retention_interval(mut self, interval: Duration) -> Self {
        self.retention_interval = interval;
        self
    }

    /// Starts a new epoch at this opening. A restored or exchanged file is noticed without it; it is for what nothing can
    /// notice, such as a virtual machine that was put back with all its disks.
    #[must_use]
    pub const fn with_new_epoch(mut self) -> Self {
        self.new_epoch = true;
        self
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl fmt::Debug for SqliteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteConfig")
            .field("path", &self.path)
            .field("synchronous", &self.synchronous)
            .field("readers", &self.readers)
            .field("busy_timeout", &self.busy_timeout)
            .field("queue", &self.queue)
            .field("max_bytes", &self.max_bytes)
            .field("cache_bytes", &self.cache_bytes)
            .field("retention", &self.retention)
            .field("retention_interval", &self.retention_interval)
            .field("new_epoch", &self.new_epoch)
            .finish_non_exhaustive()
    }
}

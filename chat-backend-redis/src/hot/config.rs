use std::time::Duration;

/// How a [`HotLog`](chat_core::tiered::HotLog) is kept in Redis.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HotLogConfig {
    pub(crate) partitions: u16,
    pub(crate) max_backlog: u64,
    pub(crate) window: u64,
    pub(crate) window_age: Duration,
    pub(crate) dead_letters: u64,
    pub(crate) replicas: Option<(u32, Duration)>,
}

impl HotLogConfig {
    /// Over how many partitions rooms are spread.
    pub const DEFAULT_PARTITIONS: u16 = 8;
    /// The greatest number of partitions.
    pub const MAX_PARTITIONS: u16 = 1_024;
    /// How many entries of one room may wait to be archived.
    pub const DEFAULT_MAX_BACKLOG: u64 = 100_000;
    /// How many entries of a room stay when they are archived.
    pub const DEFAULT_WINDOW: u64 = 1_000;
    /// For how long entries stay when they are archived.
    pub const DEFAULT_WINDOW_AGE: Duration = Duration::from_secs(600);
    /// How many dead letters each partition keeps.
    pub const DEFAULT_DEAD_LETTERS: u64 = 10_000;

    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            partitions: Self::DEFAULT_PARTITIONS,
            max_backlog: Self::DEFAULT_MAX_BACKLOG,
            window: Self::DEFAULT_WINDOW,
            window_age: Self::DEFAULT_WINDOW_AGE,
            dead_letters: Self::DEFAULT_DEAD_LETTERS,
            replicas: None,
        }
    }

    /// Spreads rooms over so many partitions, 1 to 1,024. On a cluster each of them is in one slot, so there should be several
    /// times as many as servers. It stays for the life of the data: with another number every call fails.
    #[must_use]
    pub fn with_partitions(mut self, partitions: u16) -> Self {
        self.partitions = partitions.clamp(1, Self::MAX_PARTITIONS);
        self
    }

    /// Takes no more entries of a room while so many (at least one) wait to be archived. The last call that is taken may go
    /// beyond it.
    #[must_use]
    pub fn with_max_backlog(mut self, entries: u64) -> Self {
        self.max_backlog = entries.max(1);
        self
    }

    /// Keeps so many of a room's entries after they were archived.
    #[must_use]
    pub const fn with_window(mut self, entries: u64) -> Self {
        self.window = entries;
        self
    }

    /// Keeps entries at most so long after they were stored and archived.
    #[must_use]
    pub const fn with_window_age(mut self, age: Duration) -> Self {
        self.window_age = age;
        self
    }

    /// Keeps about so many dead letters (at least one) in each partition, the newest ones.
    #[must_use]
    pub fn with_dead_letters(mut self, letters: u64) -> Self {
        self.dead_letters = letters.max(1);
        self
    }

    /// Answers an append when so many replicas (at least one) have it, too. Where they do not within `wait` (at least a
    /// millisecond), the append fails with [`Error::Timeout`](chat_core::Error::Timeout): it may be stored. Of a cluster, each
    /// server needs so many.
    #[must_use]
    pub fn with_replicas(mut self, replicas: u32, wait: Duration) -> Self {
        self.replicas = Some((replicas.max(1), wait.max(Duration::from_millis(1))));
        self
    }
}

impl Default for HotLogConfig {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_bounds_is_taken_as_the_bound() {
        let config = HotLogConfig::default().with_partitions(0).with_max_backlog(0).with_dead_letters(0);
        assert_eq!((config.partitions, config.max_backlog, config.dead_letters), (1, 1, 1));
        assert_eq!(config.with_partitions(u16::MAX).partitions, HotLogConfig::MAX_PARTITIONS);
        let config = HotLogConfig::new().with_replicas(0, Duration::ZERO);
        assert_eq!(config.replicas, Some((1, Duration::from_millis(1))));
    }
}

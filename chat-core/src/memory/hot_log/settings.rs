//! How much a hot log in memory holds.

use std::time::Duration;

/// How much a [`MemoryHotLog`](super::MemoryHotLog) holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryHotLogSettings {
    /// So many entries of a room stay although they are archived.
    pub window: usize,
    /// Where so many entries of a room wait to be archived, it takes no more.
    pub backlog: u64,
    /// A claim to open a room that is not used by then has run out.
    pub claim: Duration,
}

impl MemoryHotLogSettings {
    /// [`MemoryHotLogSettings::window`] unless another one is set.
    pub const DEFAULT_WINDOW: usize = 1_000;
    /// [`MemoryHotLogSettings::backlog`] unless another one is set.
    pub const DEFAULT_BACKLOG: u64 = 100_000;
    /// [`MemoryHotLogSettings::claim`] unless another one is set.
    pub const DEFAULT_CLAIM: Duration = Duration::from_secs(5);

    /// With another window.
    #[must_use]
    pub const fn with_window(mut self, entries: usize) -> Self {
        self.window = entries;
        self
    }

    /// With another bound of what waits.
    #[must_use]
    pub const fn with_backlog(mut self, entries: u64) -> Self {
        self.backlog = entries;
        self
    }

    /// With another time within which a claim must be used.
    #[must_use]
    pub const fn with_claim(mut self, claim: Duration) -> Self {
        self.claim = claim;
        self
    }
}

impl Default for MemoryHotLogSettings {
    fn default() -> Self {
        Self { window: Self::DEFAULT_WINDOW, backlog: Self::DEFAULT_BACKLOG, claim: Self::DEFAULT_CLAIM }
    }
}

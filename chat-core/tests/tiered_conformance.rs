//! A hot log in front of an archive keeps the whole contract, wherever the seam between the two is.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_core::{
    Storage as _, SystemClock,
    memory::{MemoryHotLog, MemoryHotLogSettings, MemorySnapshot, MemoryStore},
    testkit::{LogHarness, LogNode, Restore, RestoreHarness, SearchHarness, SearchNode},
    tiered::{Tiered, TieredSettings},
};

/// So many entries stay in the hot log once they are archived, and this says when they are.
struct Tiers {
    window: usize,
    archiving: Archiving,
}

#[derive(Clone, Copy)]
enum Archiving {
    /// By nobody, unless a call needs it.
    OnDemand,
    /// All the time.
    Always,
}

impl Tiers {
    fn hot(&self) -> MemoryHotLog {
        let settings = MemoryHotLogSettings::default().with_window(self.window);
        MemoryHotLog::with_settings(settings, Arc::new(SystemClock))
    }

    fn tiered(&self, hot: &MemoryHotLog, store: &MemoryStore) -> Tiered {
        let mut settings = TieredSettings::default();
        match self.archiving {
            Archiving::OnDemand => settings.workers = 0,
            Archiving::Always => (settings.batch_entries, settings.batch_age) = (1, Duration::ZERO),
        }
        Tiered::start(Arc::new(hot.clone()), store.archive(), store, settings)
    }
}

fn node(tiered: &Tiered) -> LogNode {
    LogNode { log: tiered.message_log(), rooms: tiered.rooms() }
}

#[async_trait]
impl LogHarness for Tiers {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        let (hot, store) = (self.hot(), MemoryStore::new());
        (0..count).map(|_| node(&self.tiered(&hot, &store))).collect()
    }
}

#[async_trait]
impl SearchHarness for Tiers {
    async fn node(&self) -> SearchNode {
        let tiered = self.tiered(&self.hot(), &MemoryStore::new());
        SearchNode { log: node(&tiered), search: tiered.search() }
    }

    async fn settle(&self) {}
}

/// The archive is put back, while the hot log stays as it is.
struct ArchiveBackup {
    tiers: Tiers,
    hot: MemoryHotLog,
    store: MemoryStore,
    copy: MemorySnapshot,
}

#[async_trait]
impl RestoreHarness for Tiers {
    async fn node_with_backup(&self) -> (LogNode, Box<dyn Restore>) {
        let (hot, store) = (self.hot(), MemoryStore::new());
        let tiers = Self { window: self.window, archiving: self.archiving };
        let copy = store.snapshot();
        let first = node(&tiers.tiered(&hot, &store));
        (first, Box::new(ArchiveBackup { tiers, hot, store, copy }))
    }
}

#[async_trait]
impl Restore for ArchiveBackup {
    async fn backup(&mut self) {
        self.tiers.tiered(&self.hot, &self.store).flush().await.unwrap();
        self.copy = self.store.snapshot();
    }

    async fn restore(&mut self) -> LogNode {
        self.store.restore(&self.copy);
        // Whoever puts a database back starts the hot log anew.
        self.hot.lose_everything();
        node(&self.tiers.tiered(&self.hot, &self.store))
    }
}

/// Everything in the hot log.
mod wide {
    use super::*;
    chat_core::message_log_tests!(Tiers { window: 1_000, archiving: Archiving::OnDemand });
    chat_core::rooms_tests!(Tiers { window: 1_000, archiving: Archiving::OnDemand });
    chat_core::rooms_members_tests!(Tiers { window: 1_000, archiving: Archiving::OnDemand });
    chat_core::rooms_read_tests!(Tiers { window: 1_000, archiving: Archiving::OnDemand });
    chat_core::rooms_unread_tests!(Tiers { window: 1_000, archiving: Archiving::OnDemand });
    chat_core::rooms_listing_tests!(Tiers { window: 1_000, archiving: Archiving::OnDemand });
    chat_core::search_tests!(Tiers { window: 1_000, archiving: Archiving::OnDemand });
    chat_core::message_log_epoch_tests!(Tiers { window: 1_000, archiving: Archiving::OnDemand });
}

/// A seam within most pages, which moves while they are read.
mod narrow {
    use super::*;
    chat_core::message_log_tests!(Tiers { window: 3, archiving: Archiving::Always });
    chat_core::rooms_tests!(Tiers { window: 3, archiving: Archiving::Always });
    chat_core::rooms_members_tests!(Tiers { window: 3, archiving: Archiving::Always });
    chat_core::rooms_read_tests!(Tiers { window: 3, archiving: Archiving::Always });
    chat_core::rooms_unread_tests!(Tiers { window: 3, archiving: Archiving::Always });
    chat_core::rooms_listing_tests!(Tiers { window: 3, archiving: Archiving::Always });
    chat_core::search_tests!(Tiers { window: 3, archiving: Archiving::Always });
    chat_core::message_log_epoch_tests!(Tiers { window: 3, archiving: Archiving::Always });
}

/// Nothing in the hot log but what waits.
mod none {
    use super::*;
    chat_core::message_log_tests!(Tiers { window: 0, archiving: Archiving::Always });
}

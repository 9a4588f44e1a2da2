//! What a backend with an [`Archive`] gives the kit.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{MessageLog, Rooms, Search, testkit::LogNode, tiered::Archive};

/// An archive with what its backend reads the same data by, as one server holds them.
#[derive(Debug, Clone)]
pub struct ArchiveNode {
    /// The archive.
    pub archive: Arc<dyn Archive>,
    /// The log over the same data.
    pub log: Arc<dyn MessageLog>,
    /// The rooms and members.
    pub rooms: Arc<dyn Rooms>,
    /// The search over them.
    pub search: Arc<dyn Search>,
}

impl ArchiveNode {
    /// The log and the rooms, for the fixtures.
    #[must_use]
    pub fn log_node(&self) -> LogNode {
        LogNode { log: self.log.clone(), rooms: self.rooms.clone() }
    }
}

/// Gives archives.
#[async_trait]
pub trait ArchiveHarness: Send + Sync {
    /// What `count` servers would hold, all on one fresh, empty namespace that no other case uses.
    async fn nodes(&self, count: usize) -> Vec<ArchiveNode>;

    /// Returns once the search shows everything that was stored before. At once where it always does.
    async fn settle(&self);
}

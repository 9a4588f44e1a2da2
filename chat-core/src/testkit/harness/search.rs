//! What a backend with a [`Search`] gives the kit.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Search, testkit::LogNode};

/// A search with the log and the rooms it looks through, as one server holds them.
#[derive(Debug, Clone)]
pub struct SearchNode {
    /// The log and the rooms.
    pub log: LogNode,
    /// The search over them.
    pub search: Arc<dyn Search>,
}

/// Gives searches.
#[async_trait]
pub trait SearchHarness: Send + Sync {
    /// What one server would hold, on a fresh, empty namespace that no other case uses.
    async fn node(&self) -> SearchNode;

    /// Returns once the index shows everything that was stored before. At once where it always does.
    async fn settle(&self);
}

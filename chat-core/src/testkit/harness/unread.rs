//! What a backend with an [`UnreadCache`] gives the kit.

use std::sync::Arc;

use async_trait::async_trait;

use crate::unread::UnreadCache;

/// Gives caches of unread counts.
#[async_trait]
pub trait UnreadCacheHarness: Send + Sync {
    /// What `count` servers would hold, all on one fresh, empty namespace that no other case uses.
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn UnreadCache>>;
}

//! What a backend with a [`RevocationStore`] gives the kit.

use std::sync::Arc;

use async_trait::async_trait;

use crate::auth::RevocationStore;

/// Gives revocation stores.
#[async_trait]
pub trait RevocationHarness: Send + Sync {
    /// What `count` servers would hold, all on one fresh, empty namespace that no other case uses.
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn RevocationStore>>;
}

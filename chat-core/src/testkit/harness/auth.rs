//! What a backend with a [`RevocationStore`] or [`SessionBindings`] gives the kit.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::auth::{RevocationStore, SessionBindings};

/// Gives revocation stores.
#[async_trait]
pub trait RevocationHarness: Send + Sync {
    /// What `count` servers would hold, all on one fresh, empty namespace that no other case uses.
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn RevocationStore>>;
}

/// Gives session bindings.
#[async_trait]
pub trait BindingHarness: Send + Sync {
    /// What `count` servers would hold, all on one fresh, empty namespace that no other case uses.
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn SessionBindings>>;

    /// Lets this much of the store's time pass.
    async fn pass(&self, time: Duration);
}

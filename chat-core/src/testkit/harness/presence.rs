//! What a backend with a [`Presence`] gives the kit.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::Presence;

/// Gives presence stores.
#[async_trait]
pub trait PresenceHarness: Send + Sync {
    /// What `count` servers would hold, all on one fresh, empty namespace that no other case uses.
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Presence>>;

    /// The life of a lease in the cases about time: short, since cases wait for several of it, and long enough that a
    /// few calls are done within a third of it even on a busy machine. A second is a good choice.
    fn unit(&self) -> Duration;

    /// Lets this much of the store's time pass: sleeps, or turns the store's clock.
    async fn pass(&self, time: Duration);
}

//! What a backend with a [`Fanout`] gives the kit.

use std::sync::Arc;

use async_trait::async_trait;

use crate::Fanout;

/// Gives fan-outs.
#[async_trait]
pub trait FanoutHarness: Send + Sync {
    /// What `count` servers would hold, all on one fresh carrier that no other case uses.
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Fanout>>;
}

/// Gives fan-outs whose buffers can be filled in a test.
#[async_trait]
pub trait FanoutOverflowHarness: FanoutHarness {
    /// This many events, published while a subscriber reads none, are more than its buffers hold on the whole way.
    fn overflow(&self) -> usize;
}

/// Gives fan-outs whose carrier can be broken in a test.
#[async_trait]
pub trait FanoutInterruptionHarness: FanoutHarness {
    /// Breaks the carrier of the nodes given out last. Returns once nothing passes any more.
    async fn cut(&self);

    /// Mends it. Returns at once; the nodes find their way back by themselves.
    async fn mend(&self);
}

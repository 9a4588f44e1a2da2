//! What a [`RateLimiter`] gives the kit.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::rate_limit::{Quota, RateLimiter};

/// Gives rate limiters.
#[async_trait]
pub trait RateLimitHarness: Send + Sync {
    /// A limiter with nothing used yet, on which every class of keys has this quota.
    async fn limiter(&self, quota: Quota) -> Arc<dyn RateLimiter>;

    /// Lets this much of the limiter's time pass: sleeps, or turns its clock.
    async fn pass(&self, time: Duration);
}

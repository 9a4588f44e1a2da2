//! One allowance for all nodes.

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use crate::{
    RedisError,
    backend::Shared,
    pause::Pause,
    script::{Script, integer},
};
use async_trait::async_trait;
use chat_core::{
    Backend, Result,
    rate_limit::{LocalRateLimiter, Quota, RateDecision, RateKey, RateLimiter, RateLimits},
};

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/take.lua")));

const LOCAL: &str = "chat_redis_rate_limit_local_total";

/// The limiter of one prefix.
pub(crate) struct RedisRateLimiter {
    shared: Arc<Shared>,
    limits: RateLimits,
    /// What counts while Redis does not.
    local: LocalRateLimiter,
    pause: Pause,
}

impl RedisRateLimiter {
    pub(crate) fn new(shared: Arc<Shared>, limits: RateLimits) -> Self {
        let local = LocalRateLimiter::new(&limits);
        Self { shared, limits, local, pause: Pause::new() }
    }

    fn quota(&self, key: &RateKey) -> Option<Quota> {
        match key {
            RateKey::UserSends(_) => self.limits.user_sends,
            RateKey::RoomSends(_) => self.limits.room_sends,
            RateKey::UserSignals(_) => self.limits.user_signals,
            RateKey::UserReads(_) => self.limits.user_reads,
        }
    }

    async fn take(&self, key: &RateKey, quota: Quota) -> std::result::Result<RateDecision, RedisError> {
        let name = match key {
            RateKey::UserSends(user) => self.shared.keys.rate("sends", user.as_str()),
            RateKey::RoomSends(room) => self.shared.keys.rate("room", room.as_str()),
            RateKey::UserSignals(user) => self.shared.keys.rate("signals", user.as_str()),
            RateKey::UserReads(user) => self.shared.keys.rate("reads", user.as_str()),
        };
        let interval = 1_000_000.0 / f64::from(quota.per_second.max(1));
        let arguments = vec![interval.to_string().into(), quota.burst.max(1).to_string().into()];
        let wait = integer(&TAKE.call(self.shared.client()?, &[name], arguments).await?)?;
        Ok(match u64::try_from(wait) {
            Ok(wait) if wait > 0 => RateDecision::Limited { retry_after: Duration::from_micros(wait) },
            _ => RateDecision::Allowed,
        })
    }
}

impl fmt::Debug for RedisRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRateLimiter")
            .field("prefix", &self.shared.keys.prefix())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for RedisRateLimiter {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl RateLimiter for RedisRateLimiter {
    async fn check(&self, key: RateKey) -> Result<RateDecision> {
        let Some(quota) = self.quota(&key) else { return Ok(RateDecision::Allowed) };
        if self.pause.is_over() {
            match self.take(&key, quota).await {
                Ok(decision) => return Ok(decision),
                Err(error) => self.pause.begin("this node limits by itself", &error),
            }
        }
        // A message should not fail because nobody knows how many there were elsewhere.
        metrics::counter!(LOCAL).increment(1);
        self.local.check(key).await
    }
}

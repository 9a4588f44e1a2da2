//! The Redis backend keeps the contract of each of its traits, on one server and on a cluster of three.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_backend_redis::RedisConfig;
use chat_core::{
    Fanout, Presence,
    auth::{RevocationStore, SessionBindings},
    rate_limit::{Quota, RateLimiter, RateLimits},
    testkit::{
        BindingHarness, FanoutHarness, FanoutInterruptionHarness, FanoutOverflowHarness, PresenceHarness,
        RateLimitHarness, RevocationHarness, UnreadCacheHarness,
    },
    unread::UnreadCache,
};
use live::{Place, Servers};

#[async_trait]
impl FanoutHarness for Servers {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Fanout>> {
        self.backends(count).await.iter().map(|backend| backend.fanout()).collect()
    }
}

#[async_trait]
impl FanoutOverflowHarness for Servers {
    fn overflow(&self) -> usize {
        2 * RedisConfig::DEFAULT_FANOUT_BUFFER
    }
}

#[async_trait]
impl FanoutInterruptionHarness for Servers {
    async fn cut(&self) {
        Self::cut(self).await;
    }

    async fn mend(&self) {
        Self::mend(self).await;
    }
}

#[async_trait]
impl PresenceHarness for Servers {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Presence>> {
        self.backends(count).await.iter().map(|backend| backend.presence()).collect()
    }

    fn unit(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// With a key per user besides.
struct Listing(Servers);

#[async_trait]
impl PresenceHarness for Listing {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Presence>> {
        let prefix = format!("{}:user:", chat_test_services::Redis::shared().await.unwrap().prefix());
        let backends = self.0.backends(count).await;
        backends.iter().map(|backend| backend.listed_presence(&*prefix)).collect()
    }

    fn unit(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl RevocationHarness for Servers {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn RevocationStore>> {
        self.backends(count).await.iter().map(|backend| backend.revocations()).collect()
    }
}

#[async_trait]
impl BindingHarness for Servers {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn SessionBindings>> {
        self.backends(count).await.iter().map(|backend| backend.bindings()).collect()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl RateLimitHarness for Servers {
    async fn limiter(&self, quota: Quota) -> Arc<dyn RateLimiter> {
        let all = Some(quota);
        let limits = RateLimits::unlimited()
            .with_user_sends(all)
            .with_room_sends(all)
            .with_user_signals(all)
            .with_user_reads(all);
        self.backends(1).await[0].rate_limiter(limits)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl UnreadCacheHarness for Servers {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn UnreadCache>> {
        self.backends(count).await.iter().map(|backend| backend.unread_cache()).collect()
    }
}

mod single {
    use super::{Place, Servers};

    chat_core::fanout_tests!(Servers::at(Place::Single));
    chat_core::fanout_overflow_tests!(Servers::at(Place::Single));
    chat_core::fanout_interruption_tests!(Servers::at(Place::SingleProxied));
    chat_core::presence_tests!(Servers::at(Place::Single));
    chat_core::presence_lease_tests!(Servers::at(Place::Single));
    chat_core::presence_race_tests!(Servers::at(Place::Single));
    chat_core::revocation_tests!(Servers::at(Place::Single));
    chat_core::binding_tests!(Servers::at(Place::Single));
    chat_core::rate_limit_tests!(Servers::at(Place::Single));
    chat_core::unread_cache_tests!(Servers::at(Place::Single));
}

mod cluster {
    use super::{Place, Servers};

    chat_core::fanout_tests!(Servers::at(Place::Cluster));
    chat_core::fanout_overflow_tests!(Servers::at(Place::Cluster));
    chat_core::fanout_interruption_tests!(Servers::at(Place::ClusterProxied));
    chat_core::presence_tests!(Servers::at(Place::Cluster));
    chat_core::presence_lease_tests!(Servers::at(Place::Cluster));
    chat_core::presence_race_tests!(Servers::at(Place::Cluster));
    chat_core::revocation_tests!(Servers::at(Place::Cluster));
    chat_core::binding_tests!(Servers::at(Place::Cluster));
    chat_core::rate_limit_tests!(Servers::at(Place::Cluster));
    chat_core::unread_cache_tests!(Servers::at(Place::Cluster));
}

mod listing {
    use super::*;

    chat_core::presence_tests!(Listing(Servers::at(Place::Single)));
    chat_core::presence_lease_tests!(Listing(Servers::at(Place::Single)));
    chat_core::presence_race_tests!(Listing(Servers::at(Place::Single)));
}

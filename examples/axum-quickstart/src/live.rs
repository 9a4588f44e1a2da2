//! What processes of one chat tell each other and know together: live events, who is online, withdrawn tokens, rate limits, whom
//! they let in. In Redis where there is one; without, live events and presence are the store's, and each process limits by itself.

use std::{fmt, sync::Arc};

use anyhow::Context;
use chat_backend_redis::{ConnectError, HotLogConfig, RedisBackend, RedisConfig};
use chat_core::{
    Auth, Fanout, Presence,
    auth::RevocationStore,
    rate_limit::{LocalRateLimiter, RateLimiter, RateLimits},
    tiered::HotLog,
};

use crate::store::Store;

/// Which Redis.
#[derive(Debug)]
pub(crate) struct Redis {
    config: RedisConfig,
    prefix: String,
}

impl Redis {
    /// All that is wrong, at once, by the names of the settings and without the URL, which may hold a password.
    pub(crate) fn new(url: &str, prefix: Option<&str>) -> Result<Self, Vec<String>> {
        let prefix = prefix.unwrap_or(RedisConfig::DEFAULT_PREFIX).to_owned();
        let mut wrong = Vec::new();
        let config = RedisConfig::from_url(url).map_err(|error| wrong.push(format!("--redis: {error}")));
        // The prefix is checked even where there is no server to use it at.
        let nowhere = || RedisConfig::new(Default::default());
        let config = config.unwrap_or_else(|()| nowhere()).with_prefix(&prefix);
        match config.check() {
            Ok(()) => {}
            Err(ConnectError::Setting { setting: "prefix", reason }) => {
                wrong.push(format!("--redis-prefix: {reason}"));
            }
            Err(error) => wrong.push(format!("--redis: {error}")),
        }
        if wrong.is_empty() { Ok(Self { config, prefix }) } else { Err(wrong) }
    }
}

impl fmt::Display for Redis {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis at {}, prefix {}", self.config.servers().join(" and "), self.prefix)
    }
}

/// The parts that processes share besides what is kept.
pub(crate) struct Live {
    pub(crate) fanout: Arc<dyn Fanout>,
    pub(crate) presence: Arc<dyn Presence>,
    pub(crate) limiter: Arc<dyn RateLimiter>,
    /// None without Redis: then no token can be withdrawn.
    pub(crate) revocations: Option<Arc<dyn RevocationStore>>,
    redis: Option<RedisBackend>,
}

impl Live {
    /// Connects to Redis, if there is one.
    pub(crate) async fn open(
        redis: Option<&Redis>,
        store: &Store,
        limits: &RateLimits,
    ) -> anyhow::Result<Self> {
        let Some(redis) = redis else {
            return Ok(Self {
                fanout: Arc::clone(&store.fanout),
                presence: Arc::clone(&store.presence),
                limiter: Arc::new(LocalRateLimiter::new(limits)),
                revocations: None,
                redis: None,
            });
        };
        let backend = RedisBackend::connect(redis.config.clone())
            .await
            .with_context(|| format!("live events cannot go over {redis}"))?;
        Ok(Self {
            fanout: backend.fanout(),
            presence: backend.presence(),
            limiter: backend.rate_limiter(limits.clone()),
            revocations: Some(backend.revocations()),
            redis: Some(backend),
        })
    }

    /// `auth`, with whom it let in remembered for all processes that check with the same `secret`: another one lets nobody in
    /// whom this one did.
    pub(crate) fn cached(&self, auth: impl Auth, secret: &str) -> Arc<dyn Auth> {
        match &self.redis {
            Some(redis) => Arc::new(redis.cached(auth).with_scope(secret)),
            None => Arc::new(auth),
        }
    }

    /// What can stand in front of the store.
    pub(crate) fn hot_log(&self, config: HotLogConfig) -> anyhow::Result<Arc<dyn HotLog>> {
        let redis = self.redis.as_ref().context("a hot log is in Redis, and there is none")?;
        Ok(redis.hot_log(config))
    }

    pub(crate) async fn close(&self) {
        if let Some(redis) = &self.redis {
            redis.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::Place, words};

    #[tokio::test]
    async fn what_is_wrong_with_the_server_is_said_without_the_password() {
        let server = chat_test_services::Redis::shared().await.unwrap();
        let address = server.address().unwrap();
        let store = Store::open(&Place::Memory, None).await.unwrap();
        // Reserved, and nothing listens there.
        let nobody = "127.0.0.1:1".to_owned();
        for (at, said) in [(address, "WRONGPASS"), (nobody, "refused")] {
            let redis = Redis::new(&format!("redis://:hidden@{at}"), None).unwrap();
            let refused = Live::open(Some(&redis), &store, &RateLimits::unlimited()).await.err().unwrap();
            let text = words(&refused);
            assert!(
                text.starts_with(&format!("live events cannot go over Redis at {at}, prefix chat: ")),
                "{text}"
            );
            assert!(text.contains(said) && !text.contains("hidden"), "{text}");
        }
    }

    #[tokio::test]
    async fn with_redis_everything_live_is_there_and_without_it_the_stores_own() {
        let server = chat_test_services::Redis::shared().await.unwrap();
        let store = Store::open(&Place::Memory, None).await.unwrap();
        let limits = RateLimits::unlimited();
        let redis = Redis::new(server.url(), Some(&server.prefix())).unwrap();
        let live = Live::open(Some(&redis), &store, &limits).await.unwrap();
        let names = [live.fanout.name(), live.presence.name(), live.limiter.name()];
        assert_eq!((names, live.revocations.as_ref().unwrap().name()), (["redis"; 3], "redis"));
        assert_eq!(live.hot_log(HotLogConfig::new()).unwrap().name(), "redis");
        live.close().await;
        assert!(live.presence.health().await.is_err(), "it is closed");
        let own = Live::open(None, &store, &limits).await.unwrap();
        assert!(Arc::ptr_eq(&own.fanout, &store.fanout) && own.revocations.is_none());
        assert!(own.hot_log(HotLogConfig::new()).is_err(), "there is nowhere to have it");
    }
}

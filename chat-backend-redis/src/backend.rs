use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::{
    Auth, Backend, Fanout, Presence, Result,
    auth::{RevocationStore, SessionBindings},
    rate_limit::{RateLimiter, RateLimits},
    tiered::HotLog,
    unread::UnreadCache,
};
use fred::{
    clients::Client,
    interfaces::{ClientLike as _, PubsubInterface as _},
};
use tokio::sync::watch;

use crate::{
    ConnectError, HotLogConfig, RedisCached, RedisConfig, RedisError,
    bindings::RedisBindings,
    connect::{self, Connection},
    fanout::RedisFanout,
    hot::RedisHotLog,
    keys::Keys,
    listed::ListedPresence,
    presence::RedisPresence,
    rate_limit::RedisRateLimiter,
    revocations::RedisRevocations,
    unread::RedisUnreadCache,
};

/// What all nodes of a chat share in Redis. Cheap to clone; every clone is the same.
#[derive(Debug, Clone)]
pub struct RedisBackend {
    shared: Arc<Shared>,
    /// One per node, however often it is asked for.
    fanout: Arc<RedisFanout>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connection: Connection,
    pub(crate) keys: Keys,
    pub(crate) config: RedisConfig,
    pub(crate) closed: watch::Sender<bool>,
}

impl RedisBackend {
    /// Connects.
    ///
    /// # Errors
    /// A setting out of its bounds, a server out of reach, too old, or that refuses.
    pub async fn connect(config: RedisConfig) -> std::result::Result<Self, ConnectError> {
        let shared = Arc::new(connect::connect(config).await?);
        tokio::spawn(crate::watch::watch(Arc::downgrade(&shared)));
        let fanout = Arc::new(RedisFanout::new(Arc::clone(&shared)));
        Ok(Self { shared, fanout })
    }

    /// Live events between all nodes with the same prefix, over one more connection of this node, or one to each shard of
    /// a cluster. When the last clone of this and of the backend is gone, or the backend is closed, its subscriptions end.
    #[must_use]
    pub fn fanout(&self) -> Arc<dyn Fanout> {
        Arc::clone(&self.fanout) as Arc<dyn Fanout>
    }

    /// Who is online on all nodes with the same prefix.
    #[must_use]
    pub fn presence(&self) -> Arc<dyn Presence> {
        Arc::new(RedisPresence::new(Arc::clone(&self.shared)))
    }

    /// The same as [`presence`](Self::presence), and besides a key per user that other services may read: `user_prefix` and the user's id,
    /// without this backend's own prefix. It is a hash with one entry per connection, `{"server", "connectedAt", "expiresAt"}` as JSON with
    /// times in milliseconds since 1970, and is gone with the last of them. An entry that is past its `expiresAt` counts for nothing.
    ///
    /// Every renewal of this node's lease writes the keys of all users who are connected here. A node needs one.
    #[must_use]
    pub fn listed_presence(&self, user_prefix: impl Into<String>) -> Arc<dyn Presence> {
        Arc::new(ListedPresence::new(Arc::clone(&self.shared), user_prefix.into()))
    }

    /// Withdrawn credentials, known to all nodes with the same prefix.
    #[must_use]
    pub fn revocations(&self) -> Arc<dyn RevocationStore> {
        Arc::new(RedisRevocations::new(Arc::clone(&self.shared)))
    }

    /// Which connection holds what its session is bound to, on all nodes with the same prefix.
    #[must_use]
    pub fn bindings(&self) -> Arc<dyn SessionBindings> {
        Arc::new(RedisBindings::new(Arc::clone(&self.shared)))
    }

    /// Limits that hold for all nodes with the same prefix together. While Redis does not answer, each node limits by
    /// itself.
    #[must_use]
    pub fn rate_limiter(&self, limits: RateLimits) -> Arc<dyn RateLimiter> {
        Arc::new(RedisRateLimiter::new(Arc::clone(&self.shared), limits))
    }

    /// A log of the newest entries, to stand in front of an archive; the same for all nodes with the same prefix. A node needs one.
    #[must_use]
    pub fn hot_log(&self, config: HotLogConfig) -> Arc<dyn HotLog> {
        Arc::new(RedisHotLog::new(Arc::clone(&self.shared), config))
    }

    /// Unread counts, remembered for all nodes with the same prefix.
    #[must_use]
    pub fn unread_cache(&self) -> Arc<dyn UnreadCache> {
        Arc::new(RedisUnreadCache::new(Arc::clone(&self.shared)))
    }

    /// Remembers in Redis whom `auth` lets in, for all nodes with the same prefix.
    #[must_use]
    pub fn cached<A: Auth>(&self, auth: A) -> RedisCached<A> {
        RedisCached::new(auth, Arc::clone(&self.shared))
    }

    /// Publishes on a channel of the application's own, as it is named and without the prefix: for programs that are no nodes of the
    /// chat and want to hear of it. Nobody has to listen.
    ///
    /// # Errors
    /// The server did not take it in time.
    ///
    /// # Cancel safety
    /// A dropped call has published it or not.
    pub async fn publish(&self, channel: &str, payload: Bytes) -> Result<()> {
        let published = async { Ok(self.shared.client()?.publish::<(), _, _>(channel, payload).await?) };
        published.await.map_err(|error: RedisError| error.during("publish"))
    }

    /// Ends the connections and all subscriptions. What is under way is finished first where the server answers.
    pub async fn close(&self) {
        self.shared.closed.send_replace(true);
        self.shared.connection.close().await;
    }
}

#[async_trait]
impl Backend for RedisBackend {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

impl Shared {
    /// The client for everything but subscriptions.
    pub(crate) fn client(&self) -> std::result::Result<&Client, RedisError> {
        if *self.closed.borrow() { Err(RedisError::closed()) } else { Ok(&self.connection.client) }
    }

    pub(crate) async fn health(&self) -> Result<()> {
        let alive = async { Ok(self.client()?.ping::<()>(None).await?) };
        alive.await.map_err(|error: RedisError| error.during("health"))
    }
}

//! The memory backend keeps the contracts of rooms, fan-out, presence, search, revocations, bindings, the rate limiter and
//! remembered unread counts.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_core::{
    Fanout, Presence, Storage as _,
    auth::{RevocationStore, SessionBindings},
    memory::{
        MemoryBindings, MemoryFanout, MemoryPresence, MemoryRevocations, MemoryStore, MemoryUnreadCache,
    },
    rate_limit::{LocalRateLimiter, Quota, RateLimiter, RateLimits},
    testkit::{
        BindingHarness, FanoutHarness, FanoutOverflowHarness, LogHarness, LogNode, PresenceHarness,
        RateLimitHarness, RevocationHarness, SearchHarness, SearchNode, UnreadCacheHarness,
    },
    unread::{CachedUnread, UnreadCache},
};

struct Memory;

#[async_trait]
impl LogHarness for Memory {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        let store = MemoryStore::new();
        (0..count).map(|_| LogNode { log: store.message_log(), rooms: store.rooms() }).collect()
    }
}

#[async_trait]
impl FanoutHarness for Memory {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Fanout>> {
        let fanout = MemoryFanout::new();
        (0..count).map(|_| Arc::new(fanout.clone()) as Arc<dyn Fanout>).collect()
    }
}

#[async_trait]
impl FanoutOverflowHarness for Memory {
    fn overflow(&self) -> usize {
        2 * MemoryFanout::DEFAULT_BUFFER
    }
}

#[async_trait]
impl PresenceHarness for Memory {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Presence>> {
        let presence = MemoryPresence::new();
        (0..count).map(|_| Arc::new(presence.clone()) as Arc<dyn Presence>).collect()
    }

    fn unit(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl SearchHarness for Memory {
    async fn node(&self) -> SearchNode {
        let store = MemoryStore::new();
        let log = LogNode { log: store.message_log(), rooms: store.rooms() };
        SearchNode { log, search: store.search() }
    }

    async fn settle(&self) {}
}

#[async_trait]
impl RevocationHarness for Memory {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn RevocationStore>> {
        let store = MemoryRevocations::new();
        (0..count).map(|_| Arc::new(store.clone()) as Arc<dyn RevocationStore>).collect()
    }
}

#[async_trait]
impl BindingHarness for Memory {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn SessionBindings>> {
        let store = MemoryBindings::new();
        (0..count).map(|_| Arc::new(store.clone()) as Arc<dyn SessionBindings>).collect()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl RateLimitHarness for Memory {
    async fn limiter(&self, quota: Quota) -> Arc<dyn RateLimiter> {
        let limits = RateLimits::new()
            .with_user_sends(Some(quota))
            .with_room_sends(Some(quota))
            .with_user_signals(Some(quota))
            .with_user_reads(Some(quota));
        Arc::new(LocalRateLimiter::new(&limits))
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl UnreadCacheHarness for Memory {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn UnreadCache>> {
        let cache = MemoryUnreadCache::new();
        (0..count).map(|_| Arc::new(cache.clone()) as Arc<dyn UnreadCache>).collect()
    }
}

/// With counts that are remembered.
struct Remembering;

#[async_trait]
impl LogHarness for Remembering {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        let (store, cache) = (MemoryStore::new(), MemoryUnreadCache::new());
        let rooms = || CachedUnread::new(store.rooms(), store.message_log(), cache.clone());
        (0..count).map(|_| LogNode { log: store.message_log(), rooms: Arc::new(rooms()) }).collect()
    }
}

mod remembering {
    use super::Remembering;

    chat_core::rooms_tests!(Remembering);
    chat_core::rooms_members_tests!(Remembering);
    chat_core::rooms_read_tests!(Remembering);
    chat_core::rooms_unread_tests!(Remembering);
    chat_core::rooms_listing_tests!(Remembering);
}

chat_core::rooms_tests!(Memory);
chat_core::rooms_members_tests!(Memory);
chat_core::rooms_read_tests!(Memory);
chat_core::rooms_unread_tests!(Memory);
chat_core::rooms_listing_tests!(Memory);
chat_core::fanout_tests!(Memory);
chat_core::fanout_overflow_tests!(Memory);
chat_core::presence_tests!(Memory);
chat_core::presence_lease_tests!(Memory);
chat_core::presence_race_tests!(Memory);
chat_core::search_tests!(Memory);
chat_core::revocation_tests!(Memory);
chat_core::binding_tests!(Memory);
chat_core::rate_limit_tests!(Memory);
chat_core::unread_cache_tests!(Memory);

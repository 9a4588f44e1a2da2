//! The memory backend keeps the contracts of rooms, fan-out, presence, search, revocations and the rate limiter.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_core::{
    Fanout, Presence,
    memory::{MemoryFanout, MemoryPresence, MemoryStore},
    testkit::{FanoutHarness, FanoutOverflowHarness, LogHarness, LogNode, PresenceHarness},
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

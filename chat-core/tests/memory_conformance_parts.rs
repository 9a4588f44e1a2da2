//! The memory backend keeps the contracts of rooms, fan-out, presence, search, revocations and the rate limiter.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    Fanout,
    memory::{MemoryFanout, MemoryStore},
    testkit::{FanoutHarness, FanoutOverflowHarness, LogHarness, LogNode},
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

chat_core::rooms_tests!(Memory);
chat_core::rooms_members_tests!(Memory);
chat_core::rooms_read_tests!(Memory);
chat_core::rooms_unread_tests!(Memory);
chat_core::rooms_listing_tests!(Memory);
chat_core::fanout_tests!(Memory);
chat_core::fanout_overflow_tests!(Memory);

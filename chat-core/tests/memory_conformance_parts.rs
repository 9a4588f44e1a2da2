//! The memory backend keeps the contracts of rooms, fan-out, presence, search, revocations and the rate limiter.

use async_trait::async_trait;
use chat_core::{
    memory::MemoryStore,
    testkit::{LogHarness, LogNode},
};

struct Memory;

#[async_trait]
impl LogHarness for Memory {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        let store = MemoryStore::new();
        (0..count).map(|_| LogNode { log: store.message_log(), rooms: store.rooms() }).collect()
    }
}

chat_core::rooms_tests!(Memory);
chat_core::rooms_members_tests!(Memory);
chat_core::rooms_read_tests!(Memory);
chat_core::rooms_unread_tests!(Memory);
chat_core::rooms_listing_tests!(Memory);

//! The memory backend keeps the whole contract.

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

chat_core::message_log_dedup_tests!(Memory);
chat_core::message_log_order_tests!(Memory);
chat_core::message_log_paging_tests!(Memory);
chat_core::message_log_membership_tests!(Memory);
chat_core::message_log_targets_tests!(Memory);

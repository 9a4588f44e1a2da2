//! The memory backend keeps the whole contract.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use async_trait::async_trait;
use chat_core::{
    Storage as _,
    memory::{MemorySnapshot, MemoryStore},
    testkit::{LogHarness, LogNode, Restore, RestoreHarness},
};

struct Memory;

fn node(store: &MemoryStore) -> LogNode {
    LogNode { log: store.message_log(), rooms: store.rooms() }
}

#[async_trait]
impl LogHarness for Memory {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        let store = MemoryStore::new();
        (0..count).map(|_| node(&store)).collect()
    }
}

struct Backup {
    store: MemoryStore,
    copy: MemorySnapshot,
}

#[async_trait]
impl RestoreHarness for Memory {
    async fn node_with_backup(&self) -> (LogNode, Box<dyn Restore>) {
        let store = MemoryStore::new();
        let copy = store.snapshot();
        (node(&store), Box::new(Backup { store, copy }))
    }
}

#[async_trait]
impl Restore for Backup {
    async fn backup(&mut self) {
        self.copy = self.store.snapshot();
    }

    async fn restore(&mut self) -> LogNode {
        self.store.restore(&self.copy);
        node(&self.store)
    }
}

chat_core::message_log_tests!(Memory);
chat_core::message_log_epoch_tests!(Memory);

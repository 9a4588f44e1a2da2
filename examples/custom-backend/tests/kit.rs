//! The library's own tests for whoever stores messages and rooms: all that a store has to promise, and none of it written here.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{fs, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use chat_core::testkit::{LogHarness, LogNode, Restore, RestoreHarness};
use example_custom_backend::FileStore;
use tempfile::TempDir;

struct File;

fn node(store: &FileStore) -> LogNode {
    LogNode { log: Arc::new(store.clone()), rooms: Arc::new(store.clone()) }
}

#[async_trait]
impl LogHarness for File {
    /// One process has the file, so its servers are handles on one store.
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        // The file is open: its name is not needed any more, and nothing is left behind.
        let folder = TempDir::new().unwrap();
        let store = FileStore::open(folder.path().join("chat.jsonl")).unwrap();
        (0..count).map(|_| node(&store)).collect()
    }
}

struct Backup {
    folder: TempDir,
    present: PathBuf,
    restored: u32,
}

#[async_trait]
impl RestoreHarness for File {
    async fn node_with_backup(&self) -> (LogNode, Box<dyn Restore>) {
        let folder = TempDir::new().unwrap();
        let present = folder.path().join("chat.jsonl");
        let store = FileStore::open(&present).unwrap();
        (node(&store), Box::new(Backup { folder, present, restored: 0 }))
    }
}

#[async_trait]
impl Restore for Backup {
    async fn backup(&mut self) {
        fs::copy(&self.present, self.folder.path().join("copy")).unwrap();
    }

    async fn restore(&mut self) -> LogNode {
        self.restored += 1;
        self.present = self.folder.path().join(format!("restored-{}.jsonl", self.restored));
        fs::copy(self.folder.path().join("copy"), &self.present).unwrap();
        node(&FileStore::open_restored(&self.present).unwrap())
    }
}

chat_core::message_log_tests!(File);
chat_core::message_log_epoch_tests!(File);
chat_core::rooms_tests!(File);
chat_core::rooms_members_tests!(File);
chat_core::rooms_read_tests!(File);
chat_core::rooms_unread_tests!(File);
chat_core::rooms_listing_tests!(File);

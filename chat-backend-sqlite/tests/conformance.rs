//! The SQLite backend keeps the whole contract.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use chat_core::Storage as _;
use std::sync::Arc;

use async_trait::async_trait;
use chat_backend_sqlite::{SqliteBackend, SqliteConfig};
use chat_core::testkit::{LogHarness, LogNode, Restore, RestoreHarness, SearchHarness, SearchNode};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// Files in a folder that goes away when the test is over.
struct Sqlite {
    folder: TempDir,
    opened: Mutex<Vec<SqliteBackend>>,
}

#[allow(non_snake_case, reason = "the kit's macros take a harness as an expression")]
fn Files() -> Sqlite {
    Sqlite { folder: tempfile::tempdir().unwrap(), opened: Mutex::default() }
}

impl Sqlite {
    async fn open(&self, name: &str) -> SqliteBackend {
        let backend = SqliteBackend::open(SqliteConfig::new(self.folder.path().join(name))).await.unwrap();
        self.opened.lock().await.push(backend.clone());
        backend
    }
}

fn node(backend: &SqliteBackend) -> LogNode {
    LogNode { log: backend.message_log(), rooms: backend.rooms() }
}

#[async_trait]
impl LogHarness for Sqlite {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        let number = self.opened.lock().await.len();
        let backend = self.open(&format!("chat-{number}.db")).await;
        (0..count).map(|_| node(&backend)).collect()
    }
}

/// Copies the file while it is in use, and puts the copy in its place while it is not.
struct Backup {
    folder: Arc<TempDir>,
    backend: SqliteBackend,
    copies: usize,
}

impl Backup {
    fn copy(&self) -> std::path::PathBuf {
        self.folder.path().join(format!("backup-{}.db", self.copies))
    }
}

#[async_trait]
impl RestoreHarness for Sqlite {
    async fn node_with_backup(&self) -> (LogNode, Box<dyn Restore>) {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let backend = SqliteBackend::open(SqliteConfig::new(folder.path().join("chat.db"))).await.unwrap();
        (node(&backend), Box::new(Backup { folder, backend, copies: 0 }))
    }
}

#[async_trait]
impl Restore for Backup {
    async fn backup(&mut self) {
        self.copies += 1;
        self.backend.backup(self.copy()).await.unwrap();
    }

    async fn restore(&mut self) -> LogNode {
        self.backend.close().await.unwrap();
        SqliteBackend::restore(self.copy(), self.backend.path()).unwrap();
        self.backend = SqliteBackend::open(SqliteConfig::new(self.backend.path())).await.unwrap();
        node(&self.backend)
    }
}

#[async_trait]
impl SearchHarness for Sqlite {
    async fn node(&self) -> SearchNode {
        let number = self.opened.lock().await.len();
        let backend = self.open(&format!("chat-{number}.db")).await;
        SearchNode { log: node(&backend), search: backend.search() }
    }

    async fn settle(&self) {
        for backend in self.opened.lock().await.iter() {
            backend.settle_search().await.unwrap();
        }
    }
}

chat_core::message_log_tests!(Files());
chat_core::message_log_epoch_tests!(Files());
chat_core::rooms_tests!(Files());
chat_core::rooms_members_tests!(Files());
chat_core::rooms_read_tests!(Files());
chat_core::rooms_unread_tests!(Files());
chat_core::rooms_listing_tests!(Files());
chat_core::search_tests!(Files());

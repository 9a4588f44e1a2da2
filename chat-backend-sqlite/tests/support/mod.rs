//! What the tests of files share: opening, and an audit that reads everything and works it out a second time.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unreachable_pub, reason = "each test file is a crate of its own")]

pub mod audit;
pub mod child;
pub mod load;

use std::path::Path;

use chat_backend_sqlite::{SqliteBackend, SqliteConfig, SqliteError, SqliteErrorKind};
use chat_core::{Epoch, Error, Storage as _, testkit::LogNode, testkit::fixtures::room};
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};

pub async fn open(path: &Path) -> SqliteBackend {
    SqliteBackend::open(SqliteConfig::new(path)).await.unwrap()
}

pub fn node(backend: &SqliteBackend) -> LogNode {
    LogNode { log: backend.message_log(), rooms: backend.rooms() }
}

/// The file through SQLite alone, as a `sqlite3` shell sees it.
pub async fn shell(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

/// The epoch, as the cursors of a room that must be there show it.
pub async fn epoch(backend: &SqliteBackend, of_room: &str) -> Epoch {
    let heads = node(backend).log.heads(&[room(of_room)]).await.unwrap();
    heads[0].as_ref().unwrap().cursor.epoch.clone()
}

/// What SQLite said, if the error came from this backend.
pub fn kind(error: &Error) -> Option<SqliteErrorKind> {
    let Error::Backend { source, .. } = error else { return None };
    source.downcast_ref::<SqliteError>().map(SqliteError::kind)
}

use std::{path::PathBuf, sync::Arc};

use chat_core::{
    Head, MessageLog, Result, Retention, RoomId, Rooms, Storage as _,
    memory::{MemorySnapshot, MemoryStore},
};
use tokio::sync::OwnedRwLockWriteGuard;

use crate::{dice::JumpingClock, history::History, sqlite_parts::SqliteParts, sqlite_store::SqliteStore};

/// Where a run keeps its messages and rooms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// In memory: a seed is a run.
    #[default]
    Memory,
    /// In an SQLite file in a temporary folder. What is done follows from the seed; what overlaps does not.
    Sqlite,
}

/// The store of a run.
#[derive(Debug)]
pub(crate) enum Store {
    Memory(MemoryStore),
    Sqlite(Arc<SqliteStore>),
}

/// A copy of everything in a store.
#[derive(Debug)]
pub(crate) enum Backup {
    Memory(MemorySnapshot),
    Sqlite(PathBuf),
}

/// The store while nobody else calls it.
#[derive(Debug)]
pub(crate) struct Alone<'a> {
    store: &'a Store,
    _turn: Option<OwnedRwLockWriteGuard<()>>,
}

impl Store {
    pub(crate) async fn open(kind: StoreKind, clock: Arc<JumpingClock>, history: History) -> Self {
        match kind {
            StoreKind::Memory => Self::Memory(MemoryStore::with_clock(clock)),
            StoreKind::Sqlite => Self::Sqlite(SqliteStore::open(clock, history).await),
        }
    }

    pub(crate) fn message_log(&self) -> Arc<dyn MessageLog> {
        match self {
            Self::Memory(store) => store.message_log(),
            Self::Sqlite(store) => Arc::new(SqliteParts(store.clone())),
        }
    }

    pub(crate) fn rooms(&self) -> Arc<dyn Rooms> {
        match self {
            Self::Memory(store) => store.rooms(),
            Self::Sqlite(store) => Arc::new(SqliteParts(store.clone())),
        }
    }

    /// Whether the history learns of what is stored from the store itself.
    pub(crate) const fn notes(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    pub(crate) async fn alone(&self) -> Alone<'_> {
        let turn = match self {
            // Nothing in it takes any time.
            Self::Memory(_) => None,
            Self::Sqlite(store) => Some(store.turn().await),
        };
        Alone { store: self, _turn: turn }
    }

    pub(crate) async fn close(&self) {
        if let Self::Sqlite(store) = self {
            store.close().await;
        }
    }
}

impl Alone<'_> {
    pub(crate) async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        match self.store {
            Store::Memory(store) => store.message_log().heads(rooms).await,
            Store::Sqlite(store) => {
                let rooms = rooms.to_vec();
                store.ask_in_turn(|backend| async move { backend.message_log().heads(&rooms).await }).await
            }
        }
    }

    pub(crate) async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        match self.store {
            Store::Memory(store) => store.message_log().trim(room, retention).await,
            Store::Sqlite(store) => {
                let room = room.clone();
                let trim = |backend: chat_backend_sqlite::SqliteBackend| async move {
                    backend.message_log().trim(&room, retention).await
                };
                store.ask_in_turn(trim).await
            }
        }
    }

    pub(crate) async fn back_up(&self) -> Backup {
        match self.store {
            Store::Memory(store) => Backup::Memory(store.snapshot()),
            Store::Sqlite(store) => Backup::Sqlite(store.back_up().await),
        }
    }

    pub(crate) async fn restore(&self, copy: Backup) {
        match (self.store, copy) {
            (Store::Memory(store), Backup::Memory(snapshot)) => store.restore(&snapshot),
            (Store::Sqlite(store), Backup::Sqlite(file)) => store.restore(file).await,
            _ => unreachable!("a copy is put back into the store it was taken of"),
        }
    }
}

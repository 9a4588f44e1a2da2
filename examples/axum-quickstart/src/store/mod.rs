//! Where a chat is: in the schema of a PostgreSQL database that several processes may share, in an SQLite file, or in this
//! process's memory.

mod database;
mod folder;

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use chat_backend_postgres::PostgresBackend;
use chat_backend_sqlite::SqliteBackend;
use chat_core::{
    Fanout, MessageLog, Presence, Rooms, Search, Storage as _,
    memory::{MemoryFanout, MemoryPresence, MemoryStore},
};

use self::database::Database;

/// Which store to open.
pub(crate) enum Place {
    Memory,
    Folder(PathBuf),
    Database(Box<Database>),
}

impl Place {
    /// A schema of the database at a URL.
    pub(crate) fn database(url: &str, schema: String) -> anyhow::Result<Self> {
        Ok(Self::Database(Box::new(Database::new(url, schema)?)))
    }
}

/// The parts of a chat that processes share or that outlive them.
pub(crate) struct Store {
    pub(crate) log: Arc<dyn MessageLog>,
    pub(crate) rooms: Arc<dyn Rooms>,
    pub(crate) search: Arc<dyn Search>,
    pub(crate) fanout: Arc<dyn Fanout>,
    pub(crate) presence: Arc<dyn Presence>,
    /// Signs the guests' tokens.
    pub(crate) secret: String,
    /// For people.
    place: String,
    kept: Kept,
}

/// What has to be closed.
enum Kept {
    Nothing,
    File(SqliteBackend),
    Database(PostgresBackend),
}

impl Store {
    /// Opens it, and takes the secret from there unless one is given.
    pub(crate) async fn open(place: &Place, secret: Option<String>) -> anyhow::Result<Self> {
        match place {
            Place::Memory => {
                let store = MemoryStore::new();
                Ok(Self {
                    log: store.message_log(),
                    rooms: store.rooms(),
                    search: store.search(),
                    fanout: Arc::new(MemoryFanout::new()),
                    presence: Arc::new(MemoryPresence::new()),
                    secret: secret.map_or_else(new_secret, Ok)?,
                    place: "memory".to_owned(),
                    kept: Kept::Nothing,
                })
            }
            Place::Folder(folder) => folder::open(folder, secret).await,
            Place::Database(database) => database.open(secret).await,
        }
    }

    /// For people.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) async fn close(&self) -> anyhow::Result<()> {
        match &self.kept {
            Kept::Nothing => {}
            Kept::File(file) => file.close().await.context("the messages' file was not closed cleanly")?,
            Kept::Database(database) => database.close().await,
        }
        Ok(())
    }
}

/// 256 random bits, as text.
fn new_secret() -> anyhow::Result<String> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

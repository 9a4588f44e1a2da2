//! Where a chat is: in the schema of a PostgreSQL database that several processes may share, in an SQLite file, or in this
//! process's memory.

mod database;
mod folder;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use chat_backend_postgres::PostgresBackend;
use chat_backend_sqlite::SqliteBackend;
use chat_core::{
    Fanout, MessageLog, Presence, Rooms, Search, Storage as _,
    memory::{MemoryFanout, MemoryPresence, MemoryStore},
    tiered::{HotLog, Tiered, TieredSettings},
};
use tracing::{info, warn};

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
    /// Where a hot log stands in front of it.
    tiered: Option<Tiered>,
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
                    tiered: None,
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

    /// Has `hot` answer what is sent from now on, and what it took moved here a moment later.
    pub(crate) fn put_behind(&mut self, hot: Arc<dyn HotLog>) -> anyhow::Result<()> {
        let Kept::Database(database) = &self.kept else {
            anyhow::bail!("a hot log stands in front of a database, and this is {}", self.place);
        };
        let tiered = Tiered::start(hot, database.archive(), database, TieredSettings::default());
        self.log = tiered.message_log();
        self.rooms = tiered.rooms();
        self.search = tiered.search();
        self.tiered = Some(tiered);
        Ok(())
    }

    pub(crate) fn is_behind_hot_log(&self) -> bool {
        self.tiered.is_some()
    }

    /// Moves here what the hot log took, for at most so long. What is left is safe where it is: another process moves it, or
    /// this one after its next start.
    pub(crate) async fn flush(&self, patience: Duration) {
        let Some(tiered) = &self.tiered else { return };
        let why = match tokio::time::timeout(patience, tiered.flush()).await {
            Ok(Ok(())) => return info!("everything that was sent is in the database"),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it takes longer than {patience:?}"),
        };
        // Redis does not answer either, perhaps, and it says so soon.
        match tiered.lag().await {
            Ok(lag) => warn!(
                why,
                rooms = lag.rooms,
                entries = lag.entries,
                "entries wait in Redis to be moved into the database"
            ),
            Err(error) => {
                warn!(why, %error, "entries may wait in Redis to be moved into the database");
            }
        }
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

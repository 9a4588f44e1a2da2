//! Where rooms and messages are: an SQLite file, or this process's memory.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use chat_backend_sqlite::{SqliteBackend, SqliteConfig};
use chat_core::{MessageLog, Rooms, Search, Storage as _, memory::MemoryStore};

/// The parts of a chat that outlive it.
pub(crate) struct Store {
    pub(crate) log: Arc<dyn MessageLog>,
    pub(crate) rooms: Arc<dyn Rooms>,
    pub(crate) search: Arc<dyn Search>,
    /// Signs tokens that outlive this run.
    pub(crate) secret: Option<String>,
    file: Option<SqliteBackend>,
}

impl Store {
    /// In this folder, or in memory.
    pub(crate) async fn open(data: Option<&Path>) -> anyhow::Result<Self> {
        let Some(folder) = data else {
            let store = MemoryStore::new();
            let (log, rooms, search) = (store.message_log(), store.rooms(), store.search());
            return Ok(Self { log, rooms, search, secret: None, file: None });
        };
        fs::create_dir_all(folder).with_context(|| {
            format!("cannot make the folder {}: name another with --data, or use --memory", folder.display())
        })?;
        let file = SqliteBackend::open(SqliteConfig::new(folder.join("chat.db"))).await?;
        let secret = secret(&folder.join("secret"))?;
        let (log, rooms, search) = (file.message_log(), file.rooms(), file.search());
        Ok(Self { log, rooms, search, secret: Some(secret), file: Some(file) })
    }

    /// For people.
    pub(crate) fn place(&self) -> String {
        self.file.as_ref().map_or_else(|| "memory".to_owned(), |file| file.path().display().to_string())
    }

    pub(crate) async fn close(&self) -> anyhow::Result<()> {
        match &self.file {
            Some(file) => file.close().await.context("the messages' file was not closed cleanly"),
            None => Ok(()),
        }
    }
}

/// What helps where the secret's file cannot be used.
const ALLOW: &str = "let this user read and write it, or name another folder with --data";

/// The secret in a file, made at the first start. Nobody else may read it.
fn secret(path: &Path) -> anyhow::Result<String> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => {
            let mut random = [0_u8; 32];
            getrandom::fill(&mut random)?;
            let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            let written = file.write_all(secret.as_bytes()).and_then(|()| file.sync_all());
            written.with_context(|| format!("cannot write {}", path.display()))?;
            Ok(secret)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let secret = fs::read_to_string(path)
                .with_context(|| format!("cannot read {}: {ALLOW}", path.display()))?;
            // A start that was cut off may have left it short: such a secret must not sign anything.
            anyhow::ensure!(
                secret.trim().len() == 64,
                "{} is not whole: remove it, and a new one is made; guests are asked for their names again",
                path.display()
            );
            Ok(secret.trim().to_owned())
        }
        Err(error) => Err(error).with_context(|| format!("cannot write {}: {ALLOW}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_start_goes_on_with_the_same_secret_and_rooms() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("chat-data");
        let first = Store::open(Some(&data)).await.unwrap();
        let room = chat_core::RoomId::new("lobby").unwrap();
        first.rooms.create(chat_core::NewRoom::new(room.clone())).await.unwrap();
        let refused = Store::open(Some(&data)).await.err().unwrap();
        assert!(refused.to_string().contains("in use by another process"), "{refused}");
        first.close().await.unwrap();
        let second = Store::open(Some(&data)).await.unwrap();
        assert_eq!(second.secret, first.secret);
        assert!(second.rooms.room(&room).await.is_ok());
        assert!(second.place().ends_with("chat.db"));
    }

    #[test]
    fn a_secret_that_is_not_whole_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "abc").unwrap();
        assert!(secret(&path).unwrap_err().to_string().contains("remove it"));
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named_with_what_helps() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = Store::open(Some(&file.join("data"))).await.err().unwrap().to_string();
        assert!(refused.contains("file/data") && refused.contains("--data"), "{refused}");
        let no_file = secret(folder.path()).unwrap_err().to_string();
        assert!(
            no_file.contains(&*folder.path().to_string_lossy()) && no_file.contains("--data"),
            "{no_file}"
        );
    }
}

//! In a folder: an SQLite file, and the secret beside it. Fan-out and presence are in memory: one process owns the file.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use chat_backend_sqlite::{SqliteBackend, SqliteConfig};
use chat_core::{
    Storage as _,
    memory::{MemoryFanout, MemoryPresence},
};

use super::{Kept, Store, new_secret};

pub(super) async fn open(folder: &Path, given: Option<String>) -> anyhow::Result<Store> {
    fs::create_dir_all(folder).with_context(|| {
        format!("cannot make the folder {}: name another with --data, or use --memory", folder.display())
    })?;
    let file = SqliteBackend::open(SqliteConfig::new(folder.join("chat.db"))).await?;
    let kept = secret(&folder.join("secret"))?;
    Ok(Store {
        log: file.message_log(),
        rooms: file.rooms(),
        search: file.search(),
        fanout: Arc::new(MemoryFanout::new()),
        presence: Arc::new(MemoryPresence::new()),
        secret: given.unwrap_or(kept),
        place: file.path().display().to_string(),
        kept: Kept::File(file),
        tiered: None,
    })
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
            let secret = new_secret()?;
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
        let first = open(&data, None).await.unwrap();
        let room = chat_core::RoomId::new("lobby").unwrap();
        first.rooms.create(chat_core::NewRoom::new(room.clone())).await.unwrap();
        let refused = open(&data, None).await.err().unwrap();
        assert!(refused.to_string().contains("in use by another process"), "{refused}");
        first.close().await.unwrap();
        let second = open(&data, None).await.unwrap();
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
        let refused = open(&file.join("data"), None).await.err().unwrap().to_string();
        assert!(refused.contains("file/data") && refused.contains("--data"), "{refused}");
        let no_file = secret(folder.path()).unwrap_err().to_string();
        assert!(
            no_file.contains(&*folder.path().to_string_lossy()) && no_file.contains("--data"),
            "{no_file}"
        );
    }
}

//! A copy of the file while it is in use, and how it is put back.

use std::{fs::OpenOptions, io, path::Path, sync::Arc};

use sqlx::{Connection as _, SqlitePool};
use tokio::sync::Semaphore;

use crate::{
    OpenError, SqliteError, SqliteErrorKind, Synchronous, open,
    owner::{Owner, path_with, private},
};

/// Makes one copy after the other: two for one target would be in each other's way.
#[derive(Debug, Clone)]
pub(crate) struct Copier {
    turn: Arc<Semaphore>,
}

impl Copier {
    pub(crate) fn new() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)) }
    }

    /// SQLite cannot be stopped in the middle of a copy, so it is finished and put in its place when the caller goes away.
    pub(crate) async fn write(&self, readers: &SqlitePool, target: &Path) -> Result<(), SqliteError> {
        let (copier, readers, target) = (self.clone(), readers.clone(), target.to_owned());
        let written = tokio::spawn(async move {
            let _turn = copier.turn.acquire().await.map_err(|_| SqliteError::closed())?;
            write(&readers, &target).await
        });
        written.await.unwrap_or_else(|error| Err(SqliteError::new(SqliteErrorKind::Other, error)))
    }
}

/// `VACUUM INTO` copies one instant of the file without its free pages
/// ([manual](https://www.sqlite.org/lang_vacuum.html#vacuuminto)).
async fn write(readers: &SqlitePool, target: &Path) -> Result<(), SqliteError> {
    let failed = |error: std::io::Error| SqliteError::new(SqliteErrorKind::Disk, error);
    if target.try_exists().map_err(failed)? {
        return Err(SqliteError::new(SqliteErrorKind::Other, "the target of the backup is there already"));
    }
    let partial = &path_with(target, ".partial");
    // What an earlier try may have left.
    if let Err(error) = std::fs::remove_file(partial)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(failed(error));
    }
    // SQLite writes into an empty file, which has its rights from the beginning.
    private(OpenOptions::new().write(true).create_new(true)).open(partial).map_err(failed)?;
    let written = copy(readers, partial).await;
    let placed = written.and_then(|()| std::fs::rename(partial, target).map_err(failed));
    if placed.is_err() {
        let _ = std::fs::remove_file(partial);
    }
    placed
}

async fn copy(readers: &SqlitePool, partial: &Path) -> Result<(), SqliteError> {
    let name = partial
        .to_str()
        .ok_or_else(|| SqliteError::new(SqliteErrorKind::Other, "the target's path is not Unicode"))?;
    sqlx::query("VACUUM INTO ?").bind(name).execute(readers).await?;
    // No witness knows this token: whoever opens the copy takes a new epoch.
    let mut connection = open::alone(partial).await?;
    sqlx::query("UPDATE store SET token = ''").execute(&mut connection).await?;
    connection.close().await?;
    let synced = std::fs::File::open(partial).and_then(|file| file.sync_all());
    synced.map_err(|error| SqliteError::new(SqliteErrorKind::Disk, error))
}

/// Puts a copy in the place of `target`, which nobody may be using.
pub(crate) fn restore(backup: &Path, target: &Path) -> Result<(), OpenError> {
    let failed = |path: &Path, source| OpenError::File { path: path.to_owned(), source };
    // Before anything is made or taken away.
    std::fs::File::open(backup).map_err(|source| failed(backup, source))?;
    let (_owner, _) = Owner::lock(target, Synchronous::Full)?;
    // The file itself, where its name is a link.
    let target = std::fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
    put_back(backup, &target).map_err(|source| failed(&target, source))
}

fn put_back(backup: &Path, target: &Path) -> io::Result<()> {
    let partial = path_with(target, ".partial");
    std::fs::copy(backup, &partial)?;
    std::fs::File::open(&partial)?.sync_all()?;
    // What a crash left there belongs to the old file, and SQLite would apply it to the new one.
    for name in ["-wal", "-shm"] {
        match std::fs::remove_file(path_with(target, name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(&partial, target)
}

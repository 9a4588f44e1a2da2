//! A copy of the file while it is in use.

use std::path::Path;

use sqlx::{Connection as _, SqlitePool};

use crate::{SqliteError, SqliteErrorKind, open};

/// `VACUUM INTO` copies one instant of the file without its free pages
/// ([manual](https://www.sqlite.org/lang_vacuum.html#vacuuminto)).
pub(crate) async fn write(readers: &SqlitePool, target: &Path) -> Result<(), SqliteError> {
    let failed = |error: std::io::Error| SqliteError::new(SqliteErrorKind::Disk, error);
    if target.try_exists().map_err(failed)? {
        return Err(SqliteError::new(SqliteErrorKind::Other, "the target of the backup is there already"));
    }
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    let partial = Path::new(&name);
    // What an earlier try may have left.
    if let Err(error) = std::fs::remove_file(partial)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(failed(error));
    }
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

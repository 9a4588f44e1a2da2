//! Opens a file: lock, schema, epoch, connections.

use std::{path::Path, time::Duration};

use chat_core::Epoch;
use sqlx::{
    ConnectOptions as _, Row as _, SqliteConnection,
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
    },
};

use crate::{
    OpenError, SqliteConfig, SqliteError, SqliteErrorKind, Synchronous,
    backend::Shared,
    backup::Copier,
    owner::{self, Owner, Witness},
    recognise, rows, schema,
    writer::{Counters, Writer, WriterParts},
};

/// SQLite's default, which this library leaves as it is.
const PAGE_BYTES: u64 = 4_096;
/// Smaller, the schema alone would hardly fit.
const MIN_FILE_BYTES: u64 = 1024 * 1024;
/// More waiting calls than anybody has memory for.
const MAX_QUEUE: usize = 1_000_000;
/// How long a read waits for one of the connections at least: that is about this process's own load, and not about
/// somebody's lock.
const MIN_READER_WAIT: Duration = Duration::from_secs(5);
/// SQLite counts its patience in milliseconds, up to some 24 days.
const MAX_PATIENCE: Duration = Duration::from_millis(i32::MAX as u64);
/// The write-ahead log is cut back to this after a checkpoint.
const MAX_IDLE_WAL_BYTES: u64 = 16 * 1024 * 1024;
/// Statements of this library, each prepared once per connection.
const STATEMENTS: usize = 100;

pub(crate) async fn open(config: SqliteConfig) -> Result<Shared, OpenError> {
    check(&config)?;
    let path = config.path.clone();
    recognise::check(&path).await?;
    let (mut owner, witness) = Owner::lock(&path, config.synchronous)?;
    let failed = |source: SqliteError| OpenError::Sqlite { path: path.clone(), source };
    let mut connection = writing(&config).connect().await.map_err(|error| failed(error.into()))?;
    recognise::mark(&mut connection).await.map_err(failed)?;
    schema::migrate(&mut connection, &path).await?;
    let file = |source| OpenError::File { path: path.clone(), source };
    let identity = owner::identity(&path).map_err(file)?;
    // Locked before it is looked at: what an owner that ended this moment still commits is seen.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(|error| failed(error.into()))?;
    let life = begin_life(&mut connection, &mut owner, witness, &identity, config.new_epoch);
    let life = life.await.map_err(failed)?;
    sqlx::query("COMMIT").execute(&mut connection).await.map_err(|error| failed(error.into()))?;
    owner.begin().map_err(file)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(config.readers)
        .acquire_timeout(config.busy_timeout.clamp(MIN_READER_WAIT, MAX_PATIENCE))
        .test_before_acquire(false)
        .connect_with(reading(&config))
        .await
        .map_err(|error| failed(error.into()))?;
    let max_pages = config.max_bytes.map(pages);
    let parts = WriterParts {
        connection,
        readers: readers.clone(),
        owner,
        epoch: life.epoch.clone(),
        clock: config.clock,
        counters: life.counters,
        indexed_entry: life.indexed_entry,
        max_pages,
    };
    let writer = Writer::start(parts, config.queue);
    Ok(Shared { path: config.path, epoch: life.epoch, readers, writer, copier: Copier::new() })
}

fn check(config: &SqliteConfig) -> Result<(), OpenError> {
    let wrong = |setting, reason| Err(OpenError::Setting { setting, reason });
    if !(1..=64).contains(&config.readers) {
        return wrong("readers", "must be from 1 to 64");
    }
    if !(1..=MAX_QUEUE).contains(&config.queue) {
        return wrong("queue", "must be from 1 to 1,000,000");
    }
    if config.max_bytes.is_some_and(|bytes| bytes < MIN_FILE_BYTES) {
        return wrong("max_bytes", "must be at least 1 MiB");
    }
    if config.retention_interval.is_zero() {
        return wrong("retention_interval", "must not be zero");
    }
    Ok(())
}

fn common(config: &SqliteConfig) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(&config.path)
        .busy_timeout(config.busy_timeout.min(MAX_PATIENCE))
        // Every statement that stores a reference has just looked the row up.
        .foreign_keys(false)
        .statement_cache_capacity(STATEMENTS)
        .pragma("cache_size", format!("-{}", config.cache_bytes / 1_024))
        .disable_statement_logging()
}

fn writing(config: &SqliteConfig) -> SqliteConnectOptions {
    let synchronous = match config.synchronous {
        Synchronous::Full => SqliteSynchronous::Full,
        Synchronous::Normal => SqliteSynchronous::Normal,
        Synchronous::Off => SqliteSynchronous::Off,
    };
    let options = common(config)
        .create_if_missing(true)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .pragma("journal_size_limit", MAX_IDLE_WAL_BYTES.to_string());
    match config.max_bytes {
        Some(bytes) => options.pragma("max_page_count", pages(bytes).to_string()),
        None => options,
    }
}

const fn pages(bytes: u64) -> u64 {
    bytes / PAGE_BYTES
}

fn reading(config: &SqliteConfig) -> SqliteConnectOptions {
    common(config).read_only(true)
}

/// The file as this process goes on with it.
struct Life {
    epoch: Epoch,
    counters: Counters,
    indexed_entry: i64,
}

/// Keeps the epoch if the witness vouches for the file, or takes a new one; either way the file gets a new token.
async fn begin_life(
    connection: &mut SqliteConnection,
    owner: &mut Owner,
    witness: Option<Witness>,
    file: &str,
    new_epoch: bool,
) -> Result<Life, SqliteError> {
    let token = Epoch::generate().to_string();
    let failed = |error| SqliteError::new(SqliteErrorKind::Disk, error);
    let stored = sqlx::query("SELECT epoch, token, last_entry, last_id, indexed_entry FROM store")
        .fetch_optional(&mut *connection)
        .await?;
    let Some(stored) = stored else {
        let epoch = Epoch::generate();
        owner.prepare(file, None, &token, 0).map_err(failed)?;
        sqlx::query("INSERT INTO store (one, epoch, token) VALUES (1, ?, ?)")
            .bind(epoch.as_str())
            .bind(token.as_str())
            .execute(connection)
            .await?;
        return Ok(Life { epoch, counters: Counters { last_entry: 0, last_id: None }, indexed_entry: 0 });
    };
    let last_entry: i64 = stored.try_get("last_entry")?;
    let last_token: &str = stored.try_get("token")?;
    let last_id: Option<&[u8]> = stored.try_get("last_id")?;
    let trusted =
        witness.is_some_and(|witness| witness.vouches_for(last_token, last_entry, &owner::boot(), file));
    let mut epoch = Epoch::new(stored.try_get("epoch")?).map_err(SqliteError::corrupt)?;
    if new_epoch || !trusted {
        epoch = Epoch::generate();
        tracing::warn!(%epoch, "the file does not go on where it stopped, or was told so: cursors from before are not honoured");
    }
    owner.prepare(file, trusted.then_some(last_token), &token, last_entry).map_err(failed)?;
    sqlx::query("UPDATE store SET epoch = ?, token = ?")
        .bind(epoch.as_str())
        .bind(token.as_str())
        .execute(connection)
        .await?;
    let counters = Counters { last_entry, last_id: last_id.map(rows::message_id).transpose()? };
    Ok(Life { epoch, counters, indexed_entry: stored.try_get("indexed_entry")? })
}

/// Opens a file that nobody owns, for writing.
pub(crate) async fn alone(path: &Path) -> Result<SqliteConnection, SqliteError> {
    Ok(SqliteConnectOptions::new().filename(path).journal_mode(SqliteJournalMode::Delete).connect().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens up to the point where the database has the new life and the file beside it does not.
    async fn killed_between_database_and_witness(path: &Path) {
        let config = SqliteConfig::new(path);
        let (mut owner, witness) = Owner::lock(path, config.synchronous).unwrap();
        let mut connection = writing(&config).connect().await.unwrap();
        let identity = owner::identity(path).unwrap();
        begin_life(&mut connection, &mut owner, witness, &identity, false).await.unwrap();
    }

    #[tokio::test]
    async fn a_kill_in_the_middle_of_opening_keeps_the_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        let config = || SqliteConfig::new(&path);
        let epoch = {
            let shared = open(config()).await.unwrap();
            shared.writer.close().await.unwrap();
            shared.epoch.clone()
        };
        for _ in 0..3 {
            killed_between_database_and_witness(&path).await;
        }
        let shared = open(config()).await.unwrap();
        assert_eq!(shared.epoch, epoch);
    }

    #[tokio::test]
    async fn a_kill_in_the_middle_of_opening_a_restored_file_does_not_bring_the_epoch_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("chat.db"), folder.path().join("copy.db"));
        let config = || SqliteConfig::new(&path);
        let mut seen = Vec::new();
        for _ in 0..2 {
            let shared = open(config()).await.unwrap();
            shared.writer.close().await.unwrap();
            seen.push(shared.epoch.clone());
            if seen.len() == 1 {
                std::fs::copy(&path, &copy).unwrap();
            }
        }
        assert_eq!(seen[0], seen[1]);
        std::fs::copy(&copy, &path).unwrap();
        killed_between_database_and_witness(&path).await;
        let shared = open(config()).await.unwrap();
        assert_ne!(shared.epoch, seen[0]);
    }
}

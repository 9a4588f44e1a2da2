//! Whether a file is this library's: asked before anything is written, locked or put beside it.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{OpenError, SqliteError, owner};

/// "Chat": marks a database as this library's
/// ([`PRAGMA application_id`](https://www.sqlite.org/pragma.html#pragma_application_id)).
pub(crate) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"Chat");

/// How every database begins, and where in its first bytes the id stands
/// ([manual](https://www.sqlite.org/fileformat.html#the_database_header)).
const MAGIC: &[u8] = b"SQLite format 3\0";
const ID_AT: usize = 68;
const HEADER_BYTES: usize = 100;

/// Lets pass what is not there yet, what is empty, and what is this library's.
///
/// The header mostly says so. It may lie behind what the write-ahead log holds, and files of before the id have none: then
/// the tables are looked at.
pub(crate) async fn check(path: &Path) -> Result<(), OpenError> {
    let foreign = || OpenError::Foreign { path: path.to_owned() };
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    match header(path).map_err(|source| OpenError::File { path: path.to_owned(), source })? {
        Header::None | Header::Id(APPLICATION_ID) => Ok(()),
        Header::NoDatabase => Err(sqlite(SqliteError::corrupt("it is no SQLite database"))),
        Header::Id(0) => match look(path).await.map_err(sqlite)? {
            true => Ok(()),
            false => Err(foreign()),
        },
        Header::Id(_) => Err(foreign()),
    }
}

enum Header {
    /// There is no file, or nothing in it. What is no file at all is told by whoever opens it.
    None,
    NoDatabase,
    Id(i32),
}

fn header(path: &Path) -> io::Result<Header> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => return Ok(Header::None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Header::None),
        known => known?,
    };
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut bytes)?;
    let id = bytes.get(ID_AT..ID_AT + 4).and_then(|id| id.try_into().ok()).map(i32::from_be_bytes);
    Ok(match id {
        _ if bytes.is_empty() => Header::None,
        Some(id) if bytes.starts_with(MAGIC) && bytes.len() == HEADER_BYTES => Header::Id(id),
        _ => Header::NoDatabase,
    })
}

/// Looks for our tables, or none at all.
async fn look(path: &Path) -> Result<bool, SqliteError> {
    // Without a write-ahead log there is nothing to see but the file, and then SQLite makes none beside it.
    let wal = owner::path_with(&path.canonicalize().unwrap_or_else(|_| path.to_owned()), "-wal");
    let alone = !wal.try_exists().unwrap_or(true);
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(alone);
    let mut connection = options.disable_statement_logging().connect().await?;
    let ours = is_ours(&mut connection).await;
    connection.close().await?;
    ours
}

async fn is_ours(connection: &mut SqliteConnection) -> Result<bool, SqliteError> {
    match id(connection).await? {
        APPLICATION_ID => return Ok(true),
        0 => {}
        _ => return Ok(false),
    }
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let tables: Vec<(String,)> = sqlx::query_as(tables).fetch_all(&mut *connection).await?;
    if tables.is_empty() {
        return Ok(true);
    }
    let has = |name: &str| tables.iter().any(|(table,)| table == name);
    if !has("store") || !has("_sqlx_migrations") {
        return Ok(false);
    }
    let first = "SELECT 1 FROM _sqlx_migrations WHERE version = 1 AND description = 'rooms and messages'";
    Ok(sqlx::query(first).fetch_optional(connection).await?.is_some())
}

async fn id(connection: &mut SqliteConnection) -> Result<i32, SqliteError> {
    Ok(sqlx::query_scalar("PRAGMA application_id").fetch_one(connection).await?)
}

/// Marks a file that has no mark yet. The caller owns it and has [checked](check) it.
pub(crate) async fn mark(connection: &mut SqliteConnection) -> Result<(), SqliteError> {
    if id(connection).await? != APPLICATION_ID {
        let mark = format!("PRAGMA application_id = {APPLICATION_ID}");
        sqlx::query(sqlx::AssertSqlSafe(mark)).execute(connection).await?;
    }
    Ok(())
}

//! What cannot be opened is said in words that lead to the cause.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::{path::Path, time::Duration};

use chat_backend_sqlite::{OpenError, SqliteBackend, SqliteConfig, SqliteErrorKind};
use chat_core::testkit::fixtures::{create_room, draft, store};
use sqlx::Connection as _;
use support::{audit, node, open, shell};

async fn refused(config: SqliteConfig) -> OpenError {
    SqliteBackend::open(config).await.unwrap_err()
}

fn sqlite_kind(error: &OpenError) -> Option<SqliteErrorKind> {
    match error {
        OpenError::Sqlite { source, .. } => Some(source.kind()),
        _ => None,
    }
}

#[tokio::test]
async fn a_wrong_setting_is_named_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let config = || SqliteConfig::new(&file);
    for (config, name) in [
        (config().with_readers(0), "readers"),
        (config().with_readers(65), "readers"),
        (config().with_queue(0), "queue"),
        (config().with_max_bytes(1024 * 1024 - 1), "max_bytes"),
        (config().with_retention_interval(Duration::ZERO), "retention_interval"),
        (config().with_queue(usize::MAX), "queue"),
    ] {
        let error = refused(config).await;
        assert!(matches!(error, OpenError::Setting { setting, .. } if setting == name), "{name}: {error:?}");
        assert!(error.to_string().starts_with(name), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_outermost_settings_that_are_allowed_work() {
    let folder = tempfile::tempdir().unwrap();
    let least = SqliteConfig::new(folder.path().join("least.db"))
        .with_readers(1)
        .with_queue(1)
        .with_max_bytes(1024 * 1024)
        .with_cache_bytes(0)
        .with_busy_timeout(Duration::from_millis(1));
    let most = SqliteConfig::new(folder.path().join("most.db"))
        .with_readers(64)
        .with_max_bytes(u64::MAX)
        .with_cache_bytes(u64::MAX)
        .with_busy_timeout(Duration::MAX)
        .with_retention_interval(Duration::MAX)
        .with_retention(chat_backend_sqlite::RetentionPolicy::new().with_max_age(Duration::MAX));
    for config in [least, most] {
        let backend = SqliteBackend::open(config).await.unwrap();
        create_room(&node(&backend), "r", &["ann"]).await;
        store(&node(&backend), draft("r", "ann", "c1", "hello")).await;
        backend.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_file_of_a_newer_release_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    open(&file).await.close().await.unwrap();
    let mut connection = shell(&file).await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (99, 'of the future', 1, x'00', 0)";
    sqlx::query(newer).execute(&mut connection).await.unwrap();
    let error = refused(SqliteConfig::new(&file)).await;
    assert!(matches!(error, OpenError::TooNew { found: 99, .. }), "{error:?}");
    let OpenError::TooNew { known, .. } = error else { unreachable!() };
    assert!(
        error.to_string().contains("version 99") && error.to_string().contains(&format!("up to {known}"))
    );
    // The refusal gave the file up again, and changed nothing.
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 99").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    open(&file).await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    let text = "these are my notes, and not a database\n".repeat(1_000);
    std::fs::write(&file, &text).unwrap();
    let error = refused(SqliteConfig::new(&file)).await;
    assert_eq!(sqlite_kind(&error), Some(SqliteErrorKind::Corrupt), "{error:?}");
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn a_database_of_something_else_is_left_alone() {
    let migrated = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL); \
                    INSERT INTO _sqlx_migrations VALUES (1, 'users'); CREATE TABLE store (item TEXT)";
    for (journal, sql) in [
        ("delete", "CREATE TABLE a (number INTEGER)"),
        ("wal", "CREATE TABLE a (number INTEGER)"),
        ("delete", "CREATE TABLE rooms (number INTEGER); CREATE TABLE users (name TEXT)"),
        ("delete", migrated),
        ("wal", migrated),
        ("delete", "PRAGMA application_id = 7; CREATE TABLE store (item TEXT)"),
        ("wal", "PRAGMA application_id = 7"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("other.db");
        let url = format!("sqlite://{}?mode=rwc", file.display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let sql = format!("PRAGMA journal_mode = {journal}; {sql}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(&mut connection).await.unwrap();
        // While the other program is at it, and afterwards.
        let error = refused(SqliteConfig::new(&file)).await;
        assert!(matches!(&error, OpenError::Foreign { path } if *path == file), "{sql}: {error:?}");
        connection.close().await.unwrap();
        let before = std::fs::read(&file).unwrap();
        let error = refused(SqliteConfig::new(&file)).await;
        assert!(matches!(error, OpenError::Foreign { .. }), "{sql}: {error:?}");
        assert!(error.to_string().ends_with("give it a file of its own"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), before, "{sql}: it was changed");
        let beside: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(beside, [file], "{sql}: something was put beside it");
    }
}

async fn application_id(file: &Path) -> i32 {
    sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut shell(file).await).await.unwrap()
}

#[tokio::test]
async fn a_file_from_before_the_mark_is_opened_and_marked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let backend = open(&file).await;
    create_room(&node(&backend), "r", &["ann"]).await;
    backend.close().await.unwrap();
    assert_eq!(application_id(&file).await.to_be_bytes(), *b"Chat");
    sqlx::query("PRAGMA application_id = 0").execute(&mut shell(&file).await).await.unwrap();
    assert_eq!(application_id(&file).await, 0);
    let backend = open(&file).await;
    create_room(&node(&backend), "r", &["bob"]).await;
    let copy = folder.path().join("copy.db");
    backend.backup(&copy).await.unwrap();
    backend.close().await.unwrap();
    for file in [&file, &copy] {
        assert_eq!(application_id(file).await.to_be_bytes(), *b"Chat");
        open(file).await.close().await.unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_what_is_made() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let backend = open(&folder.path().join("chat.db")).await;
    create_room(&node(&backend), "r", &["ann"]).await;
    backend.backup(folder.path().join("copy.db")).await.unwrap();
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
        seen.push(entry.file_name().into_string().unwrap());
    }
    seen.sort();
    assert_eq!(seen, ["chat.db", "chat.db-owner", "chat.db-shm", "chat.db-wal", "copy.db"]);
}

#[tokio::test]
async fn a_damaged_file_is_said_to_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let backend = open(&file).await;
    create_room(&node(&backend), "r", &["ann"]).await;
    backend.close().await.unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    // The schema's page is the first one; its header stays.
    bytes[100..4_096].fill(0xa5);
    std::fs::write(&file, &bytes).unwrap();
    let error = refused(SqliteConfig::new(&file)).await;
    assert_eq!(sqlite_kind(&error), Some(SqliteErrorKind::Corrupt), "{error:?}");
}

#[tokio::test]
async fn an_empty_file_is_a_new_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    std::fs::write(&file, "").unwrap();
    let backend = open(&file).await;
    create_room(&node(&backend), "r", &["ann"]).await;
    audit::everything(&backend).await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("no-such-folder").join("chat.db");
    let error = refused(SqliteConfig::new(&file)).await;
    let OpenError::File { path, source } = &error else { panic!("{error:?}") };
    assert_eq!((path, source.kind()), (&file, std::io::ErrorKind::NotFound));
    assert!(!folder.path().join("no-such-folder").exists());
}

#[tokio::test]
async fn a_folder_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = refused(SqliteConfig::new(folder.path().join("."))).await;
    assert!(matches!(error, OpenError::File { .. } | OpenError::Sqlite { .. }), "{error:?}");
}

/// Whether this user may write it whatever its permissions say, as the superuser may.
fn writable_all_the_same(file: &Path) -> bool {
    std::fs::OpenOptions::new().append(true).open(file).is_ok()
}

#[tokio::test]
async fn a_file_that_may_not_be_written_is_said_to_be_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    open(&file).await.close().await.unwrap();
    let mut permissions = std::fs::metadata(&file).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&file, permissions).unwrap();
    if writable_all_the_same(&file) {
        eprintln!("not tested: this user may write every file");
        return;
    }
    let error = refused(SqliteConfig::new(&file)).await;
    assert_eq!(sqlite_kind(&error), Some(SqliteErrorKind::ReadOnly), "{error:?}");
}

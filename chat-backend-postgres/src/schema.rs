//! Brings a schema to this release.

use sqlx::{AssertSqlSafe, PgConnection, Row as _, raw_sql};

use crate::{ConnectError, PostgresError, sql::Sql};

/// One file each under `migrations/`; a file that was released never changes.
const MIGRATIONS: [(i32, &str); 1] = [(1, include_str!("../migrations/0001_rooms_and_messages.sql"))];

/// The newest version that this release knows.
const KNOWN: i32 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Any number, the same in every program that brings up a schema.
const LOCK: i32 = 0x63_68_61_74;

/// Applies what is missing, in one transaction, one program after the other: a lock of the transaction also holds behind a
/// pooler.
pub(crate) async fn migrate(connection: &mut PgConnection, sql: &Sql) -> Result<(), ConnectError> {
    let begun = run(connection, "BEGIN".to_owned()).await;
    begun.map_err(ConnectError::Postgres)?;
    let done = apply(connection, sql).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = run(connection, end.to_owned()).await;
    done?;
    ended.map_err(ConnectError::Postgres)
}

async fn apply(connection: &mut PgConnection, sql: &Sql) -> Result<(), ConnectError> {
    let failed = |error: sqlx::Error| ConnectError::Postgres(error.into());
    let lock = format!("SELECT pg_advisory_xact_lock({LOCK}, hashtext('{}'))", sql.schema());
    run(connection, lock).await.map_err(ConnectError::Postgres)?;
    // Asked for first: who may not make schemas can still use one that is there.
    let there = "SELECT to_regnamespace($1) IS NOT NULL AS there, to_regclass($2) IS NOT NULL AS versioned";
    let row = sqlx::query(there)
        .persistent(false)
        .bind(format!("\"{}\"", sql.schema()))
        .bind(sql.text("$chat.migrations"))
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !row.try_get::<bool, _>("there").map_err(failed)? {
        let create = format!("CREATE SCHEMA \"{}\"", sql.schema());
        run(connection, create).await.map_err(ConnectError::Postgres)?;
    }
    if !row.try_get::<bool, _>("versioned").map_err(failed)? {
        let create = sql.text("CREATE TABLE $chat.migrations (version integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())");
        run(connection, create).await.map_err(ConnectError::Postgres)?;
    }
    let newest = sql.text("SELECT coalesce(max(version), 0) AS version FROM $chat.migrations");
    let row = raw_sql(AssertSqlSafe(newest)).fetch_one(&mut *connection).await.map_err(failed)?;
    let found: i32 = row.try_get("version").map_err(failed)?;
    if found > KNOWN {
        return Err(ConnectError::TooNew { schema: sql.schema().to_owned(), found, known: KNOWN });
    }
    for (version, text) in MIGRATIONS.into_iter().filter(|(version, _)| *version > found) {
        // The files name no schema; functions keep the path they were made under.
        let path = format!("SET LOCAL search_path TO \"{}\"", sql.schema());
        run(connection, path).await.map_err(ConnectError::Postgres)?;
        run(connection, text.to_owned()).await.map_err(ConnectError::Postgres)?;
        let note = sql.text(&format!("INSERT INTO $chat.migrations (version) VALUES ({version})"));
        run(connection, note).await.map_err(ConnectError::Postgres)?;
    }
    Ok(())
}

async fn run(connection: &mut PgConnection, statements: String) -> Result<(), PostgresError> {
    raw_sql(AssertSqlSafe(statements)).execute(connection).await?;
    Ok(())
}

//! Brings a schema to this release.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _, postgres::PgArguments, query::Query};

use crate::{ConnectError, PostgresError, lease::Lease, sql::Sql};

/// One file each under `migrations/`; a file that was released never changes.
const MIGRATIONS: [(i32, &str); 3] = [
    (1, include_str!("../migrations/0001_rooms_and_messages.sql")),
    (2, include_str!("../migrations/0002_presence.sql")),
    (3, include_str!("../migrations/0003_lives.sql")),
];

/// The newest version that this release knows.
const KNOWN: i32 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Any number, the same in every program that brings up a schema.
const LOCK: i32 = 0x63_68_61_74;

/// How long one statement may take while the schema is brought to this release: tables may be large, and other programs that
/// start at the same time come first.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// Applies what is missing, in one transaction, one program after the other: a lock of the transaction also holds behind a
/// pooler.
pub(crate) async fn migrate(lease: &mut Lease, sql: &Sql) -> Result<(), ConnectError> {
    begin(lease).await?;
    let done = apply(lease, sql).await;
    if done.is_ok() {
        lease.commit().await?;
    } else {
        lease.roll_back().await;
    }
    done
}

/// Begins a transaction with statements that may take long.
pub(crate) async fn begin(lease: &mut Lease) -> Result<(), PostgresError> {
    lease.begin().await?;
    lease.set_patience(PATIENCE);
    lease.plain(&format!("SET LOCAL statement_timeout = {}", PATIENCE.as_millis())).await
}

/// Of nodes that change the schema one does it at a time, until its transaction ends.
pub(crate) async fn lock(lease: &mut Lease, sql: &Sql) -> Result<(), PostgresError> {
    lease.plain(&format!("SELECT pg_advisory_xact_lock({LOCK}, hashtext('{}'))", sql.schema())).await
}

async fn apply(lease: &mut Lease, sql: &Sql) -> Result<(), ConnectError> {
    let failed = |error: sqlx::Error| ConnectError::Postgres(error.into());
    lock(lease, sql).await?;
    // Asked for first: who may not make schemas can still use one that is there.
    let there =
        once("SELECT to_regnamespace($1) IS NOT NULL AS there, to_regclass($2) IS NOT NULL AS versioned");
    let there = there.bind(format!("\"{}\"", sql.schema())).bind(sql.text("$chat.migrations"));
    let row = lease.one(there).await?;
    if !row.try_get::<bool, _>("there").map_err(failed)? {
        lease.plain(&format!("CREATE SCHEMA \"{}\"", sql.schema())).await?;
    }
    if !row.try_get::<bool, _>("versioned").map_err(failed)? {
        let create = "CREATE TABLE $chat.migrations (version integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())";
        lease.plain(&sql.text(create)).await?;
    }
    let newest = sql.text("SELECT coalesce(max(version), 0) AS version FROM $chat.migrations");
    let found: i32 = lease.one(once(&newest)).await?.try_get("version").map_err(failed)?;
    if found > KNOWN {
        return Err(ConnectError::TooNew { schema: sql.schema().to_owned(), found, known: KNOWN });
    }
    for (version, text) in MIGRATIONS.into_iter().filter(|(version, _)| *version > found) {
        // The files name no schema; functions keep the path they were made under. Without a word about it a session's
        // temporary tables would come first.
        lease.plain(&format!("SET LOCAL search_path TO \"{}\", pg_temp", sql.schema())).await?;
        lease.plain(text).await?;
        lease.plain(&sql.text(&format!("INSERT INTO $chat.migrations (version) VALUES ({version})"))).await?;
    }
    lease.plain(&format!("SET LOCAL search_path TO \"{}\", pg_temp", sql.schema())).await?;
    lease.plain(FOLLOW_THE_SCHEMA).await?;
    Ok(())
}

/// A schema that was renamed since: functions look for its tables under the name that it had when they were made.
const FOLLOW_THE_SCHEMA: &str = "
DO $$ DECLARE f regprocedure; BEGIN
    FOR f IN SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, unnest(p.proconfig) AS c(setting)
        WHERE n.nspname = current_schema() AND c.setting LIKE 'search_path=%'
            AND c.setting <> 'search_path=' || current_setting('search_path')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path FROM CURRENT', f);
    END LOOP;
END $$";

/// A statement that runs once.
fn once<'q>(statement: &str) -> Query<'q, sqlx::Postgres, PgArguments> {
    sqlx::query(AssertSqlSafe(statement.to_owned())).persistent(false)
}

//! Brings a file to the schema of this release.

use std::{borrow::Cow, path::Path};

use sqlx::{
    SqlSafeStr as _, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use crate::{OpenError, SqliteError};

/// One file each under `migrations/`; a file that was released never changes.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "rooms and messages", include_str!("../migrations/0001_rooms_and_messages.sql")),
    (2, "search", include_str!("../migrations/0002_search.sql")),
];

/// The newest version that this release knows.
const KNOWN: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Applies what is missing. The caller holds the owner's lock, so there is nobody to race with.
pub(crate) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let migrations = MIGRATIONS.into_iter().map(|(version, name, sql)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > KNOWN => {
            OpenError::TooNew { path: path.to_owned(), found, known: KNOWN }
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            OpenError::Sqlite { path: path.to_owned(), source: error.into() }
        }
        other => OpenError::Sqlite { path: path.to_owned(), source: SqliteError::corrupt(other) },
    })
}

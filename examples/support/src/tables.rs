//! The tables of a server that are not the library's.

use std::time::Duration;

use sqlx::{
    ConnectOptions as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// These tables are asked now and then, beside the library's own connections.
const CONNECTIONS: u32 = 4;
/// How long somebody waits for one of them.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects, and makes what is missing: each of the statements does nothing where it was done before. Processes that begin
/// together do it one after the other; `lock` is a number of this server's own.
///
/// # Errors
/// The database cannot be reached or refuses.
pub async fn open(url: &str, lock: i64, make: &[&'static str]) -> Result<PgPool, sqlx::Error> {
    // An import reads one statement for as long as it takes.
    let server = url.parse::<PgConnectOptions>()?.disable_statement_logging();
    let options = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
    let pool = options.connect_with(server).await?;
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock).execute(&mut *transaction).await?;
    for statement in make {
        sqlx::query(*statement).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(pool)
}

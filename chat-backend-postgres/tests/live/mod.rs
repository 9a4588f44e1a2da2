//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{sync::Arc, time::Duration};

use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_test_services::{Database, Postgres};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::time::{Instant, sleep};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// On a server that does not wait for its disk: neither live events nor presence are kept there.
pub(crate) async fn database() -> Arc<Database> {
    Arc::new(Postgres::shared_without_fsync().await.unwrap().database().await.unwrap())
}

pub(crate) fn config(url: &str) -> PostgresConfig {
    PostgresConfig::from_url(url)
        .unwrap()
        .with_max_connections(4)
        .with_acquire_timeout(Duration::from_secs(1))
}

pub(crate) async fn connect(url: &str) -> PostgresBackend {
    PostgresBackend::connect(config(url)).await.unwrap()
}

/// Executes a statement on a connection of its own, and answers the first number of the first row, if any.
pub(crate) async fn execute(url: &str, statement: impl Into<String>) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let row = sqlx::query(AssertSqlSafe(statement.into())).fetch_optional(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    row.and_then(|row| row.try_get::<i64, _>(0).ok()).unwrap_or(0)
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

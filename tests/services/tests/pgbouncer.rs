//! PgBouncer passes a server on, and hands its connections from one to the next.

use anyhow::Result;
use chat_test_services::{PgBouncer, Postgres};
use sqlx::{Connection as _, PgConnection, Row as _};

async fn backend(connection: &mut PgConnection) -> Result<i32> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}

#[tokio::test]
async fn clients_share_one_connection_and_are_refused_with_another_password() -> Result<()> {
    let server = Postgres::shared().await?;
    let database = server.database().await?;
    let bouncer = PgBouncer::start_with(server, &["default_pool_size=1"]).await?;
    let url = database.url_through(bouncer.address())?;
    let (mut one, mut two) = (PgConnection::connect(&url).await?, PgConnection::connect(&url).await?);
    assert_eq!(backend(&mut one).await?, backend(&mut two).await?);
    // What is set on it stays there: whoever depends on a session finds out.
    sqlx::raw_sql("SET search_path TO nowhere").execute(&mut one).await?;
    let row = sqlx::raw_sql("SELECT current_setting('search_path')").fetch_one(&mut two).await?;
    assert_eq!(row.try_get::<String, _>(0)?, "nowhere");

    let mut wrong = url::Url::parse(&url)?;
    assert!(wrong.set_password(Some("wrong")).is_ok());
    assert!(PgConnection::connect(wrong.as_str()).await.is_err());
    Ok(())
}

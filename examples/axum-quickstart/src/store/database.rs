//! In a schema of a PostgreSQL database. Processes on one schema are one chat: live events and presence go through the
//! database too, and all of them sign with one secret.

use std::{fmt, time::Duration};

use anyhow::{Context, ensure};
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, postgres::PgConnectOptions};

use super::{Kept, Store, new_secret};

/// How long the server may take to let us in.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of no meaning: processes that start together make the table one after the other.
const LOCK: i64 = 0x6368_6174_2d71_7374;

/// Where the database is.
pub(crate) struct Database {
    options: PgConnectOptions,
    schema: String,
}

impl Database {
    pub(super) fn new(url: &str, schema: String) -> anyhow::Result<Self> {
        // Says what is wrong without the text, which may hold a password.
        PostgresConfig::from_url(url)?;
        let options = url.parse()?;
        Ok(Self { options, schema })
    }

    pub(super) async fn open(&self, given: Option<String>) -> anyhow::Result<Store> {
        self.open_parts(given).await.with_context(|| format!("the chat cannot be kept in {self}"))
    }

    async fn open_parts(&self, given: Option<String>) -> anyhow::Result<Store> {
        // The pool would wait for a server that is not there, and then say only that it waited.
        let connect = PgConnection::connect_with(&self.options);
        let connection = tokio::time::timeout(PATIENCE, connect)
            .await
            .with_context(|| format!("the server does not answer within {PATIENCE:?}"))??;
        let config = PostgresConfig::new(self.options.clone()).with_schema(self.schema.clone());
        let backend = PostgresBackend::connect(config).await?;
        let secret = match given {
            Some(secret) => {
                connection.close().await?;
                secret
            }
            None => secret(connection, &self.schema).await.context("the secret that signs tokens")?,
        };
        Ok(Store {
            log: backend.message_log(),
            rooms: backend.rooms(),
            search: backend.search(),
            fanout: backend.fanout(),
            presence: backend.presence(),
            secret,
            place: self.to_string(),
            kept: Kept::Database(backend),
            tiered: None,
        })
    }
}

impl fmt::Display for Database {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        // Without a name the server takes the user's.
        let database = self.options.get_database().unwrap_or_else(|| self.options.get_username());
        write!(f, "schema {} of database {database} at {host}:{port}", self.schema)
    }
}

/// The secret of every process on this schema: whoever comes first makes it. The backend has checked the schema's name.
async fn secret(mut connection: PgConnection, schema: &str) -> anyhow::Result<String> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    let make = format!(
        "CREATE TABLE IF NOT EXISTS {schema}.quickstart (one boolean PRIMARY KEY DEFAULT true CHECK (one), secret text NOT NULL)"
    );
    sqlx::query(AssertSqlSafe(make)).execute(&mut *transaction).await?;
    let keep = format!("INSERT INTO {schema}.quickstart (secret) VALUES ($1) ON CONFLICT DO NOTHING");
    sqlx::query(AssertSqlSafe(keep)).bind(new_secret()?).execute(&mut *transaction).await?;
    let read = format!("SELECT secret FROM {schema}.quickstart");
    let row = sqlx::query(AssertSqlSafe(read)).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    connection.close().await?;
    let secret: String = row.try_get("secret")?;
    ensure!(secret.len() == 64, "it is not what was made: delete the row of {schema}.quickstart");
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use chat_core::{NewRoom, RoomId};
    use chat_test_services::Postgres;

    use super::*;
    use crate::words;

    fn database(url: &str) -> Database {
        Database::new(url, "chat".to_owned()).unwrap()
    }

    #[tokio::test]
    async fn processes_that_start_together_have_one_secret_and_the_same_rooms() {
        let database_of_ours = Postgres::shared().await.unwrap().database().await.unwrap();
        let [one, two, three] = [(); 3].map(|()| database(database_of_ours.url()));
        let (one, two, three) = tokio::join!(one.open(None), two.open(None), three.open(None));
        let (one, two, three) = (one.unwrap(), two.unwrap(), three.unwrap());
        assert_eq!((&one.secret, one.secret.len()), (&two.secret, 64));
        assert_eq!(one.secret, three.secret);
        let room = RoomId::new("lobby").unwrap();
        one.rooms.create(NewRoom::new(room.clone())).await.unwrap();
        assert!(two.rooms.room(&room).await.is_ok());
        let place = format!("schema chat of database {} at 127.0.0.1:", database_of_ours.name());
        assert!(two.place().starts_with(&place), "{}", two.place());

        let other = Database::new(database_of_ours.url(), "other".to_owned()).unwrap().open(None).await;
        let other = other.unwrap();
        assert_ne!(other.secret, one.secret);
        assert!(other.rooms.room(&room).await.is_err(), "another schema is another chat");
        let given = "a secret of at least 32 bytes, given by hand".to_owned();
        let overridden = database(database_of_ours.url()).open(Some(given.clone())).await.unwrap();
        assert_eq!(overridden.secret, given);
        for store in [one, two, three, other, overridden] {
            store.close().await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_without_the_password() {
        let server = Postgres::shared().await.unwrap();
        let database_of_ours = server.database().await.unwrap();
        let good = url::Url::parse(database_of_ours.url()).unwrap();
        let mut refused = good.clone();
        refused.set_password(Some("hidden-1")).unwrap();
        let mut nobody = good.clone();
        // Reserved, and nothing listens there.
        nobody.set_port(Some(1)).unwrap();
        nobody.set_password(Some("hidden-2")).unwrap();
        let mut missing = good.clone();
        missing.set_path("no_such_database");
        for (url, said) in [
            (refused, "password authentication failed"),
            (nobody, "refused"),
            (missing, "database \"no_such_database\" does not exist"),
        ] {
            let error = words(&database(url.as_str()).open(None).await.err().unwrap());
            assert!(
                error.contains(said) && error.contains("the chat cannot be kept in schema chat"),
                "{error}"
            );
            assert!(!error.contains("hidden"), "{error}");
        }
        let schema = Database::new(good.as_str(), "Chat".to_owned()).unwrap().open(None).await;
        let error = words(&schema.err().unwrap());
        assert!(error.contains("schema must be a letter"), "{error}");
        for wrong in ["nothing", "https://:hidden@host/", "postgres://a:hidden@host:port/d"] {
            let error = Database::new(wrong, "chat".to_owned()).err().unwrap().to_string();
            assert!(error.contains("postgres://user:password@") && !error.contains("hidden"), "{error}");
        }
    }
}

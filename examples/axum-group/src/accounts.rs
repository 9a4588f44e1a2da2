//! Accounts: who may log in. The one table that is not the library's.

use async_trait::async_trait;
use chat_core::{Backend, Error, Result, Retry, UserId};
use example_support::tables;
use sqlx::{PgPool, Row as _};
use ulid::Ulid;

/// Of no meaning: processes that start together make the table one after the other.
const LOCK: i64 = 0x6368_6174_6772_6f75;

const MAKE: [&str; 4] = [
    "CREATE SCHEMA IF NOT EXISTS group_chat",
    "CREATE TABLE IF NOT EXISTS group_chat.accounts (
        id text PRIMARY KEY, email text NOT NULL UNIQUE, password_hash text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now())",
    // The hash as the last import found it. NULL: the account is this system's own, and no import changes it.
    "ALTER TABLE group_chat.accounts ADD COLUMN IF NOT EXISTS imported_hash text",
    // Who was made a member by an import, so that a later one knows who is gone.
    "CREATE TABLE IF NOT EXISTS group_chat.imported_members (
        room_id text NOT NULL, user_id text NOT NULL, PRIMARY KEY (room_id, user_id))",
];
const ADD: &str = "INSERT INTO group_chat.accounts (id, email, password_hash) VALUES ($1, $2, $3)
    ON CONFLICT (email) DO NOTHING";
const BY_EMAIL: &str = "SELECT id, password_hash FROM group_chat.accounts WHERE email = $1";
/// What was changed over there since the last import is taken over. A hash that was only made anew here, of the same password, stays.
const IMPORT: &str =
    "INSERT INTO group_chat.accounts AS known (id, email, password_hash, imported_hash, created_at)
    VALUES ($1, $2, $3, $3, to_timestamp($4::double precision / 1000))
    ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email, imported_hash = EXCLUDED.imported_hash,
        password_hash = CASE WHEN known.imported_hash = EXCLUDED.imported_hash
            THEN known.password_hash ELSE EXCLUDED.password_hash END
    WHERE known.imported_hash IS NOT NULL
        AND (known.email, known.imported_hash) <> (EXCLUDED.email, EXCLUDED.imported_hash)";
const REHASH: &str = "UPDATE group_chat.accounts SET password_hash = $3 WHERE id = $1 AND password_hash = $2";

/// An address, in the one form in which it is kept and asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Email(String);

impl Email {
    /// The greatest length (RFC 5321).
    const MAX_BYTES: usize = 254;

    /// Whether anybody reads there is for a message to find out.
    pub(crate) fn new(text: &str) -> std::result::Result<Self, &'static str> {
        let email = text.trim().to_ascii_lowercase();
        let has_parts = email.rsplit_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && !host.is_empty() && !host.starts_with('.') && !host.ends_with('.')
        });
        if has_parts && email.len() <= Self::MAX_BYTES && email.chars().all(|c| c.is_ascii_graphic()) {
            Ok(Self(email))
        } else {
            Err("email must be an address such as ann@example.com")
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// All of them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Accounts {
    pub(crate) pool: PgPool,
}

impl Accounts {
    pub(crate) async fn open(url: &str) -> anyhow::Result<Self> {
        Ok(Self { pool: tables::open(url, LOCK, &MAKE).await? })
    }

    /// Makes one; `None` where the address has one already.
    pub(crate) async fn add(&self, email: &Email, password_hash: &str) -> Result<Option<UserId>> {
        let id = UserId::new(&Ulid::generate().to_string()).map_err(|error| Error::invalid("id", error))?;
        let query = sqlx::query(ADD).bind(id.as_str()).bind(email.as_str()).bind(password_hash);
        let made = query.execute(&self.pool).await.map_err(failed)?.rows_affected();
        Ok((made > 0).then_some(id))
    }

    /// Whose address it is, and the hash of the password.
    pub(crate) async fn find(&self, email: &Email) -> Result<Option<(UserId, String)>> {
        let row = sqlx::query(BY_EMAIL).bind(email.as_str()).fetch_optional(&self.pool).await;
        let Some(row) = row.map_err(failed)? else { return Ok(None) };
        let id: &str = row.try_get("id").map_err(failed)?;
        let id = UserId::new(id).map_err(|error| Error::invalid("id of an account", error))?;
        Ok(Some((id, row.try_get("password_hash").map_err(failed)?)))
    }

    /// Keeps another hash of the same password; nothing where the password was changed meanwhile.
    pub(crate) async fn rehash(&self, id: &UserId, from: &str, to: &str) -> Result<()> {
        let query = sqlx::query(REHASH).bind(id.as_str()).bind(from).bind(to);
        query.execute(&self.pool).await.map(drop).map_err(failed)
    }

    /// Takes one over with its id, or what has changed of it since it was; `created_at` in milliseconds since 1970.
    pub(crate) async fn import(
        &self,
        id: &UserId,
        email: &Email,
        password_hash: &str,
        created_at: i64,
    ) -> anyhow::Result<()> {
        let query = sqlx::query(IMPORT).bind(id.as_str()).bind(email.as_str());
        query.bind(password_hash).bind(created_at).execute(&self.pool).await?;
        Ok(())
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// For `/health`: they are in the same database, over connections of their own.
#[async_trait]
impl Backend for Accounts {
    fn name(&self) -> &'static str {
        "postgres"
    }

    async fn health(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map(drop).map_err(failed)
    }
}

fn failed(error: sqlx::Error) -> Error {
    Error::backend("postgres", "accounts", Retry::Later, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form() {
        assert_eq!(Email::new(" Ann@Example.COM "), Ok(Email("ann@example.com".to_owned())));
        for wrong in ["", "ann", "@example.com", "ann@", "ann@.", "a b@example.com", "änn@example.com"] {
            assert!(Email::new(wrong).is_err(), "{wrong:?}");
        }
        assert!(Email::new(&format!("{}@example.com", "a".repeat(250))).is_err());
    }
}

//! The stores and who owns them: the tables that are not the library's.

use std::collections::HashMap;

use anyhow::ensure;
use chat_core::{Error, Retry, UserId};
use example_support::tables;
use sqlx::{PgPool, Postgres, Row as _, Transaction};

/// Of no meaning: processes that start together make the table one after the other.
const LOCK: i64 = 0x6368_6174_7368_6f70;

/// The other half of the locks of handovers: one per store, those of the same hash wait for each other.
const HANDOVERS: i32 = 0x7368_6f70;

const MAKE: [&str; 4] = [
    "CREATE SCHEMA IF NOT EXISTS shop",
    "CREATE TABLE IF NOT EXISTS shop.stores (id text PRIMARY KEY, owner_id text NOT NULL, name text NOT NULL)",
    // Whose rooms may still have to go over to the store's owner.
    "CREATE TABLE IF NOT EXISTS shop.former_owners (store_id text, owner_id text, PRIMARY KEY (store_id, owner_id))",
    // How messages that were taken over are found by the ids that clients know.
    "CREATE TABLE IF NOT EXISTS shop.imported (
        room_id text NOT NULL, old_id text NOT NULL, id text NOT NULL, PRIMARY KEY (room_id, old_id))",
];
const PUT: &str = "INSERT INTO shop.stores (id, owner_id, name) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET owner_id = excluded.owner_id, name = excluded.name";
/// The lock lets only one change of a store at a time see who owned it.
const PUT_FORMER: &str = "INSERT INTO shop.former_owners (store_id, owner_id)
    SELECT id, owner_id FROM shop.stores WHERE id = $1 AND owner_id <> $2 FOR UPDATE ON CONFLICT DO NOTHING";
const PUT_IMPORTED: &str = "INSERT INTO shop.imported (room_id, old_id, id)
    SELECT $1, x.old_id, x.id FROM unnest($2::text[], $3::text[]) AS x(old_id, id) ON CONFLICT DO NOTHING";

/// A store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) id: String,
    pub(crate) owner: UserId,
    pub(crate) name: String,
}

/// A store on its way to another owner, alone.
pub(crate) type Handover = Transaction<'static, Postgres>;

/// All of them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Stores {
    pub(crate) pool: PgPool,
}

impl Stores {
    pub(crate) async fn open(url: &str) -> anyhow::Result<Self> {
        Ok(Self { pool: tables::open(url, LOCK, &MAKE).await? })
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Option<Store>, Error> {
        let query = sqlx::query("SELECT id, owner_id, name FROM shop.stores WHERE id = $1").bind(id);
        let row = query.fetch_optional(&self.pool).await.map_err(failed)?;
        row.map(|row| {
            let owner: &str = row.try_get("owner_id").map_err(failed)?;
            let owner = UserId::new(owner).map_err(|error| Error::invalid("owner of a store", error))?;
            let text = |column| row.try_get::<String, _>(column).map_err(failed);
            Ok(Store { id: text("id")?, owner, name: text("name")? })
        })
        .transpose()
    }

    /// The names of these, by id.
    pub(crate) async fn names(&self, ids: &[String]) -> Result<HashMap<String, String>, Error> {
        let query = sqlx::query("SELECT id, name FROM shop.stores WHERE id = ANY($1)").bind(ids);
        let rows = query.fetch_all(&self.pool).await.map_err(failed)?;
        let pair = |row: &sqlx::postgres::PgRow| Ok((row.try_get("id")?, row.try_get("name")?));
        rows.iter().map(pair).collect::<Result<_, sqlx::Error>>().map_err(failed)
    }

    /// Each store and its owner.
    pub(crate) async fn owners(&self) -> anyhow::Result<HashMap<String, UserId>> {
        let rows = sqlx::query("SELECT id, owner_id FROM shop.stores").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get("id")?, UserId::new(row.try_get("owner_id")?)?))).collect()
    }

    /// Makes or changes it. An owner whom it had until now is one of its former ones in the same step.
    pub(crate) async fn put(&self, store: &Store) -> anyhow::Result<()> {
        // It stands in the keys of rooms.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let id = &store.id;
        let is_id = !id.is_empty() && id.len() <= 64 && id.chars().all(is_plain);
        ensure!(is_id, "{id:?}: a store's id has 1 to 64 ASCII letters, digits, - and _");
        let mut transaction = self.pool.begin().await?;
        let owner = store.owner.as_str();
        sqlx::query(PUT_FORMER).bind(id).bind(owner).execute(&mut *transaction).await?;
        sqlx::query(PUT).bind(id).bind(owner).bind(&store.name).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Waits until nobody else hands this store over; others wait until the transaction ends.
    pub(crate) async fn begin_handover(&self, id: &str) -> anyhow::Result<Handover> {
        let mut transaction = self.pool.begin().await?;
        let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))").bind(HANDOVERS).bind(id);
        lock.execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Who owned the store, and may still be in its rooms for it.
    pub(crate) async fn former_owners(&self, id: &str) -> anyhow::Result<Vec<UserId>> {
        let query = sqlx::query_scalar("SELECT owner_id FROM shop.former_owners WHERE store_id = $1");
        let owners: Vec<String> = query.bind(id).fetch_all(&self.pool).await?;
        owners.iter().map(|owner| Ok(UserId::new(owner)?)).collect()
    }

    /// Forgets the former owners: everything is its owner's now.
    pub(crate) async fn end_handover(&self, mut handover: Handover, id: &str) -> anyhow::Result<()> {
        let query = sqlx::query("DELETE FROM shop.former_owners WHERE store_id = $1").bind(id);
        query.execute(&mut *handover).await?;
        handover.commit().await?;
        Ok(())
    }

    /// The id here of a message that was taken over with this one.
    pub(crate) async fn imported(&self, room: &str, old: &str) -> Result<Option<String>, Error> {
        let query = sqlx::query_scalar("SELECT id FROM shop.imported WHERE room_id = $1 AND old_id = $2");
        query.bind(room).bind(old).fetch_optional(&self.pool).await.map_err(failed)
    }

    /// Remembers pairs of old and new ids of one room.
    pub(crate) async fn note_imported(
        &self,
        room: &str,
        old: &[String],
        new: &[String],
    ) -> anyhow::Result<()> {
        sqlx::query(PUT_IMPORTED).bind(room).bind(old).bind(new).execute(&self.pool).await?;
        Ok(())
    }
}

fn failed(error: sqlx::Error) -> Error {
    Error::backend("postgres", "stores", Retry::Later, error)
}

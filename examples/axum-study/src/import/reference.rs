//! The tables that are imported. Whose tables are called otherwise makes views of these names and columns.

use anyhow::{Context as _, bail, ensure};
use chat_core::Timestamp;
use example_support::settings::{Environment, plain_name};
use sqlx::{AssertSqlSafe, PgPool, Row as _, postgres::PgPoolOptions, postgres::PgRow};

use crate::{settings::Database, wire::Kind};

/// Where they are.
pub(super) struct Place {
    /// None: in the chat's own database.
    url: Option<String>,
    schema: String,
    zone: String,
}

pub(super) fn settings(environment: &mut Environment) -> Option<Place> {
    let url = environment.optional("REFERENCE_URL");
    let zone = environment.optional("REFERENCE_TIME_ZONE").unwrap_or_else(|| "UTC".to_owned());
    let schema = environment.parsed("REFERENCE_SCHEMA", "public", plain_name)?;
    Some(Place { url, schema, zone })
}

/// A row of `chat_room`.
#[derive(Debug)]
pub(super) struct OldRoom {
    pub(super) id: u64,
    pub(super) study: u64,
    pub(super) name: String,
    pub(super) active: bool,
}

/// A row of `chat_room_member`.
#[derive(Debug)]
pub(super) struct OldMember {
    pub(super) user: u64,
    pub(super) joined: Timestamp,
    pub(super) left: Option<Timestamp>,
    /// How many messages of the room are read.
    pub(super) read: u64,
}

/// A row of `chat_message`.
#[derive(Debug)]
pub(super) struct OldMessage {
    pub(super) id: u64,
    pub(super) sender: u64,
    pub(super) nickname: String,
    pub(super) content: String,
    pub(super) kind: Kind,
    pub(super) created_micros: u64,
}

/// Reads them.
pub(super) struct Reference {
    pool: PgPool,
    rooms: String,
    members: String,
    messages: String,
    zone: String,
}

impl Reference {
    pub(super) async fn connect(place: &Place, database: &Database) -> anyhow::Result<Self> {
        let options = match &place.url {
            // The text may hold a password, so it is not in the error.
            Some(url) => {
                url.parse().ok().context("REFERENCE_URL is not postgres://user:password@host/database")?
            }
            None => database.options()?,
        };
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
        let schema = &place.schema;
        let rooms = format!(
            "SELECT id::bigint, study_id::bigint, name::text, is_active FROM {schema}.chat_room ORDER BY id"
        );
        let members = format!(
            "SELECT user_id::bigint,
                (extract(epoch FROM joined_at AT TIME ZONE $2) * 1000)::bigint AS joined,
                (extract(epoch FROM left_at AT TIME ZONE $2) * 1000)::bigint AS \"left\",
                (SELECT count(*) FROM {schema}.chat_message m
                    WHERE m.chat_room_id = c.chat_room_id AND m.id <= c.last_read_message_id) AS read
            FROM {schema}.chat_room_member c WHERE chat_room_id = $1 ORDER BY joined_at, user_id"
        );
        let messages = format!(
            "SELECT id::bigint, sender_id::bigint, coalesce(sender_nickname, '')::text AS nickname,
                coalesce(content, '')::text AS content, message_type::text AS kind,
                (extract(epoch FROM created_at AT TIME ZONE $4) * 1000000)::bigint AS created
            FROM {schema}.chat_message WHERE chat_room_id = $1 AND id > $2 ORDER BY id LIMIT $3"
        );
        Ok(Self { pool, rooms, members, messages, zone: place.zone.clone() })
    }

    pub(super) async fn rooms(&self) -> anyhow::Result<Vec<OldRoom>> {
        let rows = sqlx::query(AssertSqlSafe(self.rooms.as_str())).fetch_all(&self.pool).await?;
        let read = |row: &PgRow| {
            anyhow::Ok(OldRoom {
                id: positive(row, "id")?,
                study: positive(row, "study_id")?,
                name: row.try_get("name")?,
                active: row.try_get("is_active")?,
            })
        };
        rows.iter().map(read).collect()
    }

    pub(super) async fn members(&self, room: u64) -> anyhow::Result<Vec<OldMember>> {
        let statement = sqlx::query(AssertSqlSafe(self.members.as_str()));
        let rows = statement.bind(i64::try_from(room)?).bind(&self.zone).fetch_all(&self.pool).await?;
        let read = |row: &PgRow| {
            let left: Option<i64> = row.try_get("left")?;
            let left = left.map(u64::try_from).transpose()?;
            anyhow::Ok(OldMember {
                user: positive(row, "user_id")?,
                joined: Timestamp::from_millis(positive(row, "joined")?),
                left: left.map(Timestamp::from_millis),
                read: u64::try_from(row.try_get::<i64, _>("read")?)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Of a room, those that follow `after` in the order of their ids.
    pub(super) async fn messages(
        &self,
        room: u64,
        after: u64,
        limit: usize,
    ) -> anyhow::Result<Vec<OldMessage>> {
        let statement = sqlx::query(AssertSqlSafe(self.messages.as_str()))
            .bind(i64::try_from(room)?)
            .bind(i64::try_from(after)?)
            .bind(i64::try_from(limit)?)
            .bind(&self.zone);
        statement.fetch_all(&self.pool).await?.iter().map(message).collect()
    }
}

fn message(row: &PgRow) -> anyhow::Result<OldMessage> {
    let id = positive(row, "id")?;
    let kind = match row.try_get::<&str, _>("kind")? {
        "CHAT" => Kind::Chat,
        "JOIN" => Kind::Join,
        "LEAVE" => Kind::Leave,
        other => bail!("message {id} has the type {other:?}"),
    };
    Ok(OldMessage {
        id,
        sender: positive(row, "sender_id")?,
        nickname: row.try_get("nickname")?,
        content: row.try_get("content")?,
        kind,
        created_micros: positive(row, "created")?,
    })
}

/// Ids, and times after 1970.
fn positive(row: &PgRow, column: &str) -> anyhow::Result<u64> {
    let number: i64 = row.try_get(column)?;
    ensure!(number > 0, "{column} is {number}");
    Ok(u64::try_from(number)?)
}

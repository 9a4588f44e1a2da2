//! Takes over the rows of the system that this one replaces: accounts, rooms, members, messages, and how far each has read.
//!
//! They are read from four views, which say where the old tables have what (`docs/migrating/group.md`).

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context as _, ensure};
use chat_backend_postgres::PostgresBackend;
use chat_core::{
    Authority, ClientMessageId, Cursor, MemberChange, MessageId, NewRoom, Role, RoomId, Rooms, Seq,
    Timestamp, UserId, rooms::Metadata, tiered::Archive,
};
use example_support::import::{OldMessage, RoomImport};
use futures::TryStreamExt as _;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool, Row as _, postgres::PgRow};

use crate::{
    accounts::{Accounts, Email},
    message,
    settings::GatewaySettings,
};

/// Times are milliseconds since 1970 here.
const ACCOUNTS: &str = "
SELECT id::text, email::text, password_hash::text, (extract(epoch FROM created_at) * 1000)::bigint AS created_at
FROM $schema.accounts ORDER BY id";
const ROOMS: &str = "
SELECT id::text, name::text, (extract(epoch FROM created_at) * 1000)::bigint AS created_at
FROM $schema.rooms ORDER BY id";
const MEMBERS: &str = "
SELECT user_id::text, is_creator::boolean, last_read_message_id::text,
    (extract(epoch FROM joined_at) * 1000)::bigint AS created_at
FROM $schema.members WHERE room_id::text = $1 ORDER BY user_id";
/// By the id, which is what the old system pages by; as bytes, as its characters are ordered.
const MESSAGES: &str = r#"
SELECT id::text, sender_id::text, client_msg_id::text, type::text, content::text
FROM $schema.messages WHERE room_id::text = $1 ORDER BY id::text COLLATE "C""#;

/// A member of the other system.
struct OldMember {
    user: UserId,
    role: Role,
    joined_at: Timestamp,
    /// The last message that it has read.
    read: Option<String>,
}

struct Importer<'s> {
    rooms: Arc<dyn Rooms>,
    archive: Arc<dyn Archive>,
    accounts: &'s Accounts,
    schema: &'s str,
}

/// Imports everything and says how much it was. Doing it again changes nothing, and takes over what came meanwhile.
///
/// # Errors
/// A row that cannot be taken over, which is named; a store that is out of reach.
pub async fn run(settings: &GatewaySettings) -> anyhow::Result<()> {
    let accounts = Accounts::open(&settings.database).await.context("the accounts")?;
    let store = PostgresBackend::connect(settings.postgres.clone()).await?;
    let (rooms, archive, schema) = (store.rooms(), store.archive(), &settings.import_schema);
    let done = Importer { rooms, archive, accounts: &accounts, schema }.all().await;
    store.close().await;
    accounts.close().await;
    let (accounts, rooms, messages) = done?;
    println!("imported: {accounts} accounts, {rooms} rooms, {messages} messages");
    Ok(())
}

impl Importer<'_> {
    fn sql(&self, text: &str) -> AssertSqlSafe<String> {
        // The settings have checked the schema's name.
        AssertSqlSafe(text.replace("$schema", self.schema))
    }

    const fn pool(&self) -> &PgPool {
        &self.accounts.pool
    }

    async fn all(&self) -> anyhow::Result<(u64, u64, u64)> {
        let (mut accounts, mut rooms, mut messages) = (0, 0, 0);
        let mut rows = sqlx::query(self.sql(ACCOUNTS)).fetch(self.pool());
        while let Some(row) = rows.try_next().await? {
            let id: &str = row.try_get("id")?;
            self.account(&row).await.with_context(|| format!("account {id}"))?;
            accounts += 1;
        }
        drop(rows);
        let mut rows = sqlx::query(self.sql(ROOMS)).fetch(self.pool());
        while let Some(row) = rows.try_next().await? {
            let id: &str = row.try_get("id")?;
            messages += self.room(&row).await.with_context(|| format!("room {id}"))?.get();
            rooms += 1;
        }
        Ok((accounts, rooms, messages))
    }

    async fn account(&self, row: &PgRow) -> anyhow::Result<()> {
        let email = Email::new(row.try_get("email")?).map_err(anyhow::Error::msg)?;
        let (hash, at): (&str, i64) = (row.try_get("password_hash")?, row.try_get("created_at")?);
        self.accounts.import(&user(row.try_get("id")?)?, &email, hash, at).await
    }

    /// The room and its members first: a member who is added later has read everything.
    async fn room(&self, row: &PgRow) -> anyhow::Result<Seq> {
        let id: RoomId = row.try_get::<&str, _>("id")?.parse()?;
        let mut metadata = Metadata::new();
        metadata.insert("createdAt".to_owned(), json!(time(row)?.to_string()));
        if let Some(name) = row.try_get::<Option<String>, _>("name")? {
            metadata.insert("name".to_owned(), json!(name));
        }
        self.rooms.create(NewRoom::new(id.clone()).with_metadata(metadata)).await?;
        let members = sqlx::query(self.sql(MEMBERS)).bind(id.as_str()).fetch_all(self.pool()).await?;
        let members: Vec<_> = members.iter().map(OldMember::read).collect::<anyhow::Result<_>>()?;
        for member in &members {
            let change = MemberChange::add(member.user.clone(), member.role).with_since(member.joined_at);
            self.rooms.change_member(&id, change).await?;
        }
        self.messages(&id, &members).await
    }

    async fn messages(&self, room: &RoomId, members: &[OldMember]) -> anyhow::Result<Seq> {
        let mut import = RoomImport::begin(Arc::clone(&self.archive), room.clone()).await?;
        // Where those messages are that somebody has read up to.
        let mut marks: HashMap<&str, Option<Seq>> =
            members.iter().filter_map(|member| Some((member.read.as_deref()?, None))).collect();
        let mut last = None;
        let mut rows = sqlx::query(self.sql(MESSAGES)).bind(room.as_str()).fetch(self.pool());
        while let Some(row) = rows.try_next().await? {
            let old = old_message(&row)?;
            // Then each id is greater than the one before, and is kept.
            ensure!(last.as_ref().is_none_or(|last| old.id > *last), "message {:?} is there twice", old.id);
            let id = old.id.clone();
            let (seq, _) = import.push(old).await?;
            if let Some(mark) = marks.get_mut(&*id) {
                *mark = Some(seq);
            }
            last = Some(id);
        }
        drop(rows);
        import.flush().await?;
        for member in members {
            let Some(read) = &member.read else { continue };
            let seq = marks.get(&**read).copied().flatten();
            let seq =
                seq.with_context(|| format!("{} has read up to {read}, which is not there", member.user))?;
            let cursor: Cursor = import.cursor(seq);
            // It only goes forward: what was read here meanwhile stays read.
            self.rooms.mark_read(room, &member.user, &cursor).await?;
        }
        import.finish().await
    }
}

impl OldMember {
    fn read(row: &PgRow) -> anyhow::Result<Self> {
        let is_creator: bool = row.try_get("is_creator")?;
        Ok(Self {
            user: user(row.try_get("user_id")?)?,
            role: if is_creator { Role::Owner } else { Role::Member },
            joined_at: time(row)?,
            read: row.try_get("last_read_message_id")?,
        })
    }
}

/// The time is that of the id, which is what the old system showed messages by.
fn old_message(row: &PgRow) -> anyhow::Result<OldMessage> {
    let id: String = row.try_get("id")?;
    let wrong = || format!("message {id:?}");
    let known: MessageId = id.parse().with_context(wrong)?;
    ensure!(known.to_string() == id, "message {id:?}: a ULID is written in capital letters");
    let at = known.timestamp();
    let client_id: Option<&str> = row.try_get("client_msg_id")?;
    let client_id = client_id.map(ClientMessageId::new).transpose().with_context(wrong)?;
    let content = message::content(row.try_get("type")?, row.try_get("content")?);
    let content = content.map_err(anyhow::Error::msg).with_context(wrong)?;
    let sender = user(row.try_get("sender_id")?).with_context(wrong)?;
    Ok(OldMessage { client_id, sender, authority: Authority::Member, content, at, id })
}

fn user(id: &str) -> anyhow::Result<UserId> {
    UserId::new(id).with_context(|| format!("user {id:?}"))
}

fn time(row: &PgRow) -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_millis(u64::try_from(row.try_get::<i64, _>("created_at")?)?))
}

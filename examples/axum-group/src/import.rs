//! Takes over the rows of the system that this one replaces: accounts, rooms, members, messages, and how far each has read.
//!
//! They are read from four views, which say where the old tables have what (`docs/migrating/group.md`).

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use chat_backend_postgres::PostgresBackend;
use chat_core::{
    Authority, ClientMessageId, MemberChange, MessageId, NewRoom, Role, RoomChange, RoomId, Rooms, Seq,
    Timestamp, UserId, rooms::Metadata, tiered::Archive,
};
use example_support::import::{OldMessage, RoomImport};
use futures::{TryStreamExt as _, stream::FuturesUnordered};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool, Row as _, postgres::PgRow};

use crate::{
    accounts::{Accounts, Email},
    message, passwords,
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
SELECT room_id::text, user_id::text, is_creator::boolean, last_read_message_id::text,
    (extract(epoch FROM joined_at) * 1000)::bigint AS created_at
FROM $schema.members";
/// One pass over all of them, a room after the other, in the order of the ids, which is what the old system pages by; as bytes, as
/// their characters are ordered.
const MESSAGES: &str = r#"
SELECT room_id::text, id::text, sender_id::text, client_msg_id::text, type::text, content::text
FROM $schema.messages ORDER BY room_id::text COLLATE "C", id::text COLLATE "C""#;

const REMEMBER: &str =
    "INSERT INTO group_chat.imported_members (room_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
/// Who was imported as a member and is none there any more. A room that holds more than the old system's messages has been written to
/// here: it goes its own way.
const GONE: &str = "
SELECT i.room_id, i.user_id, (SELECT count(*) FROM $schema.messages o WHERE o.room_id::text = i.room_id) AS messages
FROM group_chat.imported_members i
WHERE NOT EXISTS (SELECT FROM $schema.members m WHERE m.room_id::text = i.room_id AND m.user_id::text = i.user_id)
ORDER BY i.room_id, i.user_id";
const FORGET: &str = "DELETE FROM group_chat.imported_members WHERE room_id = $1 AND user_id = $2";

/// Rooms, or members, that are worked on at once.
const AT_ONCE: usize = 8;

/// Who has read up to a message, by its id.
type Marks = HashMap<String, Vec<UserId>>;

struct Importer<'s> {
    rooms: Arc<dyn Rooms>,
    archive: Arc<dyn Archive>,
    accounts: &'s Accounts,
    schema: &'s str,
}

/// A room whose messages are on their way.
struct OldRoom {
    id: RoomId,
    import: RoomImport,
    last: Option<String>,
    /// Those whose messages did not come yet, and those whose did.
    marks: Marks,
    found: Vec<(UserId, Seq)>,
}

/// Imports everything and says how much it was. Doing it again takes over what came, changed or went meanwhile, and nothing else.
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

    async fn all(&self) -> anyhow::Result<(u64, usize, u64)> {
        let mut accounts = 0;
        let mut rows = sqlx::query(self.sql(ACCOUNTS)).fetch(self.pool());
        while let Some(row) = rows.try_next().await? {
            let id: &str = row.try_get("id")?;
            self.account(&row).await.with_context(|| format!("account {id}"))?;
            accounts += 1;
        }
        drop(rows);
        let rows = sqlx::query(self.sql(ROOMS)).fetch(self.pool()).map_err(anyhow::Error::from);
        let rooms = rows.map_ok(|row| async move { self.room(&row).await });
        let rooms: Vec<()> = rooms.try_buffer_unordered(AT_ONCE).try_collect().await?;
        // Before the messages: a member who is added later has read everything.
        let rows = sqlx::query(self.sql(MEMBERS)).fetch(self.pool()).map_err(anyhow::Error::from);
        let members = rows.map_ok(|row| async move { self.member(&row).await });
        let mut members = members.try_buffer_unordered(AT_ONCE);
        let mut marks: HashMap<String, Marks> = HashMap::new();
        while let Some(mark) = members.try_next().await? {
            let Some((room, user, read)) = mark else { continue };
            marks.entry(room).or_default().entry(read).or_default().push(user);
        }
        drop(members);
        let messages = self.messages(marks).await?;
        self.members_gone().await?;
        Ok((accounts, rooms.len(), messages))
    }

    async fn account(&self, row: &PgRow) -> anyhow::Result<()> {
        let email = Email::new(row.try_get("email")?).map_err(anyhow::Error::msg)?;
        let (hash, at): (&str, i64) = (row.try_get("password_hash")?, row.try_get("created_at")?);
        passwords::check(hash)?;
        self.accounts.import(&user(row.try_get("id")?)?, &email, hash, at).await
    }

    async fn room(&self, row: &PgRow) -> anyhow::Result<()> {
        let id = room(row.try_get("id")?)?;
        let mut metadata = Metadata::new();
        metadata.insert("createdAt".to_owned(), json!(time(row)?.to_string()));
        if let Some(name) = row.try_get::<Option<String>, _>("name")? {
            metadata.insert("name".to_owned(), json!(name));
        }
        let new = NewRoom::new(id.clone()).with_metadata(metadata.clone());
        let (known, _) = self.rooms.create(new).await.with_context(|| format!("room {id}"))?;
        // Nobody gives a room another name here.
        if known.metadata != metadata {
            let change = RoomChange { metadata: Some(metadata), ..RoomChange::default() };
            self.rooms.update(&id, change).await.with_context(|| format!("room {id}"))?;
        }
        Ok(())
    }

    /// Answers the room, who it is, and up to where they have read.
    async fn member(&self, row: &PgRow) -> anyhow::Result<Option<(String, UserId, String)>> {
        let room = room(row.try_get("room_id")?)?;
        let user = user(row.try_get("user_id")?)?;
        let role = if row.try_get("is_creator")? { Role::Owner } else { Role::Member };
        // First: whoever is remembered and is no member does no harm.
        sqlx::query(REMEMBER).bind(room.as_str()).bind(user.as_str()).execute(self.pool()).await?;
        let change = MemberChange::add(user.clone(), role).with_since(time(row)?);
        let changed = self.rooms.change_member(&room, change).await;
        changed.with_context(|| format!("{user} in room {room}"))?;
        let read: Option<String> = row.try_get("last_read_message_id")?;
        Ok(read.map(|read| (room.to_string(), user, read)))
    }

    /// Behind the messages, which tell whether a room was written to here.
    async fn members_gone(&self) -> anyhow::Result<()> {
        let gone = sqlx::query(self.sql(GONE)).fetch_all(self.pool()).await?;
        for row in gone {
            let (room, user) = (room(row.try_get("room_id")?)?, user(row.try_get("user_id")?)?);
            let imported = u64::try_from(row.try_get::<i64, _>("messages")?)?;
            let known = self.archive.rooms(std::slice::from_ref(&room)).await?.pop().flatten();
            if known.is_none_or(|known| known.head.cursor.seq.get() > imported) {
                continue;
            }
            let removed = self.rooms.change_member(&room, MemberChange::remove(user.clone())).await;
            removed.with_context(|| format!("{user} in room {room}"))?;
            sqlx::query(FORGET).bind(room.as_str()).bind(user.as_str()).execute(self.pool()).await?;
        }
        Ok(())
    }

    async fn messages(&self, mut marks: HashMap<String, Marks>) -> anyhow::Result<u64> {
        let mut count = 0;
        let mut under_way: Option<OldRoom> = None;
        let mut ending = FuturesUnordered::new();
        let mut rows = sqlx::query(self.sql(MESSAGES)).fetch(self.pool());
        while let Some(row) = rows.try_next().await? {
            let name: &str = row.try_get("room_id")?;
            if under_way.as_ref().is_none_or(|room| room.id.as_str() != name) {
                ending.extend(under_way.take().map(|room| self.end(room)));
                if ending.len() >= AT_ONCE {
                    ending.try_next().await?;
                }
                under_way = Some(self.begin(name, marks.remove(name).unwrap_or_default()).await?);
            }
            let Some(room) = &mut under_way else { continue };
            room.push(old_message(&row)?).await.with_context(|| format!("room {name}"))?;
            count += 1;
        }
        drop(rows);
        ending.extend(under_way.map(|room| self.end(room)));
        while ending.try_next().await?.is_some() {}
        // Rooms without a message.
        marks.iter().try_for_each(|(room, marks)| nothing_left(room, marks))?;
        Ok(count)
    }

    async fn begin(&self, name: &str, marks: Marks) -> anyhow::Result<OldRoom> {
        let id = room(name)?;
        let import = RoomImport::begin(Arc::clone(&self.archive), id.clone()).await?;
        Ok(OldRoom { id, import, last: None, marks, found: Vec::new() })
    }

    async fn end(&self, room: OldRoom) -> anyhow::Result<()> {
        let OldRoom { id, mut import, marks, found, .. } = room;
        import.flush().await.with_context(|| format!("room {id}"))?;
        nothing_left(id.as_str(), &marks)?;
        for (user, seq) in found {
            // It only goes forward: what was read here meanwhile stays read.
            self.rooms.mark_read(&id, &user, &import.cursor(seq)).await?;
        }
        Ok(())
    }
}

impl OldRoom {
    async fn push(&mut self, message: OldMessage) -> anyhow::Result<()> {
        // Then each id is greater than the one before, and is kept.
        let is_next = self.last.as_ref().is_none_or(|last| message.id > *last);
        ensure!(is_next, "message {:?} is there twice", message.id);
        let id = message.id.clone();
        let (seq, _) = self.import.push(message).await?;
        self.found.extend(self.marks.remove(&id).into_iter().flatten().map(|user| (user, seq)));
        self.last = Some(id);
        Ok(())
    }
}

fn nothing_left(room: &str, marks: &Marks) -> anyhow::Result<()> {
    let left = marks.iter().next();
    left.map_or(Ok(()), |(read, users)| {
        let user = users.first().map_or("", UserId::as_str);
        bail!("room {room}: {user} has read up to {read}, which is not there")
    })
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

fn room(id: &str) -> anyhow::Result<RoomId> {
    RoomId::new(id).with_context(|| format!("room {id:?}"))
}

fn user(id: &str) -> anyhow::Result<UserId> {
    UserId::new(id).with_context(|| format!("user {id:?}"))
}

fn time(row: &PgRow) -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_millis(u64::try_from(row.try_get::<i64, _>("created_at")?)?))
}

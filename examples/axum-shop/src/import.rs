//! Takes over the rows of the system that this one replaces: stores, rooms with both sides, messages, and how far each has read.
//!
//! They are read from three views, which say where the old tables have what (`docs/migrating/shop.md`).

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use chat_core::{
    Authority, Content, MemberChange, Role, RoomId, Rooms, Seq, Timestamp, UserId, tiered::Archive,
};
use example_support::import::{OldMessage, RoomImport};
use futures::{TryStreamExt as _, stream::FuturesUnordered};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};

use crate::{
    open, rooms,
    settings::Settings,
    stores::{Store, Stores},
};

const STORES: &str = "SELECT id::text, owner_id::text, name::text FROM $schema.stores ORDER BY id";
/// Times are milliseconds since 1970 here.
const ROOMS: &str = "
SELECT r.id::text, r.buyer_id::text, r.store_id::text, s.owner_id::text, r.buyer_unread::bigint, r.store_unread::bigint,
    (extract(epoch FROM r.created_at) * 1000)::bigint AS created_at
FROM $schema.rooms r JOIN $schema.stores s ON s.id::text = r.store_id::text ORDER BY r.id";
const ORPHANS: &str = "
SELECT count(*) FROM $schema.rooms r
WHERE NOT EXISTS (SELECT 1 FROM $schema.stores s WHERE s.id::text = r.store_id::text)";
/// One pass over all of them, room by room.
const MESSAGES: &str = "
SELECT m.room_id::text, m.id::text, m.sender_id::text, m.sender_type::text, m.text::text,
    (extract(epoch FROM m.created_at) * 1000)::bigint AS created_at
FROM $schema.messages m ORDER BY m.room_id, m.created_at, m.place";

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// Members of one page; a room has two.
const MEMBERS: usize = 100;
/// Rooms that are worked on at a time.
const AT_ONCE: usize = 8;

/// A room of the other system.
struct OldRoom {
    id: RoomId,
    buyer: UserId,
    store: String,
    owner: UserId,
    /// Of the buyer, of the store.
    unread: [usize; 2],
    created_at: Timestamp,
}

struct Importer<'s> {
    rooms: Arc<dyn Rooms>,
    archive: Arc<dyn Archive>,
    stores: &'s Stores,
    schema: &'s str,
}

/// Imports everything and says how much it was. Doing it again changes nothing, and takes over what came meanwhile.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let (backend, stores) = open(settings).await?;
    let (rooms, archive, schema) = (backend.rooms(), backend.archive(), &settings.import_schema);
    let importer = Importer { rooms, archive, stores: &stores, schema };
    let done = importer.all().await;
    backend.close().await;
    let (stores, rooms, messages) = done?;
    println!("imported: {stores} stores, {rooms} rooms, {messages} messages");
    Ok(())
}

impl Importer<'_> {
    fn sql(&self, text: &str) -> AssertSqlSafe<String> {
        // The settings have checked the schema's name.
        AssertSqlSafe(text.replace("$schema", self.schema))
    }

    async fn all(&self) -> anyhow::Result<(usize, usize, u64)> {
        // One snapshot of everything: unread counts are those of the messages that are read.
        let mut old = self.stores.pool.begin_with(SNAPSHOT).await?;
        let orphans: i64 = sqlx::query_scalar(self.sql(ORPHANS)).fetch_one(&mut *old).await?;
        ensure!(orphans == 0, "{orphans} rooms are of a store that is not there");
        let stores = sqlx::query(self.sql(STORES)).fetch_all(&mut *old).await?;
        for row in &stores {
            let owner = user(row.try_get("owner_id")?)?;
            self.stores.put(&Store { id: row.try_get("id")?, owner, name: row.try_get("name")? }).await?;
        }
        let rows = sqlx::query(self.sql(ROOMS)).fetch(&mut *old).map_err(anyhow::Error::from);
        let rooms = rows.and_then(async |row| OldRoom::read(&row)).map_ok(|room| async move {
            self.room(&room).await.with_context(|| format!("room {}", room.id))?;
            Ok((room.id.to_string(), room))
        });
        let rooms: HashMap<String, OldRoom> = rooms.try_buffer_unordered(AT_ONCE).try_collect().await?;
        let messages = self.messages(&mut old, &rooms).await?;
        old.commit().await?;
        Ok((stores.len(), rooms.len(), messages))
    }

    /// The room and its sides come before its messages: a member who is added later has read everything. Nobody else stays in it.
    async fn room(&self, old: &OldRoom) -> anyhow::Result<()> {
        ensure!(old.buyer != old.owner, "its buyer owns the store");
        let mut new = rooms::new_room(&old.buyer, &old.store)?;
        new.id = old.id.clone();
        new.metadata.insert("createdAt".to_owned(), json!(old.created_at.to_string()));
        let (room, _) = self.rooms.create(new).await?;
        ensure!(room.id == old.id, "this buyer and this store have another one already: {}", room.id);
        for (user, role) in [(&old.owner, Role::Owner), (&old.buyer, Role::Member)] {
            let change = MemberChange::add(user.clone(), role).with_since(old.created_at);
            self.rooms.change_member(&old.id, change).await?;
        }
        // Whoever owned the store when it was imported before.
        let mut after = None;
        loop {
            let page = self.rooms.members(&old.id, after.as_ref(), MEMBERS).await?;
            let others = page.members.into_iter().map(|member| member.user);
            for user in others.filter(|user| *user != old.buyer && *user != old.owner) {
                self.rooms.change_member(&old.id, MemberChange::remove(user)).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// One pass over all messages, with some rooms at a time on their way.
    async fn messages(
        &self,
        old: &mut PgConnection,
        rooms: &HashMap<String, OldRoom>,
    ) -> anyhow::Result<u64> {
        let mut count = 0;
        let (mut name, mut messages) = (String::new(), Vec::new());
        let mut under_way = FuturesUnordered::new();
        let mut rows = sqlx::query(self.sql(MESSAGES)).fetch(old);
        loop {
            let row = rows.try_next().await?;
            let next = row.as_ref().map(|row| row.try_get::<&str, _>("room_id")).transpose()?;
            if next != Some(&name) {
                if !messages.is_empty() {
                    let room = rooms.get(&name);
                    let room = room.with_context(|| {
                        format!("there are messages of a room {name:?}, and no such room")
                    })?;
                    under_way.push(self.room_messages(room, std::mem::take(&mut messages)));
                }
                while under_way.len() >= AT_ONCE || (next.is_none() && !under_way.is_empty()) {
                    under_way.try_next().await?;
                }
            }
            let (Some(row), Some(next)) = (&row, next) else { return Ok(count) };
            next.clone_into(&mut name);
            messages.push(old_message(row)?);
            count += 1;
        }
    }

    async fn room_messages(&self, room: &OldRoom, messages: Vec<OldMessage>) -> anyhow::Result<()> {
        let stored = self.store_messages(room, messages);
        stored.await.with_context(|| format!("messages of room {}", room.id))
    }

    async fn store_messages(&self, room: &OldRoom, messages: Vec<OldMessage>) -> anyhow::Result<()> {
        let mut import = RoomImport::begin(Arc::clone(&self.archive), room.id.clone()).await?;
        // The last messages of the store, which the buyer has not read, and the other way round.
        let mut unread: [VecDeque<Seq>; 2] = Default::default();
        let (mut old_ids, mut ids, mut last) = (Vec::new(), Vec::new(), Seq::ZERO);
        for message in messages {
            let reader = usize::from(message.authority != Authority::Moderator);
            old_ids.push(message.id.clone());
            let (seq, id) = import.push(message).await?;
            ids.push(id.to_string());
            last = seq;
            unread[reader].push_back(seq);
            if unread[reader].len() > room.unread[reader] {
                unread[reader].pop_front();
            }
        }
        import.flush().await?;
        self.stores.note_imported(room.id.as_str(), &old_ids, &ids).await?;
        for (user, waiting) in [&room.buyer, &room.owner].into_iter().zip(&unread) {
            let read = waiting.front().map_or(last, |first| first.previous());
            // It only goes forward: what was read here meanwhile stays read.
            self.rooms.mark_read(&room.id, user, &import.cursor(read)).await?;
        }
        Ok(())
    }
}

impl OldRoom {
    fn read(row: &PgRow) -> anyhow::Result<Self> {
        let id: &str = row.try_get("id")?;
        let count =
            |column| Ok::<_, sqlx::Error>(usize::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0));
        Ok(Self {
            id: RoomId::new(id).with_context(|| format!("room {id:?}"))?,
            buyer: user(row.try_get("buyer_id")?)?,
            store: row.try_get("store_id")?,
            owner: user(row.try_get("owner_id")?)?,
            unread: [count("buyer_unread")?, count("store_unread")?],
            created_at: time(row)?,
        })
    }
}

fn old_message(row: &PgRow) -> anyhow::Result<OldMessage> {
    let id: String = row.try_get("id")?;
    let authority = match row.try_get("sender_type")? {
        "STORE" => Authority::Moderator,
        "USER" => Authority::Member,
        other => anyhow::bail!("message {id}: sender_type {other:?} is neither USER nor STORE"),
    };
    let content = Content::text(row.try_get("text")?);
    Ok(OldMessage {
        client_id: None,
        sender: user(row.try_get("sender_id")?)?,
        authority,
        content,
        at: time(row)?,
        id,
    })
}

fn user(id: &str) -> anyhow::Result<UserId> {
    UserId::new(id).with_context(|| format!("user {id:?}"))
}

fn time(row: &PgRow) -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_millis(u64::try_from(row.try_get::<i64, _>("created_at")?)?))
}

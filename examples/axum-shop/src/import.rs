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
use futures::TryStreamExt as _;
use serde_json::json;
use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};

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
        let pool = &self.stores.pool;
        let orphans: i64 = sqlx::query_scalar(self.sql(ORPHANS)).fetch_one(pool).await?;
        ensure!(orphans == 0, "{orphans} rooms are of a store that is not there");
        let stores = sqlx::query(self.sql(STORES)).fetch_all(pool).await?;
        for row in &stores {
            let owner = user(row.try_get("owner_id")?)?;
            self.stores.put(&Store { id: row.try_get("id")?, owner, name: row.try_get("name")? }).await?;
        }
        let mut rooms = HashMap::new();
        let mut rows = sqlx::query(self.sql(ROOMS)).fetch(pool);
        while let Some(row) = rows.try_next().await? {
            let room = OldRoom::read(&row)?;
            self.room(&room).await.with_context(|| format!("room {}", room.id))?;
            rooms.insert(room.id.to_string(), room);
        }
        drop(rows);
        Ok((stores.len(), rooms.len(), self.messages(&rooms).await?))
    }

    /// The room and its sides come before its messages: a member who is added later has read everything.
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
        Ok(())
    }

    async fn messages(&self, rooms: &HashMap<String, OldRoom>) -> anyhow::Result<u64> {
        let mut count = 0;
        let mut current: Option<Progress<'_>> = None;
        let mut rows = sqlx::query(self.sql(MESSAGES)).fetch(&self.stores.pool);
        while let Some(row) = rows.try_next().await? {
            let id: &str = row.try_get("room_id")?;
            if current.as_ref().is_none_or(|progress| progress.room.id.as_str() != id) {
                if let Some(done) = current.take() {
                    self.end(done).await?;
                }
                let room = rooms
                    .get(id)
                    .with_context(|| format!("there are messages of room {id:?}, which is not there"))?;
                let import = RoomImport::begin(Arc::clone(&self.archive), room.id.clone()).await?;
                current = Some(Progress::new(room, import));
            }
            if let Some(progress) = &mut current {
                progress.push(old_message(&row)?).await?;
                count += 1;
            }
        }
        if let Some(done) = current {
            self.end(done).await?;
        }
        Ok(count)
    }

    /// The last messages of a room, and how far each side has read.
    async fn end(&self, mut progress: Progress<'_>) -> anyhow::Result<()> {
        progress.import.flush().await?;
        let room = progress.room;
        self.stores.note_imported(room.id.as_str(), &progress.old_ids, &progress.ids).await?;
        for (user, waiting) in [&room.buyer, &room.owner].into_iter().zip(&progress.unread) {
            let read = waiting.front().map_or(progress.last, |first| first.previous());
            // It only goes forward: what was read here meanwhile stays read.
            self.rooms.mark_read(&room.id, user, &progress.import.cursor(read)).await?;
        }
        Ok(())
    }
}

/// A room whose messages are being taken over.
struct Progress<'r> {
    room: &'r OldRoom,
    import: RoomImport,
    last: Seq,
    /// The last messages of the store, which the buyer has not read, and the other way round.
    unread: [VecDeque<Seq>; 2],
    old_ids: Vec<String>,
    ids: Vec<String>,
}

impl<'r> Progress<'r> {
    fn new(room: &'r OldRoom, import: RoomImport) -> Self {
        let (old_ids, ids) = (Vec::new(), Vec::new());
        Self { room, import, last: Seq::ZERO, unread: Default::default(), old_ids, ids }
    }

    async fn push(&mut self, message: OldMessage) -> anyhow::Result<()> {
        let reader = usize::from(message.authority != Authority::Moderator);
        self.old_ids.push(message.id.clone());
        let (seq, id) = self.import.push(message).await?;
        self.ids.push(id.to_string());
        self.last = seq;
        self.unread[reader].push_back(seq);
        if self.unread[reader].len() > self.room.unread[reader] {
            self.unread[reader].pop_front();
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

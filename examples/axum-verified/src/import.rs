//! Takes over the rows of the system that this one replaces: rooms, members with how far they have read, and messages.
//!
//! They are read from three views, which say where the old tables have what (`docs/migrating/verified.md`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use chat_backend_postgres::PostgresBackend;
use chat_core::{
    Authority, Content, MemberChange, MessageLog, NewRoom, ReadQuery, Role, RoomId, Rooms, Seq, Timestamp,
    UserId, tiered::Archive,
};
use example_support::{
    import::{OldMessage, RoomImport, old_id},
    settings::{Environment, plain_name},
};
use sqlx::{AssertSqlSafe, PgPool, Row as _, postgres::PgRow};

use crate::settings::postgres;

/// Rows that are read at a time.
const PAGE: i64 = 1_000;
/// Members that are looked at at a time.
const MEMBERS_PAGE: usize = 1_000;
/// The longest messages that are taken over, whatever new ones may have.
const MAX_BODY_CHARS: u32 = 4_000;

const ROOMS: &str = "SELECT id::bigint, name::text FROM $schema.rooms ORDER BY id";
const MEMBERS: &str = "
SELECT user_id::text, owner::boolean, read_place::bigint, (extract(epoch FROM joined_at) * 1000)::bigint AS since
FROM $schema.members WHERE room_id = $1 ORDER BY owner DESC, user_id";
/// Times are milliseconds since 1970 here.
const MESSAGES: &str = "
SELECT id::text, place::bigint, sender_id::text, message::text, (extract(epoch FROM created_at) * 1000)::bigint AS at
FROM $schema.messages WHERE room_id = $1 AND place > $2 ORDER BY place LIMIT $3";

struct Importer {
    pool: PgPool,
    rooms: Arc<dyn Rooms>,
    log: Arc<dyn MessageLog>,
    archive: Arc<dyn Archive>,
    schema: String,
}

/// Imports everything and says how much it was. Doing it again takes over what changed there meanwhile, and nothing else
/// changes.
pub(crate) async fn run(mut env: Environment) -> anyhow::Result<()> {
    let config = postgres(&mut env);
    let schema = env.parsed("IMPORT_SCHEMA", "chat_import", plain_name);
    let url = env.optional("IMPORT_URL").or_else(|| env.optional("DATABASE_URL"));
    let settings = || Some((config?, schema?, url?));
    let settings = settings();
    let (config, schema, url) = env.finish_with(settings)?;
    let backend = PostgresBackend::connect(config).await?;
    let pool = PgPool::connect(&url).await.context("the other system's database")?;
    let (rooms, log, archive) = (backend.rooms(), backend.message_log(), backend.archive());
    let importer = Importer { pool, rooms, log, archive, schema };
    let done = importer.all().await;
    importer.pool.close().await;
    backend.close().await;
    let (rooms, messages) = done?;
    println!("imported: {rooms} rooms, {messages} messages");
    Ok(())
}

impl Importer {
    fn sql(&self, text: &str) -> AssertSqlSafe<String> {
        // The settings have checked the schema's name.
        AssertSqlSafe(text.replace("$schema", &self.schema))
    }

    async fn all(&self) -> anyhow::Result<(usize, u64)> {
        let rows = sqlx::query(self.sql(ROOMS)).fetch_all(&self.pool).await?;
        let mut messages = 0;
        for row in &rows {
            let number: i64 = row.try_get("id")?;
            ensure!(number >= 0, "room {number}: a room's number is not negative");
            let room = RoomId::new(&number.to_string())?;
            let name = row.try_get("name")?;
            messages += self.room(number, &room, name).await.with_context(|| format!("room {number}"))?;
        }
        Ok((rows.len(), messages))
    }

    /// The room and its members first: a member who is added later has read everything. The members of a room that is used here are
    /// those that it has here.
    async fn room(&self, number: i64, room: &RoomId, name: Option<String>) -> anyhow::Result<u64> {
        let mut new = NewRoom::new(room.clone()).with_max_body_chars(MAX_BODY_CHARS);
        if let Some(name) = name {
            new.metadata.insert("name".to_owned(), name.into());
        }
        let (_, made) = self.rooms.create(new).await?;
        let is_followed = made || !self.is_used(room).await?;
        // Begun before it has members: by that it is known again if this ends halfway.
        let mut import = RoomImport::begin(Arc::clone(&self.archive), room.clone()).await?;
        let read = if is_followed { self.members(number, room).await? } else { Vec::new() };
        let places = self.messages(number, &mut import).await?;
        import.flush().await?;
        for (member, place) in read {
            // It only goes forward: what was read here meanwhile stays read.
            let upto = place.and_then(|place| places.range(..=place).next_back());
            if let Some((_, seq)) = upto {
                self.rooms.mark_read(room, &member, &import.cursor(*seq)).await?;
            }
        }
        Ok(import.finish().await?.get())
    }

    /// Whether somebody was added, removed or wrote here: that left an entry which is not of an import. A room without any entry was
    /// opened here if it has members and no import ever began.
    async fn is_used(&self, room: &RoomId) -> anyhow::Result<bool> {
        let newest = self.log.read(room, ReadQuery::newest().with_limit(1)).await?;
        if let Some(entry) = newest.entries.last() {
            return Ok(old_id(entry).is_none());
        }
        let known = self.archive.rooms(std::slice::from_ref(room)).await?.pop().flatten();
        let was_imported = known.is_some_and(|known| known.lives.iter().any(RoomImport::is_of_import));
        Ok(!was_imported && !self.rooms.members(room, None, 1).await?.members.is_empty())
    }

    /// Adds who is a member there and removes who is none any more. Answers the place up to which each has read.
    async fn members(&self, number: i64, room: &RoomId) -> anyhow::Result<Vec<(UserId, Option<i64>)>> {
        let mut read = Vec::new();
        for row in sqlx::query(self.sql(MEMBERS)).bind(number).fetch_all(&self.pool).await? {
            let member = user(row.try_get("user_id")?)?;
            let role = if row.try_get("owner")? { Role::Owner } else { Role::Member };
            let since = millis(row.try_get("since")?).with_context(|| format!("member {member}"))?;
            let change = MemberChange::add(member.clone(), role).with_since(since);
            self.rooms.change_member(room, change).await?;
            read.push((member, row.try_get::<Option<i64>, _>("read_place")?));
        }
        let there: BTreeSet<_> = read.iter().map(|(member, _)| member.clone()).collect();
        let mut after = None;
        loop {
            let page = self.rooms.members(room, after.as_ref(), MEMBERS_PAGE).await?;
            for member in page.members.iter().filter(|member| !there.contains(&member.user)) {
                self.rooms.change_member(room, MemberChange::remove(member.user.clone())).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(read);
            }
        }
    }

    /// Answers which position each place has here.
    async fn messages(&self, number: i64, import: &mut RoomImport) -> anyhow::Result<BTreeMap<i64, Seq>> {
        let (mut places, mut after) = (BTreeMap::new(), i64::MIN);
        loop {
            let page = sqlx::query(self.sql(MESSAGES)).bind(number).bind(after).bind(PAGE);
            let page = page.fetch_all(&self.pool).await?;
            for row in &page {
                let place = row.try_get("place")?;
                ensure!(place > after, "two messages have place {place}");
                after = place;
                let (seq, _) = import.push(old_message(row)?).await?;
                places.insert(place, seq);
            }
            if page.is_empty() {
                return Ok(places);
            }
        }
    }
}

fn user(id: &str) -> anyhow::Result<UserId> {
    UserId::new(id).with_context(|| format!("user {id:?}"))
}

fn millis(since_1970: i64) -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_millis(u64::try_from(since_1970).context("its time is before 1970")?))
}

fn old_message(row: &PgRow) -> anyhow::Result<OldMessage> {
    let id: String = row.try_get("id")?;
    let at = millis(row.try_get("at")?).with_context(|| format!("message {id}"))?;
    Ok(OldMessage {
        sender: user(row.try_get("sender_id")?)?,
        client_id: None,
        authority: Authority::Member,
        content: Content::text(row.try_get("message")?),
        at,
        id,
    })
}

//! Stores a batch of drafts in few statements, whatever its size: look up, decide, insert, count.

use std::collections::HashMap;

use chat_core::{
    AppendOutcome, ClientMessageId, Content, Cursor, Draft, EntryKind, MessageId, Position, ReactionOp,
    UserId,
    rules::{
        batch::{Known, MemberNow, NewEntry, Plan, RoomNow, Target},
        stored,
    },
};
use sqlx::{AssertSqlSafe, Row as _, query::Query, sqlite::SqliteArguments};

use super::{Counters, Task};
use crate::{
    SqliteError,
    rows::{self, integer},
    search::terms,
};

type Result<T> = std::result::Result<T, SqliteError>;

// `CROSS JOIN` is SQLite's way to fix the order of a join: the list first, whatever statistics of a small file say.

/// One row for each draft whose room exists: the room, the sender's membership, and what the client id names already.
const LOOK_UP: &str = "
SELECT j.key AS draft, r.room, r.active, r.max_body_chars, r.head, r.countable,
       CASE WHEN m.role IS NOT NULL AND m.left_at IS NULL THEN m.own END AS own,
       c.seq AS copy_seq, c.id AS copy_id, c.created_at AS copy_at, c.fingerprint AS copy_fingerprint
FROM json_each(?1) j
CROSS JOIN rooms r ON r.id = j.value ->> 0
LEFT JOIN members m ON m.room = r.room AND m.user = j.value ->> 1
LEFT JOIN entries c ON c.room = r.room AND c.sender = j.value ->> 1 AND c.client_id = j.value ->> 2";

const LOOK_UP_TARGETS: &str = "
SELECT e.room, e.id, e.entry, e.seq, e.sender, e.countable, e.kind, e.deleted_seq IS NULL AS kept
FROM json_each(?1) j
CROSS JOIN entries e ON e.id = unhex(j.value ->> 1) AND e.room = j.value ->> 0";

/// As inserts that always meet the row they update, since those look it up by its key and by nothing else.
const COUNT_ROOMS: &str = "
INSERT INTO rooms (room, id, active, max_body_chars, metadata, created_at, head, countable, last_activity)
SELECT j.value ->> 0, '', 0, 0, '', 0, j.value ->> 1, j.value ->> 2, j.value ->> 3 FROM json_each(?1) j WHERE true
ON CONFLICT (room) DO UPDATE SET head = excluded.head, countable = excluded.countable,
    last_activity = coalesce(excluded.last_activity, last_activity)";

const COUNT_OWN: &str = "
INSERT INTO members (room, user, version, read, own)
SELECT j.value ->> 0, j.value ->> 1, 0, 0, j.value ->> 2 FROM json_each(?1) j WHERE true
ON CONFLICT (room, user) DO UPDATE SET own = excluded.own";

const ENTRY_COLUMNS: &str = "entry, room, seq, timeline, countable, ordinal, own, id, created_at, sender, client_id, \
                             authority, kind, fingerprint, name, target, target_id, body_kind, body";
const ONE_ROW: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
/// Rows are inserted so many at a time: few forms, so that each is prepared once.
const ROWS_AT_ONCE: [usize; 4] = [64, 16, 4, 1];

/// The statement that inserts so many rows.
fn insert_entries(rows: usize) -> String {
    let rows = vec![ONE_ROW; rows].join(", ");
    format!("INSERT INTO entries ({ENTRY_COLUMNS}) VALUES {rows}")
}

impl Task {
    pub(super) async fn append(&mut self, drafts: &[&Draft]) -> Result<Vec<AppendOutcome>> {
        let (known, rooms) = self.look_up(drafts).await?;
        // Ids grow over all rooms here, as entries do.
        let (now, mut last_id) = (self.clock.now(), self.counters.last_id);
        let mut plan = Plan::new(known, self.epoch.clone(), |_| {
            let id = MessageId::next(last_id, now, fastrand::u128(..));
            last_id = Some(id);
            (id, now)
        });
        let outcomes = drafts.iter().zip(rooms).map(|(draft, room)| plan.decide(draft, room)).collect();
        let (known, entries) = (plan.known, plan.entries);
        if !entries.is_empty() {
            let last_entry = self.counters.last_entry;
            let numbered: Vec<_> = (last_entry + 1..).zip(&entries).collect();
            self.store(&known, &numbered, last_id).await?;
            self.counters = Counters { last_entry: last_entry + integer(entries.len() as u64), last_id };
        }
        Ok(outcomes)
    }

    /// What the drafts are decided by, and the room of each.
    async fn look_up<'d>(&mut self, drafts: &[&'d Draft]) -> Result<(Known<'d>, Vec<Option<i64>>)> {
        let mut known = Known::default();
        let mut rooms = vec![None; drafts.len()];
        let keys: Vec<_> =
            drafts.iter().map(|draft| (&draft.room, &draft.sender, &draft.client_id)).collect();
        for row in sqlx::query(LOOK_UP).bind(json(&keys)).fetch_all(&mut self.connection).await? {
            let index = usize::try_from(row.try_get::<i64, _>("draft")?).unwrap_or(usize::MAX);
            let (Some(draft), Some(place)) = (drafts.get(index), rooms.get_mut(index)) else { continue };
            let room: i64 = row.try_get("room")?;
            *place = Some(room);
            known.rooms.insert(
                room,
                RoomNow {
                    active: row.try_get("active")?,
                    max_body_chars: row.try_get("max_body_chars")?,
                    head: rows::seq(row.try_get("head")?)?,
                    countable: row.try_get("countable")?,
                    activity: None,
                    last_id: None,
                },
            );
            if let Some(own) = row.try_get("own")? {
                known.members.insert((room, &draft.sender), MemberNow { own, changed: false });
            }
            let copy: Option<i64> = row.try_get("copy_seq")?;
            if let Some(seq) = copy {
                let position = Position {
                    cursor: Cursor::new(self.epoch.clone(), rows::seq(seq)?),
                    id: rows::message_id(row.try_get("copy_id")?)?,
                    created_at: rows::time(row.try_get("copy_at")?),
                };
                let key: (i64, &'d UserId, &'d ClientMessageId) = (room, &draft.sender, &draft.client_id);
                known.copies.insert(key, (position, rows::fingerprint(row.try_get("copy_fingerprint")?)?));
            }
        }
        let targets =
            drafts.iter().zip(&rooms).filter_map(|(draft, room)| Some(((*room)?, draft.content.target()?)));
        known.targets = self.look_up_targets(targets.collect()).await?;
        Ok((known, rooms))
    }

    async fn look_up_targets(
        &mut self,
        ids: Vec<(i64, MessageId)>,
    ) -> Result<HashMap<(i64, MessageId), Target>> {
        let mut targets = HashMap::new();
        if ids.is_empty() {
            return Ok(targets);
        }
        let keys: Vec<_> = ids.iter().map(|(room, id)| (room, format!("{:032x}", id.as_u128()))).collect();
        for row in sqlx::query(LOOK_UP_TARGETS).bind(json(&keys)).fetch_all(&mut self.connection).await? {
            let kept: bool = row.try_get("kept")?;
            let target = Target {
                entry: row.try_get("entry")?,
                seq: rows::seq(row.try_get("seq")?)?,
                sender: UserId::new(row.try_get("sender")?).map_err(SqliteError::corrupt)?,
                open: kept && stored::kind(row.try_get("kind")?).is_some_and(EntryKind::is_countable),
                countable: row.try_get("countable")?,
            };
            targets.insert((row.try_get("room")?, rows::message_id(row.try_get("id")?)?), target);
        }
        Ok(targets)
    }

    async fn store(
        &mut self,
        known: &Known<'_>,
        entries: &[(i64, &NewEntry<'_>)],
        last_id: Option<MessageId>,
    ) -> Result<()> {
        let mut rest = entries;
        for rows in ROWS_AT_ONCE {
            while let Some((some, others)) = rest.split_at_checked(rows) {
                let statement = insert_entries(rows);
                let query = some.iter().fold(sqlx::query(AssertSqlSafe(statement)), bind_entry);
                query.execute(&mut self.connection).await?;
                rest = others;
            }
        }
        for (_, entry) in entries {
            if let Some(target) = &entry.target {
                self.change(entry, target).await?;
            }
        }
        let used: std::collections::BTreeSet<i64> = entries.iter().map(|(_, entry)| entry.room).collect();
        let rooms: Vec<_> = used
            .iter()
            .filter_map(|room| {
                let now = known.rooms.get(room)?;
                let activity = now.activity.map(|at| integer(at.as_millis()));
                Some((room, integer(now.head.get()), now.countable, activity))
            })
            .collect();
        sqlx::query(COUNT_ROOMS).bind(json(&rooms)).execute(&mut self.connection).await?;
        let members = known.members.iter().filter(|(_, member)| member.changed);
        let members: Vec<_> = members.map(|((room, user), member)| (room, user, member.own)).collect();
        if !members.is_empty() {
            sqlx::query(COUNT_OWN).bind(json(&members)).execute(&mut self.connection).await?;
        }
        sqlx::query("UPDATE store SET last_entry = ?, last_id = ?")
            .bind(entries.last().map(|(number, _)| *number))
            .bind(last_id.map(id_bytes))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Lets a new entry act on its target.
    async fn change(&mut self, new: &NewEntry<'_>, target: &Target) -> Result<()> {
        match &new.draft.content {
            Content::Edit { body, .. } => {
                let (kind, text) = stored::body_parts(body);
                sqlx::query(
                    "UPDATE entries SET body_kind = ?, body = ?, edited_seq = ?, edited_at = ? WHERE entry = ?",
                )
                .bind(kind)
                .bind(text)
                .bind(integer(new.position.cursor.seq.get()))
                .bind(integer(new.position.created_at.as_millis()))
                .bind(target.entry)
                .execute(&mut self.connection)
                .await?;
                let terms = terms::index_terms(text.unwrap_or_default(), new.room.unsigned_abs());
                self.reindex(target.entry, Some(&terms)).await
            }
            Content::Delete { .. } => self.delete(new, target).await,
            Content::Reaction { key, op, .. } => {
                let (user, seq) = (new.draft.sender.as_str(), integer(new.position.cursor.seq.get()));
                self.react(target.entry, key.as_str(), *op, user, seq).await
            }
            _ => Ok(()),
        }
    }

    async fn delete(&mut self, new: &NewEntry<'_>, target: &Target) -> Result<()> {
        sqlx::query("UPDATE entries SET body_kind = ?, body = NULL, deleted_seq = ? WHERE entry = ?")
            .bind(stored::BODY_REMOVED)
            .bind(integer(new.position.cursor.seq.get()))
            .bind(target.entry)
            .execute(&mut self.connection)
            .await?;
        // What an edit says is what the message said: it goes with it. (The literal lets SQLite take the partial index.)
        debug_assert_eq!(stored::kind_number(EntryKind::Edit), 3);
        sqlx::query("UPDATE entries SET body_kind = ?, body = NULL WHERE target = ? AND kind = 3")
            .bind(stored::BODY_REMOVED)
            .bind(target.entry)
            .execute(&mut self.connection)
            .await?;
        if target.countable {
            sqlx::query(
                "WITH levels (level) AS (VALUES (0), (1), (2), (3), (4)), senders (sender) AS (VALUES (''), (?3)) \
                 INSERT INTO deletions (room, sender, level, stretch, count) \
                 SELECT ?1, sender, level, ?2 >> (6 * level), 1 FROM levels, senders WHERE true \
                 ON CONFLICT (room, sender, level, stretch) DO UPDATE SET count = count + 1",
            )
            .bind(new.room)
            .bind(integer(target.seq.get()))
            .bind(target.sender.as_str())
            .execute(&mut self.connection)
            .await?;
            sqlx::query("UPDATE rooms SET deleted = deleted + 1 WHERE room = ?")
                .bind(new.room)
                .execute(&mut self.connection)
                .await?;
        }
        self.reindex(target.entry, None).await
    }

    async fn react(&mut self, entry: i64, key: &str, op: ReactionOp, user: &str, seq: i64) -> Result<()> {
        let connection = &mut self.connection;
        let (changed, by) = match op {
            ReactionOp::Add => {
                sqlx::query("INSERT INTO reaction_keys (entry, key) VALUES (?, ?) ON CONFLICT DO NOTHING")
                    .bind(entry)
                    .bind(key)
                    .execute(&mut *connection)
                    .await?;
                let add = "INSERT INTO reactions (reaction, user, since) \
                           SELECT reaction, ?3, ?4 FROM reaction_keys WHERE entry = ?1 AND key = ?2 \
                           ON CONFLICT DO NOTHING";
                (
                    sqlx::query(add)
                        .bind(entry)
                        .bind(key)
                        .bind(user)
                        .bind(seq)
                        .execute(&mut *connection)
                        .await?,
                    1,
                )
            }
            ReactionOp::Remove => {
                let remove = "DELETE FROM reactions WHERE user = ?3 AND reaction = \
                              (SELECT reaction FROM reaction_keys WHERE entry = ?1 AND key = ?2)";
                (sqlx::query(remove).bind(entry).bind(key).bind(user).execute(&mut *connection).await?, -1)
            }
        };
        if changed.rows_affected() > 0 {
            sqlx::query("UPDATE reaction_keys SET count = count + ? WHERE entry = ? AND key = ?")
                .bind(by)
                .bind(entry)
                .bind(key)
                .execute(&mut *connection)
                .await?;
            sqlx::query("UPDATE entries SET reacted = 1 WHERE entry = ? AND reacted = 0")
                .bind(entry)
                .execute(connection)
                .await?;
        }
        Ok(())
    }
}

fn bind_entry<'q>(
    query: Query<'q, sqlx::Sqlite, SqliteArguments>,
    (number, new): &(i64, &NewEntry<'_>),
) -> Query<'q, sqlx::Sqlite, SqliteArguments> {
    let draft = new.draft;
    let (body_kind, body) = stored::body_columns(&draft.content);
    query
        .bind(*number)
        .bind(new.room)
        .bind(integer(new.position.cursor.seq.get()))
        .bind(new.timeline)
        .bind(new.countable)
        .bind(new.ordinal)
        .bind(new.own)
        .bind(id_bytes(new.position.id))
        .bind(integer(new.position.created_at.as_millis()))
        .bind(draft.sender.as_str())
        .bind(draft.client_id.as_str())
        .bind(stored::authority_number(draft.authority))
        .bind(stored::kind_number(draft.content.kind()))
        .bind(new.fingerprint.0.to_vec())
        .bind(stored::name_column(&draft.content))
        .bind(new.target.as_ref().map(|target| target.entry))
        .bind(draft.content.target().map(id_bytes))
        .bind(body_kind)
        .bind(body)
}

fn id_bytes(id: MessageId) -> Vec<u8> {
    id.as_u128().to_be_bytes().to_vec()
}

/// Many values as one parameter, for `json_each`.
pub(crate) fn json(values: &impl serde::Serialize) -> String {
    serde_json::to_string(values).unwrap_or_default()
}

//! Finds the targets of new entries, and lets them act on these, in the transaction that stores them and under the room's
//! lock.

use std::collections::HashMap;

use chat_core::{
    Content, MessageId, ReactionOp, UserId,
    rules::{
        batch::{NewEntry, Target},
        stored,
    },
    search::fold,
};

use sqlx::Row as _;

use super::Obstacle;
use crate::{
    PostgresError,
    backend::Shared,
    lease::Lease,
    rows::{self, integer, small},
};

type Result<T> = std::result::Result<T, Obstacle>;

const LOOK_UP_TARGETS: &str = "
SELECT e.room, e.id_high, e.id_low, e.seq, e.sender, e.countable, e.kind, e.deleted_seq IS NULL AS kept
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS x(room, high, low)
JOIN $chat.entries e ON e.id_high = x.high AND e.id_low = x.low AND e.room = x.room";

const EDIT: &str = "
UPDATE $chat.entries SET body_kind = $3, body = $4, edited_seq = $5, edited_at = $6
WHERE room = $1 AND timeline AND seq = $2";
/// Whether or not the search knows the message yet: what comes behind finds it there and leaves it so. A deleted one has no
/// text.
const SEARCH: &str = "
INSERT INTO $chat.search (id_high, id_low, room, seq, body) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id_high, id_low) DO UPDATE SET body = excluded.body";

const DELETE: &str = "
UPDATE $chat.entries SET body_kind = $3, body = NULL, deleted_seq = $4 WHERE room = $1 AND timeline AND seq = $2";
/// What an edit says is what the message said: it goes with it.
const DELETE_EDITS: &str = "
UPDATE $chat.entries SET body_kind = $3, body = NULL WHERE room = $1 AND target_seq = $2 AND kind = 3";
const COUNT_DELETED: &str = "
INSERT INTO $chat.deletions (room, sender, level, stretch, count)
SELECT $1, s.sender, l.level, $2::bigint >> (6 * l.level), 1
FROM generate_series(0, 4) AS l(level), (VALUES (''), ($3)) AS s(sender)
ON CONFLICT (room, sender, level, stretch) DO UPDATE SET count = deletions.count + 1";
const ONE_DELETED: &str = "UPDATE $chat.rooms SET deleted = deleted + 1 WHERE room = $1";

/// `$5` is the position of this reaction: the place of a key is where it was first.
const REACT: &str = "
WITH added AS (
    INSERT INTO $chat.reactions (room, seq, key, \"user\", since) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING RETURNING 1)
INSERT INTO $chat.reaction_keys (room, seq, key, place, count) VALUES ($1, $2, $3, $5, (SELECT count(*) FROM added))
ON CONFLICT (room, seq, key) DO UPDATE SET count = reaction_keys.count + excluded.count";
const UNREACT: &str = "
WITH taken AS (
    DELETE FROM $chat.reactions WHERE room = $1 AND seq = $2 AND key = $3 AND \"user\" = $4 RETURNING 1)
UPDATE $chat.reaction_keys SET count = count - (SELECT count(*) FROM taken) WHERE room = $1 AND seq = $2 AND key = $3";
const REACTED: &str = "
UPDATE $chat.entries SET reacted = true WHERE room = $1 AND timeline AND seq = $2 AND NOT reacted";

/// What is there of these messages.
pub(crate) async fn look_up_targets(
    shared: &Shared,
    lease: &mut Lease,
    targets: &[(i64, MessageId)],
) -> Result<HashMap<(i64, MessageId), Target>> {
    let mut known = HashMap::new();
    if targets.is_empty() {
        return Ok(known);
    }
    let halves: Vec<_> = targets.iter().map(|(_, id)| rows::halves(*id)).collect();
    let statement = shared
        .sql
        .query(LOOK_UP_TARGETS)
        .bind(targets.iter().map(|(room, _)| *room).collect::<Vec<_>>())
        .bind(halves.iter().map(|(high, _)| *high).collect::<Vec<_>>())
        .bind(halves.iter().map(|(_, low)| *low).collect::<Vec<_>>());
    for row in lease.all(statement).await? {
        let seq: i64 = row.try_get("seq")?;
        let kind = stored::kind(row.try_get::<i16, _>("kind")?.into());
        let kept: bool = row.try_get("kept")?;
        let target = Target {
            entry: seq,
            seq: rows::seq(seq)?,
            sender: UserId::new(row.try_get("sender")?).map_err(PostgresError::corrupt)?,
            open: kept && kind.is_some_and(chat_core::EntryKind::is_countable),
            countable: row.try_get("countable")?,
        };
        let id = rows::message_id(row.try_get("id_high")?, row.try_get("id_low")?);
        known.insert((row.try_get("room")?, id), target);
    }
    Ok(known)
}

/// Lets a stored entry act on its target.
pub(super) async fn apply(
    shared: &Shared,
    lease: &mut Lease,
    new: &NewEntry<'_>,
    target: &Target,
) -> Result<()> {
    let by = integer(new.position.cursor.seq.get());
    match &new.draft.content {
        Content::Edit { target: id, body } => {
            let (kind, text) = stored::body_parts(body);
            let statement = shared
                .sql
                .query(EDIT)
                .bind(new.room)
                .bind(target.entry)
                .bind(small(kind))
                .bind(text)
                .bind(by)
                .bind(integer(new.position.created_at.as_millis()));
            lease.execute(statement).await?;
            let text = fold(text.unwrap_or_default());
            search(shared, lease, (new.room, *id, target.entry), text).await?;
        }
        Content::Delete { target: id } => {
            delete(shared, lease, new.room, by, target).await?;
            search(shared, lease, (new.room, *id, target.entry), String::new()).await?;
        }
        Content::Reaction { key, op, .. } => {
            let statement = match op {
                ReactionOp::Add => REACT,
                ReactionOp::Remove => UNREACT,
            };
            let statement = shared
                .sql
                .query(statement)
                .bind(new.room)
                .bind(target.entry)
                .bind(key.as_str())
                .bind(new.draft.sender.as_str());
            match op {
                ReactionOp::Add => {
                    lease.execute(statement.bind(by)).await?;
                    lease.execute(shared.sql.query(REACTED).bind(new.room).bind(target.entry)).await?;
                }
                ReactionOp::Remove => {
                    lease.execute(statement).await?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

async fn delete(shared: &Shared, lease: &mut Lease, room: i64, by: i64, target: &Target) -> Result<()> {
    let removed = small(stored::BODY_REMOVED);
    let statement = shared.sql.query(DELETE).bind(room).bind(target.entry).bind(removed).bind(by);
    lease.execute(statement).await?;
    let statement = shared.sql.query(DELETE_EDITS).bind(room).bind(target.entry).bind(removed);
    lease.execute(statement).await?;
    if target.countable {
        let statement =
            shared.sql.query(COUNT_DELETED).bind(room).bind(target.entry).bind(target.sender.as_str());
        lease.execute(statement).await?;
        lease.execute(shared.sql.query(ONE_DELETED).bind(room)).await?;
    }
    Ok(())
}

async fn search(
    shared: &Shared,
    lease: &mut Lease,
    (room, id, seq): (i64, MessageId, i64),
    text: String,
) -> Result<()> {
    let (high, low) = rows::halves(id);
    let statement = shared.sql.query(SEARCH).bind(high).bind(low).bind(room).bind(seq).bind(text);
    lease.execute(statement).await?;
    Ok(())
}

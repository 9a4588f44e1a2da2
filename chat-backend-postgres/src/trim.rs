//! Removes the oldest entries of rooms, some at a time, so that nobody waits long.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use chat_core::{Clock as _, Cursor, Error, Head, Result, Retention, RoomId, Seq, SystemClock, Timestamp};
use sqlx::Row as _;

use crate::{
    PostgresError, RetentionPolicy,
    backend::{Shared, alive},
    lease::Lease,
    rows::{self, integer},
};

/// Entries removed in one transaction: some milliseconds' worth, which is what others wait for it at most.
const STEP: u64 = 1_000;
/// Rooms looked at in one statement.
const ROOMS_AT_ONCE: i64 = 500;
/// Any number, the same on every node: who holds the lock applies the policy.
const POLICY_LOCK: i32 = 0x74_72_69_6d;

const LOCK: &str = "
SELECT s.epoch, r.room, r.head, r.oldest FROM $chat.rooms r CROSS JOIN $life s WHERE r.id = $1 FOR NO KEY UPDATE OF r";

/// The first entry that is young enough; entries are in the order they were stored, whatever the clock did.
const FIRST_YOUNG: &str = "
SELECT e.seq FROM $chat.entries e WHERE e.room = $1 AND e.timeline IN (false, true) AND e.seq >= $2 AND e.seq < $3
AND e.id_high >= $4 ORDER BY e.seq LIMIT 1";

/// Whoever fills the search waits meanwhile, and does not put there what goes: see `follow` in the schema.
const KEEP_SEARCH: i32 = 0x73_72_63_68;

/// All that hangs on the entries of a room with positions before another.
const REMOVE: [&str; 4] = [
    "DELETE FROM $chat.search WHERE room = $1 AND seq >= $3 AND seq < $2",
    "DELETE FROM $chat.reactions WHERE room = $1 AND seq >= $3 AND seq < $2",
    "DELETE FROM $chat.reaction_keys WHERE room = $1 AND seq >= $3 AND seq < $2",
    "DELETE FROM $chat.entries WHERE room = $1 AND timeline IN (false, true) AND seq >= $3 AND seq < $2",
];
/// What was counted of entries that are gone. Readers pass over it, so it goes later, and some rows at a time.
const FORGET_DELETIONS: &str = "
DELETE FROM $chat.deletions WHERE ctid = ANY(ARRAY(
    SELECT d.ctid FROM generate_series(0, 4) AS l(level)
    JOIN $chat.deletions d ON d.room = $1 AND d.level = l.level AND d.stretch < ($2 >> (6 * l.level)) LIMIT $3))";
const MOVE_OLDEST: &str = "UPDATE $chat.rooms SET oldest = $2 WHERE room = $1";

const TO_TRIM: &str = "
SELECT r.room, r.id FROM $chat.rooms r
WHERE r.room > $1 AND r.head >= r.oldest AND (r.head - r.oldest + 1 > $2 OR EXISTS (
    SELECT 1 FROM $chat.entries e
    WHERE e.room = r.room AND e.timeline IN (false, true) AND e.seq = r.oldest AND e.id_high < $3))
ORDER BY r.room LIMIT $4";

type Done<T> = std::result::Result<T, PostgresError>;

/// What a step has done.
struct Step {
    room: i64,
    head: Head,
    moved: bool,
    /// Nothing is left to remove.
    done: bool,
}

pub(crate) async fn trim(shared: &Arc<Shared>, room: &RoomId, retention: &Retention) -> Done<Result<Head>> {
    let mut moved = false;
    // In steps, so that appends to the room are not held up for as long as the whole takes.
    loop {
        let (shared_too, room, retention) = (Arc::clone(shared), room.clone(), retention.clone());
        let step = tokio::spawn(async move { step(&shared_too, &room, &retention).await });
        let done = step.await.unwrap_or_else(|error| Err(PostgresError::corrupt(error)))?;
        let step = match done {
            Ok(step) => step,
            Err(error) => return Ok(Err(error)),
        };
        moved |= step.moved;
        if step.done {
            if moved {
                forget_deletions(shared, step.room, step.head.oldest).await?;
            }
            return Ok(Ok(step.head));
        }
    }
}

async fn step(shared: &Shared, room: &RoomId, retention: &Retention) -> Done<Result<Step>> {
    let mut lease = shared.lease().await?;
    lease.begin().await?;
    let done = within(shared, &mut lease, room, retention).await;
    match done {
        Ok(done) => {
            lease.commit().await?;
            Ok(done)
        }
        Err(error) => {
            lease.roll_back().await;
            Err(error)
        }
    }
}

async fn within(
    shared: &Shared,
    lease: &mut Lease,
    room: &RoomId,
    retention: &Retention,
) -> Done<Result<Step>> {
    // Before the room's lock, so that nobody who writes there waits for the search.
    let lock = format!("SELECT pg_advisory_xact_lock({KEEP_SEARCH}, hashtext('{}'))", shared.sql.schema());
    lease.execute(shared.sql.query(&lock)).await?;
    let found = lease.optional(shared.sql.query(LOCK).bind(room.as_str())).await?;
    let Some(found) = found else { return Ok(Err(Error::RoomNotFound { room: room.clone() })) };
    let number: i64 = found.try_get("room")?;
    let (head, oldest) = (rows::seq(found.try_get("head")?)?, rows::seq(found.try_get("oldest")?)?);
    let epoch = chat_core::Epoch::new(found.try_get("epoch")?).map_err(PostgresError::corrupt)?;
    // Up to here, and not further, in this step.
    let end = oldest.plus(STEP).min(head.next());
    let by_count =
        retention.max_entries.map_or(oldest, |max| Seq::ZERO.plus(head.get().saturating_sub(max)).next());
    let by_time = match retention.not_before {
        Some(time) => first_young(shared, lease, number, oldest, end, time).await?,
        None => oldest,
    };
    let first_kept = by_count.max(by_time).clamp(oldest, end);
    let kept = integer(first_kept.get());
    let moved = first_kept > oldest;
    if moved {
        for statement in REMOVE {
            lease
                .execute(shared.sql.query(statement).bind(number).bind(kept).bind(integer(oldest.get())))
                .await?;
        }
        lease.execute(shared.sql.query(MOVE_OLDEST).bind(number).bind(kept)).await?;
    }
    let done = first_kept < end || end > head;
    let head = Head { cursor: Cursor::new(epoch, head), oldest: first_kept };
    Ok(Ok(Step { room: number, head, moved, done }))
}

async fn forget_deletions(shared: &Shared, room: i64, oldest: Seq) -> Done<()> {
    let (oldest, most) = (integer(oldest.get()), integer(STEP));
    loop {
        let mut lease = shared.lease().await?;
        lease.begin().await?;
        let statement = shared.sql.query(FORGET_DELETIONS).bind(room).bind(oldest).bind(most);
        let gone = lease.execute(statement).await?;
        lease.commit().await?;
        if gone < STEP {
            return Ok(());
        }
    }
}

/// The position of the first entry from `oldest` on that is young enough; `end` if none before it is.
async fn first_young(
    shared: &Shared,
    lease: &mut Lease,
    room: i64,
    oldest: Seq,
    end: Seq,
    time: Timestamp,
) -> Done<Seq> {
    let statement = shared
        .sql
        .query(FIRST_YOUNG)
        .bind(room)
        .bind(integer(oldest.get()))
        .bind(integer(end.get()))
        .bind(first_id_at(time));
    let row = lease.optional(statement).await?;
    row.map_or(Ok(end), |row| rows::seq(row.try_get("seq")?))
}

/// The first half of the least id of this time.
fn first_id_at(time: Timestamp) -> i64 {
    integer(time.as_millis().saturating_mul(1 << 16))
}

/// Applies the policy now and then, until the backend is gone.
pub(crate) async fn keep_to(shared: Weak<Shared>) {
    let Some(interval) = shared.upgrade().map(|shared| shared.config.retention_interval) else { return };
    loop {
        // Nodes that were started together do not all ask at once.
        tokio::time::sleep(interval.mul_f32(0.9 + 0.2 * fastrand::f32()).max(Duration::from_millis(1))).await;
        let Some(shared) = alive(&shared) else { return };
        if let Err(error) = apply(&shared, shared.config.retention).await {
            tracing::warn!(%error, "old entries could not be removed; it is tried again later");
        }
    }
}

async fn apply(shared: &Arc<Shared>, policy: RetentionPolicy) -> Result<()> {
    let failed = |error: PostgresError| error.during("retention");
    let not_before = policy.max_age.map(|age| {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(SystemClock.now().as_millis().saturating_sub(age))
    });
    let retention = Retention { max_entries: policy.max_entries, not_before };
    let mut after = 0;
    loop {
        let rooms = to_trim(shared, &retention, after).await.map_err(failed)?;
        let Some((last, _)) = rooms.last() else { return Ok(()) };
        after = *last;
        for (_, room) in rooms {
            // One that fails does not stop the others.
            if let Err(error) = trim(shared, &room, &retention).await.map_err(failed).flatten() {
                tracing::warn!(%error, room = room.as_str(), "old entries of a room could not be removed; it is tried again later");
            }
        }
    }
}

/// The next rooms with something to remove; none while another node is at it.
async fn to_trim(shared: &Shared, retention: &Retention, after: i64) -> Done<Vec<(i64, RoomId)>> {
    let mut lease = shared.lease().await?;
    lease.begin().await?;
    let lock = format!(
        "SELECT pg_try_advisory_xact_lock({POLICY_LOCK}, hashtext('{}')) AS mine",
        shared.sql.schema()
    );
    let mine: bool = lease.one(shared.sql.query(&lock)).await?.try_get("mine")?;
    let statement = shared
        .sql
        .query(TO_TRIM)
        .bind(after)
        .bind(retention.max_entries.map_or(i64::MAX, integer))
        .bind(retention.not_before.map_or(0, first_id_at))
        .bind(ROOMS_AT_ONCE);
    let found = if mine { lease.all(statement).await? } else { Vec::new() };
    lease.commit().await?;
    found.iter().map(|row| Ok((row.try_get("room")?, rows::room_id(row.try_get("id")?)?))).collect()
}

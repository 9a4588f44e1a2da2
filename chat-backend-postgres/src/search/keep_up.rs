//! The search follows behind the log: an append does not wait for it. What it does not know yet stands in `rooms`, so
//! nothing is forgotten when a node dies in between; that it is there a node remembers for the rooms it wrote to itself, and
//! one node looks through all rooms now and then.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use chat_core::search::fold;
use sqlx::Row as _;
use tokio::{sync::Notify, time::Instant};

use crate::{
    PostgresError,
    backend::{Shared, alive},
};

/// Entries looked at in one transaction.
const STEP: i64 = 512;
/// How long new entries gather before the search learns of them: larger steps cost less per message.
const PAUSE: Duration = Duration::from_millis(50);
/// After a failure it is tried again so much later.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often somebody looks through all rooms, for what a node that died has left.
const ALL_ROOMS: Duration = Duration::from_secs(60);
/// Rooms taken from that at once.
const ROOMS_AT_ONCE: i64 = 1_000;
/// Rooms that a node remembers; past it the next look through all of them finds the rest.
const MOST_REMEMBERED: usize = 100_000;

const NEXT: &str = "
SELECT e.id_high, e.id_low, e.seq, e.body FROM $chat.entries e
WHERE e.room = $1 AND e.timeline AND e.seq > $2 AND e.seq <= $3 AND e.kind IN (0, 6) AND e.body IS NOT NULL";
const PLACE: &str = "SELECT r.searchable, r.head FROM $chat.rooms r WHERE r.room = $1";
const FOLLOW: &str = "SELECT $chat.follow($1, $2, $3, $4, $5, $6)";
const BEHIND: &str =
    "SELECT r.room FROM $chat.rooms r WHERE r.searchable < r.head AND r.room > $1 ORDER BY r.room LIMIT $2";

type Done<T> = Result<T, PostgresError>;

/// Rooms with entries that the search does not know.
#[derive(Debug, Default)]
pub(crate) struct Unsearchable {
    rooms: Mutex<BTreeSet<i64>>,
    some: Notify,
}

impl Unsearchable {
    pub(crate) fn add(&self, rooms: impl IntoIterator<Item = i64>) {
        {
            let mut known = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            let space = MOST_REMEMBERED.saturating_sub(known.len());
            known.extend(rooms.into_iter().take(space));
        }
        self.some.notify_one();
    }

    fn take(&self) -> BTreeSet<i64> {
        std::mem::take(&mut *self.rooms.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Follows the log until the backend is gone.
pub(crate) async fn keep_up(shared: Weak<Shared>) {
    // Nodes that were started together do not all look at once.
    let mut all_at = Instant::now() + ALL_ROOMS.mul_f64(f64::from(fastrand::u8(..)) / 255.0);
    let Some(unsearchable) = alive(&shared).map(|shared| Arc::clone(&shared.unsearchable)) else { return };
    loop {
        let due = tokio::select! {
            biased;
            () = unsearchable.some.notified() => false,
            () = tokio::time::sleep_until(all_at) => true,
        };
        tokio::time::sleep(PAUSE).await;
        let Some(here) = alive(&shared) else { return };
        let mut rooms = unsearchable.take();
        if due {
            all_at = Instant::now() + ALL_ROOMS;
            match behind(&here, 0).await {
                Ok(more) => rooms.extend(more),
                Err(error) => {
                    tracing::warn!(%error, "the search cannot ask for rooms that it does not follow")
                }
            }
        }
        let failed = follow_all(&here, rooms).await;
        if !failed.is_empty() {
            unsearchable.add(failed);
            drop(here);
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
}

/// Answers the rooms that could not be followed: one that cannot be does not stop the others.
async fn follow_all(shared: &Shared, rooms: BTreeSet<i64>) -> BTreeSet<i64> {
    let mut failed = BTreeSet::new();
    for room in rooms {
        let Err(error) = follow(shared, room).await else { continue };
        if failed.is_empty() {
            tracing::warn!(%error, "the search cannot follow the log of a room; it is tried again");
        }
        failed.insert(room);
    }
    failed
}

/// Returns once everything stored before is known.
pub(crate) async fn settle(shared: &Shared) -> Done<()> {
    loop {
        let rooms = behind(shared, 0).await?;
        if rooms.is_empty() {
            return Ok(());
        }
        for room in rooms {
            follow(shared, room).await?;
        }
    }
}

async fn behind(shared: &Shared, after: i64) -> Done<Vec<i64>> {
    let rows = shared.all(shared.sql.query(BEHIND).bind(after).bind(ROOMS_AT_ONCE)).await?;
    rows.iter().map(|row| Ok(row.try_get("room")?)).collect()
}

/// Brings the search up to a room's head.
async fn follow(shared: &Shared, room: i64) -> Done<()> {
    loop {
        let rows = shared.all(shared.sql.query(PLACE).bind(room)).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        let (from, head): (i64, i64) = (row.try_get("searchable")?, row.try_get("head")?);
        if from >= head {
            return Ok(());
        }
        step(shared, room, from, head.min(from + STEP)).await?;
    }
}

async fn step(shared: &Shared, room: i64, from: i64, to: i64) -> Done<()> {
    let rows = shared.all(shared.sql.query(NEXT).bind(room).bind(from).bind(to)).await?;
    let (mut highs, mut lows, mut seqs, mut bodies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        highs.push(row.try_get::<i64, _>("id_high")?);
        lows.push(row.try_get::<i64, _>("id_low")?);
        seqs.push(row.try_get::<i64, _>("seq")?);
        bodies.push(fold(row.try_get("body")?));
    }
    let follow = shared.sql.query(FOLLOW).bind(room).bind(to).bind(highs).bind(lows).bind(seqs).bind(bodies);
    shared.all(follow).await?;
    Ok(())
}

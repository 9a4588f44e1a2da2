//! The search follows behind the log: an append does not wait for it. What it does not know yet stands in `rooms`, so
//! nothing is forgotten when a node dies in between; that it is there a node remembers for the rooms it wrote to itself, and
//! one node looks through all rooms now and then.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use chat_core::search::fold;
use sqlx::{Row as _, postgres::PgRow};
use tokio::{sync::Notify, time::Instant};

use crate::{
    PostgresError, PostgresErrorKind,
    backend::{Shared, alive},
    rows,
};

/// Entries looked at in one transaction.
const STEP: i64 = 512;
/// How long new entries gather before the search learns of them: larger steps cost less per message.
const PAUSE: Duration = Duration::from_millis(250);
/// After a failure it is tried again so much later.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often somebody looks through all rooms, for what a node that died has left.
const ALL_ROOMS: Duration = Duration::from_secs(60);
/// Transactions after which it is asked anew how far the search has come.
const STEPS_AT_ONCE: usize = 16;
/// Rooms looked at in one statement.
const ROOMS_AT_ONCE: usize = 1_000;
/// Rooms that a node remembers; past it the next look through all of them finds the rest.
const MOST_REMEMBERED: usize = 100_000;

/// What the search has to learn of each of these rooms.
const PLACES: &str = "
SELECT s.epoch, r.room, greatest(coalesce(p.upto, 0), r.oldest - 1) AS after, r.head FROM unnest($1::bigint[]) AS x(room)
JOIN $chat.rooms r ON r.room = x.room LEFT JOIN $chat.search_places p ON p.room = r.room CROSS JOIN $life s
ORDER BY r.room";
/// `OFFSET 0` leaves no other plan than a range of the log for each stretch.
const NEXT: &str = "
SELECT x.place::integer AS place, e.id_high, e.id_low, e.seq, e.body
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS x(room, after, upto, place)
CROSS JOIN LATERAL (
    SELECT m.id_high, m.id_low, m.seq, m.body FROM $chat.entries m
    WHERE m.room = x.room AND m.timeline AND m.seq > x.after AND m.seq <= x.upto AND m.kind IN (0, 6) AND m.body IS NOT NULL
    OFFSET 0) e ORDER BY x.place, e.seq";
const FOLLOW: &str = "SELECT $chat.follow($1, $2, $3, $4, $5, $6, $7, $8)";
const BEHIND: &str = "
SELECT r.room FROM $chat.rooms r LEFT JOIN $chat.search_places p ON p.room = r.room
WHERE r.head > greatest(coalesce(p.upto, 0), r.oldest - 1) ORDER BY r.room LIMIT $1";

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
        let due = next(&unsearchable, all_at).await;
        let Some(here) = alive(&shared) else { return };
        let mut rooms = unsearchable.take();
        if due {
            all_at = Instant::now() + ALL_ROOMS;
            match behind(&here).await {
                Ok(more) => rooms.extend(more),
                Err(error) => {
                    tracing::warn!(%error, "the search cannot ask for rooms that it does not follow")
                }
            }
        }
        let Followed { left, failed, why } = follow_all(&here, rooms).await;
        if !left.is_empty() {
            unsearchable.add(left);
        }
        if let Some(error) = why {
            tracing::warn!(%error, rooms = failed.len(), "the search cannot follow the log; it is tried again");
            unsearchable.add(failed);
            drop(here);
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
}

/// Waits until there is something to do, and some time longer. Answers whether it is time for all rooms: also where other work
/// never ends.
async fn next(unsearchable: &Unsearchable, all_at: Instant) -> bool {
    tokio::select! {
        biased;
        () = unsearchable.some.notified() => {}
        () = tokio::time::sleep_until(all_at) => {}
    }
    tokio::time::sleep(PAUSE).await;
    Instant::now() >= all_at
}

/// Positions of a room that the search does not know: after `after`, up to and with `upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    room: i64,
    after: i64,
    upto: i64,
}

/// Stretches, and the epoch that they were seen in.
struct Places {
    epoch: String,
    stretches: Vec<Stretch>,
}

/// What became of rooms.
#[derive(Default)]
struct Followed {
    /// They are further behind than is copied in one go.
    left: BTreeSet<i64>,
    failed: BTreeSet<i64>,
    /// Why one of them was.
    why: Option<PostgresError>,
}

/// Brings rooms forward. One that cannot be followed does not stop the others.
async fn follow_all(shared: &Shared, rooms: BTreeSet<i64>) -> Followed {
    let mut done = Followed::default();
    let rooms: Vec<i64> = rooms.into_iter().collect();
    for rooms in rooms.chunks(ROOMS_AT_ONCE) {
        let places = match places(shared, rooms).await {
            Ok(places) => places,
            Err(error) => {
                done.failed.extend(rooms);
                done.why = Some(error);
                continue;
            }
        };
        let mut steps = steps(&places.stretches).into_iter();
        for mut step in steps.by_ref().take(STEPS_AT_ONCE) {
            // What comes after a gap would hide it.
            step.retain(|stretch| !done.failed.contains(&stretch.room));
            let Err(error) = copy(shared, &places.epoch, &step).await else { continue };
            if error.kind() == PostgresErrorKind::Other && step.len() > 1 {
                for stretch in step {
                    if let Err(error) = copy(shared, &places.epoch, &[stretch]).await {
                        done.failed.insert(stretch.room);
                        done.why = Some(error);
                    }
                }
            } else {
                done.failed.extend(step.iter().map(|stretch| stretch.room));
                done.why = Some(error);
            }
        }
        // Other nodes may be at them, too: where they stand is asked again.
        done.left.extend(steps.flatten().map(|stretch| stretch.room));
    }
    done
}

/// Stretches that are copied together, of [`STEP`] positions at most; those of a room in their order.
fn steps(stretches: &[Stretch]) -> Vec<Vec<Stretch>> {
    let (mut steps, mut step, mut space) = (Vec::new(), Vec::new(), STEP);
    for stretch in stretches {
        let mut after = stretch.after;
        while after < stretch.upto {
            let upto = stretch.upto.min(after + space);
            step.push(Stretch { room: stretch.room, after, upto });
            space -= upto - after;
            after = upto;
            if space == 0 {
                steps.push(std::mem::take(&mut step));
                space = STEP;
            }
        }
    }
    if !step.is_empty() {
        steps.push(step);
    }
    steps
}

/// Returns once everything stored before is known.
pub(crate) async fn settle(shared: &Shared) -> Done<()> {
    loop {
        let rooms = behind(shared).await?;
        if rooms.is_empty() {
            return Ok(());
        }
        if let Some(error) = follow_all(shared, rooms).await.why {
            return Err(error);
        }
    }
}

async fn behind(shared: &Shared) -> Done<BTreeSet<i64>> {
    let rows = shared.all(shared.sql.query(BEHIND).bind(rows::integer(ROOMS_AT_ONCE as u64))).await?;
    rows.iter().map(|row| Ok(row.try_get("room")?)).collect()
}

async fn places(shared: &Shared, rooms: &[i64]) -> Done<Places> {
    let rows = shared.all(shared.sql.query(PLACES).bind(rooms)).await?;
    let stretch = |row: &PgRow| {
        Ok(Stretch { room: row.try_get("room")?, after: row.try_get("after")?, upto: row.try_get("head")? })
    };
    let epoch = rows.first().map_or(Ok(String::new()), |row| row.try_get("epoch"))?;
    Ok(Places { epoch, stretches: rows.iter().map(stretch).collect::<Done<_>>()? })
}

/// Lets the search know these stretches: two round trips.
async fn copy(shared: &Shared, epoch: &str, step: &[Stretch]) -> Done<()> {
    if step.is_empty() {
        return Ok(());
    }
    let rooms: Vec<i64> = step.iter().map(|stretch| stretch.room).collect();
    let after: Vec<i64> = step.iter().map(|stretch| stretch.after).collect();
    let upto: Vec<i64> = step.iter().map(|stretch| stretch.upto).collect();
    let rows = shared.all(shared.sql.query(NEXT).bind(&rooms).bind(after).bind(&upto)).await?;
    let (mut places, mut highs, mut lows, mut seqs, mut bodies) = (vec![], vec![], vec![], vec![], vec![]);
    for row in &rows {
        places.push(row.try_get::<i32, _>("place")?);
        highs.push(row.try_get::<i64, _>("id_high")?);
        lows.push(row.try_get::<i64, _>("id_low")?);
        seqs.push(row.try_get::<i64, _>("seq")?);
        bodies.push(fold(row.try_get("body")?));
    }
    let follow = shared.sql.query(FOLLOW).bind(epoch).bind(rooms).bind(upto);
    shared.all(follow.bind(places).bind(highs).bind(lows).bind(seqs).bind(bodies)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(room: i64, after: i64, upto: i64) -> Stretch {
        Stretch { room, after, upto }
    }

    #[tokio::test(start_paused = true)]
    async fn all_rooms_have_their_turn_where_there_is_always_something_to_do() {
        let (unsearchable, all_at) = (Unsearchable::default(), Instant::now() + ALL_ROOMS);
        loop {
            unsearchable.add([1]);
            if next(&unsearchable, all_at).await {
                break;
            }
            assert!(Instant::now() < all_at, "their turn is over");
        }
    }

    #[test]
    fn rooms_with_little_go_together_and_one_with_much_goes_in_parts() {
        let few = [stretch(1, 0, 3), stretch(2, 7, 7), stretch(3, 5, 6)];
        assert_eq!(steps(&few), [vec![stretch(1, 0, 3), stretch(3, 5, 6)]]);
        let much = [stretch(1, 0, 2), stretch(2, 10, 10 + 2 * STEP)];
        let parts = [
            vec![stretch(1, 0, 2), stretch(2, 10, 8 + STEP)],
            vec![stretch(2, 8 + STEP, 8 + 2 * STEP)],
            vec![stretch(2, 8 + 2 * STEP, 10 + 2 * STEP)],
        ];
        assert_eq!(steps(&much), parts);
        assert!(steps(&[]).is_empty());
    }
}

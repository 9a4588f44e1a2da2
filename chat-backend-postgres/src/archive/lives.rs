//! The lives of rooms: whose positions are taken over.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chat_core::{
    Epoch, RoomId, Seq,
    tiered::{ArchivedRoom, Life, LifeOutcome},
};
use sqlx::Row as _;

use crate::{
    PostgresError,
    append::{
        Obstacle,
        lock::{self, Locked},
        overcome,
    },
    backend::Shared,
    lease::Lease,
    numbers::Numbered,
    rows::{self, integer},
};

const LIVES: &str = "
SELECT l.room, l.epoch, l.base FROM $chat.lives l WHERE l.room = ANY($1) AND l.store_epoch = $2 ORDER BY l.room, l.no";

const BEGIN: &str = "
INSERT INTO $chat.lives (room, no, epoch, base, store_epoch)
SELECT $1, coalesce(max(l.no), 0) + 1, $2, $3, $4 FROM $chat.lives l WHERE l.room = $1";

/// Those of earlier epochs, and all but the last `$3 + 1`.
const FORGET: &str = "
DELETE FROM $chat.lives l WHERE l.room = $1 AND (l.store_epoch <> $2 OR l.no < (
    SELECT k.no FROM $chat.lives k WHERE k.room = $1 AND k.store_epoch = $2 ORDER BY k.no DESC LIMIT 1 OFFSET $3))";

/// The lives of rooms that are locked, oldest first; a room that has none is left out.
pub(super) async fn of(
    shared: &Shared,
    lease: &mut Lease,
    epoch: &Epoch,
    rooms: Vec<i64>,
) -> Result<HashMap<i64, Vec<Life>>, Obstacle> {
    let mut lives: HashMap<i64, Vec<Life>> = HashMap::new();
    for row in lease.all(shared.sql.query(LIVES).bind(rooms).bind(epoch.as_str())).await? {
        lives.entry(row.try_get("room")?).or_default().push(Life {
            epoch: Epoch::new(row.try_get("epoch")?).map_err(PostgresError::corrupt)?,
            base: rows::seq(row.try_get("base")?)?,
        });
    }
    Ok(lives)
}

/// Whether positions up to `last` are this life's to give out, or were before the later ones began.
pub(super) fn go_along(lives: &[Life], life: &Epoch, last: Seq) -> bool {
    let place = lives.iter().rposition(|known| known.epoch == *life);
    place.is_some_and(|place| lives.iter().skip(place + 1).all(|later| last <= later.base))
}

/// Begins a life. To be run where nobody drops it.
pub(super) async fn begin(
    shared: Arc<Shared>,
    room: RoomId,
    seen: ArchivedRoom,
    life: Life,
) -> Result<LifeOutcome, PostgresError> {
    let mut attempt = 0;
    loop {
        let epoch = shared.epochs.current();
        match try_begin(&shared, &epoch, &room, &seen, &life).await {
            Ok(outcome) => return Ok(outcome),
            Err(obstacle) => overcome(&shared, &epoch, obstacle, attempt).await?,
        }
        attempt += 1;
    }
}

async fn try_begin(
    shared: &Shared,
    epoch: &Epoch,
    room: &RoomId,
    seen: &ArchivedRoom,
    life: &Life,
) -> Result<LifeOutcome, Obstacle> {
    let mut numbers = shared.numbers(epoch, std::iter::once(room)).await?;
    let Some(numbered) = numbers.remove(room) else { return Ok(LifeOutcome::RoomMissing) };
    let mut lease = shared.lease().await?;
    lease.begin().await?;
    let done = within(shared, &mut lease, epoch, (&numbered, room), seen, life).await;
    match done {
        Ok(outcome) => {
            lease.commit().await?;
            Ok(outcome)
        }
        Err(obstacle) => {
            lease.roll_back().await;
            Err(obstacle)
        }
    }
}

async fn within(
    shared: &Shared,
    lease: &mut Lease,
    epoch: &Epoch,
    (numbered, room): (&Numbered, &RoomId),
    seen: &ArchivedRoom,
    life: &Life,
) -> Result<LifeOutcome, Obstacle> {
    let number = numbered.number;
    let named = BTreeMap::from([(number, (numbered, room))]);
    let Locked { rooms, .. } = lock::lock(shared, lease, epoch, &named).await?;
    let Some(now) = rooms.get(&number) else { return Ok(LifeOutcome::RoomMissing) };
    let lives = of(shared, lease, epoch, vec![number]).await?.remove(&number).unwrap_or_default();
    let seen_at = &seen.head.cursor;
    if seen_at.epoch != *epoch || seen_at.seq != now.head || seen.life() != lives.last() {
        return Ok(LifeOutcome::Changed);
    }
    let statement = shared
        .sql
        .query(BEGIN)
        .bind(number)
        .bind(life.epoch.as_str())
        .bind(integer(life.base.get()))
        .bind(epoch.as_str());
    lease.execute(statement).await?;
    let earlier = integer(ArchivedRoom::MAX_LIVES as u64 - 1);
    lease.execute(shared.sql.query(FORGET).bind(number).bind(epoch.as_str()).bind(earlier)).await?;
    Ok(LifeOutcome::Begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_goes_along_up_to_where_the_next_ones_begin() {
        let seq = |n| Seq::new(n).unwrap();
        let named = |n: &str| Epoch::new(n).unwrap();
        let life = |epoch: &str, base| Life { epoch: named(epoch), base: seq(base) };
        let lives = [life("a", 0), life("b", 5), life("c", 8)];
        for (epoch, last, expected) in [
            ("a", 5, true),
            ("a", 6, false),
            ("b", 8, true),
            ("b", 9, false),
            ("c", 3, true),
            ("c", 100, true),
            ("d", 1, false),
        ] {
            assert_eq!(go_along(&lives, &named(epoch), seq(last)), expected, "{epoch} {last}");
        }
        assert!(!go_along(&[], &named("a"), seq(1)));
    }
}

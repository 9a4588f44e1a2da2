//! Locks rooms for whoever gives out their positions or takes them from elsewhere.

use std::collections::BTreeMap;

use chat_core::{Epoch, RoomId, Seq, rules::batch::RoomNow};
use sqlx::Row as _;

use super::Obstacle;
use crate::{backend::Shared, lease::Lease, numbers::Numbered, rows};

/// In ascending order, as everybody locks rooms.
const LOCK: &str = "
SELECT r.room, r.id, r.active, r.max_body_chars, r.head, r.countable, r.last_id, r.oldest FROM $chat.rooms r
WHERE r.room = ANY($1) ORDER BY r.room FOR NO KEY UPDATE";

const HERE: &str = "
SELECT s.epoch = $1 AND s.timeline = $chat.here_timeline() AND s.place = $chat.here_place(s.tableoid) AS same,
    (pg_current_wal_insert_lsn() - '0/0')::bigint AS lsn,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now FROM $chat.store s";

/// Rooms as they stand, until the transaction ends.
pub(crate) struct Locked {
    /// Those that are there.
    pub(crate) rooms: BTreeMap<i64, RoomNow>,
    /// The first position kept of each.
    pub(crate) oldest: BTreeMap<i64, Seq>,
    /// Milliseconds since 1970.
    pub(crate) now: i64,
}

/// Locks rooms, and makes sure that the store is the one of this epoch.
pub(crate) async fn lock(
    shared: &Shared,
    lease: &mut Lease,
    epoch: &Epoch,
    rooms: &BTreeMap<i64, (&Numbered, &RoomId)>,
) -> Result<Locked, Obstacle> {
    let mut locked = Locked { rooms: BTreeMap::new(), oldest: BTreeMap::new(), now: 0 };
    let mut put_back = false;
    let seen = shared.epochs.seen();
    let numbers: Vec<i64> = rooms.keys().copied().collect();
    for row in lease.all(shared.sql.query(LOCK).bind(numbers)).await? {
        let number: i64 = row.try_get("room")?;
        let (id, head): (&str, i64) = (row.try_get("id")?, row.try_get("head")?);
        put_back |=
            rooms.get(&number).is_some_and(|(room, known)| head < room.head() || known.as_str() != id);
        let now = RoomNow {
            active: row.try_get("active")?,
            max_body_chars: u32::try_from(row.try_get::<i32, _>("max_body_chars")?).unwrap_or(0),
            head: rows::seq(head)?,
            countable: row.try_get("countable")?,
            activity: None,
            last_id: Some(rows::message_id(row.try_get("last_id")?, 0)),
        };
        locked.rooms.insert(number, now);
        locked.oldest.insert(number, rows::seq(row.try_get("oldest")?)?);
    }
    // Under the locks and in a statement of its own: this one sees what earlier holders committed.
    let here = lease.one(shared.sql.query(HERE).bind(epoch.as_str())).await?;
    if !here.try_get::<bool, _>("same")? {
        return Err(Obstacle::OtherEpoch);
    }
    if put_back || here.try_get::<i64, _>("lsn")? < seen {
        return Err(Obstacle::PutBack);
    }
    locked.now = here.try_get("now")?;
    Ok(locked)
}

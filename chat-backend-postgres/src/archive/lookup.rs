//! What a log in front of the schema asks before it gives out a position: one statement each, whatever the number of rooms.

use chat_core::{
    ClientMessageId, EntryKind, Epoch, Fingerprint, MessageId, Position, RoomId, Seq, UserId,
    rules::stored,
    tiered::{Admission, ArchivedRoom, ArchivedTarget, Life},
};
use sqlx::{Row as _, postgres::PgRow};

use crate::{
    PostgresError,
    backend::Shared,
    message_log::head,
    rows::{self, integer},
};

type Result<T> = std::result::Result<T, PostgresError>;

/// With the id of the last entry, if that is kept.
const ROOMS: &str = "
SELECT x.place, s.epoch, r.head, r.oldest, r.last_id, e.id_high, e.id_low,
    ARRAY(SELECT l.epoch FROM $chat.lives l WHERE l.room = r.room AND l.store_epoch = s.epoch ORDER BY l.no) AS lives,
    ARRAY(SELECT l.base FROM $chat.lives l WHERE l.room = r.room AND l.store_epoch = s.epoch ORDER BY l.no) AS bases
FROM unnest($1::text[]) WITH ORDINALITY AS x(id, place) JOIN $chat.rooms r ON r.id = x.id CROSS JOIN $life s
LEFT JOIN $chat.entries e ON e.room = r.room AND e.timeline IN (false, true) AND e.seq = r.head";

const ADMISSIONS: &str = "
SELECT x.place, r.active, r.max_body_chars, m.\"user\" IS NOT NULL AS member
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS x(id, name, place) JOIN $chat.rooms r ON r.id = x.id
LEFT JOIN $chat.members m ON m.room = r.room AND m.\"user\" = x.name AND m.role IS NOT NULL AND m.left_at IS NULL";

const COPIES: &str = "
SELECT x.place, s.epoch, e.seq, e.id_high, e.id_low, e.fingerprint
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS x(id, sender, client_id, place)
JOIN $chat.rooms r ON r.id = x.id
JOIN $chat.entries e ON e.room = r.room AND e.sender = x.sender AND e.client_id = x.client_id
CROSS JOIN $life s";

const TARGETS: &str = "
SELECT x.place, e.seq, e.sender, e.kind, e.deleted_seq IS NULL AS kept
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS x(id, high, low, place)
JOIN $chat.rooms r ON r.id = x.id
JOIN $chat.entries e ON e.id_high = x.high AND e.id_low = x.low AND e.room = r.room";

/// Has a row without a name where there is none, and no row where there is no such room. Positions have no gaps from the
/// first one that is kept on.
const NAMES: &str = "
SELECT e.seq, e.sender, e.client_id FROM $chat.rooms r
LEFT JOIN LATERAL (
    SELECT e.seq, e.sender, e.client_id FROM $chat.entries e
    WHERE e.room = r.room AND e.timeline IN (false, true)
        AND e.seq > greatest($2, r.oldest - 1) AND e.seq <= greatest($2, r.oldest - 1) + $3
    ORDER BY e.seq LIMIT $3) e ON true
WHERE r.id = $1 ORDER BY e.seq";

/// Rows with the `place` that each answers, as a list with one answer per place.
fn by_place<T>(
    found: &[PgRow],
    places: usize,
    mut read: impl FnMut(&PgRow) -> Result<T>,
) -> Result<Vec<Option<T>>> {
    let mut answers: Vec<Option<T>> = std::iter::repeat_with(|| None).take(places).collect();
    for row in found {
        let place = usize::try_from(row.try_get::<i64, _>("place")?).unwrap_or(0);
        if let Some(answer) = place.checked_sub(1).and_then(|place| answers.get_mut(place)) {
            *answer = Some(read(row)?);
        }
    }
    Ok(answers)
}

/// The epoch in the rows of one statement, which is the same in all of them.
async fn epoch_in(shared: &Shared, found: &[PgRow]) -> Result<Epoch> {
    match found.first() {
        Some(row) => shared.epoch_of(row).await,
        None => Ok(shared.epochs.current()),
    }
}

pub(super) async fn rooms(shared: &Shared, rooms: &[RoomId]) -> Result<Vec<Option<ArchivedRoom>>> {
    let ids: Vec<&str> = rooms.iter().map(|room| room.as_str()).collect();
    let found = shared.all(shared.sql.query(ROOMS).bind(ids)).await?;
    let epoch = epoch_in(shared, &found).await?;
    by_place(&found, rooms.len(), |row| {
        let newest: (Option<i64>, Option<i64>) = (row.try_get("id_high")?, row.try_get("id_low")?);
        let last_high: i64 = row.try_get("last_id")?;
        let last_id = match newest {
            (Some(high), Some(low)) => Some(rows::message_id(high, low)),
            // Of an entry that is gone the second half is not known: it may have been the greatest.
            _ => (last_high > 0).then(|| rows::message_id(last_high, -1)),
        };
        let (lives, bases): (Vec<String>, Vec<i64>) = (row.try_get("lives")?, row.try_get("bases")?);
        let lives = lives.iter().zip(bases).map(|(epoch, base)| {
            let epoch = Epoch::new(epoch).map_err(PostgresError::corrupt)?;
            Ok(Life { epoch, base: rows::seq(base)? })
        });
        Ok(ArchivedRoom { head: head(row, epoch.clone())?, last_id, lives: lives.collect::<Result<_>>()? })
    })
}

pub(super) async fn admissions(
    shared: &Shared,
    writers: &[(RoomId, UserId)],
) -> Result<Vec<Option<Admission>>> {
    let statement = shared
        .sql
        .query(ADMISSIONS)
        .bind(writers.iter().map(|(room, _)| room.as_str()).collect::<Vec<_>>())
        .bind(writers.iter().map(|(_, user)| user.as_str()).collect::<Vec<_>>());
    by_place(&shared.all(statement).await?, writers.len(), |row| {
        Ok(Admission {
            active: row.try_get("active")?,
            max_body_chars: u32::try_from(row.try_get::<i32, _>("max_body_chars")?).unwrap_or(0),
            member: row.try_get("member")?,
        })
    })
}

pub(super) async fn copies(
    shared: &Shared,
    names: &[(RoomId, UserId, ClientMessageId)],
) -> Result<Vec<Option<(Position, Fingerprint)>>> {
    let statement = shared
        .sql
        .query(COPIES)
        .bind(names.iter().map(|(room, ..)| room.as_str()).collect::<Vec<_>>())
        .bind(names.iter().map(|(_, sender, _)| sender.as_str()).collect::<Vec<_>>())
        .bind(names.iter().map(|(.., client_id)| client_id.as_str()).collect::<Vec<_>>());
    let found = shared.all(statement).await?;
    let epoch = epoch_in(shared, &found).await?;
    by_place(&found, names.len(), |row| {
        Ok((rows::position(row, &epoch)?, rows::fingerprint(row.try_get("fingerprint")?)?))
    })
}

pub(super) async fn targets(
    shared: &Shared,
    targets: &[(RoomId, MessageId)],
) -> Result<Vec<Option<ArchivedTarget>>> {
    let halves: Vec<_> = targets.iter().map(|(_, id)| rows::halves(*id)).collect();
    let statement = shared
        .sql
        .query(TARGETS)
        .bind(targets.iter().map(|(room, _)| room.as_str()).collect::<Vec<_>>())
        .bind(halves.iter().map(|(high, _)| *high).collect::<Vec<_>>())
        .bind(halves.iter().map(|(_, low)| *low).collect::<Vec<_>>());
    by_place(&shared.all(statement).await?, targets.len(), |row| {
        let kind = stored::kind(row.try_get::<i16, _>("kind")?.into());
        let kept: bool = row.try_get("kept")?;
        Ok(ArchivedTarget {
            seq: rows::seq(row.try_get("seq")?)?,
            sender: rows::user(row.try_get("sender")?)?,
            open: kept && kind.is_some_and(EntryKind::is_countable),
        })
    })
}

/// `None` where there is no such room.
pub(super) async fn names(
    shared: &Shared,
    room: &RoomId,
    after: Seq,
    limit: usize,
) -> Result<Option<Vec<(Seq, UserId, ClientMessageId)>>> {
    let limit = integer(limit as u64).min(integer(Seq::MAX.get()));
    let statement = shared.sql.query(NAMES).bind(room.as_str()).bind(integer(after.get())).bind(limit);
    let found = shared.all(statement).await?;
    if found.is_empty() {
        return Ok(None);
    }
    let mut names = Vec::with_capacity(found.len());
    for row in &found {
        let Some(seq) = row.try_get::<Option<i64>, _>("seq")? else { continue };
        let client_id = ClientMessageId::new(row.try_get("client_id")?).map_err(PostgresError::corrupt)?;
        names.push((rows::seq(seq)?, rows::user(row.try_get("sender")?)?, client_id));
    }
    Ok(Some(names))
}

//! Writes entries that were decided about, in the transaction that holds the locks of their rooms.

use std::collections::BTreeMap;

use chat_core::rules::{
    batch::{Known, NewEntry, RoomNow},
    stored,
};
use sqlx::Row as _;

use super::{Obstacle, change};
use crate::{
    backend::Shared,
    lease::Lease,
    rows::{self, integer, small},
};

type Result<T> = std::result::Result<T, Obstacle>;

const INSERT: &str = "
INSERT INTO $chat.entries (room, seq, ordinal, own, id_high, id_low, target_seq, target_high, target_low, authority, kind,
    body_kind, timeline, countable, sender, client_id, fingerprint, name, body)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::bigint[], $10::smallint[], $11::smallint[], $12::smallint[], $13::boolean[], $14::boolean[],
    $15::text[], $16::text[], $17::bytea[], $18::text[], $19::text[])";

const COUNT: &str = "
UPDATE $chat.rooms r SET head = x.head, countable = x.countable, last_id = greatest(r.last_id, x.last_id),
    last_activity = coalesce(greatest(r.last_activity, x.activity), r.last_activity)
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS x(room, head, countable, last_id, activity)
WHERE r.room = x.room";

const LSN: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint AS lsn";

/// Stores the entries, lets them act on their targets, and moves their rooms on. Answers how far the write-ahead log came.
pub(crate) async fn write(
    shared: &Shared,
    lease: &mut Lease,
    known: &Known<'_>,
    entries: &[NewEntry<'_>],
) -> Result<i64> {
    if !entries.is_empty() {
        insert(shared, lease, entries).await?;
        change::apply(shared, lease, entries).await?;
        count(shared, lease, known, entries).await?;
    }
    Ok(lease.one(shared.sql.query(LSN)).await?.try_get("lsn")?)
}

async fn insert(shared: &Shared, lease: &mut Lease, entries: &[NewEntry<'_>]) -> Result<()> {
    fn column<'e, T>(entries: &'e [NewEntry<'_>], value: impl FnMut(&'e NewEntry<'_>) -> T) -> Vec<T> {
        entries.iter().map(value).collect()
    }
    let ids = column(entries, |new| rows::halves(new.position.id));
    let targets = column(entries, |new| new.draft.content.target().map(rows::halves));
    let bodies = column(entries, |new| stored::body_columns(&new.draft.content));
    let statement = shared
        .sql
        .query(INSERT)
        .bind(column(entries, |new| new.room))
        .bind(column(entries, |new| integer(new.position.cursor.seq.get())))
        .bind(column(entries, |new| new.ordinal))
        .bind(column(entries, |new| if new.countable { new.own } else { 0 }))
        .bind(ids.iter().map(|(high, _)| *high).collect::<Vec<_>>())
        .bind(ids.iter().map(|(_, low)| *low).collect::<Vec<_>>())
        .bind(column(entries, |new| new.target.as_ref().map(|target| target.entry)))
        .bind(targets.iter().map(|target| target.map(|(high, _)| high)).collect::<Vec<_>>())
        .bind(targets.iter().map(|target| target.map(|(_, low)| low)).collect::<Vec<_>>())
        .bind(column(entries, |new| small(stored::authority_number(new.draft.authority))))
        .bind(column(entries, |new| small(stored::kind_number(new.draft.content.kind()))))
        .bind(bodies.iter().map(|(kind, _)| small(*kind)).collect::<Vec<_>>())
        .bind(column(entries, |new| new.timeline))
        .bind(column(entries, |new| new.countable))
        .bind(column(entries, |new| new.draft.sender.as_str()))
        .bind(column(entries, |new| new.draft.client_id.as_str()))
        .bind(column(entries, |new| new.fingerprint.0.to_vec()))
        .bind(column(entries, |new| stored::name_column(&new.draft.content)))
        .bind(bodies.iter().map(|(_, body)| *body).collect::<Vec<_>>());
    lease.execute(statement).await?;
    Ok(())
}

async fn count(
    shared: &Shared,
    lease: &mut Lease,
    known: &Known<'_>,
    entries: &[NewEntry<'_>],
) -> Result<()> {
    let written: BTreeMap<i64, &RoomNow> =
        entries.iter().filter_map(|new| Some((new.room, known.rooms.get(&new.room)?))).collect();
    let statement = shared
        .sql
        .query(COUNT)
        .bind(written.keys().copied().collect::<Vec<_>>())
        .bind(written.values().map(|now| integer(now.head.get())).collect::<Vec<_>>())
        .bind(written.values().map(|now| now.countable).collect::<Vec<_>>())
        .bind(written.values().map(|now| now.last_id.map_or(0, |id| rows::halves(id).0)).collect::<Vec<_>>())
        .bind(written.values().map(|now| now.activity.map(|at| integer(at.as_millis()))).collect::<Vec<_>>());
    lease.execute(statement).await?;
    Ok(())
}

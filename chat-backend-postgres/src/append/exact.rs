//! The exact way: lock the rooms, look up, decide, write. Six round trips, whatever the number of drafts that only add.

use std::collections::{BTreeMap, HashMap};

use chat_core::{
    Draft, Epoch, MessageId, UserId,
    rules::{
        batch::{Known, MemberNow, NewEntry, Plan, RoomNow, Target},
        stored,
    },
};
use sqlx::Row as _;

use super::{Obstacle, Outcomes, Rooms, change};
use crate::{
    PostgresError,
    backend::Shared,
    lease::Lease,
    rows::{self, integer, small},
};

type Result<T> = std::result::Result<T, Obstacle>;

/// In ascending order, as everybody locks rooms.
const LOCK: &str = "
SELECT r.room, r.id, r.active, r.max_body_chars, r.head, r.countable, r.last_id FROM $chat.rooms r
WHERE r.room = ANY($1) ORDER BY r.room FOR NO KEY UPDATE";

const HERE: &str = "
SELECT s.epoch = $1 AND s.timeline = $chat.here_timeline() AND s.place = $chat.here_place(s.tableoid) AS same,
    (pg_current_wal_insert_lsn() - '0/0')::bigint AS lsn,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now FROM $chat.store s";

/// One row for each draft: the sender's membership, how many they sent, and what the client id names already.
const LOOK_UP: &str = "
SELECT x.place, m.\"user\" IS NOT NULL AS member, coalesce(o.own, 0) AS own,
    c.seq, c.id_high, c.id_low, c.fingerprint
FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY AS x(room, sender, client_id, place)
LEFT JOIN $chat.members m ON m.room = x.room AND m.\"user\" = x.sender AND m.role IS NOT NULL AND m.left_at IS NULL
LEFT JOIN LATERAL (
    SELECT e.own FROM $chat.entries e WHERE e.room = x.room AND e.sender = x.sender AND e.countable
    ORDER BY e.seq DESC LIMIT 1) o ON true
LEFT JOIN $chat.entries c ON c.room = x.room AND c.sender = x.sender AND c.client_id = x.client_id";

const LOOK_UP_TARGETS: &str = "
SELECT e.room, e.id_high, e.id_low, e.seq, e.sender, e.countable, e.kind, e.deleted_seq IS NULL AS kept
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS x(room, high, low)
JOIN $chat.entries e ON e.id_high = x.high AND e.id_low = x.low AND e.room = x.room";

const INSERT: &str = "
INSERT INTO $chat.entries (room, seq, ordinal, own, id_high, id_low, target_seq, target_high, target_low, authority, kind,
    body_kind, timeline, countable, sender, client_id, fingerprint, name, body)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::bigint[], $10::smallint[], $11::smallint[], $12::smallint[], $13::boolean[], $14::boolean[],
    $15::text[], $16::text[], $17::bytea[], $18::text[], $19::text[])";

const COUNT: &str = "
UPDATE $chat.rooms r SET head = x.head, countable = x.countable, last_id = x.last_id,
    last_activity = coalesce(greatest(r.last_activity, x.activity), r.last_activity)
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS x(room, head, countable, last_id, activity)
WHERE r.room = x.room";

const LSN: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint AS lsn";

/// What holds once it is committed.
struct Done {
    outcomes: Outcomes,
    heads: Vec<(i64, i64)>,
    lsn: i64,
}

pub(super) async fn append(shared: &Shared, epoch: &Epoch, rooms: &Rooms<'_>) -> Result<Outcomes> {
    // In the batch's order: that of a room is its own, and a change finds its target in it.
    let mut drafts: Vec<(usize, i64, &Draft)> = rooms
        .iter()
        .flat_map(|(room, (_, drafts))| drafts.iter().map(|(place, draft)| (*place, *room, *draft)))
        .collect();
    drafts.sort_unstable_by_key(|(place, ..)| *place);
    let mut lease = shared.lease().await?;
    lease.begin().await?;
    let done = within(shared, epoch, &mut lease, rooms, &drafts).await;
    match done {
        Ok(Done { outcomes, heads, lsn }) => {
            lease.commit().await?;
            for (number, head) in heads {
                if let Some((room, _)) = rooms.get(&number) {
                    room.saw(head);
                }
            }
            shared.epochs.saw(epoch, lsn);
            Ok(outcomes)
        }
        Err(obstacle) => {
            lease.roll_back().await;
            Err(obstacle)
        }
    }
}

async fn within(
    shared: &Shared,
    epoch: &Epoch,
    lease: &mut Lease,
    rooms: &Rooms<'_>,
    drafts: &[(usize, i64, &Draft)],
) -> Result<Done> {
    let (known, now) = look_up(shared, epoch, lease, rooms, drafts).await?;
    let mut plan = Plan::new(known, epoch.clone(), |last: Option<MessageId>| {
        let last = last.map_or(0, |id| rows::halves(id).0);
        let high = last.max(now << 16) + 1;
        (rows::message_id(high, rows::random_half()), rows::time_of(high))
    });
    let outcomes: Outcomes =
        drafts.iter().map(|(place, room, draft)| (*place, plan.decide(draft, Some(*room)))).collect();
    let (known, entries) = (plan.known, plan.entries);
    if !entries.is_empty() {
        insert(shared, lease, &entries).await?;
        for entry in &entries {
            if let Some(target) = &entry.target {
                change::apply(shared, lease, entry, target).await?;
            }
        }
        count(shared, lease, &known, &entries).await?;
    }
    let lsn = lease.one(shared.sql.query(LSN)).await?.try_get("lsn")?;
    let heads = known.rooms.iter().map(|(number, now)| (*number, integer(now.head.get()))).collect();
    Ok(Done { outcomes, heads, lsn })
}

/// What the drafts are decided by, and the time.
async fn look_up<'d>(
    shared: &Shared,
    epoch: &Epoch,
    lease: &mut Lease,
    rooms: &Rooms<'d>,
    drafts: &[(usize, i64, &'d Draft)],
) -> Result<(Known<'d>, i64)> {
    let mut known = Known::default();
    let mut put_back = false;
    let seen = shared.epochs.seen();
    let numbers: Vec<i64> = rooms.keys().copied().collect();
    for row in lease.all(shared.sql.query(LOCK).bind(numbers)).await? {
        let number: i64 = row.try_get("room")?;
        let (id, head): (&str, i64) = (row.try_get("id")?, row.try_get("head")?);
        put_back |= rooms.get(&number).is_some_and(|(room, drafts)| {
            head < room.head() || drafts.first().is_some_and(|(_, draft)| draft.room.as_str() != id)
        });
        let now = RoomNow {
            active: row.try_get("active")?,
            max_body_chars: u32::try_from(row.try_get::<i32, _>("max_body_chars")?).unwrap_or(0),
            head: rows::seq(head)?,
            countable: row.try_get("countable")?,
            activity: None,
            last_id: Some(rows::message_id(row.try_get("last_id")?, 0)),
        };
        known.rooms.insert(number, now);
    }
    // Under the locks and in a statement of its own: this one sees what earlier holders committed.
    let here = lease.one(shared.sql.query(HERE).bind(epoch.as_str())).await?;
    if !here.try_get::<bool, _>("same")? {
        return Err(Obstacle::OtherEpoch);
    }
    if put_back || here.try_get::<i64, _>("lsn")? < seen {
        return Err(Obstacle::PutBack);
    }
    let statement = shared
        .sql
        .query(LOOK_UP)
        .bind(drafts.iter().map(|(_, room, _)| *room).collect::<Vec<_>>())
        .bind(drafts.iter().map(|(_, _, draft)| draft.sender.as_str()).collect::<Vec<_>>())
        .bind(drafts.iter().map(|(_, _, draft)| draft.client_id.as_str()).collect::<Vec<_>>());
    for row in lease.all(statement).await? {
        let place = usize::try_from(row.try_get::<i64, _>("place")?).unwrap_or(0);
        let Some((_, room, draft)) = place.checked_sub(1).and_then(|place| drafts.get(place)) else {
            continue;
        };
        if row.try_get("member")? {
            let member = MemberNow { own: row.try_get("own")?, changed: false };
            known.members.insert((*room, &draft.sender), member);
        }
        if row.try_get::<Option<i64>, _>("seq")?.is_some() {
            let position = rows::position(&row, epoch)?;
            let fingerprint = rows::fingerprint(row.try_get("fingerprint")?)?;
            known.copies.insert((*room, &draft.sender, &draft.client_id), (position, fingerprint));
        }
    }
    let targets: Vec<_> =
        drafts.iter().filter_map(|(_, room, draft)| Some((*room, draft.content.target()?))).collect();
    known.targets = look_up_targets(shared, lease, &targets).await?;
    Ok((known, here.try_get("now")?))
}

async fn look_up_targets(
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

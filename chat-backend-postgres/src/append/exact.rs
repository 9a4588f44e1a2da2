//! The exact way: lock the rooms, look up, decide, write. Six round trips for drafts that only add, and some
//! nine more for those that change others, whatever their number.

use chat_core::{
    Draft, Epoch, MessageId,
    rules::batch::{Known, MemberNow, Plan},
};
use sqlx::Row as _;

use super::{
    Obstacle, Outcomes, Rooms,
    lock::{self, Locked},
    target, write,
};
use crate::{
    backend::Shared,
    lease::Lease,
    rows::{self, integer},
};

type Result<T> = std::result::Result<T, Obstacle>;

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
    let lsn = write::write(shared, lease, &known, &entries).await?;
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
    let named = rooms.iter().filter_map(|(number, (room, drafts))| {
        let (_, draft) = drafts.first()?;
        Some((*number, (&**room, &draft.room)))
    });
    let Locked { rooms, now, .. } = lock::lock(shared, lease, epoch, &named.collect()).await?;
    let mut known = Known { rooms, ..Known::default() };
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
    known.targets = target::look_up(shared, lease, &targets).await?;
    Ok((known, now))
}

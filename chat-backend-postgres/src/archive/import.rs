//! Stores entries that have their positions already: so many statements for a call, whatever the number of rooms and entries.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use chat_core::{
    Authority, Epoch, Error, MessageId, RoomId, Seq,
    rules::batch::{Known, MemberNow, Plan},
    tiered::{Import, ImportEntry, ImportOutcome, Life},
};
use sqlx::Row as _;

use super::lives;
use crate::{
    PostgresError,
    append::{Obstacle, lock, overcome, target, write},
    backend::Shared,
    lease::Lease,
    numbers::Numbered,
    rows::{self, integer},
};

const THERE: &str = "
SELECT e.room, e.seq, e.id_high, e.id_low FROM unnest($1::bigint[], $2::bigint[]) AS x(room, seq)
JOIN $chat.entries e ON e.room = x.room AND e.timeline IN (false, true) AND e.seq = x.seq";

/// How many entries that can be unread each of them sent, member or not.
const OWN: &str = "
SELECT x.place, o.own FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS x(room, sender, place)
CROSS JOIN LATERAL (
    SELECT e.own FROM $chat.entries e WHERE e.room = x.room AND e.sender = x.sender AND e.countable
    ORDER BY e.seq DESC LIMIT 1) o";

const ENTRY: &str = "entry to be archived";

/// A value that no column takes, or a name or an id that is taken: SQLSTATE's classes 22 and 23.
pub(super) fn failed(error: PostgresError) -> Error {
    match error.sqlstate() {
        Some(state) if state.starts_with("22") || state.starts_with("23") => Error::invalid(ENTRY, error),
        _ => error.during("import"),
    }
}

type Rooms<'i> = BTreeMap<i64, (Arc<Numbered>, &'i Import)>;

/// What holds once it is committed.
struct Done {
    outcomes: HashMap<i64, ImportOutcome>,
    lsn: i64,
}

/// Stores the entries. To be run where nobody drops it.
pub(super) async fn import(
    shared: Arc<Shared>,
    imports: Vec<Import>,
) -> Result<Vec<ImportOutcome>, PostgresError> {
    let mut attempt = 0;
    loop {
        let epoch = shared.epochs.current();
        match try_import(&shared, &epoch, &imports).await {
            Ok(outcomes) => return Ok(outcomes),
            Err(obstacle) => overcome(&shared, &epoch, obstacle, attempt).await?,
        }
        attempt += 1;
    }
}

/// What no call that keeps the contract contains, and no table could hold.
pub(super) fn check(imports: &[Import]) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::invalid(ENTRY, why));
    let mut seen = HashSet::new();
    for Import { room, entries, .. } in imports {
        if entries.is_empty() || !seen.insert(room) {
            return refuse("an import without entries, or two of one room");
        }
        if entries.windows(2).any(|two| two[1].seq != two[0].seq.next() || two[1].id <= two[0].id) {
            return refuse("entries of an import that do not follow each other");
        }
        if entries.iter().any(|entry| entry.draft.room != *room || !rows::fits(entry.id)) {
            return refuse("an entry of another room, or of a time that is out of range");
        }
    }
    Ok(())
}

async fn try_import(
    shared: &Shared,
    epoch: &Epoch,
    imports: &[Import],
) -> Result<Vec<ImportOutcome>, Obstacle> {
    let numbers = shared.numbers(epoch, imports.iter().map(|import| &import.room)).await?;
    let rooms: Rooms<'_> = imports
        .iter()
        .filter_map(|import| {
            let numbered = numbers.get(&import.room)?;
            Some((numbered.number, (Arc::clone(numbered), import)))
        })
        .collect();
    let mut lease = shared.lease().await?;
    lease.begin().await?;
    let done = within(shared, &mut lease, epoch, &rooms).await;
    let Done { outcomes, lsn } = match done {
        Ok(done) => {
            lease.commit().await?;
            done
        }
        Err(obstacle) => {
            lease.roll_back().await;
            return Err(obstacle);
        }
    };
    shared.epochs.saw(epoch, lsn);
    for (number, outcome) in &outcomes {
        if let (ImportOutcome::Stored(head), Some((room, _))) = (outcome, rooms.get(number)) {
            room.saw(integer(head.get()));
        }
    }
    shared.unsearchable.add(rooms.into_keys());
    let outcome = |import: &Import| {
        let number = numbers.get(&import.room)?.number;
        outcomes.get(&number).copied()
    };
    Ok(imports.iter().map(|import| outcome(import).unwrap_or(ImportOutcome::RoomMissing)).collect())
}

async fn within(
    shared: &Shared,
    lease: &mut Lease,
    epoch: &Epoch,
    rooms: &Rooms<'_>,
) -> Result<Done, Obstacle> {
    let named: BTreeMap<i64, (&Numbered, &RoomId)> =
        rooms.iter().map(|(number, (room, import))| (*number, (&**room, &import.room))).collect();
    let locked = lock::lock(shared, lease, epoch, &named).await?;
    let lives = lives::of(shared, lease, epoch, locked.rooms.keys().copied().collect()).await?;
    let head = |number: i64| locked.rooms.get(&number).map(|now| now.head);
    let kept = |number: i64, seq: Seq| locked.oldest.get(&number).is_none_or(|oldest| seq >= *oldest);
    let passed = rooms.iter().flat_map(|(number, (_, import))| {
        let upto = head(*number).unwrap_or(Seq::ZERO);
        let entries = import.entries.iter().take_while(move |entry| entry.seq <= upto);
        entries.filter(|entry| kept(*number, entry.seq)).map(|entry| (*number, entry))
    });
    let passed: Vec<(i64, &ImportEntry)> = passed.collect();
    let others = others(shared, lease, &passed).await?;

    let mut outcomes = HashMap::new();
    let mut new: Vec<(i64, &ImportEntry)> = Vec::new();
    for (number, (_, import)) in rooms {
        let Some(head) = head(*number) else { continue };
        let lives = lives.get(number).map_or(&[][..], Vec::as_slice);
        let outcome = judge(import, head, lives, others.contains(number));
        if let ImportOutcome::Stored(_) = outcome {
            let entries = import.entries.iter().skip_while(|entry| entry.seq <= head);
            new.extend(entries.map(|entry| (*number, entry)));
        }
        outcomes.insert(*number, outcome);
    }
    let mut known = Known { rooms: locked.rooms, ..Known::default() };
    look_up(shared, lease, &new, &mut known).await?;
    let mut plan = Plan::of_import(known, epoch.clone());
    for (number, entry) in new {
        plan.import(entry, number, integer(entry.seq.get()));
    }
    let (known, entries) = (plan.known, plan.entries);
    let lsn = write::write(shared, lease, &known, &entries).await?;
    Ok(Done { outcomes, lsn })
}

/// What becomes of an import, in a room with this head and these lives.
fn judge(import: &Import, head: Seq, lives: &[Life], others_are_there: bool) -> ImportOutcome {
    let (Some(first), Some(last)) = (import.entries.first(), import.entries.last()) else {
        return ImportOutcome::Stored(head);
    };
    if others_are_there || !lives::go_along(lives, &import.life, last.seq) {
        ImportOutcome::Superseded
    } else if first.seq > head.next() {
        ImportOutcome::Gap(head)
    } else {
        ImportOutcome::Stored(head.max(last.seq))
    }
}

/// The rooms that have another entry where one of these should be.
async fn others(
    shared: &Shared,
    lease: &mut Lease,
    passed: &[(i64, &ImportEntry)],
) -> Result<HashSet<i64>, Obstacle> {
    if passed.is_empty() {
        return Ok(HashSet::new());
    }
    let statement = shared
        .sql
        .query(THERE)
        .bind(passed.iter().map(|(room, _)| *room).collect::<Vec<_>>())
        .bind(passed.iter().map(|(_, entry)| integer(entry.seq.get())).collect::<Vec<_>>());
    let mut there = HashMap::new();
    for row in lease.all(statement).await? {
        let place: (i64, i64) = (row.try_get("room")?, row.try_get("seq")?);
        there.insert(place, rows::message_id(row.try_get("id_high")?, row.try_get("id_low")?));
    }
    let other = |room: i64, entry: &ImportEntry| {
        there.get(&(room, integer(entry.seq.get()))).is_none_or(|id| *id != entry.id)
    };
    Ok(passed.iter().filter(|(room, entry)| other(*room, entry)).map(|(room, _)| *room).collect())
}

/// What new entries are counted by, and what they change.
async fn look_up<'i>(
    shared: &Shared,
    lease: &mut Lease,
    new: &[(i64, &'i ImportEntry)],
    known: &mut Known<'i>,
) -> Result<(), Obstacle> {
    let none = MemberNow { own: 0, changed: false };
    for (room, ImportEntry { draft, .. }) in new {
        if draft.content.kind().is_countable() && draft.authority != Authority::System {
            known.members.insert((*room, &draft.sender), none);
        }
    }
    if !known.members.is_empty() {
        let statement = shared
            .sql
            .query(OWN)
            .bind(known.members.keys().map(|(room, _)| *room).collect::<Vec<_>>())
            .bind(known.members.keys().map(|(_, sender)| sender.as_str()).collect::<Vec<_>>());
        let mut counted = HashMap::new();
        for row in lease.all(statement).await? {
            counted.insert(row.try_get::<i64, _>("place")?, row.try_get::<i64, _>("own")?);
        }
        for (member, place) in known.members.values_mut().zip(1..) {
            member.own = counted.get(&place).copied().unwrap_or(0);
        }
    }
    let targets: Vec<(i64, MessageId)> =
        new.iter().filter_map(|(room, entry)| Some((*room, entry.draft.content.target()?))).collect();
    known.targets = target::look_up(shared, lease, &targets).await?;
    Ok(())
}

//! Appends a batch that may mix rooms.
//!
//! Rooms whose drafts change no other entry and repeat nothing within the batch go the fast way: one statement, one round
//! trip, whatever their number. What the fast way cannot do, such as answering a repeat with its first position, it refuses
//! as a whole without having done anything, and the exact way decides.

mod change;
mod exact;
mod fast;
pub(crate) mod lock;
mod reaction;
pub(crate) mod target;
pub(crate) mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chat_core::{AppendOutcome, Draft, Epoch, Refusal};

use crate::{PostgresError, PostgresErrorKind, backend::Shared, numbers::Numbered};

type Result<T> = std::result::Result<T, PostgresError>;

/// A transaction that lost against another one has done nothing, so it is tried again at once, so often.
const ATTEMPTS: usize = 4;
/// And before the last ones it waits up to so long, so that they do not meet again.
const PAUSE: Duration = Duration::from_millis(20);

/// A draft with its place in the batch.
type Placed<'d> = (usize, &'d Draft);

/// Drafts by the number of their room.
type Rooms<'d> = BTreeMap<i64, (Arc<Numbered>, Vec<Placed<'d>>)>;

/// What became of drafts: the place of each, and its outcome.
type Outcomes = Vec<(usize, AppendOutcome)>;

/// What stands in the way of a statement that gives out positions.
pub(crate) enum Obstacle {
    /// The exact way decides.
    NotPlain,
    /// An entry of this name, or of this id, is there already.
    Taken(PostgresError),
    /// The store is another one than this node believes.
    OtherEpoch,
    /// The store is one that it was before: what this epoch has given out since is gone.
    PutBack,
    /// Anything else.
    Failed(PostgresError),
}

/// Raised by our own functions.
const NOT_PLAIN: &str = "CH001";
const OTHER_EPOCH: &str = "CH002";
const PUT_BACK: &str = "CH003";
const UNIQUE_VIOLATION: &str = "23505";

impl From<PostgresError> for Obstacle {
    fn from(error: PostgresError) -> Self {
        match error.sqlstate() {
            Some(NOT_PLAIN) => Self::NotPlain,
            Some(UNIQUE_VIOLATION) => Self::Taken(error),
            Some(OTHER_EPOCH) => Self::OtherEpoch,
            Some(PUT_BACK) => Self::PutBack,
            _ => Self::Failed(error),
        }
    }
}

impl From<sqlx::Error> for Obstacle {
    fn from(error: sqlx::Error) -> Self {
        PostgresError::from(error).into()
    }
}

/// Stores the batch. To be run where nobody drops it: half of it may have been stored.
pub(crate) async fn append(shared: Arc<Shared>, drafts: Vec<Draft>) -> Result<Vec<AppendOutcome>> {
    let mut outcomes = vec![None; drafts.len()];
    let mut open: Vec<Placed<'_>> = drafts.iter().enumerate().collect();
    let mut attempt = 0;
    while !open.is_empty() {
        let epoch = shared.epochs.current();
        if let Err(obstacle) = try_append(&shared, &epoch, &open, &mut outcomes).await {
            overcome(&shared, &epoch, obstacle, attempt).await?;
        }
        attempt += 1;
        open.retain(|(place, _)| outcomes[*place].is_none());
    }
    outcomes
        .into_iter()
        .map(|outcome| outcome.ok_or_else(|| PostgresError::corrupt("a draft without an outcome")))
        .collect()
}

/// Gets ready to try again what met an obstacle, for the `attempt`-th time counted from zero; an error where that is of no use.
pub(crate) async fn overcome(
    shared: &Shared,
    epoch: &Epoch,
    obstacle: Obstacle,
    attempt: usize,
) -> Result<()> {
    let more = attempt + 1 < ATTEMPTS;
    match obstacle {
        Obstacle::OtherEpoch if more => {
            shared.epochs.renew(&shared.connections, &shared.sql, None).await?;
        }
        Obstacle::PutBack if more => {
            shared.epochs.renew(&shared.connections, &shared.sql, Some(epoch)).await?;
        }
        Obstacle::Failed(error) if error.kind() == PostgresErrorKind::Conflict && more => {
            tracing::debug!(%error, "a write lost against another transaction and is tried again");
            if attempt > 0 {
                tokio::time::sleep(PAUSE.mul_f32(fastrand::f32())).await;
            }
        }
        Obstacle::Failed(error) | Obstacle::Taken(error) => return Err(error),
        Obstacle::NotPlain | Obstacle::OtherEpoch | Obstacle::PutBack => {
            return Err(PostgresError::new(PostgresErrorKind::Conflict, "the store keeps changing"));
        }
    }
    Ok(())
}

async fn try_append(
    shared: &Shared,
    epoch: &Epoch,
    drafts: &[Placed<'_>],
    outcomes: &mut [Option<AppendOutcome>],
) -> std::result::Result<(), Obstacle> {
    let names: BTreeSet<_> = drafts.iter().map(|(_, draft)| &draft.room).collect();
    let numbers = shared.numbers(epoch, names.into_iter()).await?;
    let mut rooms = Rooms::new();
    for (place, draft) in drafts {
        match numbers.get(&draft.room) {
            Some(room) => {
                let (_, drafts) = rooms.entry(room.number).or_insert_with(|| (Arc::clone(room), Vec::new()));
                drafts.push((*place, *draft));
            }
            None => outcomes[*place] = Some(AppendOutcome::Refused(Refusal::RoomMissing)),
        }
    }
    let (plain, mut special): (Rooms<'_>, Rooms<'_>) =
        rooms.into_iter().partition(|(_, (_, drafts))| is_plain(drafts));
    if !plain.is_empty() {
        match fast::append(shared, epoch, &plain).await {
            Ok(done) => {
                shared.unsearchable.add(plain.into_keys());
                note(outcomes, done);
            }
            Err(Obstacle::NotPlain | Obstacle::Taken(_)) => special.extend(plain),
            Err(other) => return Err(other),
        }
    }
    if !special.is_empty() {
        let done = exact::append(shared, epoch, &special).await.map_err(|obstacle| match obstacle {
            // Of a name it would have been a repeat, and an id is another one next time.
            Obstacle::Taken(_) => Obstacle::NotPlain,
            other => other,
        })?;
        note(outcomes, done);
        shared.unsearchable.add(special.into_keys());
    }
    Ok(())
}

fn note(outcomes: &mut [Option<AppendOutcome>], done: Outcomes) {
    for (place, outcome) in done {
        if let Some(known) = outcomes.get_mut(place) {
            *known = Some(outcome);
        }
    }
}

/// Whether none of a room's drafts changes another entry, and none repeats another one.
fn is_plain(drafts: &[Placed<'_>]) -> bool {
    let mut seen = BTreeSet::new();
    drafts
        .iter()
        .all(|(_, draft)| draft.content.target().is_none() && seen.insert((&draft.sender, &draft.client_id)))
}

//! Appends through the hot log, which is told what it needs to know of the rooms and of the archive.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::debug;

use super::{HotAppended, HotBatch, HotDraft, HotOutcome, Shared, gates::Gated, payload};
use crate::{
    AppendOutcome, Cursor, Draft, Epoch, Error, Fingerprint, MessageId, Position, Refusal, Result, RoomId,
    Seq,
};

/// So long what the hot log wants to know is looked up: rooms to open, gates that change, names and targets in the archive.
const PATIENCE: Duration = Duration::from_secs(3);
/// What a sender is told to wait when that was not enough, or too much waits to be archived.
const BUSY_RETRY: Duration = Duration::from_millis(500);

/// What is left to do of one room's drafts.
pub(super) struct Work<'d> {
    /// The drafts that have no outcome yet, in the batch's order.
    pub(super) open: Vec<Waiting<'d>>,
    pub(super) gated: Option<Arc<Gated>>,
}

pub(super) struct Waiting<'d> {
    place: usize,
    pub(super) draft: &'d Draft,
    pub(super) hot: HotDraft,
    pub(super) refusal: Option<Refusal>,
}

/// What is to be looked up before the next round.
#[derive(Default)]
struct Questions {
    closed: Vec<RoomId>,
    /// Rooms with the first position that the hot log has.
    copies: Vec<(RoomId, Seq)>,
    targets: Vec<RoomId>,
}

impl Shared {
    pub(super) async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        let mut outcomes = vec![None; drafts.len()];
        let mut rooms: BTreeMap<RoomId, Work<'_>> = BTreeMap::new();
        for (place, draft) in drafts.iter().enumerate() {
            let waiting = Waiting { place, draft, hot: payload::hot_draft(draft)?, refusal: None };
            match rooms.get_mut(&draft.room) {
                Some(work) => work.open.push(waiting),
                None => {
                    let gated = self.gates.room(&draft.room).await;
                    rooms.insert(draft.room.clone(), Work { open: vec![waiting], gated });
                }
            }
        }
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            self.round(&mut rooms, &mut outcomes).await?;
            rooms.retain(|_, work| !work.open.is_empty());
            if rooms.is_empty() {
                self.appended.notify_one();
                // Each draft has left its room's work with an outcome.
                return outcomes.into_iter().map(|outcome| outcome.ok_or_else(busy)).collect();
            }
        }
        // What was decided holds; nothing else was stored.
        for work in rooms.values_mut() {
            settle(work, &mut outcomes, |_| Refusal::Busy);
        }
        outcomes.into_iter().map(|outcome| outcome.ok_or_else(busy)).collect()
    }

    /// Admits, appends, and looks up what stands in the way.
    async fn round(
        &self,
        rooms: &mut BTreeMap<RoomId, Work<'_>>,
        outcomes: &mut [Option<AppendOutcome>],
    ) -> Result<()> {
        self.admit(rooms, outcomes).await;
        rooms.retain(|_, work| !work.open.is_empty());
        if rooms.is_empty() {
            return Ok(());
        }
        let batches: Vec<HotBatch> = rooms
            .iter()
            .map(|(room, work)| HotBatch {
                room: room.clone(),
                gate: work.gated.as_ref().map(|gated| gated.gate.clone()),
                drafts: work.open.iter().map(|waiting| waiting.hot.clone()).collect(),
            })
            .collect();
        let answers = self.hot.append(&batches).await?;
        let mut ask = Questions::default();
        for ((room, work), answer) in rooms.iter_mut().zip(answers) {
            match answer {
                HotAppended::Closed => ask.closed.push(room.clone()),
                HotAppended::Gate(state) => {
                    self.gates.renew(room, state).await;
                    work.gated = self.gates.room(room).await;
                }
                HotAppended::Full => settle(work, outcomes, |_| Refusal::Busy),
                HotAppended::Done(life, done) => ask.note(room, work, &life, done, outcomes),
            }
        }
        // Where the archive does not answer, the rooms that need it are refused, and no other ones.
        self.open_closed(ask.closed, rooms, outcomes).await;
        if let Err(error) = self.ask_for_copies(&ask.copies, rooms, outcomes).await {
            refuse_first(ask.copies.iter().map(|(room, _)| room), rooms, outcomes, &error);
        }
        if let Err(error) = self.ask_for_targets(&ask.targets, rooms, outcomes).await {
            refuse_first(ask.targets.iter(), rooms, outcomes, &error);
        }
        Ok(())
    }

    async fn open_closed(
        &self,
        closed: Vec<RoomId>,
        rooms: &mut BTreeMap<RoomId, Work<'_>>,
        outcomes: &mut [Option<AppendOutcome>],
    ) {
        for (room, opened) in self.open_all(closed).await {
            match opened {
                Ok(Some(_)) => self.learner.add(&room),
                Ok(None) => {
                    if let Some(work) = rooms.get_mut(&room) {
                        settle(work, outcomes, |_| Refusal::RoomMissing);
                    }
                }
                Err(error) => refuse([&room].into_iter(), rooms, outcomes, &error),
            }
        }
    }

    /// Which of the drafts the archive has already.
    async fn ask_for_copies(
        &self,
        asked: &[(RoomId, Seq)],
        rooms: &mut BTreeMap<RoomId, Work<'_>>,
        outcomes: &mut [Option<AppendOutcome>],
    ) -> Result<()> {
        let mut names = Vec::new();
        for (room, _) in asked {
            let waiting = rooms.get(room).into_iter().flat_map(|work| &work.open);
            names.extend(waiting.map(|waiting| {
                let draft = waiting.draft;
                (draft.room.clone(), draft.sender.clone(), draft.client_id.clone())
            }));
        }
        if names.is_empty() {
            return Ok(());
        }
        let mut copies = self.asking.ask(self.archive.copies(&names)).await?.into_iter();
        let asked_rooms: Vec<RoomId> = asked.iter().map(|(room, _)| room.clone()).collect();
        let whereabouts = self.whereabouts(&asked_rooms).await?;
        for ((room, first), place) in asked.iter().zip(whereabouts) {
            self.learner.add(room);
            let Some(work) = rooms.get_mut(room) else { continue };
            work.open.retain_mut(|waiting| {
                let copy = copies.next().flatten();
                let (Some(place), Some((position, fingerprint))) = (&place, copy) else {
                    waiting.hot.not_archived = Some(*first);
                    return true;
                };
                let cursor = Cursor::new(place.epoch().clone(), position.cursor.seq);
                let outcome = repeat(waiting.draft, Position { cursor, ..position }, fingerprint);
                note(outcomes, waiting.place, outcome);
                false
            });
        }
        Ok(())
    }

    /// What the archive says of targets. The first draft of each of these rooms is the one that needs it; where its target is
    /// not there either, it is missing.
    async fn ask_for_targets(
        &self,
        asked: &[RoomId],
        rooms: &mut BTreeMap<RoomId, Work<'_>>,
        outcomes: &mut [Option<AppendOutcome>],
    ) -> Result<()> {
        let mut targets = Vec::new();
        for room in asked {
            let waiting = rooms.get(room).into_iter().flat_map(|work| &work.open);
            targets
                .extend(waiting.filter_map(|waiting| Some((room.clone(), waiting.draft.content.target()?))));
        }
        if targets.is_empty() {
            return Ok(());
        }
        let mut answers = self.asking.ask(self.archive.targets(&targets)).await?.into_iter();
        for room in asked {
            let Some(work) = rooms.get_mut(room) else { continue };
            for waiting in &mut work.open {
                if let Some(change) = &mut waiting.hot.change {
                    change.known = answers.next().flatten();
                }
            }
            let missing = |waiting: &Waiting<'_>| {
                waiting.hot.change.as_ref().is_some_and(|change| change.known.is_none())
            };
            if work.open.first().is_some_and(missing) {
                let first = work.open.remove(0);
                note(outcomes, first.place, AppendOutcome::Refused(Refusal::TargetMissing));
            }
        }
        Ok(())
    }
}

impl Questions {
    /// Takes what was decided out of the room's work, and notes what is to be asked.
    fn note(
        &mut self,
        room: &RoomId,
        work: &mut Work<'_>,
        life: &Epoch,
        done: Vec<HotOutcome>,
        outcomes: &mut [Option<AppendOutcome>],
    ) {
        let mut done = done.into_iter();
        let at = |seq: Seq, id: MessageId| Position {
            cursor: Cursor::new(life.clone(), seq),
            id,
            created_at: id.timestamp(),
        };
        work.open.retain_mut(|waiting| {
            let outcome = match done.next() {
                Some(HotOutcome::New { seq, id }) => AppendOutcome::New(at(seq, id)),
                Some(HotOutcome::Known { seq, id, fingerprint }) => {
                    repeat(waiting.draft, at(seq, id), fingerprint)
                }
                Some(HotOutcome::Refused) => match waiting.refusal.take() {
                    Some(refusal) => AppendOutcome::Refused(refusal),
                    None => return true,
                },
                Some(HotOutcome::TargetMissing) => AppendOutcome::Refused(Refusal::TargetMissing),
                Some(HotOutcome::TargetNotOwn) => AppendOutcome::Refused(Refusal::TargetNotOwn),
                Some(HotOutcome::AskForCopy(first)) => {
                    self.copies.push((room.clone(), first));
                    return true;
                }
                Some(HotOutcome::AskForTarget) => {
                    self.targets.push(room.clone());
                    return true;
                }
                Some(HotOutcome::NotReached) | None => return true,
            };
            note(outcomes, waiting.place, outcome);
            false
        });
    }
}

/// A repeat has the payload of the first one; anything else is a conflict.
fn repeat(draft: &Draft, first: Position, fingerprint: Fingerprint) -> AppendOutcome {
    if fingerprint == draft.fingerprint() {
        AppendOutcome::Duplicate(first)
    } else {
        AppendOutcome::Conflict(first)
    }
}

/// Refuses the first of what is left of these rooms' drafts: the one that needs what the archive does not answer.
fn refuse_first<'r>(
    asked: impl Iterator<Item = &'r RoomId>,
    rooms: &mut BTreeMap<RoomId, Work<'_>>,
    outcomes: &mut [Option<AppendOutcome>],
    error: &Error,
) {
    debug!(error = %error.with_causes(), "the archive was asked in vain; sends that need it are refused");
    for room in asked {
        if let Some(work) = rooms.get_mut(room)
            && !work.open.is_empty()
        {
            let first = work.open.remove(0);
            note(outcomes, first.place, AppendOutcome::Refused(Refusal::Busy));
        }
    }
}

/// Refuses what is left of these rooms' drafts, since the archive does not answer.
pub(super) fn refuse<'r>(
    asked: impl Iterator<Item = &'r RoomId>,
    rooms: &mut BTreeMap<RoomId, Work<'_>>,
    outcomes: &mut [Option<AppendOutcome>],
    error: &Error,
) {
    debug!(error = %error.with_causes(), "the archive was asked in vain; sends that need it are refused");
    for room in asked {
        if let Some(work) = rooms.get_mut(room) {
            settle(work, outcomes, |_| Refusal::Busy);
        }
    }
}

/// Refuses all that is left of a room's drafts.
pub(super) fn settle(
    work: &mut Work<'_>,
    outcomes: &mut [Option<AppendOutcome>],
    refusal: impl Fn(&Draft) -> Refusal,
) {
    for waiting in work.open.drain(..) {
        note(outcomes, waiting.place, AppendOutcome::Refused(refusal(waiting.draft)));
    }
}

fn note(outcomes: &mut [Option<AppendOutcome>], place: usize, outcome: AppendOutcome) {
    if let Some(known) = outcomes.get_mut(place) {
        *known = Some(outcome);
    }
}

const fn busy() -> Error {
    Error::Busy { retry_after: BUSY_RETRY }
}

//! All rooms of a hot log: who may open them, who may change who writes into them, and what was put aside.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{MemoryHotLog, Now, room::Room};
use crate::{
    Epoch, RoomId,
    tiered::{Claim, DeadLetter, Gate, GateState, Hold, HotAppended, HotBatch, HotState, Opening},
};

/// Why entries were put aside when their room was opened again.
const LOST: &str = "its room was opened again without it";

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) rooms: BTreeMap<RoomId, Room>,
    gates: BTreeMap<RoomId, GateKept>,
    claims: BTreeMap<RoomId, ClaimKept>,
    pub(super) lost: VecDeque<DeadLetter>,
    pub(super) buried: VecDeque<DeadLetter>,
}

/// The gate of a room, open or not.
#[derive(Clone)]
struct GateKept {
    token: Bytes,
    holds: BTreeSet<Bytes>,
}

#[derive(Clone)]
struct ClaimKept {
    token: Bytes,
    until: Instant,
}

/// A token that was never given out before.
pub(super) fn token() -> Bytes {
    Bytes::copy_from_slice(&fastrand::u128(..).to_be_bytes())
}

impl GateKept {
    fn new() -> Self {
        Self { token: token(), holds: BTreeSet::new() }
    }

    fn state(&self) -> GateState {
        GateState { gate: Gate(self.token.clone()), settled: self.holds.is_empty() }
    }
}

impl State {
    pub(super) fn room_state(&self, room: &RoomId) -> HotState {
        match self.rooms.get(room) {
            Some(known) if known.open => HotState::Open(known.to_hot()),
            Some(known) if known.waiting() > 0 => HotState::Left,
            _ => HotState::Absent,
        }
    }

    pub(super) fn open_room(&self, room: &RoomId) -> Option<&Room> {
        self.rooms.get(room).filter(|known| known.open)
    }

    /// The room, if it is open and in this life.
    pub(super) fn living_room_mut(&mut self, room: &RoomId, life: &Epoch) -> Option<&mut Room> {
        self.rooms.get_mut(room).filter(|known| known.open && known.life == *life)
    }

    pub(super) fn append(&mut self, batch: &HotBatch, backlog: u64, now: Now) -> HotAppended {
        let Some(room) = self.rooms.get_mut(&batch.room).filter(|known| known.open) else {
            return HotAppended::Closed;
        };
        let gate = self.gates.entry(batch.room.clone()).or_insert_with(GateKept::new);
        if batch.gate.as_ref().is_none_or(|asked| asked.0 != gate.token) {
            return HotAppended::Gate(gate.state());
        }
        if room.waiting() >= backlog {
            return HotAppended::Full;
        }
        HotAppended::Done(room.life.clone(), room.append(&batch.drafts, now))
    }

    pub(super) fn claim(&mut self, room: &RoomId, lasts: Duration, now: Now) -> Claim {
        let known = self.rooms.get(room);
        if let Some(open) = known.filter(|known| known.open) {
            return Claim::Open(open.to_hot());
        }
        if let Some(claim) = self.claims.get(room).filter(|claim| claim.until > now.instant) {
            return Claim::Wait(claim.until - now.instant);
        }
        let claim = ClaimKept { token: token(), until: now.instant + lasts };
        self.claims.insert(room.clone(), claim.clone());
        Claim::Yours { token: claim.token, left: known.map(Room::to_hot) }
    }

    pub(super) fn open(&mut self, opening: Opening, window: usize, now: Now) -> bool {
        let claimed = self
            .claims
            .get(&opening.room)
            .is_some_and(|claim| claim.token == opening.token && claim.until > now.instant);
        if !claimed || self.open_room(&opening.room).is_some() {
            return false;
        }
        self.claims.remove(&opening.room);
        let left = self.rooms.remove(&opening.room);
        let room = match left {
            Some(left) if opening.keep && left.reaches(opening.base, opening.archived) => {
                left.go_on(&opening, window)
            }
            left => {
                if let Some(left) = left {
                    self.put_aside(&opening.room, &left, opening.lost_after);
                }
                Room::begin(&opening)
            }
        };
        self.rooms.insert(opening.room, room);
        true
    }

    fn put_aside(&mut self, room: &RoomId, left: &Room, after: crate::Seq) {
        let letter = |entry| DeadLetter {
            room: room.clone(),
            life: left.life.clone(),
            entry,
            reason: LOST.to_owned(),
        };
        let waiting = left.waiting_entries(usize::MAX).into_iter();
        self.lost.extend(waiting.filter(|entry| entry.seq > after).map(letter));
        keep_newest(&mut self.lost);
    }

    pub(super) fn bury(&mut self, letters: &[DeadLetter]) {
        self.buried.extend(letters.iter().cloned());
        keep_newest(&mut self.buried);
    }

    pub(super) fn hold(&mut self, room: &RoomId) -> Hold {
        let gate = self.gates.entry(room.clone()).or_insert_with(GateKept::new);
        let hold = token();
        gate.token = token();
        gate.holds.insert(hold.clone());
        Hold(hold)
    }

    /// The gate becomes another one also where the hold is unknown: it was lost, and with it that something was under way.
    pub(super) fn release(&mut self, room: &RoomId, hold: &Hold) {
        let gate = self.gates.entry(room.clone()).or_insert_with(GateKept::new);
        gate.token = token();
        gate.holds.remove(&hold.0);
    }

    pub(super) fn lose_everything(&mut self) {
        self.rooms.clear();
        self.gates.clear();
        self.claims.clear();
    }

    pub(super) fn fail_over_to(&mut self, older: &Self) {
        self.lose_everything();
        self.rooms.clone_from(&older.rooms);
        for room in self.rooms.values_mut() {
            room.open = false;
            room.taken = None;
        }
    }

    pub(super) fn forget_claims(&mut self) {
        self.claims.clear();
    }
}

fn keep_newest(letters: &mut VecDeque<DeadLetter>) {
    let over = letters.len().saturating_sub(MemoryHotLog::MAX_LETTERS);
    letters.drain(..over);
}

/// Says how much there is, not what was said.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.rooms.values().filter(|room| room.open).count();
        let waiting: u64 = self.rooms.values().map(Room::waiting).sum();
        f.debug_struct("MemoryHotLog")
            .field("rooms", &self.rooms.len())
            .field("open", &open)
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

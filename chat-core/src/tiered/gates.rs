//! What this node knows of who may write into which room.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use moka::future::Cache;
use tokio::time::Instant;

use super::{Admission, Gate, GateState};
use crate::{RoomId, UserId};

/// While a room's gate stays the same, so long: an archive that is away for less keeps nobody from writing who did so before.
const SETTLED: Duration = Duration::from_secs(600);
/// Who writes after this time is asked about again, without waiting for it. It bounds what a change past
/// [`TieredRooms`](super::TieredRooms) can do.
const RENEWED: Duration = Duration::from_secs(15);
/// While a change of the room is under way or its node went away: G6 allows a second.
const UNSETTLED: Duration = Duration::from_millis(900);
/// So many rooms are remembered, the least used are forgotten.
const ROOMS: u64 = 50_000;
/// And so many users of each; then all of them are asked for anew.
const USERS: usize = 4_096;

#[derive(Debug)]
pub(super) struct Gates {
    rooms: Cache<RoomId, Arc<Gated>>,
}

/// What was learned under one gate.
#[derive(Debug)]
pub(super) struct Gated {
    pub(super) gate: Gate,
    valid: Duration,
    users: Mutex<HashMap<UserId, (Option<Admission>, Instant)>>,
}

impl Gates {
    pub(super) fn new() -> Self {
        Self { rooms: Cache::new(ROOMS) }
    }

    pub(super) async fn room(&self, room: &RoomId) -> Option<Arc<Gated>> {
        self.rooms.get(room).await
    }

    /// The gate is this from now on. What is learned from now on holds under it, since it was known before.
    pub(super) async fn renew(&self, room: &RoomId, state: GateState) {
        let valid = if state.settled { SETTLED } else { UNSETTLED };
        let gated = Gated { gate: state.gate, valid, users: Mutex::default() };
        self.rooms.insert(room.clone(), Arc::new(gated)).await;
    }
}

impl Gated {
    /// Whether the user may write; `None` if it is not known. `Some(None)`: there is no such room.
    #[expect(clippy::option_option, reason = "unknown is not the same as no such room")]
    pub(super) fn admission(&self, user: &UserId) -> Option<Option<Admission>> {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.get(user).filter(|(_, asked)| asked.elapsed() < self.valid).map(|(admission, _)| *admission)
    }

    /// Whether it is time to ask about this user again, who is known.
    pub(super) fn ages(&self, user: &UserId) -> bool {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.get(user).is_some_and(|(_, asked)| asked.elapsed() >= RENEWED)
    }

    /// What the archive answered to a question that was asked at `asked`.
    pub(super) fn learn(&self, user: &UserId, admission: Option<Admission>, asked: Instant) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= USERS {
            users.clear();
        }
        users.insert(user.clone(), (admission, asked));
    }
}

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{MemoryArchive, MemoryLog, MemoryRooms, MemorySearch, room_state::RoomState};
use crate::{
    Clock, Epoch, Error, MessageId, MessageLog, Result, RoomId, RoomKey, Rooms, Search, Storage, SystemClock,
    UserId, tiered::Archive,
};

/// The rooms, members and logs that [`MemoryLog`], [`MemoryRooms`] and [`MemorySearch`] share. Cloning it gives another
/// handle on the same store, as several nodes would have.
///
/// Everything is gone when the last handle is. Ids and epochs are made of the clock and of this thread's [`fastrand`]
/// generator, so a simulation that turns both gets the same ones every time.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// All that is stored. One lock guards it: each call is one atomic step, and none waits for anything while holding it.
#[derive(Clone)]
pub(super) struct State {
    pub(super) epoch: Epoch,
    pub(super) rooms: HashMap<RoomId, RoomState>,
    pub(super) keys: HashMap<RoomKey, RoomId>,
    /// The rooms that each user is a member of now.
    pub(super) rooms_of: HashMap<UserId, BTreeSet<RoomId>>,
}

impl State {
    fn new(epoch: Epoch) -> Self {
        Self { epoch, rooms: HashMap::new(), keys: HashMap::new(), rooms_of: HashMap::new() }
    }

    pub(super) fn room(&self, room: &RoomId) -> Result<&RoomState> {
        self.rooms.get(room).ok_or_else(|| Error::RoomNotFound { room: room.clone() })
    }

    pub(super) fn room_mut(&mut self, room: &RoomId) -> Result<&mut RoomState> {
        self.rooms.get_mut(room).ok_or_else(|| Error::RoomNotFound { room: room.clone() })
    }
}

/// A copy of everything a [`MemoryStore`] held at one instant.
#[derive(Clone)]
pub struct MemorySnapshot {
    state: Arc<State>,
}

impl MemoryStore {
    /// An empty store that takes the time from the system.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store that takes the time from `clock`.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let state = Mutex::new(State::new(new_epoch(&*clock)));
        Self { shared: Arc::new(Shared { clock, state }) }
    }

    /// Copies everything, as a backup does.
    #[must_use]
    pub fn snapshot(&self) -> MemorySnapshot {
        MemorySnapshot { state: Arc::new(self.lock().clone()) }
    }

    /// Puts older content back, which is what restoring a backup does: all that was stored since is lost, and
    /// positions will be given out a second time. So the store takes a new [`Epoch`], by which cursors from before are
    /// recognised. Every handle on this store sees the change at once.
    pub fn restore(&self, snapshot: &MemorySnapshot) {
        let mut state = State::clone(&snapshot.state);
        state.epoch = new_epoch(self.clock());
        // What hot logs gave out since is unknown here, and may have been lost with it.
        for room in state.rooms.values_mut() {
            room.lives.clear();
        }
        let replaced = std::mem::replace(&mut *self.lock(), state);
        // Freed here, after the lock.
        drop(replaced);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.shared.clock
    }
}

impl MemoryStore {
    /// This store as what lies behind a hot log.
    #[must_use]
    pub fn archive(&self) -> Arc<dyn Archive> {
        Arc::new(MemoryArchive::new(self.clone()))
    }
}

impl Storage for MemoryStore {
    fn message_log(&self) -> Arc<dyn MessageLog> {
        Arc::new(MemoryLog::new(self.clone()))
    }

    fn rooms(&self) -> Arc<dyn Rooms> {
        Arc::new(MemoryRooms::new(self.clone()))
    }

    fn search(&self) -> Arc<dyn Search> {
        Arc::new(MemorySearch::new(self.clone()))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.lock(), f)
    }
}

impl fmt::Debug for MemorySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.state, f)
    }
}

/// Says how much there is, not what was said.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("epoch", &self.epoch).field("rooms", &self.rooms.len()).finish()
    }
}

fn new_epoch(clock: &dyn Clock) -> Epoch {
    // The text of a ULID is a valid epoch; the other branch is there because the types do not know.
    let unique = MessageId::next(None, clock.now(), fastrand::u128(..)).to_string();
    Epoch::new(&unique).unwrap_or_else(|_| Epoch::generate())
}

/// Locks, and goes on with what is there if another thread panicked.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

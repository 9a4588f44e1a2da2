//! A hot log in memory, and the model of what others do.

mod append;
mod page;
mod queue;
mod room;
mod settings;
mod state;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use tokio::time::Instant;

pub use self::settings::MemoryHotLogSettings;
use self::state::State;
use super::store::lock;
use crate::{
    Backend, Clock, Durability, Epoch, Result, RoomId, Seq, SystemClock, Timestamp, View,
    tiered::{
        Archived, Claim, DeadLetter, Hold, HotAppended, HotBatch, HotFrom, HotLog, HotPage, HotState, Lag,
        NameKey, Opening, Pending, Take, Unlearned,
    },
};

/// [`HotLog`] in memory. Cloning it gives another handle on the same one, as several nodes would have.
///
/// It can lose what it holds in the ways a server does: [`lose_everything`](Self::lose_everything) is a flush,
/// [`restore`](Self::restore) a failover to a replica that was behind.
///
/// Claims, waits and ages run on tokio's monotonic clock. Ids and tokens are made of the [`Clock`] and of this thread's
/// [`fastrand`] generator, so a simulation that turns both gets the same ones every time. The names of entries that left the
/// window are remembered as long as their room is open. A hold that nobody releases leaves its room unsettled for good.
#[derive(Clone)]
pub struct MemoryHotLog {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    settings: MemoryHotLogSettings,
    /// One lock guards it: each call is one atomic step, and none waits for anything while holding it.
    state: Mutex<State>,
}

/// A copy of everything a [`MemoryHotLog`] held at one instant.
#[derive(Clone)]
pub struct MemoryHotSnapshot {
    state: Arc<State>,
}

/// The present instant, on both clocks.
#[derive(Debug, Clone, Copy)]
struct Now {
    instant: Instant,
    wall: Timestamp,
}

impl MemoryHotLog {
    /// So many entries are kept of those that were put aside, and of those that were buried.
    pub const MAX_LETTERS: usize = 100_000;

    /// An empty one that takes the time from the system.
    #[must_use]
    pub fn new() -> Self {
        Self::with_settings(MemoryHotLogSettings::default(), Arc::new(SystemClock))
    }

    /// An empty one that holds this much and takes the time from `clock`.
    #[must_use]
    pub fn with_settings(settings: MemoryHotLogSettings, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { clock, settings, state: Mutex::new(State::default()) }) }
    }

    /// Loses all that was stored, which is what a flush does: no room is open, and nothing is left of any.
    pub fn lose_everything(&self) {
        self.lock().lose_everything();
    }

    /// Copies everything, as a replica does.
    #[must_use]
    pub fn snapshot(&self) -> MemoryHotSnapshot {
        MemoryHotSnapshot { state: Arc::new(self.lock().clone()) }
    }

    /// Goes on with an older content, which is what a failover does: what was stored since is lost. Every room is closed until
    /// it is opened again, every gate is another one, and no claim or ticket holds any longer. What was put aside or buried
    /// stays.
    pub fn restore(&self, snapshot: &MemoryHotSnapshot) {
        self.lock().fail_over_to(&snapshot.state);
    }

    /// Lets every claim run out now.
    pub fn forget_claims(&self) {
        self.lock().forget_claims();
    }

    /// The entries that were put aside when their rooms were opened without them, the newest
    /// [`MAX_LETTERS`](Self::MAX_LETTERS) of them.
    #[must_use]
    pub fn lost(&self) -> Vec<DeadLetter> {
        self.lock().lost.iter().cloned().collect()
    }

    /// The entries that were [buried](HotLog::bury), the newest [`MAX_LETTERS`](Self::MAX_LETTERS) of them.
    #[must_use]
    pub fn buried(&self) -> Vec<DeadLetter> {
        self.lock().buried.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    fn now(&self) -> Now {
        Now { instant: Instant::now(), wall: self.shared.clock.now() }
    }
}

impl Default for MemoryHotLog {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryHotLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.lock(), f)
    }
}

impl fmt::Debug for MemoryHotSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.state, f)
    }
}

#[async_trait]
impl Backend for MemoryHotLog {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl HotLog for MemoryHotLog {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn rooms(&self, rooms: &[RoomId]) -> Result<Vec<HotState>> {
        let state = self.lock();
        Ok(rooms.iter().map(|room| state.room_state(room)).collect())
    }

    async fn append(&self, batches: &[HotBatch]) -> Result<Vec<HotAppended>> {
        let (mut state, now) = (self.lock(), self.now());
        let backlog = self.shared.settings.backlog;
        Ok(batches.iter().map(|batch| state.append(batch, backlog, now)).collect())
    }

    async fn page(&self, room: &RoomId, from: HotFrom, view: View, limit: usize) -> Result<HotPage> {
        let state = self.lock();
        Ok(state.open_room(room).map_or(HotPage::Closed, |known| known.page(from, view, limit.max(1))))
    }

    async fn claim(&self, room: &RoomId) -> Result<Claim> {
        Ok(self.lock().claim(room, self.shared.settings.claim, self.now()))
    }

    async fn open(&self, opening: Opening) -> Result<bool> {
        Ok(self.lock().open(opening, self.shared.settings.window, self.now()))
    }

    async fn close_room(&self, room: &RoomId, life: &Epoch) -> Result<()> {
        if let Some(known) = self.lock().living_room_mut(room, life) {
            known.open = false;
        }
        Ok(())
    }

    async fn hold(&self, room: &RoomId) -> Result<Hold> {
        Ok(self.lock().hold(room))
    }

    async fn release(&self, room: &RoomId, hold: &Hold) -> Result<()> {
        self.lock().release(room, hold);
        Ok(())
    }

    async fn trim(&self, room: &RoomId, life: &Epoch, oldest: Seq) -> Result<()> {
        if let Some(known) = self.lock().living_room_mut(room, life) {
            known.trim(oldest, self.shared.settings.window);
        }
        Ok(())
    }

    async fn take(&self, _worker: &str, take: Take) -> Result<Vec<Pending>> {
        // A room has one ticket, whoever holds it: also who took it gets it again only when it was idle for so long.
        Ok(self.lock().take(take, self.now()))
    }

    async fn pending(&self, rooms: &[RoomId], max_entries: usize) -> Result<Vec<Pending>> {
        Ok(self.lock().pending(rooms, max_entries))
    }

    async fn pending_rooms(&self) -> Result<Vec<RoomId>> {
        Ok(self.lock().pending_rooms())
    }

    async fn archived(&self, done: &[Archived]) -> Result<()> {
        let mut state = self.lock();
        for archived in done {
            state.archived(archived, self.shared.settings.window);
        }
        Ok(())
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Result<()> {
        self.lock().bury(letters);
        Ok(())
    }

    async fn unlearned(&self, room: &RoomId) -> Result<Option<Unlearned>> {
        Ok(self.lock().open_room(room).and_then(room::Room::unlearned))
    }

    async fn learn(
        &self,
        room: &RoomId,
        life: &Epoch,
        after: Seq,
        upto: Seq,
        names: &[NameKey],
    ) -> Result<()> {
        if let Some(known) = self.lock().living_room_mut(room, life) {
            known.learn(after, upto, names);
        }
        Ok(())
    }

    async fn lag(&self) -> Result<Lag> {
        Ok(self.lock().lag(self.now()))
    }
}

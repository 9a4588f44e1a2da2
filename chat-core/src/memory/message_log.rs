use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    AppendOutcome, Backend, Draft, Durability, Head, MessageLog, Page, ReadQuery, Refusal, Result, Retention,
    RoomId,
};

/// [`MessageLog`] in memory, over a [`MemoryStore`].
///
/// A draft is checked in this order, and the first answer counts: the room exists; the sender's client id is new
/// (otherwise `Duplicate` or `Conflict`, so that a retry of what is stored gets its first answer although its sender
/// left meanwhile); the room is active; the sender is a member; the body fits; the target is there and may be changed.
///
/// A page costs O(log n + entries given out), however long the room is.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    store: MemoryStore,
}

impl MemoryLog {
    /// The log of every room in `store`.
    #[must_use]
    pub const fn new(store: MemoryStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Backend for MemoryLog {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl MessageLog for MemoryLog {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        // Digests take longest, so they are made before the lock is taken.
        let fingerprints: Vec<_> = drafts.iter().map(|draft| draft.fingerprint()).collect();
        let mut state = self.store.lock();
        let now = self.store.clock().now();
        let epoch = state.epoch.clone();
        let outcomes = drafts.iter().zip(fingerprints).map(|(draft, fingerprint)| {
            match state.rooms.get_mut(&draft.room) {
                Some(room) => room.append(&epoch, draft, fingerprint, now),
                None => AppendOutcome::Refused(Refusal::RoomMissing),
            }
        });
        Ok(outcomes.collect())
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        let state = self.store.lock();
        state.room(room)?.log.read(room, &state.epoch, &query)
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        let state = self.store.lock();
        Ok(rooms.iter().map(|room| state.rooms.get(room).map(|room| room.log.head(&state.epoch))).collect())
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        let mut state = self.store.lock();
        let epoch = state.epoch.clone();
        let log = &mut state.room_mut(room)?.log;
        log.trim(&retention);
        Ok(log.head(&epoch))
    }
}

use async_trait::async_trait;

use super::{MemoryStore, entry::Entry, room_state::RoomState, store::State};
use crate::{
    Backend, ClientMessageId, Epoch, Fingerprint, MessageId, Position, Result, RoomId, Seq, UserId,
    tiered::{
        Admission, Archive, ArchivedRoom, ArchivedTarget, Import, ImportEntry, ImportOutcome, Life,
        LifeOutcome,
    },
};

/// [`Archive`] in memory, over a [`MemoryStore`].
///
/// Entries that were trimmed cannot be compared: an import passes them over. Restoring the store ends every life.
#[derive(Debug, Clone)]
pub struct MemoryArchive {
    store: MemoryStore,
}

impl MemoryArchive {
    /// What lies behind a hot log, in `store`.
    #[must_use]
    pub const fn new(store: MemoryStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Backend for MemoryArchive {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Archive for MemoryArchive {
    async fn rooms(&self, rooms: &[RoomId]) -> Result<Vec<Option<ArchivedRoom>>> {
        let state = self.store.lock();
        let archived = |known: &RoomState| ArchivedRoom {
            head: known.log.head(&state.epoch),
            last_id: known.log.last_id(),
            lives: known.lives.clone(),
        };
        Ok(rooms.iter().map(|room| state.rooms.get(room).map(archived)).collect())
    }

    async fn begin_life(&self, room: &RoomId, seen: &ArchivedRoom, life: &Life) -> Result<LifeOutcome> {
        let mut state = self.store.lock();
        let State { epoch, rooms, .. } = &mut *state;
        let Some(known) = rooms.get_mut(room) else { return Ok(LifeOutcome::RoomMissing) };
        if known.log.head(epoch).cursor != seen.head.cursor || known.lives.last() != seen.life() {
            return Ok(LifeOutcome::Changed);
        }
        if known.lives.len() == ArchivedRoom::MAX_LIVES {
            known.lives.remove(0);
        }
        known.lives.push(life.clone());
        Ok(LifeOutcome::Begun)
    }

    async fn import(&self, imports: &[Import]) -> Result<Vec<ImportOutcome>> {
        // Digests take longest, so they are made before the lock is taken.
        let fingerprints: Vec<Vec<_>> = imports
            .iter()
            .map(|import| import.entries.iter().map(|entry| entry.draft.fingerprint()).collect())
            .collect();
        let mut state = self.store.lock();
        let outcomes = imports.iter().zip(&fingerprints).map(|(import, fingerprints)| {
            match state.rooms.get_mut(&import.room) {
                Some(known) => known.import(&import.life, &import.entries, fingerprints),
                None => ImportOutcome::RoomMissing,
            }
        });
        Ok(outcomes.collect())
    }

    async fn admissions(&self, writers: &[(RoomId, UserId)]) -> Result<Vec<Option<Admission>>> {
        let state = self.store.lock();
        let admission = |(room, user): &(RoomId, UserId)| {
            let known = state.rooms.get(room)?;
            Some(Admission {
                active: known.room.active,
                max_body_chars: known.room.max_body_chars,
                member: known.current(user).is_some(),
            })
        };
        Ok(writers.iter().map(admission).collect())
    }

    async fn copies(
        &self,
        names: &[(RoomId, UserId, ClientMessageId)],
    ) -> Result<Vec<Option<(Position, Fingerprint)>>> {
        let state = self.store.lock();
        let copy = |(room, sender, client_id): &(RoomId, UserId, ClientMessageId)| {
            let entry = state.rooms.get(room)?.log.copy_of(sender, client_id)?;
            Some((entry.position(&state.epoch), entry.fingerprint))
        };
        Ok(names.iter().map(copy).collect())
    }

    async fn targets(&self, targets: &[(RoomId, MessageId)]) -> Result<Vec<Option<ArchivedTarget>>> {
        let state = self.store.lock();
        let target = |(room, id): &(RoomId, MessageId)| {
            let entry = state.rooms.get(room)?.log.by_id(*id)?;
            Some(ArchivedTarget { seq: entry.seq, sender: entry.sender.clone(), open: entry.is_target() })
        };
        Ok(targets.iter().map(target).collect())
    }

    async fn names(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, UserId, ClientMessageId)>> {
        let state = self.store.lock();
        let entries = state.room(room)?.log.following(after).take(limit);
        Ok(entries.map(|entry| (entry.seq, entry.sender.clone(), entry.client_id.clone())).collect())
    }
}

impl RoomState {
    /// Stores what follows the head of an import that may be stored.
    fn import(
        &mut self,
        life: &Epoch,
        entries: &[ImportEntry],
        fingerprints: &[Fingerprint],
    ) -> ImportOutcome {
        let head = self.log.last();
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return ImportOutcome::Stored(head);
        };
        if !self.takes(life, last.seq) {
            return ImportOutcome::Superseded;
        }
        let stored = entries.iter().take_while(|entry| entry.seq <= head);
        let is_other =
            |entry: &ImportEntry| self.log.entry(entry.seq).is_some_and(|known| known.id != entry.id);
        if stored.into_iter().any(is_other) {
            return ImportOutcome::Superseded;
        }
        if first.seq > head.next() {
            return ImportOutcome::Gap(head);
        }
        for (entry, fingerprint) in entries.iter().zip(fingerprints).filter(|(entry, _)| entry.seq > head) {
            let ImportEntry { seq, id, draft } = entry;
            self.log.store(Entry::new(draft, *fingerprint, *seq, *id, entry.created_at()));
        }
        ImportOutcome::Stored(self.log.last())
    }

    /// Whether no life but this one gives out what lies at or before `last`.
    fn takes(&self, life: &Epoch, last: Seq) -> bool {
        let known = self.lives.iter().position(|known| known.epoch == *life);
        known.is_some_and(|index| self.lives[index + 1..].iter().all(|later| later.base >= last))
    }
}

//! How the store shows that it stores: so that a message is not blamed for what the store lacks.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use chat_core::{AppendOutcome, Draft, Position, Refusal};

use super::{Store, append};

/// What the store has shown to any lane.
#[derive(Debug, Default)]
pub(in crate::worker) struct Proofs {
    /// How often it stored something new.
    stored: AtomicU64,
    /// Dead letters since then.
    in_a_row: AtomicU32,
    last: Mutex<Option<(Draft, Position)>>,
}

impl Proofs {
    /// The store's answer to a draft.
    pub(super) fn note(&self, draft: &Draft, outcome: &AppendOutcome) {
        match outcome {
            AppendOutcome::New(position) => {
                *self.last() = Some((draft.clone(), position.clone()));
            }
            AppendOutcome::Accepted => {}
            AppendOutcome::Duplicate(_) | AppendOutcome::Conflict(_) | AppendOutcome::Refused(_) => return,
        }
        self.stored.fetch_add(1, Ordering::Relaxed);
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    pub(super) fn poisoned(&self) {
        self.in_a_row.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    pub(in crate::worker) fn in_a_row(&self) -> u32 {
        self.in_a_row.load(Ordering::Relaxed)
    }

    fn last(&self) -> MutexGuard<'_, Option<(Draft, Position)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store<'_> {
    /// Gives the store the occasion to show that it stores: with a draft of another room, or, where none is stored, with the one that
    /// it stored last.
    pub(super) async fn prove(&mut self, suspect: &Draft) {
        let mut losses = self.shared.losses.subscribe();
        tokio::select! {
            biased;
            _ = losses.changed() => {}
            () = self.try_another(suspect) => {}
        }
    }

    async fn try_another(&mut self, suspect: &Draft) {
        if let Some((chunk, place)) = self.another(suspect) {
            let index = self.chunks[chunk][place];
            let draft = self.items[index].draft();
            if let Some(draft) = draft
                && let Some(outcome) = self.answer(draft).await
            {
                self.chunks[chunk].remove(place);
                self.settle(index, outcome);
                return;
            }
        } else if let Some(draft) = self.waiting(suspect)
            // It is found to be stored when its turn comes.
            && let Some(outcome) = self.answer(&draft).await
        {
            self.shared.proofs.note(&draft, &outcome);
            return;
        }
        let last = self.shared.proofs.last().clone();
        if let Some((draft, position)) = last
            && self.is_kept(&draft, &position).await
        {
            self.recalled = matches!(self.answer(&draft).await, Some(AppendOutcome::Duplicate(_)));
        }
    }

    /// The first draft of another room in this batch that is not settled, by its chunk and its place there: of another room each time.
    fn another(&self, suspect: &Draft) -> Option<(usize, usize)> {
        let mut firsts = BTreeMap::new();
        let ledger = self.shared.ledger();
        for (number, chunk) in self.chunks.iter().enumerate().rev() {
            for (place, index) in chunk.iter().enumerate() {
                let item = &self.items[*index];
                if let Some(draft) = item.draft()
                    && draft.room != suspect.room
                    && ledger.has(item.partition, item.term)
                {
                    firsts.entry(&draft.room).or_insert((number, place));
                }
            }
        }
        drop(ledger);
        let turn = usize::try_from(self.alone).unwrap_or(0).checked_rem(firsts.len())?;
        firsts.into_values().nth(turn)
    }

    /// A draft of another room that waits for the next batch. Of this one nothing of such a room is left.
    fn waiting(&self, suspect: &Draft) -> Option<Draft> {
        self.shared.ledger().waits_of_another_room(self.lane, &suspect.room)
    }

    async fn answer(&self, draft: &Draft) -> Option<AppendOutcome> {
        let outcome = append(self.shared, std::slice::from_ref(draft)).await.ok()?.pop()?;
        (outcome != AppendOutcome::Refused(Refusal::Busy)).then_some(outcome)
    }

    /// A log knows what it keeps. What it removed it would store once more.
    async fn is_kept(&self, draft: &Draft, position: &Position) -> bool {
        let rooms = [draft.room.clone()];
        let heads = tokio::time::timeout(self.shared.config.append_timeout, self.shared.log.heads(&rooms));
        match heads.await {
            Ok(Ok(heads)) => heads.into_iter().flatten().next().is_some_and(|head| {
                head.cursor.epoch == position.cursor.epoch && head.oldest <= position.cursor.seq
            }),
            _ => false,
        }
    }
}

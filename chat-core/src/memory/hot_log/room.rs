//! One room of a hot log: plain data, no lock, no clock.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    Epoch, Fingerprint, MessageId, Seq, UserId,
    tiered::{HotEntry, HotRoom, NameKey, Opening, Unlearned},
};

/// A room, open or with what is left of it.
#[derive(Clone)]
pub(super) struct Room {
    pub(super) open: bool,
    pub(super) life: Epoch,
    /// The last position given out.
    pub(super) head: Seq,
    /// The first position that is kept at all.
    pub(super) oldest: Seq,
    /// Up to and with this position, entries are in the archive.
    pub(super) archived: Seq,
    pub(super) last_id: Option<MessageId>,
    /// The newest entries, without gaps up to the head. Ids grow with positions, so this is their index, too.
    pub(super) window: VecDeque<Kept>,
    /// Where the names of the window are.
    pub(super) names: HashMap<NameKey, Seq>,
    /// Names of entries that are in the archive alone; some may be gone from there.
    pub(super) learned: HashSet<NameKey>,
    /// Of what is in the archive alone, the names up to and with the first are learned, and up to and with the second are not.
    unlearned: (Seq, Seq),
    /// What was deleted in the lives since the room was begun here. The archive may not know of it yet, and who asked it may
    /// come late with its answer.
    pub(super) deleted: HashSet<MessageId>,
    /// Who archives what waits.
    pub(super) taken: Option<Taken>,
}

/// An entry of the window.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) entry: HotEntry,
    pub(super) key: NameKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) sender: UserId,
    pub(super) timeline: bool,
    pub(super) changeable: bool,
    pub(super) deletes: bool,
    pub(super) since: Instant,
}

#[derive(Clone)]
pub(super) struct Taken {
    pub(super) ticket: Bytes,
    pub(super) at: Instant,
}

impl Room {
    /// A life of which nothing is here yet.
    pub(super) fn begin(opening: &Opening) -> Self {
        Self {
            open: true,
            life: opening.life.clone(),
            head: opening.base,
            oldest: opening.oldest,
            archived: opening.archived.min(opening.base),
            last_id: opening.last_id,
            window: VecDeque::new(),
            names: HashMap::new(),
            learned: HashSet::new(),
            unlearned: (opening.oldest.previous(), opening.base),
            deleted: HashSet::new(),
            taken: None,
        }
    }

    /// Whether what is left ends at `base` and leaves no gap behind what is archived.
    pub(super) fn reaches(&self, base: Seq, archived: Seq) -> bool {
        self.head == base && self.first() <= archived.next()
    }

    /// A life that goes on with what is left, and with the names that are known.
    pub(super) fn go_on(mut self, opening: &Opening, window: usize) -> Self {
        self.open = true;
        self.life = opening.life.clone();
        self.archived = opening.archived.min(self.head);
        self.oldest = opening.oldest;
        self.last_id = self.last_id.max(opening.last_id);
        self.taken = None;
        self.forget(window);
        self
    }

    /// The first position that there is an entry of.
    pub(super) fn first(&self) -> Seq {
        self.window.front().map_or(self.head.next(), |kept| kept.entry.seq)
    }

    pub(super) fn to_hot(&self) -> HotRoom {
        HotRoom {
            life: self.life.clone(),
            head: self.head,
            first: self.first(),
            oldest: self.oldest,
            archived: self.archived,
        }
    }

    /// How many of the window lie before this position.
    pub(super) fn index(&self, seq: Seq) -> usize {
        usize::try_from(seq.since(self.first())).unwrap_or(usize::MAX).min(self.window.len())
    }

    pub(super) fn at(&self, seq: Seq) -> Option<&Kept> {
        self.window.get(self.index(seq)).filter(|kept| kept.entry.seq == seq)
    }

    pub(super) fn by_id(&self, id: MessageId) -> Option<&Kept> {
        let index = self.window.binary_search_by_key(&id, |kept| kept.entry.id).ok()?;
        self.window.get(index)
    }

    /// How many entries wait to be archived.
    pub(super) fn waiting(&self) -> u64 {
        self.head.since(self.archived)
    }

    pub(super) fn waiting_entries(&self, limit: usize) -> Vec<HotEntry> {
        let waiting = self.window.range(self.index(self.archived.next())..);
        waiting.take(limit).map(|kept| kept.entry.clone()).collect()
    }

    /// Since when the first of them waits.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.at(self.archived.next()).map(|kept| kept.since)
    }

    pub(super) fn note_archived(&mut self, upto: Seq, window: usize) {
        self.archived = self.archived.max(upto.min(self.head));
        self.forget(window);
    }

    pub(super) fn trim(&mut self, oldest: Seq, window: usize) {
        self.oldest = self.oldest.max(oldest.min(self.head.next()));
        self.forget(window);
    }

    /// Lets go of what is archived and either too much or not kept at all any longer.
    fn forget(&mut self, window: usize) {
        while let Some(front) = self.window.front() {
            let trimmed = front.entry.seq < self.oldest;
            if front.entry.seq > self.archived || !(trimmed || self.window.len() > window) {
                return;
            }
            let Some(gone) = self.window.pop_front() else { return };
            self.names.remove(&gone.key);
            // The name of what is not kept is free; that of the others is for the archive to say.
            if !trimmed {
                self.learned.insert(gone.key);
            }
        }
    }

    pub(super) fn unlearned(&self) -> Option<Unlearned> {
        let after = self.unlearned.0.max(self.oldest.previous());
        let upto = self.unlearned.1;
        (after < upto).then_some(Unlearned { after, upto })
    }

    pub(super) fn learn(&mut self, after: Seq, upto: Seq, names: &[NameKey]) {
        if self.unlearned.0 != after {
            return;
        }
        self.learned.extend(names);
        self.unlearned.0 = self.unlearned.0.max(upto);
    }
}

//! A room's live entries in their one order, and the last of them in memory. No I/O: told what arrives, it says what
//! may be handed on.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{Broadcast, Cursor, Head, Seq, Settings, StoredMessage, mutation::Mutation};

/// An entry as sessions share it.
pub type LiveEntry = Arc<Broadcast<StoredMessage>>;

/// What became of an entry that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It, and perhaps others that waited for it, can be handed on.
    Released,
    /// Seen before.
    Known,
    /// Something before it is missing.
    Gap,
    /// Of another life of the log than the one followed.
    Foreign,
}

/// What a session at some position gets next.
#[derive(Debug)]
pub(crate) enum Pull {
    /// It has everything.
    Idle,
    /// So many were taken.
    Taken(usize),
    /// What follows is no longer in memory.
    Behind,
    /// Its position is of another life of the log.
    Foreign,
}

/// The contiguous end of a room's log as this node knows it.
#[derive(Debug)]
pub(crate) struct Order {
    /// The last entry handed on.
    head: Cursor,
    /// The greatest position heard of.
    known: Seq,
    /// Entries after `floor` up to `head`, without a gap.
    recent: VecDeque<LiveEntry>,
    recent_bytes: usize,
    floor: Seq,
    /// Entries that came before one that precedes them.
    early: BTreeMap<Seq, StoredMessage>,
    max_entries: usize,
    max_bytes: usize,
    mutation: Option<Mutation>,
}

impl Order {
    pub(crate) fn new(head: Cursor, settings: &Settings) -> Self {
        Self {
            known: head.seq,
            floor: head.seq,
            head,
            recent: VecDeque::new(),
            recent_bytes: 0,
            early: BTreeMap::new(),
            max_entries: settings.room_buffer_entries,
            max_bytes: settings.room_buffer_bytes,
            mutation: if cfg!(feature = "mutations") { settings.mutation } else { None },
        }
    }

    pub(crate) const fn head(&self) -> &Cursor {
        &self.head
    }

    /// Entries after this one are in memory.
    pub(crate) const fn floor(&self) -> Seq {
        self.floor
    }

    /// How far the room has got beyond what can be handed on.
    pub(crate) const fn missing(&self) -> u64 {
        self.known.since(self.head.seq)
    }

    /// An entry arrived.
    pub(crate) fn offer(&mut self, message: StoredMessage) -> Offered {
        let Cursor { epoch, seq } = &message.position.cursor;
        let seq = *seq;
        if *epoch != self.head.epoch {
            if self.mutation != Some(Mutation::IgnoreEpoch) {
                return Offered::Foreign;
            }
            return Offered::Known;
        }
        if seq <= self.head.seq {
            return Offered::Known;
        }
        self.known = self.known.max(seq);
        if seq == self.head.seq.next() || self.mutation == Some(Mutation::NoGapRepair) {
            self.push(message);
            while let Some(next) = self.early.remove(&self.head.seq.next()) {
                self.push(next);
            }
            return Offered::Released;
        }
        // What does not fit is read from the log with the rest of the gap.
        if self.early.len() < self.max_entries {
            self.early.insert(seq, message);
        }
        Offered::Gap
    }

    /// Somebody said how far the room has got. True if that is news.
    pub(crate) fn hint(&mut self, cursor: &Cursor) -> bool {
        let news = cursor.epoch == self.head.epoch && cursor.seq > self.known;
        if news {
            self.known = cursor.seq;
        }
        news
    }

    /// The log has nothing after the head, whatever was heard.
    pub(crate) fn forget_hints(&mut self) {
        self.known = self.head.seq;
        self.early.clear();
    }

    /// The log is at `head` in another life: positions from before mean nothing any more.
    pub(crate) fn restart(&mut self, head: &Head) {
        self.head = head.cursor.clone();
        self.known = head.cursor.seq;
        self.floor = head.cursor.seq;
        self.recent.clear();
        self.recent_bytes = 0;
        self.early.clear();
    }

    /// Goes on from the newest page, leaving a hole before it that each session reads for itself.
    pub(crate) fn jump(&mut self, head: &Head, entries: impl IntoIterator<Item = StoredMessage>) {
        let early = std::mem::take(&mut self.early);
        let known = self.known;
        self.restart(head);
        self.known = known.max(head.cursor.seq);
        let entries: Vec<_> = entries.into_iter().map(|entry| Arc::new(Broadcast::new(entry))).collect();
        self.prepend(&entries);
        self.early = early;
        self.early.retain(|seq, _| *seq > head.cursor.seq);
        while let Some(next) = self.early.remove(&self.head.seq.next()) {
            self.push(next);
        }
    }

    /// Puts entries that end at the floor before those in memory, newest first as far as they fit.
    pub(crate) fn prepend(&mut self, entries: &[LiveEntry]) {
        for entry in entries.iter().rev() {
            let message = entry.value();
            if message.seq() != self.floor || message.position.cursor.epoch != self.head.epoch {
                continue;
            }
            let bytes = message.len_bytes();
            if self.recent.len() >= self.max_entries || self.recent_bytes + bytes > self.max_bytes {
                break;
            }
            self.recent_bytes += bytes;
            self.floor = self.floor.previous();
            self.recent.push_front(entry.clone());
        }
    }

    fn push(&mut self, message: StoredMessage) {
        self.head.seq = message.seq();
        self.recent_bytes += message.len_bytes();
        self.recent.push_back(Arc::new(Broadcast::new(message)));
        while self.recent.len() > self.max_entries
            || (self.recent_bytes > self.max_bytes && self.recent.len() > 1)
        {
            if let Some(oldest) = self.recent.pop_front() {
                self.floor = oldest.value().seq();
                self.recent_bytes -= oldest.value().len_bytes();
            }
        }
    }

    /// Gives what follows `position`, at most `max` entries, and moves it on.
    pub(crate) fn pull(&self, position: &mut Cursor, max: usize, mut take: impl FnMut(&LiveEntry)) -> Pull {
        if position.epoch != self.head.epoch {
            let ignored = self.mutation == Some(Mutation::IgnoreEpoch);
            return if ignored { Pull::Idle } else { Pull::Foreign };
        }
        if position.seq >= self.head.seq {
            return Pull::Idle;
        }
        if position.seq < self.floor {
            return Pull::Behind;
        }
        // Nothing is missing between the floor and the head: the place is known. A search would look at an entry in each of ten
        // places of memory, for every session.
        let place = usize::try_from(position.seq.since(self.floor)).unwrap_or(usize::MAX);
        let next = position.seq.next();
        let mut from = match self.recent.get(place) {
            Some(entry) if entry.value().seq() == next => place,
            _ => self.recent.partition_point(|entry| entry.value().seq() <= position.seq),
        };
        if self.mutation == Some(Mutation::KeepRepeats) {
            from = from.saturating_sub(1);
        }
        let mut taken = 0;
        for entry in self.recent.range(from..).take(max) {
            take(entry);
            position.seq = entry.value().seq();
            taken += 1;
        }
        Pull::Taken(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ClientMessageId, Content, Draft, Epoch, MessageId, Position, RoomId, Timestamp, UserId};

    fn entry(epoch: &Epoch, seq: u64) -> StoredMessage {
        let draft = Draft::new(
            RoomId::new("r").unwrap(),
            UserId::new("u").unwrap(),
            ClientMessageId::new(&format!("c{seq}")).unwrap(),
            Content::text("x"),
        );
        let cursor = Cursor::new(epoch.clone(), Seq::new(seq).unwrap());
        let id = MessageId::from_u128(u128::from(seq));
        StoredMessage::new(draft, Position { cursor, id, created_at: Timestamp::EPOCH })
    }

    fn order(epoch: &Epoch, max_entries: usize) -> Order {
        let settings = Settings { room_buffer_entries: max_entries, ..Settings::default() };
        Order::new(Cursor::new(epoch.clone(), Seq::ZERO), &settings)
    }

    fn seqs(order: &Order, mut position: Cursor) -> Vec<u64> {
        let mut seqs = Vec::new();
        let pull = order.pull(&mut position, 1_000, |entry| seqs.push(entry.value().seq().get()));
        assert!(matches!(pull, Pull::Taken(taken) if taken == seqs.len()), "{pull:?}");
        assert_eq!(Some(position.seq.get()), seqs.last().copied());
        seqs
    }

    fn outcome(order: &Order, mut position: Cursor) -> Pull {
        order.pull(&mut position, 1_000, |_| panic!("nothing to take"))
    }

    proptest! {
        /// Whatever the order and repetition in which entries arrive, they leave in order, each once, and what is missing is
        /// known to be missing.
        #[test]
        fn entries_leave_in_order_and_once(arrivals in prop::collection::vec(1u64..40, 0..120)) {
            let epoch = Epoch::generate();
            let mut order = order(&epoch, 1_000);
            let start = Cursor::new(epoch.clone(), Seq::ZERO);
            for seq in &arrivals {
                order.offer(entry(&epoch, *seq));
            }
            let contiguous = (1..).take_while(|seq| arrivals.contains(seq)).count() as u64;
            prop_assert_eq!(order.head().seq.get(), contiguous);
            prop_assert_eq!(order.missing(), arrivals.iter().max().copied().unwrap_or(0) - contiguous);
            if contiguous > 0 {
                prop_assert_eq!(seqs(&order, start), (1..=contiguous).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_what_left_it_is_behind() {
        let epoch = Epoch::generate();
        let mut order = order(&epoch, 3);
        for seq in 1..=5 {
            assert_eq!(order.offer(entry(&epoch, seq)), Offered::Released);
        }
        let at = |seq| Cursor::new(epoch.clone(), Seq::new(seq).unwrap());
        assert!(matches!(outcome(&order, at(1)), Pull::Behind));
        assert_eq!(seqs(&order, at(2)), [3, 4, 5]);
        assert_eq!(seqs(&order, at(4)), [5]);
        assert!(matches!(outcome(&order, at(5)), Pull::Idle));
        assert!(matches!(outcome(&order, Cursor::new(Epoch::generate(), Seq::FIRST)), Pull::Foreign));
    }

    #[test]
    fn a_jump_keeps_what_came_early() {
        let epoch = Epoch::generate();
        let mut order = order(&epoch, 100);
        assert_eq!(order.offer(entry(&epoch, 50)), Offered::Gap);
        let head = Head { cursor: Cursor::new(epoch.clone(), Seq::new(49).unwrap()), oldest: Seq::FIRST };
        order.jump(&head, (40..=49).map(|seq| entry(&epoch, seq)));
        assert_eq!(order.head().seq.get(), 50);
        assert_eq!(order.floor().get(), 39);
        assert_eq!(order.missing(), 0);
    }
}

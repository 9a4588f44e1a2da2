//! Pages of a room's window. One costs as much as the window is long.

use std::collections::HashSet;

use super::room::{Kept, Room};
use crate::{
    MessageId, Seq, View,
    tiered::{HotEntry, HotFrom, HotPage, HotWindow},
};

impl Room {
    /// What is here of a page, if all of it is.
    pub(super) fn page(&self, from: HotFrom, view: View, limit: usize) -> HotPage {
        let elsewhere = || HotPage::Elsewhere(self.to_hot());
        let (place, onwards) = match from {
            HotFrom::After(seq) => (Some(seq), true),
            HotFrom::Before(seq) => (Some(seq), false),
            HotFrom::AfterId(id) => (self.place_of(id), true),
            HotFrom::BeforeId(id) => (self.place_of(id), false),
            HotFrom::Newest => (Some(self.head.next()), false),
        };
        let Some(place) = place else { return elsewhere() };
        let page = match view {
            View::Log => self.log(place, onwards, limit),
            View::Timeline => self.timeline(place, onwards, limit),
        };
        page.map_or_else(elsewhere, HotPage::Here)
    }

    fn place_of(&self, id: MessageId) -> Option<Seq> {
        self.by_id(id).map(|kept| kept.entry.seq).filter(|seq| *seq >= self.oldest)
    }

    /// The window without what only waits to be archived and is not kept.
    fn shown(&self) -> impl DoubleEndedIterator<Item = &Kept> {
        self.window.range(self.index(self.oldest)..)
    }

    /// Nothing that is kept lies before the window.
    fn is_whole(&self) -> bool {
        self.first() <= self.oldest
    }

    fn log(&self, place: Seq, onwards: bool, limit: usize) -> Option<HotWindow> {
        let count = u64::try_from(limit).unwrap_or(u64::MAX);
        let (begin, end) = if onwards {
            (place.next(), place.next().plus(count))
        } else {
            let end = place.min(self.head.next());
            (Seq::new(end.get().saturating_sub(count)).unwrap_or_default(), end)
        };
        let begin = begin.max(self.oldest);
        if begin < self.first() {
            return None;
        }
        let entries = self.shown().filter(|kept| kept.entry.seq >= begin && kept.entry.seq < end);
        Some(self.window_of(place, entries.take(limit).collect(), false, false))
    }

    fn timeline(&self, place: Seq, onwards: bool, limit: usize) -> Option<HotWindow> {
        let shown = || self.shown().filter(|kept| kept.timeline);
        let earlier = shown().next().is_some_and(|kept| kept.entry.seq <= place);
        let later = shown().next_back().is_some_and(|kept| kept.entry.seq >= place);
        let more = limit.saturating_add(1);
        let entries: Vec<_> = if onwards {
            // Whether there is something earlier must be known, too.
            let begins_here = place.next() >= self.first() && earlier;
            if !begins_here && !self.is_whole() {
                return None;
            }
            shown().filter(|kept| kept.entry.seq > place).take(more).collect()
        } else {
            let newest = shown().rev().filter(|kept| kept.entry.seq < place).take(more);
            let mut entries: Vec<_> = newest.collect();
            if entries.len() < more && !self.is_whole() {
                return None;
            }
            entries.reverse();
            entries
        };
        Some(self.window_of(place, entries, earlier, later))
    }

    fn window_of(&self, place: Seq, page: Vec<&Kept>, earlier: bool, later: bool) -> HotWindow {
        let mut subjects: HashSet<Seq> = page.iter().map(|kept| kept.entry.seq).collect();
        // What an edit says goes with its target. It is not told from a reaction here, so the targets of both are looked at.
        let changing = page.iter().filter(|kept| !kept.deletes);
        subjects.extend(changing.filter_map(|kept| kept.entry.target));
        let changes = self.window.iter().map(|kept| &kept.entry);
        let changes = changes.filter(|entry| entry.target.is_some_and(|target| subjects.contains(&target)));
        HotWindow {
            room: self.to_hot(),
            place,
            changes: changes.cloned().collect::<Vec<HotEntry>>(),
            entries: page.into_iter().map(|kept| kept.entry.clone()).collect(),
            earlier,
            later,
        }
    }
}

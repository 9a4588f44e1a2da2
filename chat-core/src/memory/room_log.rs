//! The log of one room: plain data, no lock, no clock.

use std::collections::{HashMap, VecDeque};

use super::entry::Entry;
use crate::{
    Authority, Body, ClientMessageId, Content, Cursor, Draft, Edited, Epoch, Error, Fingerprint, Head,
    MessageId, Page, Place, ReadFrom, ReadQuery, Refusal, Result, Retention, RoomId, Seq, StoredMessage,
    Timestamp, UserId, View,
};

/// What is kept of a room's entries, with the indexes that keep every read at O(log n + page).
#[derive(Debug, Clone)]
pub(super) struct RoomLog {
    /// The first position kept; one past the last given out where none is.
    oldest: Seq,
    /// Every kept entry, without gaps from `oldest` on. Ids grow with positions, so this is their index, too.
    entries: VecDeque<Entry>,
    /// Positions of entries that stand for themselves.
    timeline: VecDeque<Seq>,
    /// Positions of entries that can be unread and are not deleted: of all senders, and of each.
    countable: VecDeque<Seq>,
    countable_of: HashMap<UserId, VecDeque<Seq>>,
    /// Where each (sender, client id) is.
    copies: HashMap<(UserId, ClientMessageId), Seq>,
    /// Outlives its entry, so that ids grow across a trim of everything.
    last_id: Option<MessageId>,
    /// When the newest timeline entry came; outlives it, too.
    last_activity: Option<Timestamp>,
}

impl RoomLog {
    pub(super) fn new() -> Self {
        Self {
            oldest: Seq::FIRST,
            entries: VecDeque::new(),
            timeline: VecDeque::new(),
            countable: VecDeque::new(),
            countable_of: HashMap::new(),
            copies: HashMap::new(),
            last_id: None,
            last_activity: None,
        }
    }

    /// The last position given out.
    pub(super) fn last(&self) -> Seq {
        self.entries.back().map_or_else(|| self.oldest.previous(), |entry| entry.seq)
    }

    pub(super) fn head(&self, epoch: &Epoch) -> Head {
        Head { cursor: Cursor::new(epoch.clone(), self.last()), oldest: self.oldest }
    }

    /// The greatest id given out.
    pub(super) const fn last_id(&self) -> Option<MessageId> {
        self.last_id
    }

    pub(super) const fn last_activity(&self) -> Option<Timestamp> {
        self.last_activity
    }

    /// The kept entries, oldest first.
    pub(super) const fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }

    fn index_of(&self, seq: Seq) -> Option<usize> {
        if seq < self.oldest {
            return None;
        }
        usize::try_from(seq.since(self.oldest)).ok()
    }

    /// The entry at this position, if it is kept.
    pub(super) fn entry(&self, seq: Seq) -> Option<&Entry> {
        self.entries.get(self.index_of(seq)?)
    }

    fn entry_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        let index = self.index_of(seq)?;
        self.entries.get_mut(index)
    }

    /// The entry with this id, if it is kept.
    pub(super) fn by_id(&self, id: MessageId) -> Option<&Entry> {
        let index = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.entries.get(index)
    }

    /// The entry that this sender and client id name already.
    pub(super) fn copy_of(&self, sender: &UserId, client_id: &ClientMessageId) -> Option<&Entry> {
        self.entry(*self.copies.get(&(sender.clone(), client_id.clone()))?)
    }

    /// The entries that follow `after`, oldest first.
    pub(super) fn following(&self, after: Seq) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.view_index(View::Log, after.next())..)
    }

    /// Checks the target of an edit, delete or reaction.
    pub(super) fn check_target(&self, draft: &Draft) -> Result<(), Refusal> {
        let Some(target) = draft.content.target() else { return Ok(()) };
        let target = self.by_id(target).filter(|entry| entry.is_target()).ok_or(Refusal::TargetMissing)?;
        let changes_it = matches!(draft.content, Content::Edit { .. } | Content::Delete { .. });
        if changes_it && draft.authority == Authority::Member && target.sender != draft.sender {
            return Err(Refusal::TargetNotOwn);
        }
        Ok(())
    }

    /// Stores a draft that was checked.
    pub(super) fn push(
        &mut self,
        draft: &Draft,
        fingerprint: Fingerprint,
        now: Timestamp,
        random: u128,
    ) -> &Entry {
        let seq = self.last().next();
        let id = MessageId::next(self.last_id, now, random);
        self.store(Entry::new(draft, fingerprint, seq, id, now))
    }

    /// Stores an entry that has the next position.
    pub(super) fn store(&mut self, entry: Entry) -> &Entry {
        let seq = entry.seq;
        self.last_id = self.last_id.max(Some(entry.id));
        self.copies.insert((entry.sender.clone(), entry.client_id.clone()), seq);
        if entry.content.kind().in_timeline() {
            self.timeline.push_back(seq);
            self.last_activity = Some(entry.created_at);
        }
        if entry.is_countable() {
            self.countable.push_back(seq);
            self.countable_of.entry(entry.sender.clone()).or_default().push_back(seq);
        }
        self.apply(&entry);
        let index = self.entries.len();
        self.entries.push_back(entry);
        &self.entries[index]
    }

    /// Lets a new entry act on its target.
    fn apply(&mut self, new: &Entry) {
        let target = new.content.target().and_then(|id| self.by_id(id));
        // Of an import nobody checked it: it may have been deleted or trimmed.
        let Some(target) = target.filter(|entry| entry.is_target()).map(|entry| entry.seq) else { return };
        if matches!(new.content, Content::Delete { .. }) {
            return self.delete(target, new.seq);
        }
        let Some(target) = self.entry_mut(target) else { return };
        match &new.content {
            Content::Edit { body, .. } => {
                target.set_body(body.clone());
                let changes = target.changes_mut();
                changes.edited = Some(Edited { seq: new.seq, at: new.created_at });
                changes.edits.push(new.seq);
            }
            Content::Reaction { key, op, .. } => target.changes_mut().react(&new.sender, key, *op, new.seq),
            _ => {}
        }
    }

    fn delete(&mut self, target: Seq, by: Seq) {
        let Some(entry) = self.entry_mut(target) else { return };
        entry.set_body(Body::Removed);
        let changes = entry.changes_mut();
        changes.deleted = Some(by);
        let edits = std::mem::take(&mut changes.edits);
        let countable_sender = entry.is_countable().then(|| entry.sender.clone());
        // What an edit says is what the message said: it goes with it.
        for edit in edits {
            if let Some(edit) = self.entry_mut(edit) {
                edit.set_body(Body::Removed);
            }
        }
        if let Some(sender) = countable_sender {
            remove_sorted(&mut self.countable, target);
            if let Some(own) = self.countable_of.get_mut(&sender) {
                remove_sorted(own, target);
                if own.is_empty() {
                    self.countable_of.remove(&sender);
                }
            }
        }
    }

    /// Countable entries after `read` that are not deleted and not `user`'s own.
    pub(super) fn unread(&self, user: &UserId, read: Seq) -> u64 {
        let own = self.countable_of.get(user).map_or(0, |own| count_after(own, read));
        count_after(&self.countable, read).saturating_sub(own)
    }

    /// The newest entry of the timeline.
    pub(super) fn preview(&self, room: &RoomId, epoch: &Epoch) -> Option<StoredMessage> {
        self.entry(*self.timeline.back()?).map(|entry| entry.to_stored(room, epoch))
    }

    pub(super) fn read(&self, room: &RoomId, epoch: &Epoch, query: &ReadQuery) -> Result<Page> {
        let head = self.head(epoch);
        let limit = query.limit.clamp(1, ReadQuery::MAX_LIMIT);
        let total = self.view_len(query.view);
        let range = match &query.from {
            ReadFrom::After(place) => {
                let start = self.view_index(query.view, self.resolve(room, &head, place, true)?.next());
                start..start.saturating_add(limit).min(total)
            }
            ReadFrom::Before(place) => {
                let end = self.view_index(query.view, self.resolve(room, &head, place, false)?);
                end.saturating_sub(limit)..end
            }
            ReadFrom::Newest => total.saturating_sub(limit)..total,
        };
        let (reaches_start, reaches_head) = (range.start == 0, range.end == total);
        let entries: Vec<_> = match query.view {
            View::Log => self.entries.range(range).map(|entry| entry.to_stored(room, epoch)).collect(),
            View::Timeline => {
                let entries = self.timeline.range(range).filter_map(|seq| self.entry(*seq));
                entries.map(|entry| entry.to_stored(room, epoch)).collect()
            }
        };
        Ok(Page { entries, head, reaches_head, reaches_start })
    }

    /// The position of a place, if reading from there is honest.
    fn resolve(&self, room: &RoomId, head: &Head, place: &Place, after: bool) -> Result<Seq> {
        match place {
            Place::Cursor(cursor) => match head.honours(room, cursor) {
                // What precedes a trimmed place is known: nothing is kept.
                Err(Error::CursorExpired { .. }) if !after => Ok(cursor.seq),
                honoured => honoured.map(|()| cursor.seq),
            },
            Place::Id(id) => {
                let entry = self.by_id(*id).ok_or_else(|| Error::MessageNotFound { room: room.clone() })?;
                Ok(entry.seq)
            }
        }
    }

    fn view_len(&self, view: View) -> usize {
        match view {
            View::Log => self.entries.len(),
            View::Timeline => self.timeline.len(),
        }
    }

    /// How many entries of the view lie before `seq`.
    fn view_index(&self, view: View, seq: Seq) -> usize {
        match view {
            View::Log => self.index_of(seq).unwrap_or(0).min(self.entries.len()),
            View::Timeline => self.timeline.partition_point(|other| *other < seq),
        }
    }

    pub(super) fn trim(&mut self, retention: &Retention) {
        let by_count = retention
            .max_entries
            .map_or(0, |max| self.entries.len().saturating_sub(usize::try_from(max).unwrap_or(usize::MAX)));
        let by_time = retention
            .not_before
            .map_or(0, |time| self.entries.iter().take_while(|entry| entry.created_at < time).count());
        for _ in 0..by_count.max(by_time) {
            self.drop_oldest();
        }
    }

    /// How much is in the indexes.
    #[cfg(test)]
    pub(super) fn indexed(&self) -> usize {
        self.timeline.len() + self.countable.len() + self.countable_of.len() + self.copies.len()
    }

    fn drop_oldest(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        self.oldest = entry.seq.next();
        pop_if_front(&mut self.timeline, entry.seq);
        pop_if_front(&mut self.countable, entry.seq);
        if let Some(own) = self.countable_of.get_mut(&entry.sender) {
            pop_if_front(own, entry.seq);
            if own.is_empty() {
                self.countable_of.remove(&entry.sender);
            }
        }
        self.copies.remove(&(entry.sender, entry.client_id));
    }
}

fn count_after(sorted: &VecDeque<Seq>, seq: Seq) -> u64 {
    (sorted.len() - sorted.partition_point(|other| *other <= seq)) as u64
}

fn remove_sorted(sorted: &mut VecDeque<Seq>, seq: Seq) {
    if let Ok(index) = sorted.binary_search(&seq) {
        sorted.remove(index);
    }
}

fn pop_if_front(sorted: &mut VecDeque<Seq>, seq: Seq) {
    if sorted.front() == Some(&seq) {
        sorted.pop_front();
    }
}

//! One room as its records come to: plain data, no lock, no clock, no file.

use std::collections::{BTreeMap, HashMap};

use chat_core::{
    Body, ClientMessageId, Content, Cursor, Draft, Edited, Epoch, Fingerprint, Head, Member, MessageId,
    Place, Position, ReadFrom, ReadMarker, ReadQuery, Retention, Room, Seq, StoredMessage, Timestamp, UserId,
    View,
    rules::{Changes, Found, Membership, batch::Target},
};

#[derive(Debug)]
pub(crate) struct RoomState {
    pub(crate) room: Room,
    pub(crate) users: BTreeMap<UserId, UserState>,
    /// Without gaps from `oldest` on.
    entries: Vec<Entry>,
    oldest: Seq,
    copies: HashMap<(UserId, ClientMessageId), Seq>,
    /// Outlives its entry, so that ids grow across a trim of everything.
    pub(crate) last_id: Option<MessageId>,
    activity: Option<Timestamp>,
}

#[derive(Debug)]
pub(crate) struct UserState {
    pub(crate) known: Membership,
    pub(crate) read: Seq,
    read_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Entry {
    message: StoredMessage,
    fingerprint: Fingerprint,
    changes: Changes,
}

impl Entry {
    fn is_target(&self) -> bool {
        self.message.content.kind().is_countable() && self.changes.deleted.is_none()
    }
}

impl UserState {
    pub(crate) fn current(&self) -> Option<&Member> {
        self.known.member.as_ref().filter(|member| member.is_current())
    }

    pub(crate) fn marker(&self, user: &UserId, epoch: &Epoch) -> ReadMarker {
        ReadMarker { user: user.clone(), cursor: Cursor::new(epoch.clone(), self.read), at: self.read_at }
    }
}

impl RoomState {
    pub(crate) fn new(room: Room) -> Self {
        Self {
            room,
            users: BTreeMap::new(),
            entries: Vec::new(),
            oldest: Seq::FIRST,
            copies: HashMap::new(),
            last_id: None,
            activity: None,
        }
    }

    /// The last position given out.
    pub(crate) fn last(&self) -> Seq {
        self.oldest.plus(self.entries.len() as u64).previous()
    }

    pub(crate) fn head(&self, epoch: &Epoch) -> Head {
        Head { cursor: Cursor::new(epoch.clone(), self.last()), oldest: self.oldest }
    }

    pub(crate) fn current(&self, user: &UserId) -> Option<&UserState> {
        self.users.get(user).filter(|user| user.current().is_some())
    }

    fn entry(&self, seq: Seq) -> Option<&Entry> {
        if seq < self.oldest {
            return None;
        }
        self.entries.get(usize::try_from(seq.since(self.oldest)).ok()?)
    }

    fn entry_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        if seq < self.oldest {
            return None;
        }
        self.entries.get_mut(usize::try_from(seq.since(self.oldest)).ok()?)
    }

    /// Ids grow with positions.
    fn by_id(&self, id: MessageId) -> Option<&Entry> {
        let index = self.entries.binary_search_by_key(&id, |entry| entry.message.position.id).ok()?;
        self.entries.get(index)
    }

    /// What this sender and client id name already.
    pub(crate) fn copy(&self, draft: &Draft, epoch: &Epoch) -> Option<(Position, Fingerprint)> {
        let seq = self.copies.get(&(draft.sender.clone(), draft.client_id.clone()))?;
        let entry = self.entry(*seq)?;
        Some((self.show(entry, epoch).position, entry.fingerprint))
    }

    /// The entry that a draft wants to change.
    pub(crate) fn target(&self, draft: &Draft) -> Option<(MessageId, Target)> {
        let id = draft.content.target()?;
        let entry = self.by_id(id)?;
        let (seq, message) = (entry.message.seq(), &entry.message);
        let target = Target {
            entry: i64::try_from(seq.get()).ok()?,
            seq,
            sender: message.sender.clone(),
            open: entry.is_target(),
            countable: message.is_countable(),
        };
        Some((id, target))
    }

    /// Takes an entry that has the next position.
    pub(crate) fn push(&mut self, position: Position, draft: Draft) {
        let fingerprint = draft.fingerprint();
        let message = StoredMessage::new(draft, position);
        let seq = message.seq();
        self.last_id = Some(message.position.id);
        if message.content.kind().in_timeline() {
            self.activity = Some(message.position.created_at);
        }
        self.copies.insert((message.sender.clone(), message.client_id.clone()), seq);
        self.change_target(&message);
        self.entries.push(Entry { message, fingerprint, changes: Changes::default() });
    }

    fn change_target(&mut self, new: &StoredMessage) {
        let target = new.content.target().and_then(|id| self.by_id(id)).map(|entry| entry.message.seq());
        let Some(target) = target.and_then(|seq| self.entry_mut(seq)) else { return };
        let at = new.position.created_at;
        match &new.content {
            Content::Edit { body, .. } => {
                replace(&mut target.message, body.clone());
                target.changes.edited = Some(Edited { seq: new.seq(), at });
                target.changes.edits.push(new.seq());
            }
            Content::Delete { .. } => {
                replace(&mut target.message, Body::Removed);
                target.changes.deleted = Some(new.seq());
                // What an edit says is what the message said: it goes with it.
                for edit in std::mem::take(&mut target.changes.edits) {
                    if let Some(edit) = self.entry_mut(edit) {
                        replace(&mut edit.message, Body::Removed);
                    }
                }
            }
            Content::Reaction { key, op, .. } => target.changes.react(&new.sender, key, *op, new.seq()),
            _ => {}
        }
    }

    /// The first position that is to be kept.
    pub(crate) fn kept_by(&self, retention: &Retention) -> Seq {
        let too_many = retention.max_entries.map_or(0, |max| (self.entries.len() as u64).saturating_sub(max));
        let is_old = |entry: &&Entry| {
            retention.not_before.is_some_and(|time| entry.message.position.created_at < time)
        };
        let too_old = self.entries.iter().take_while(is_old).count() as u64;
        self.oldest.plus(too_many.max(too_old))
    }

    pub(crate) fn trim(&mut self, oldest: Seq) {
        while self.oldest < oldest && !self.entries.is_empty() {
            let Entry { message, .. } = self.entries.remove(0);
            self.copies.remove(&(message.sender, message.client_id));
            self.oldest = self.oldest.next();
        }
    }

    pub(crate) fn set_known(&mut self, user: UserId, known: Membership) {
        let head = self.last();
        let was_current = self.current(&user).is_some();
        let is_current = known.member.as_ref().is_some_and(Member::is_current);
        let fresh = UserState { known: known.clone(), read: head, read_at: None };
        let state = self.users.entry(user).or_insert(fresh);
        state.known = known;
        if is_current && !was_current {
            // Who comes in has read what was there before.
            state.read = state.read.max(head);
            state.read_at = None;
        }
    }

    pub(crate) fn mark(&mut self, user: &UserId, seq: Seq, at: Timestamp) {
        if let Some(state) = self.users.get_mut(user).filter(|state| seq > state.read) {
            (state.read, state.read_at) = (seq, Some(at));
        }
    }

    /// Entries that the user has not read. It looks at each of them: a store with an index does not.
    pub(crate) fn unread(&self, user: &UserId) -> u64 {
        let Some(read) = self.current(user).map(|state| state.read) else { return 0 };
        let counts = |entry: &&Entry| {
            let message = &entry.message;
            message.seq() > read && message.is_countable() && entry.is_target() && message.sender != *user
        };
        self.entries.iter().filter(counts).count() as u64
    }

    /// When something was last said, or the user came.
    pub(crate) fn activity(&self, joined_at: Timestamp) -> Timestamp {
        self.activity.map_or(joined_at, |at| at.max(joined_at))
    }

    pub(crate) fn preview(&self, epoch: &Epoch) -> Option<StoredMessage> {
        let newest = self.entries.iter().rfind(|entry| entry.message.content.kind().in_timeline());
        newest.map(|entry| self.show(entry, epoch))
    }

    /// What a page is made of.
    pub(crate) fn find(&self, query: &ReadQuery, epoch: &Epoch) -> Found {
        let shown = |entry: &&Entry| match query.view {
            View::Log => true,
            View::Timeline => entry.message.content.kind().in_timeline(),
        };
        let place = match &query.from {
            ReadFrom::Newest => Some(self.last().next()),
            ReadFrom::After(Place::Cursor(cursor)) | ReadFrom::Before(Place::Cursor(cursor)) => {
                Some(cursor.seq)
            }
            ReadFrom::After(Place::Id(id)) | ReadFrom::Before(Place::Id(id)) => {
                self.by_id(*id).map(|entry| entry.message.seq())
            }
        };
        let at = place.unwrap_or(Seq::ZERO);
        // Of the timeline one more, which says whether there is more.
        let most = query.limit + usize::from(query.view == View::Timeline);
        let shown = self.entries.iter().filter(shown);
        let entries: Vec<_> = match query.from {
            ReadFrom::After(_) => shown.clone().filter(|entry| entry.message.seq() > at).take(most).collect(),
            _ => shown.clone().rev().filter(|entry| entry.message.seq() < at).take(most).collect(),
        };
        Found {
            head: self.head(epoch),
            place,
            entries: entries.into_iter().map(|entry| self.show(entry, epoch)).collect(),
            earlier: shown.clone().any(|entry| entry.message.seq() <= at),
            later: shown.clone().any(|entry| entry.message.seq() >= at),
        }
    }

    /// An entry as it is now, in the present epoch.
    fn show(&self, entry: &Entry, epoch: &Epoch) -> StoredMessage {
        let mut message = entry.message.clone();
        message.position.cursor.epoch = epoch.clone();
        message.state = entry.changes.to_state();
        message
    }
}

fn replace(message: &mut StoredMessage, new: Body) {
    if let Some(body) = message.content.body_mut() {
        *body = new;
    }
}

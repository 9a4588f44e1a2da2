//! What a batch of drafts becomes: repeats, conflicts and refusals, positions and counts.
//!
//! A store looks up what the batch refers to ([`Known`]), under whatever serialises the writes of its rooms, lets a [`Plan`]
//! decide one draft after the other, and writes [`Plan::entries`]. Entries whose positions were given out elsewhere go the
//! same way, and nothing is decided about them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use crate::{
    AppendOutcome, Authority, ClientMessageId, Content, Cursor, Draft, Epoch, Fingerprint, MessageId,
    Position, Refusal, Seq, Timestamp, UserId, check_body, tiered::ImportEntry,
};

/// A room as it stands before or within the batch.
#[derive(Debug, Clone, Copy)]
pub struct RoomNow {
    /// Whether it takes entries.
    pub active: bool,
    /// Its limit for bodies.
    pub max_body_chars: u32,
    /// The last position given out.
    pub head: Seq,
    /// How many entries that can be unread were ever stored in it.
    pub countable: i64,
    /// When the newest entry of the timeline came in this batch, if one did.
    pub activity: Option<Timestamp>,
    /// The last id given out; where a store keeps ids growing over all rooms, of any.
    pub last_id: Option<MessageId>,
}

/// A current member as it stands before or within the batch.
#[derive(Debug, Clone, Copy)]
pub struct MemberNow {
    /// How many entries that can be unread they ever stored in the room.
    pub own: i64,
    /// Whether the batch added to it.
    pub changed: bool,
}

/// An entry that another one may change.
#[derive(Debug, Clone)]
pub struct Target {
    /// The store's own number for it.
    pub entry: i64,
    /// Its position.
    pub seq: Seq,
    /// Who sent it.
    pub sender: UserId,
    /// Not deleted, and of a kind that can be changed.
    pub open: bool,
    /// Whether it can be unread.
    pub countable: bool,
}

/// What each client id names already.
pub type Copies<'d> = HashMap<(i64, &'d UserId, &'d ClientMessageId), (Position, Fingerprint)>;

/// What was looked up for the batch, kept up to date as drafts are taken. Rooms go by the store's own numbers.
#[derive(Debug, Default)]
pub struct Known<'d> {
    /// The rooms of the drafts.
    pub rooms: BTreeMap<i64, RoomNow>,
    /// The senders who are members; of an import, whoever sends what can be unread.
    pub members: BTreeMap<(i64, &'d UserId), MemberNow>,
    /// The drafts that were stored before.
    pub copies: Copies<'d>,
    /// The entries that drafts want to change.
    pub targets: HashMap<(i64, MessageId), Target>,
}

/// A draft that is stored.
#[derive(Debug)]
pub struct NewEntry<'d> {
    /// The store's own number of its room.
    pub room: i64,
    /// What was sent.
    pub draft: &'d Draft,
    /// The digest of its payload.
    pub fingerprint: Fingerprint,
    /// What it is given.
    pub position: Position,
    /// Whether it stands for itself, and not for a change of another entry.
    pub timeline: bool,
    /// Whether it can be unread.
    pub countable: bool,
    /// Countable entries of the room up to and with this one.
    pub ordinal: i64,
    /// Countable entries of its sender in the room, likewise.
    pub own: i64,
    /// The entry that it changes.
    pub target: Option<Target>,
}

/// Decides one draft after the other.
pub struct Plan<'d, S> {
    /// What is known now.
    pub known: Known<'d>,
    /// What is to be written, in the batch's order.
    pub entries: Vec<NewEntry<'d>>,
    epoch: Epoch,
    stamp: S,
}

impl<S> fmt::Debug for Plan<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("known", &self.known)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

impl<'d, S: FnMut(Option<MessageId>) -> (MessageId, Timestamp)> Plan<'d, S> {
    /// Begins with what was looked up. `stamp` gives each new entry its id and time: the id is greater than the room's
    /// last one, which it is handed.
    #[must_use]
    pub const fn new(known: Known<'d>, epoch: Epoch, stamp: S) -> Self {
        Self { known, entries: Vec::new(), epoch, stamp }
    }

    /// What becomes of a draft for this room; `None`: there is no such room.
    pub fn decide(&mut self, draft: &'d Draft, room: Option<i64>) -> AppendOutcome {
        let Some(room) = room else { return AppendOutcome::Refused(Refusal::RoomMissing) };
        let fingerprint = draft.fingerprint();
        if let Some((first, of_first)) = self.known.copies.get(&(room, &draft.sender, &draft.client_id)) {
            let first = first.clone();
            let same = *of_first == fingerprint;
            return if same { AppendOutcome::Duplicate(first) } else { AppendOutcome::Conflict(first) };
        }
        match self.check(draft, room) {
            Ok(target) => AppendOutcome::New(self.store(draft, room, fingerprint, target)),
            Err(refusal) => AppendOutcome::Refused(refusal),
        }
    }

    fn check(&self, draft: &Draft, room: i64) -> Result<Option<Target>, Refusal> {
        let now = self.known.rooms.get(&room).ok_or(Refusal::RoomMissing)?;
        if !now.active {
            return Err(Refusal::RoomInactive);
        }
        if draft.authority != Authority::System && !self.known.members.contains_key(&(room, &draft.sender)) {
            return Err(Refusal::NotAMember);
        }
        check_body(draft, now.max_body_chars)?;
        let Some(id) = draft.content.target() else { return Ok(None) };
        let target =
            self.known.targets.get(&(room, id)).filter(|target| target.open).ok_or(Refusal::TargetMissing)?;
        let changes_it = matches!(draft.content, Content::Edit { .. } | Content::Delete { .. });
        if changes_it && draft.authority == Authority::Member && target.sender != draft.sender {
            return Err(Refusal::TargetNotOwn);
        }
        Ok(Some(target.clone()))
    }

    fn store(
        &mut self,
        draft: &'d Draft,
        room: i64,
        fingerprint: Fingerprint,
        target: Option<Target>,
    ) -> Position {
        let now = self.known.rooms.get(&room);
        let (seq, last_id) = now.map_or((Seq::FIRST, None), |now| (now.head.next(), now.last_id));
        let (id, created_at) = (self.stamp)(last_id);
        let position = Position { cursor: Cursor::new(self.epoch.clone(), seq), id, created_at };
        self.known.copies.insert((room, &draft.sender, &draft.client_id), (position.clone(), fingerprint));
        self.record(draft, room, fingerprint, position.clone(), target);
        position
    }
}

impl<'d> Plan<'d, ()> {
    /// Begins an import: entries that have their positions and ids already.
    #[must_use]
    pub const fn of_import(known: Known<'d>, epoch: Epoch) -> Self {
        Self { known, entries: Vec::new(), epoch, stamp: () }
    }

    /// Takes an entry that follows the room's head. Whoever gave out its position has checked it; a target that is not
    /// there, or not open, is left alone. `number` is the store's own for the entry, by which a later one finds it as its
    /// target.
    pub fn import(&mut self, new: &'d ImportEntry, room: i64, number: i64) {
        let ImportEntry { seq, id, draft } = new;
        let target = draft.content.target().and_then(|target| self.known.targets.get(&(room, target)));
        let target = target.filter(|target| target.open).cloned();
        let position =
            Position { cursor: Cursor::new(self.epoch.clone(), *seq), id: *id, created_at: new.created_at() };
        self.record(draft, room, draft.fingerprint(), position, target);
        if draft.content.kind().is_countable() {
            let sender = draft.sender.clone();
            let target =
                Target { entry: number, seq: *seq, sender, open: true, countable: is_countable(draft) };
            self.known.targets.insert((room, *id), target);
        }
    }
}

impl<'d, S> Plan<'d, S> {
    /// Writes down an entry with the counts that it gets, and what is known from then on.
    fn record(
        &mut self,
        draft: &'d Draft,
        room: i64,
        fingerprint: Fingerprint,
        position: Position,
        target: Option<Target>,
    ) {
        let timeline = draft.content.kind().in_timeline();
        let countable = is_countable(draft);
        let mut ordinal = 0;
        if let Some(now) = self.known.rooms.get_mut(&room) {
            now.head = position.cursor.seq;
            now.countable += i64::from(countable);
            now.activity = if timeline { Some(position.created_at) } else { now.activity };
            now.last_id = Some(position.id);
            ordinal = now.countable;
        }
        let own = self.known.members.get_mut(&(room, &draft.sender)).map_or(0, |member| {
            member.own += i64::from(countable);
            member.changed |= countable;
            member.own
        });
        if let (Content::Delete { target: id }, Some(known)) = (&draft.content, &target) {
            self.known.targets.insert((room, *id), Target { open: false, ..known.clone() });
        }
        self.entries.push(NewEntry {
            room,
            draft,
            fingerprint,
            position,
            timeline,
            countable,
            ordinal,
            own,
            target,
        });
    }
}

/// Whether the entry can be unread.
fn is_countable(draft: &Draft) -> bool {
    draft.content.kind().is_countable() && draft.authority != Authority::System
}

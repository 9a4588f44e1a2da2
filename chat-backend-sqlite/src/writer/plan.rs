//! What a batch of drafts becomes, decided in memory from what was looked up: no SQL here.

use std::collections::{BTreeMap, HashMap};

use chat_core::{
    AppendOutcome, Authority, ClientMessageId, Content, Cursor, Draft, Epoch, Fingerprint, MessageId,
    Position, Refusal, Seq, Timestamp, UserId, check_body,
};

use super::Counters;

/// A room as it stands before or within the batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoomNow {
    pub(super) active: bool,
    pub(super) max_body_chars: u32,
    pub(super) head: Seq,
    pub(super) countable: i64,
    /// When the newest entry of the timeline came in this batch, if one did.
    pub(super) activity: Option<Timestamp>,
}

/// A current member as it stands before or within the batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemberNow {
    pub(super) own: i64,
    pub(super) changed: bool,
}

/// An entry that another one may change.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) entry: i64,
    pub(super) seq: Seq,
    pub(super) sender: UserId,
    /// Not deleted, and of a kind that can be changed.
    pub(super) open: bool,
    pub(super) countable: bool,
}

type Copies<'d> = HashMap<(i64, &'d UserId, &'d ClientMessageId), (Position, Fingerprint)>;

/// What was looked up for the batch, kept up to date as drafts are taken.
#[derive(Debug, Default)]
pub(super) struct Known<'d> {
    pub(super) rooms: BTreeMap<i64, RoomNow>,
    pub(super) members: BTreeMap<(i64, &'d UserId), MemberNow>,
    pub(super) copies: Copies<'d>,
    pub(super) targets: HashMap<(i64, MessageId), Target>,
}

/// A draft that is stored.
#[derive(Debug)]
pub(super) struct NewEntry<'d> {
    pub(super) entry: i64,
    pub(super) room: i64,
    pub(super) draft: &'d Draft,
    pub(super) fingerprint: Fingerprint,
    pub(super) position: Position,
    pub(super) timeline: bool,
    pub(super) countable: bool,
    /// Countable entries of the room up to and with this one, and of its sender.
    pub(super) ordinal: i64,
    pub(super) own: i64,
    pub(super) target: Option<Target>,
}

/// Decides one draft after the other.
#[derive(Debug)]
pub(super) struct Plan<'d> {
    pub(super) known: Known<'d>,
    pub(super) counters: Counters,
    pub(super) entries: Vec<NewEntry<'d>>,
    epoch: Epoch,
    now: Timestamp,
}

impl<'d> Plan<'d> {
    pub(super) const fn new(known: Known<'d>, counters: Counters, epoch: Epoch, now: Timestamp) -> Self {
        Self { known, counters, entries: Vec::new(), epoch, now }
    }

    /// What becomes of a draft for this room; `None`: there is no such room.
    pub(super) fn decide(&mut self, draft: &'d Draft, room: Option<i64>) -> AppendOutcome {
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
        let kind = draft.content.kind();
        let timeline = kind.in_timeline();
        let countable = kind.is_countable() && draft.authority != Authority::System;
        self.counters.last_entry += 1;
        let id = MessageId::next(self.counters.last_id, self.now, fastrand::u128(..));
        self.counters.last_id = Some(id);
        let (mut seq, mut ordinal) = (Seq::FIRST, 0);
        if let Some(now) = self.known.rooms.get_mut(&room) {
            now.head = now.head.next();
            now.countable += i64::from(countable);
            now.activity = if timeline { Some(self.now) } else { now.activity };
            (seq, ordinal) = (now.head, now.countable);
        }
        let own = self.known.members.get_mut(&(room, &draft.sender)).map_or(0, |member| {
            member.own += i64::from(countable);
            member.changed |= countable;
            member.own
        });
        if let (Content::Delete { target: id }, Some(known)) = (&draft.content, &target) {
            self.known.targets.insert((room, *id), Target { open: false, ..known.clone() });
        }
        let position = Position { cursor: Cursor::new(self.epoch.clone(), seq), id, created_at: self.now };
        self.known.copies.insert((room, &draft.sender, &draft.client_id), (position.clone(), fingerprint));
        self.entries.push(NewEntry {
            entry: self.counters.last_entry,
            room,
            draft,
            fingerprint,
            position: position.clone(),
            timeline,
            countable,
            ordinal,
            own,
            target,
        });
        position
    }
}

//! Everything that the file says, as it is now.

use std::collections::{BTreeMap, HashMap};

use chat_core::{
    AppendOutcome, Cursor, Draft, Epoch, Error, MessageId, Position, Result, RoomId, RoomKey, Timestamp,
    rules::{
        Membership,
        batch::{Known, MemberNow, Plan, RoomNow},
    },
};

use crate::{record::Record, room::RoomState};

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) epoch: Epoch,
    pub(crate) rooms: BTreeMap<RoomId, RoomState>,
    pub(crate) keys: HashMap<RoomKey, RoomId>,
}

impl State {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { epoch, rooms: BTreeMap::new(), keys: HashMap::new() }
    }

    pub(crate) fn room(&self, room: &RoomId) -> Result<&RoomState> {
        self.rooms.get(room).ok_or_else(|| Error::RoomNotFound { room: room.clone() })
    }

    /// The only way in which anything changes, at once and when the file is read again.
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Epoch(epoch) => self.epoch = epoch,
            Record::Room(room) => {
                if let Some(key) = &room.key {
                    self.keys.insert(key.clone(), room.id.clone());
                }
                match self.rooms.get_mut(&room.id) {
                    Some(known) => known.room = room,
                    None => drop(self.rooms.insert(room.id.clone(), RoomState::new(room))),
                }
            }
            Record::Member { room, user, member, version } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.set_known(user, Membership { member, version });
                }
            }
            Record::Read { room, user, seq, at } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.mark(&user, seq, at);
                }
            }
            Record::Entry { seq, id, at, draft } => {
                let cursor = Cursor::new(self.epoch.clone(), seq);
                if let Some(room) = self.rooms.get_mut(&draft.room) {
                    room.push(Position { cursor, id, created_at: at }, draft);
                }
            }
            Record::Trim { room, oldest } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.trim(oldest);
                }
            }
        }
    }

    /// What becomes of a batch, and what has to be written for that. Nothing is changed yet. What all stores decide alike is the
    /// library's ([`Plan`]); a store looks up what that has to know.
    pub(crate) fn decide(&self, drafts: &[Draft], now: Timestamp) -> (Vec<AppendOutcome>, Vec<Record>) {
        let mut known = Known::default();
        let mut numbers = Vec::new();
        for draft in drafts {
            let index = self.rooms.keys().position(|room| *room == draft.room);
            let number = index.and_then(|index| i64::try_from(index).ok());
            numbers.push(number);
            let (Some(number), Some(room)) = (number, self.rooms.get(&draft.room)) else { continue };
            known.rooms.entry(number).or_insert_with(|| RoomNow {
                active: room.room.active,
                max_body_chars: room.room.max_body_chars,
                head: room.last(),
                // Counts of the library's own for stores that keep them; unread is counted here when it is asked for.
                countable: 0,
                activity: None,
                last_id: room.last_id,
            });
            if room.current(&draft.sender).is_some() {
                known.members.insert((number, &draft.sender), MemberNow { own: 0, changed: false });
            }
            if let Some(copy) = room.copy(draft, &self.epoch) {
                known.copies.insert((number, &draft.sender, &draft.client_id), copy);
            }
            if let Some((id, target)) = room.target(draft) {
                known.targets.insert((number, id), target);
            }
        }
        let stamp = |last| (MessageId::next(last, now, fastrand::u128(..)), now);
        let mut plan = Plan::new(known, self.epoch.clone(), stamp);
        let outcomes = drafts.iter().zip(numbers).map(|(draft, number)| plan.decide(draft, number)).collect();
        let records = plan.entries.into_iter().map(|new| Record::Entry {
            seq: new.position.cursor.seq,
            id: new.position.id,
            at: new.position.created_at,
            draft: new.draft.clone(),
        });
        (outcomes, records.collect())
    }
}

//! One entry of a room's log with what later entries made of it.

use std::collections::{BTreeMap, HashMap};

use crate::{
    Authority, Body, ClientMessageId, Content, Cursor, Draft, Edited, EntryState, Epoch, Fingerprint,
    MessageId, Position, ReactionKey, ReactionOp, Reactions, RoomId, Seq, StoredMessage, Timestamp, UserId,
};

/// An entry as it is now. Room and epoch are the same for a whole log, so they are added when it is given out.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) seq: Seq,
    pub(super) id: MessageId,
    pub(super) created_at: Timestamp,
    pub(super) sender: UserId,
    pub(super) client_id: ClientMessageId,
    pub(super) authority: Authority,
    /// With the newest body; [`Body::Removed`] once it is deleted.
    pub(super) content: Content,
    /// Of the payload as it was sent.
    pub(super) fingerprint: Fingerprint,
    /// What was done to it; most entries stay as they are.
    pub(super) changes: Option<Box<Changes>>,
}

/// What later entries did to one entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    pub(super) edited: Option<Edited>,
    pub(super) deleted: Option<Seq>,
    /// The positions of its edits, whose bodies go when it is deleted.
    pub(super) edits: Vec<Seq>,
    reactions: Vec<ReactionTally>,
}

/// Who has one reaction on. It keeps its place among the others while nobody has it on.
#[derive(Debug, Clone)]
struct ReactionTally {
    key: ReactionKey,
    since: HashMap<UserId, Seq>,
    users: BTreeMap<Seq, UserId>,
}

impl Entry {
    pub(super) fn new(
        draft: &Draft,
        fingerprint: Fingerprint,
        seq: Seq,
        id: MessageId,
        now: Timestamp,
    ) -> Self {
        Self {
            seq,
            id,
            created_at: now,
            sender: draft.sender.clone(),
            client_id: draft.client_id.clone(),
            authority: draft.authority,
            content: draft.content.clone(),
            fingerprint,
            changes: None,
        }
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.changes.as_ref().is_some_and(|changes| changes.deleted.is_some())
    }

    /// Counts as unread for everyone but its sender, unless it is deleted.
    pub(super) const fn is_countable(&self) -> bool {
        self.content.kind().is_countable() && !matches!(self.authority, Authority::System)
    }

    /// Can be edited, deleted and reacted to.
    pub(super) fn is_target(&self) -> bool {
        self.content.kind().is_countable() && !self.is_deleted()
    }

    pub(super) fn changes_mut(&mut self) -> &mut Changes {
        self.changes.get_or_insert_default()
    }

    pub(super) fn set_body(&mut self, new: Body) {
        if let Some(body) = self.content.body_mut() {
            *body = new;
        }
    }

    pub(super) fn position(&self, epoch: &Epoch) -> Position {
        Position { cursor: Cursor::new(epoch.clone(), self.seq), id: self.id, created_at: self.created_at }
    }

    /// The entry as the log gives it out.
    pub(super) fn to_stored(&self, room: &RoomId, epoch: &Epoch) -> StoredMessage {
        StoredMessage {
            room: room.clone(),
            position: self.position(epoch),
            sender: self.sender.clone(),
            client_id: self.client_id.clone(),
            authority: self.authority,
            content: self.content.clone(),
            state: self.changes.as_ref().map_or_else(EntryState::default, |changes| changes.to_state()),
        }
    }
}

impl Changes {
    /// Puts a reaction on or takes it off; `seq` is the reaction entry's position.
    pub(super) fn react(&mut self, user: &UserId, key: &ReactionKey, op: ReactionOp, seq: Seq) {
        let known = self.reactions.iter().position(|tally| tally.key == *key);
        match (op, known.and_then(|index| self.reactions.get_mut(index))) {
            (ReactionOp::Add, Some(tally)) => tally.add(user, seq),
            (ReactionOp::Add, None) => {
                let mut tally =
                    ReactionTally { key: key.clone(), since: HashMap::new(), users: BTreeMap::new() };
                tally.add(user, seq);
                self.reactions.push(tally);
            }
            (ReactionOp::Remove, Some(tally)) => {
                if let Some(since) = tally.since.remove(user) {
                    tally.users.remove(&since);
                }
            }
            (ReactionOp::Remove, None) => {}
        }
    }

    fn to_state(&self) -> EntryState {
        let on = self.reactions.iter().filter(|tally| !tally.users.is_empty());
        let reactions = on.map(|tally| Reactions {
            key: tally.key.clone(),
            count: u32::try_from(tally.users.len()).unwrap_or(u32::MAX),
            users: tally.users.values().take(Reactions::MAX_USERS).cloned().collect(),
        });
        EntryState { edited: self.edited, deleted: self.deleted, reactions: reactions.collect() }
    }
}

impl ReactionTally {
    fn add(&mut self, user: &UserId, seq: Seq) {
        if !self.since.contains_key(user) {
            self.since.insert(user.clone(), seq);
            self.users.insert(seq, user.clone());
        }
    }
}

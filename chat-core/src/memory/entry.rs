//! One entry of a room's log with what later entries made of it.

use crate::{
    Authority, Body, ClientMessageId, Content, Cursor, Draft, EntryState, Epoch, Fingerprint, MessageId,
    Position, RoomId, Seq, StoredMessage, Timestamp, UserId, rules::Changes,
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

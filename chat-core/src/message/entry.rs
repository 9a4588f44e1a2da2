//! An entry on its way into the log, and as the log gives it out.

use serde::{Deserialize, Serialize};

use crate::{
    Body, ClientMessageId, Content, Cursor, Fingerprint, MessageId, ReactionKey, RoomId, Seq, Timestamp,
    UserId,
};

/// In whose right an entry is appended; the log checks it in the same atomic step that stores the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authority {
    /// The sender must be a member, and may edit and delete only what it sent itself.
    Member,
    /// The sender must be a member, and may also edit and delete what others sent.
    Moderator,
    /// The service itself: no membership needed, any target, never counted as unread.
    System,
}

/// An entry on its way into the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Draft {
    /// Into which room.
    pub room: RoomId,
    /// From whom.
    pub sender: UserId,
    /// The sender's name for it: the same (room, sender, client id) is the same entry.
    pub client_id: ClientMessageId,
    /// In whose right.
    pub authority: Authority,
    /// What it says.
    pub content: Content,
    /// The payload's digest as its sender gave it, if it was rewritten since.
    sent: Option<Fingerprint>,
}

impl Draft {
    /// A member's entry.
    #[must_use]
    pub const fn new(room: RoomId, sender: UserId, client_id: ClientMessageId, content: Content) -> Self {
        Self { room, sender, client_id, authority: Authority::Member, content, sent: None }
    }

    /// The same entry in another right.
    #[must_use]
    pub const fn with_authority(mut self, authority: Authority) -> Self {
        self.authority = authority;
        self
    }

    /// Replaces what it says. A repeat is still recognised by what was sent first.
    pub fn rewrite(&mut self, content: Content) {
        self.sent.get_or_insert_with(|| self.content.fingerprint());
        self.content = content;
    }

    /// The digest by which the log tells a repeat from a conflict.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.sent.unwrap_or_else(|| self.content.fingerprint())
    }

    /// Bytes of text in it, for bounding queues and batches.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.room.as_str().len()
            + self.sender.as_str().len()
            + self.client_id.as_str().len()
            + self.content.body().map_or(0, Body::len_bytes)
    }
}

/// Where and when an entry was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its place in the room.
    pub cursor: Cursor,
    /// Its identity.
    pub id: MessageId,
    /// When the log stored it.
    pub created_at: Timestamp,
}

/// The last edit of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    /// The edit entry's position: of two edits the greater one holds.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
}

/// Who put one reaction on a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reactions {
    /// The reaction.
    pub key: ReactionKey,
    /// How many users have it on.
    pub count: u32,
    /// The first [`Reactions::MAX_USERS`] of them, in the order they reacted.
    pub users: Vec<UserId>,
}

impl Reactions {
    /// At most this many users are named.
    pub const MAX_USERS: usize = 100;

    fn len_bytes(&self) -> usize {
        let users: usize = self.users.iter().map(|user| size_of::<UserId>() + user.as_str().len()).sum();
        size_of::<Self>() + users
    }
}

/// What later entries have made of a message by the time it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EntryState {
    /// The last edit, if any. The body is then the edited one.
    pub edited: Option<Edited>,
    /// The position of the delete entry, if any. The body is then [`Body::Removed`].
    pub deleted: Option<Seq>,
    /// Reactions that are on, in the order their keys first came.
    pub reactions: Vec<Reactions>,
}

/// An entry as the log gives it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoredMessage {
    /// The room.
    pub room: RoomId,
    /// Where, when, and its identity.
    #[serde(flatten)]
    pub position: Position,
    /// Who sent it.
    pub sender: UserId,
    /// The sender's name for it.
    pub client_id: ClientMessageId,
    /// In whose right it was sent.
    pub authority: Authority,
    /// What it says: in what is read, after edits and deletes.
    pub content: Content,
    /// What later entries made of it.
    pub state: EntryState,
}

impl StoredMessage {
    /// The entry that `draft` became.
    #[must_use]
    pub fn new(draft: Draft, position: Position) -> Self {
        let Draft { room, sender, client_id, authority, content, sent: _ } = draft;
        Self { room, position, sender, client_id, authority, content, state: EntryState::default() }
    }

    /// Its position in the room.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.position.cursor.seq
    }

    /// Counts as unread for everyone but its sender.
    #[must_use]
    pub const fn is_countable(&self) -> bool {
        self.content.kind().is_countable() && !matches!(self.authority, Authority::System)
    }

    /// Bytes of memory it takes, roughly, for bounding buffers.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        let body = self.content.body().map_or(0, Body::len_bytes);
        let reactions: usize = self.state.reactions.iter().map(Reactions::len_bytes).sum();
        size_of::<Self>() + self.client_id.as_str().len() + self.sender.as_str().len() + body + reactions
    }
}

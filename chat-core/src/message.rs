//! What goes into a room's log and what comes out of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{ClientMessageId, Cursor, CustomKind, MessageId, ReactionKey, RoomId, Seq, Timestamp, UserId};

/// The longest body of a room that sets no limit of its own, in characters (Unicode scalar values).
pub const DEFAULT_MAX_BODY_CHARS: u32 = 1_000;

/// No room may set a greater limit than this many characters.
pub const MAX_BODY_CHARS: u32 = 65_536;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Plain text.
    Text(Arc<str>),
    /// A JSON value of the application's own shape.
    Json(JsonText),
    /// The message was deleted and what it said is no longer given out. Only found in what is read.
    Removed,
}

/// Checked JSON in the form its sender gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// Checks that `text` is one JSON value.
    ///
    /// # Errors
    /// [`InvalidBody::NotJson`] otherwise.
    pub fn new(text: &str) -> Result<Self, InvalidBody> {
        let text = text.trim();
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_| InvalidBody::NotJson)?;
        Ok(Self(text.into()))
    }

    /// The JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for JsonText {
    type Error = InvalidBody;

    fn try_from(text: String) -> Result<Self, InvalidBody> {
        Self::new(&text)
    }
}

impl From<JsonText> for String {
    fn from(json: JsonText) -> Self {
        json.0.as_ref().to_owned()
    }
}

/// A body that no room takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBody {
    /// Nothing but white space.
    #[error("the body is blank")]
    Blank,
    /// Longer than the room allows.
    #[error("the body is longer than {max_chars} characters")]
    TooLong {
        /// The room's limit.
        max_chars: u32,
    },
    /// U+0000 in a text: several stores cannot hold it. (JSON escapes it.)
    #[error("the body has a zero character")]
    ZeroCharacter,
    /// Not one JSON value.
    #[error("the body is not valid JSON")]
    NotJson,
    /// [`Body::Removed`] cannot be sent.
    #[error("a removed body cannot be sent")]
    Removed,
}

impl Body {
    /// A text body.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// Checks the body against a room's limit. JSON counts by the characters of its text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, max_chars: u32) -> Result<(), InvalidBody> {
        let text = match self {
            Self::Text(text) if text.trim().is_empty() => return Err(InvalidBody::Blank),
            Self::Text(text) if text.contains('\0') => return Err(InvalidBody::ZeroCharacter),
            Self::Text(text) => text,
            Self::Json(json) => json.as_str(),
            Self::Removed => return Err(InvalidBody::Removed),
        };
        // A text has at most as many characters as bytes, so most need no count.
        let max = max_chars as usize;
        if text.len() > max && text.chars().take(max + 1).count() > max {
            return Err(InvalidBody::TooLong { max_chars });
        }
        Ok(())
    }

    /// Length in bytes, for accounting.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Json(json) => json.as_str().len(),
            Self::Removed => 0,
        }
    }
}

/// Whether a reaction is put on or taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReactionOp {
    /// Put on. Twice is the same as once.
    Add,
    /// Taken off.
    Remove,
}

/// An entry of the log. Edits, deletes and reactions are entries that point at their target, so that a client that was
/// away catches up on them like on anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Content {
    /// Somebody said something.
    Chat {
        /// What.
        body: Body,
    },
    /// Somebody became a member.
    Join {
        /// Who.
        user: UserId,
    },
    /// Somebody is no longer a member.
    Leave {
        /// Who.
        user: UserId,
    },
    /// A message says something else from now on.
    Edit {
        /// Which.
        target: MessageId,
        /// What it says now.
        body: Body,
    },
    /// A message is withdrawn; its body is no longer given out.
    Delete {
        /// Which.
        target: MessageId,
    },
    /// Somebody reacts to a message.
    Reaction {
        /// Which.
        target: MessageId,
        /// With what.
        key: ReactionKey,
        /// On or off.
        op: ReactionOp,
    },
    /// The application's own kind. Counts as unread and stands in the timeline like a chat message.
    Custom {
        /// The application's name for it.
        name: CustomKind,
        /// Whatever it needs.
        body: Body,
    },
}

/// [`Content`] without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// [`Content::Chat`]
    Chat,
    /// [`Content::Join`]
    Join,
    /// [`Content::Leave`]
    Leave,
    /// [`Content::Edit`]
    Edit,
    /// [`Content::Delete`]
    Delete,
    /// [`Content::Reaction`]
    Reaction,
    /// [`Content::Custom`]
    Custom,
}

impl EntryKind {
    /// Every kind, in the order of their stored numbers.
    pub const ALL: [Self; 7] =
        [Self::Chat, Self::Join, Self::Leave, Self::Edit, Self::Delete, Self::Reaction, Self::Custom];

    /// The name on the wire and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Reaction => "reaction",
            Self::Custom => "custom",
        }
    }

    /// Stands for itself in a room's timeline, rather than changing another entry.
    #[must_use]
    pub const fn in_timeline(self) -> bool {
        matches!(self, Self::Chat | Self::Join | Self::Leave | Self::Custom)
    }

    /// Can be unread: what people and applications say, not what the system notes.
    #[must_use]
    pub const fn is_countable(self) -> bool {
        matches!(self, Self::Chat | Self::Custom)
    }
}

impl Content {
    /// Chat with a text body.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Chat { body: Body::text(text) }
    }

    /// Which kind this is.
    #[must_use]
    pub const fn kind(&self) -> EntryKind {
        match self {
            Self::Chat { .. } => EntryKind::Chat,
            Self::Join { .. } => EntryKind::Join,
            Self::Leave { .. } => EntryKind::Leave,
            Self::Edit { .. } => EntryKind::Edit,
            Self::Delete { .. } => EntryKind::Delete,
            Self::Reaction { .. } => EntryKind::Reaction,
            Self::Custom { .. } => EntryKind::Custom,
        }
    }

    /// The body, if this kind has one.
    #[must_use]
    pub const fn body(&self) -> Option<&Body> {
        match self {
            Self::Chat { body } | Self::Edit { body, .. } | Self::Custom { body, .. } => Some(body),
            _ => None,
        }
    }

    /// The body, to be changed.
    pub const fn body_mut(&mut self) -> Option<&mut Body> {
        match self {
            Self::Chat { body } | Self::Edit { body, .. } | Self::Custom { body, .. } => Some(body),
            _ => None,
        }
    }

    /// The message that this entry changes.
    #[must_use]
    pub const fn target(&self) -> Option<MessageId> {
        match self {
            Self::Edit { target, .. } | Self::Delete { target } | Self::Reaction { target, .. } => {
                Some(*target)
            }
            _ => None,
        }
    }

    /// A digest of the payload, by which a repeated client id is told from a conflicting one. Backends store it, so
    /// that the comparison outlives edits and deletes. Its value is the same in every release.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fn part(digest: &mut Sha256, bytes: &[u8]) {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        }
        fn body_parts(digest: &mut Sha256, body: &Body) {
            match body {
                Body::Text(text) => part(digest, &[b"t", text.as_bytes()].concat()),
                Body::Json(json) => part(digest, &[b"j", json.as_str().as_bytes()].concat()),
                Body::Removed => part(digest, b"r"),
            }
        }
        let mut digest = Sha256::new();
        part(&mut digest, self.kind().as_str().as_bytes());
        match self {
            Self::Chat { body } => body_parts(&mut digest, body),
            Self::Join { user } | Self::Leave { user } => part(&mut digest, user.as_str().as_bytes()),
            Self::Edit { target, body } => {
                part(&mut digest, &target.as_u128().to_be_bytes());
                body_parts(&mut digest, body);
            }
            Self::Delete { target } => part(&mut digest, &target.as_u128().to_be_bytes()),
            Self::Reaction { target, key, op } => {
                part(&mut digest, &target.as_u128().to_be_bytes());
                part(&mut digest, key.as_str().as_bytes());
                part(&mut digest, if *op == ReactionOp::Add { b"+" } else { b"-" });
            }
            Self::Custom { name, body } => {
                part(&mut digest, name.as_str().as_bytes());
                body_parts(&mut digest, body);
            }
        }
        let mut short = [0; 16];
        short.copy_from_slice(&digest.finalize()[..16]);
        Fingerprint(short)
    }
}

/// The first 128 bits of a SHA-256 over a [`Content`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 16]);

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
        size_of::<Self>() + self.client_id.as_str().len() + self.sender.as_str().len() + body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_counted_in_characters() {
        assert_eq!(Body::text(&"é".repeat(1_000)).check(1_000), Ok(()));
        assert_eq!(
            Body::text(&"é".repeat(1_001)).check(1_000),
            Err(InvalidBody::TooLong { max_chars: 1_000 })
        );
        assert_eq!(Body::text(" \n\t\u{3000}").check(1_000), Err(InvalidBody::Blank));
        assert_eq!(Body::Removed.check(1_000), Err(InvalidBody::Removed));
        assert_eq!(Body::text("a\0b").check(1_000), Err(InvalidBody::ZeroCharacter));
        assert_eq!(JsonText::new("{\"a\":"), Err(InvalidBody::NotJson));
        assert_eq!(JsonText::new(" {\"a\": 1} ").unwrap().as_str(), "{\"a\": 1}");
    }

    /// Stored by backends: a change of these values would turn every retry across an upgrade into a conflict.
    #[test]
    fn fingerprints_are_the_same_in_every_release() {
        let hex =
            |content: Content| content.fingerprint().0.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let target = MessageId::from_u128(5);
        assert_eq!(hex(Content::text("hello")), GOLDEN_TEXT);
        let reaction =
            Content::Reaction { target, key: ReactionKey::new("👍").unwrap(), op: ReactionOp::Add };
        assert_eq!(hex(reaction), GOLDEN_REACTION);
        assert_ne!(
            Content::text("1").fingerprint(),
            Content::Chat { body: Body::Json(JsonText::new("1").unwrap()) }.fingerprint()
        );
    }

    const GOLDEN_TEXT: &str = "7db86d2ca8ae18be6fc70c3452e0b229";
    const GOLDEN_REACTION: &str = "bd96ac1f55210d3de4a1757775ebd389";
}

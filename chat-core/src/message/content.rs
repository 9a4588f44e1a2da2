//! The kinds of entries, and the digest by which a repeat is told from a conflict.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Body, CustomKind, MessageId, ReactionKey, UserId};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JsonText;

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

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// A text that is no valid identifier of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be 1 to {max_bytes} bytes of {alphabet}")]
pub struct InvalidId {
    /// What was being parsed, for example `room id`.
    pub kind: &'static str,
    /// The greatest length in bytes.
    pub max_bytes: usize,
    /// The characters it may be made of.
    pub alphabet: &'static str,
}

const WORD: &str = "ASCII letters, digits, '-' and '_'";
const KEY: &str = "ASCII letters, digits and -_.~:@+=,!";
const GRAPHIC: &str = "printable ASCII without spaces";
const TEXT: &str = "printable characters without spaces";

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn key(c: char) -> bool {
    word(c) || matches!(c, '.' | '~' | ':' | '@' | '+' | '=' | ',' | '!')
}

fn graphic(c: char) -> bool {
    c.is_ascii_graphic()
}

fn text(c: char) -> bool {
    !c.is_control() && !c.is_whitespace()
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $alphabet:ident, $allowed:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("The greatest length in bytes: ", stringify!($max), ".")]
            pub const MAX_BYTES: usize = $max;

            /// Checks `text`.
            ///
            /// # Errors
            /// [`InvalidId`] if it is empty, too long or has a character that is not allowed.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                if text.is_empty() || text.len() > Self::MAX_BYTES || !text.chars().all($allowed) {
                    return Err(InvalidId { kind: $kind, max_bytes: Self::MAX_BYTES, alphabet: $alphabet });
                }
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// Names a room. Its alphabet is safe in a path segment, a Redis hash tag, a topic and an SQL value alike.
    RoomId, "a room id", 128, KEY, key
);
text_id!(
    /// The application's own key of a room (one per study, per pair of users, per store and buyer), unique among rooms.
    RoomKey, "a room key", 255, GRAPHIC, graphic
);
text_id!(
    /// Names a user. Long enough for an e-mail address or a `did:jwk`.
    UserId, "a user id", 512, GRAPHIC, graphic
);
text_id!(
    /// One connection of a client, unique for all time.
    ConnectionId, "a connection id", 64, WORD, word
);
text_id!(
    /// Chosen by the sender of a message: sending the same one again is the same message. One that begins with
    /// [`RESERVED`](Self::RESERVED) is the engine's own.
    ClientMessageId, "a client message id", 128, GRAPHIC, graphic
);
text_id!(
    /// One server process, unique for all time.
    NodeId, "a node id", 64, WORD, word
);
text_id!(
    /// Names a token for revocation: its `jti`, or a digest of it. Never the token itself.
    TokenId, "a token id", 128, GRAPHIC, graphic
);
text_id!(
    /// The name of an application's own kind of entry.
    CustomKind, "a kind of entry", 64, KEY, key
);
text_id!(
    /// What a reaction says: an emoji or a short name.
    ReactionKey, "a reaction", 64, TEXT, text
);

impl ClientMessageId {
    /// The engine's own entries have ids that begin so; nobody else's may.
    pub const RESERVED: char = '!';

    /// Whether it is one of the engine's own.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(Self::RESERVED)
    }
}

macro_rules! generated {
    ($name:ident) => {
        impl $name {
            /// A new one: a ULID, so 80 random bits after the time.
            #[must_use]
            pub fn generate() -> Self {
                Self(ulid::Ulid::generate().to_string().into())
            }
        }
    };
}

generated!(RoomId);
generated!(ConnectionId);
generated!(ClientMessageId);
generated!(NodeId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_id_keeps_to_its_alphabet_and_length() {
        assert!(RoomId::new("shop:42.buyer-7").is_ok());
        for bad in ["", "two words", "{tag}", "a/b", "é", "line\nfeed", &"x".repeat(129)] {
            assert!(RoomId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(RoomId::new(&"x".repeat(128)).map(|id| id.as_str().len()), Ok(128));
    }

    #[test]
    fn the_error_says_what_is_allowed() {
        let error = UserId::new("").unwrap_err();
        assert_eq!(error.to_string(), "a user id must be 1 to 512 bytes of printable ASCII without spaces");
    }

    #[test]
    fn serde_checks_too() {
        assert!(serde_json::from_str::<RoomId>("\"ok\"").is_ok());
        assert!(serde_json::from_str::<RoomId>("\"not ok\"").is_err());
        assert_eq!(serde_json::to_string(&ReactionKey::new("👍").unwrap()).unwrap(), "\"👍\"");
    }

    #[test]
    fn generated_ids_differ_and_are_valid() {
        let (a, b) = (ConnectionId::generate(), ConnectionId::generate());
        assert_ne!(a, b);
        assert!(ConnectionId::new(a.as_str()).is_ok());
    }
}

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::clock::Timestamp;

/// Identity of a stored message: a ULID that grows strictly with the message's position in its room.
///
/// It is given out by the log, under the same serialisation that gives out the position, never by a client or a
/// gateway. It names a message; it is not a cursor (use [`Cursor`](crate::Cursor) to resume). The text form is the
/// 26 characters of Crockford base 32, as in the [ULID specification](https://github.com/ulid/spec).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageId(Ulid);

impl MessageId {
    /// The id for a message stored at `now` in a room whose last id was `previous`: always greater than `previous`,
    /// whatever the clock does. `random` fills the part below the time stamp.
    #[must_use]
    pub fn next(previous: Option<Self>, now: Timestamp, random: u128) -> Self {
        let candidate = Ulid::from_parts(now.as_millis(), random);
        match previous {
            Some(Self(last)) if candidate.0 <= last.0 => Self(Ulid(last.0.saturating_add(1))),
            _ => Self(candidate),
        }
    }

    /// The id as an integer, for a store with a 128-bit column.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0.0
    }

    /// The id that [`as_u128`](Self::as_u128) gave.
    #[must_use]
    pub const fn from_u128(value: u128) -> Self {
        Self(Ulid(value))
    }

    /// The time stamp in the id's first 48 bits. It follows the clock of the store, so it is for display only.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millis(self.0.timestamp_ms())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// The text is not the 26 characters of a ULID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a message id is the 26 characters of a ULID")]
pub struct InvalidMessageId;

impl FromStr for MessageId {
    type Err = InvalidMessageId;

    fn from_str(text: &str) -> Result<Self, InvalidMessageId> {
        // 26 characters hold 130 bits: past 7 the first one would lose its upper two, and two texts would be one id.
        if text.as_bytes().first().is_some_and(|first| *first > b'7') {
            return Err(InvalidMessageId);
        }
        Ulid::from_string(text).map(Self).map_err(|_| InvalidMessageId)
    }
}

impl TryFrom<String> for MessageId {
    type Error = InvalidMessageId;

    fn try_from(text: String) -> Result<Self, InvalidMessageId> {
        text.parse()
    }
}

impl From<MessageId> for String {
    fn from(id: MessageId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_when_the_clock_goes_back() {
        let first = MessageId::next(None, Timestamp::from_millis(2_000), 7);
        let second = MessageId::next(Some(first), Timestamp::from_millis(1_000), 9);
        assert!(second > first);
        assert_eq!(second.as_u128(), first.as_u128() + 1);
    }

    #[test]
    fn the_text_form_reads_back() {
        let id = MessageId::next(None, Timestamp::from_millis(1_700_000_000_000), 42);
        assert_eq!(id.to_string().len(), 26);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("not a ulid".parse::<MessageId>(), Err(InvalidMessageId));
        assert_eq!("81850M2GA1850M2GA1850M2GA1".parse::<MessageId>(), Err(InvalidMessageId));
        assert_eq!("7ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse(), Ok(MessageId::from_u128(u128::MAX)));
        assert_eq!(id.timestamp(), Timestamp::from_millis(1_700_000_000_000));
    }
}

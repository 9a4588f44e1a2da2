//! Positions: an epoch, a sequence number, and the two together as a cursor.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Position of an entry in its room: 1, 2, 3 … without gaps within an [`Epoch`]. Zero stands before the first entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Seq(u64);

impl Seq {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);
    /// The first entry's position.
    pub const FIRST: Self = Self(1);
    /// 2^53 - 1, the greatest integer that JSON carries exactly to a JavaScript client (`Number.MAX_SAFE_INTEGER`).
    pub const MAX: Self = Self((1 << 53) - 1);

    /// Checks that `value` is at most [`Seq::MAX`].
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one; stays at [`Seq::MAX`].
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The position before this one; stays at [`Seq::ZERO`].
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The position `count` further on, at most [`Seq::MAX`].
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        let sum = self.0.saturating_add(count);
        if sum > Self::MAX.0 { Self::MAX } else { Self(sum) }
    }

    /// How many positions this one lies after `earlier`; zero if it does not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The number is greater than [`Seq::MAX`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a sequence number is at most 2^53 - 1")]
pub struct InvalidSeq;

impl TryFrom<u64> for Seq {
    type Error = InvalidSeq;

    fn try_from(value: u64) -> Result<Self, InvalidSeq> {
        Self::new(value).ok_or(InvalidSeq)
    }
}

impl From<Seq> for u64 {
    fn from(seq: Seq) -> Self {
        seq.0
    }
}

/// Identity of the storage that gave out a position. It changes when the storage can no longer vouch for positions it
/// gave out before: wiped, restored from a backup, failed over with lost writes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// The greatest length in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Checks `text`: 1 to 64 ASCII letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// [`InvalidCursor`] otherwise.
    pub fn new(text: &str) -> Result<Self, InvalidCursor> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.chars().all(allowed) {
            return Err(InvalidCursor);
        }
        Ok(Self(text.into()))
    }

    /// A new epoch, different from every other.
    #[must_use]
    pub fn generate() -> Self {
        Self(ulid::Ulid::generate().to_string().into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({})", self.0)
    }
}

impl TryFrom<String> for Epoch {
    type Error = InvalidCursor;

    fn try_from(text: String) -> Result<Self, InvalidCursor> {
        Self::new(&text)
    }
}

impl From<Epoch> for String {
    fn from(epoch: Epoch) -> Self {
        epoch.0.as_ref().to_owned()
    }
}

/// A place in a room's log. Reading *after* a cursor never misses an entry: the store either gives everything that
/// follows, or says that it no longer can.
///
/// The text form is `<epoch>.<seq>`. Clients keep it as an opaque text and hand it back.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    /// Which life of the storage the position belongs to.
    pub epoch: Epoch,
    /// The position of the last entry seen; [`Seq::ZERO`] for none.
    pub seq: Seq,
}

impl Cursor {
    /// The longest text form: an epoch, a dot and 16 digits.
    pub const MAX_BYTES: usize = Epoch::MAX_BYTES + 17;

    /// Puts the two together.
    #[must_use]
    pub const fn new(epoch: Epoch, seq: Seq) -> Self {
        Self { epoch, seq }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({self})")
    }
}

/// The text is not a cursor that this library gave out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is the text that came with an entry: <epoch>.<sequence number>")]
pub struct InvalidCursor;

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (epoch, seq) = text.rsplit_once('.').ok_or(InvalidCursor)?;
        // One text per cursor: no sign, no leading zeros.
        if seq.is_empty()
            || !seq.bytes().all(|b| b.is_ascii_digit())
            || (seq.len() > 1 && seq.starts_with('0'))
        {
            return Err(InvalidCursor);
        }
        let seq = seq.parse().ok().and_then(Seq::new).ok_or(InvalidCursor)?;
        Ok(Self::new(Epoch::new(epoch)?, seq))
    }
}

impl TryFrom<String> for Cursor {
    type Error = InvalidCursor;

    fn try_from(text: String) -> Result<Self, InvalidCursor> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_text_form_reads_back(epoch in "[A-Za-z0-9_-]{1,64}", seq in 0..=Seq::MAX.get()) {
            let cursor = Cursor::new(Epoch::new(&epoch).unwrap(), Seq::new(seq).unwrap());
            let text = cursor.to_string();
            prop_assert!(text.len() <= Cursor::MAX_BYTES);
            prop_assert_eq!(text.parse::<Cursor>(), Ok(cursor));
        }

        #[test]
        fn whatever_parses_prints_as_it_was(text in "\\PC{0,90}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn bad_texts_are_refused() {
        for bad in
            ["", ".", "e.", ".1", "e", "e.-1", "e.+1", "e.01", "e.1 ", "e.9007199254740992", "a b.1", "é.1"]
        {
            assert_eq!(bad.parse::<Cursor>(), Err(InvalidCursor), "{bad:?}");
        }
        assert!("e.9007199254740991".parse::<Cursor>().is_ok());
    }
}

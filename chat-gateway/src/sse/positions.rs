//! Where a stream stands in every room it follows, as one text: all that a browser sends back after a break.

use std::{collections::BTreeMap, fmt};

use chat_core::{Cursor, Epoch, RoomId};
use sha2::{Digest, Sha256};

/// Letters of the digest of the rooms' names.
const DIGEST: usize = 12;

/// Ends the id of a stream that is not to be opened again by itself.
const OVER: char = '!';

/// The rooms of a stream, each with the position reached; `None` for a room of which the client has nothing yet.
///
/// The text form is `<digest>` and then, for each room in the order of their names, `~` and nothing, `<seq>` or
/// `<epoch>.<seq>`; an epoch is left out where it is that of the position before. The names themselves are left out, since
/// the text goes out with every entry and comes back beside the names: the digest sees to it that they are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Positions {
    rooms: BTreeMap<RoomId, Option<Cursor>>,
    digest: String,
}

/// The text is not one that was given out for these rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl Positions {
    pub(super) fn new(rooms: BTreeMap<RoomId, Option<Cursor>>) -> Self {
        let mut hash = Sha256::new();
        for room in rooms.keys() {
            // No name has a space in it.
            hash.update(room.as_str());
            hash.update(b" ");
        }
        let mut digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        digest.truncate(DIGEST);
        Self { rooms, digest }
    }

    /// Takes over the positions of a text. True if it says that the stream is over for good.
    pub(super) fn resume(&mut self, text: &str) -> Result<bool, Malformed> {
        let (text, over) = match text.strip_suffix(OVER) {
            Some(text) => (text, true),
            None => (text, false),
        };
        // No longer than it can be, before any of it is looked at.
        if text.len() > DIGEST + self.rooms.len() * (1 + Cursor::MAX_BYTES) {
            return Err(Malformed);
        }
        let mut parts = text.split('~');
        if parts.next() != Some(&self.digest) {
            return Err(Malformed);
        }
        let mut epoch: Option<Epoch> = None;
        let mut read = Vec::with_capacity(self.rooms.len());
        for part in parts {
            let cursor = match (part, &epoch) {
                ("", _) => None,
                (part, Some(epoch)) if !part.contains('.') => {
                    Some(format!("{epoch}.{part}").parse::<Cursor>().map_err(|_| Malformed)?)
                }
                (part, _) => Some(part.parse::<Cursor>().map_err(|_| Malformed)?),
            };
            if let Some(cursor) = &cursor {
                epoch = Some(cursor.epoch.clone());
            }
            read.push(cursor);
        }
        if read.len() != self.rooms.len() {
            return Err(Malformed);
        }
        for (position, cursor) in self.rooms.values_mut().zip(read) {
            *position = cursor;
        }
        Ok(over)
    }

    /// Moves one room on.
    pub(super) fn reach(&mut self, room: &RoomId, cursor: &Cursor) {
        match self.rooms.get_mut(room) {
            // The name of the epoch, which seldom changes, is kept.
            Some(Some(position)) if position.epoch == cursor.epoch => position.seq = cursor.seq,
            Some(position) => *position = Some(cursor.clone()),
            None => {}
        }
    }

    pub(super) const fn rooms(&self) -> &BTreeMap<RoomId, Option<Cursor>> {
        &self.rooms
    }

    /// Whether there is any to come back to.
    pub(super) fn are_known(&self) -> bool {
        self.rooms.values().any(Option::is_some)
    }

    /// The text that a stream ends with which is not to be opened again by itself.
    pub(super) fn over(&self) -> String {
        format!("{self}{OVER}")
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digest)?;
        let mut epoch: Option<&Epoch> = None;
        for position in self.rooms.values() {
            f.write_str("~")?;
            let Some(Cursor { epoch: life, seq }) = position else { continue };
            if epoch == Some(life) {
                write!(f, "{seq}")?;
            } else {
                write!(f, "{life}.{seq}")?;
            }
            epoch = Some(life);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chat_core::Seq;
    use proptest::prelude::*;

    use super::*;

    fn room(number: usize) -> RoomId {
        RoomId::new(&format!("room-{number:03}")).unwrap()
    }

    fn cursor(epoch: &str, seq: u64) -> Cursor {
        Cursor::new(Epoch::new(epoch).unwrap(), Seq::new(seq).unwrap())
    }

    fn positions(cursors: &[Option<Cursor>]) -> Positions {
        Positions::new(
            cursors.iter().enumerate().map(|(number, cursor)| (room(number), cursor.clone())).collect(),
        )
    }

    fn blank(like: &Positions) -> Positions {
        Positions::new(like.rooms.keys().map(|room| (room.clone(), None)).collect())
    }

    proptest! {
        #[test]
        fn the_text_reads_back(
            cursors in proptest::collection::vec(
                proptest::option::of(("[a-c]{1,2}|[A-Za-z0-9_-]{1,64}", 0..=Seq::MAX.get())), 0..120),
            over: bool,
        ) {
            let cursors: Vec<_> =
                cursors.into_iter().map(|known| known.map(|(epoch, seq)| cursor(&epoch, seq))).collect();
            let positions = positions(&cursors);
            let text = if over { positions.over() } else { positions.to_string() };
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            let mut read = blank(&positions);
            prop_assert_eq!(read.resume(&text), Ok(over));
            prop_assert_eq!(read, positions);
        }

        #[test]
        fn no_text_does_harm(text in "\\PC{0,200}") {
            let mut some = positions(&[Some(cursor("e", 1)), None]);
            let before = some.clone();
            if some.resume(&text).is_err() {
                prop_assert_eq!(some, before);
            }
        }
    }

    #[test]
    fn an_epoch_stands_once_for_the_rooms_that_share_it() {
        let some = positions(&[Some(cursor("e", 41)), Some(cursor("e", 7)), None, Some(cursor("f", 0))]);
        let text = some.to_string();
        assert_eq!(&text[DIGEST..], "~e.41~7~~f.0");
        // A hundred rooms with a million entries each stay far below what proxies take in a header.
        let ulid = "01J00000000000000000000000";
        let many: Vec<_> = (0..100).map(|number| Some(cursor(ulid, 1_000_000 + number))).collect();
        assert!(positions(&many).to_string().len() < 1_024);
    }

    #[test]
    fn texts_of_other_rooms_and_broken_ones_are_refused() {
        let some = positions(&[Some(cursor("e", 1)), Some(cursor("e", 2))]);
        let good = some.to_string();
        let digest = &good[..DIGEST];
        let bad = [
            String::new(),
            digest.to_owned(),
            format!("{digest}~"),
            format!("{digest}~e.1"),
            format!("{digest}~e.1~2~3"),
            format!("{digest}~1~2"),
            format!("{digest}~e.1~02"),
            format!("{digest}~e.1~-2"),
            format!("{digest}~e.1~2!!"),
            format!("{digest}~e.1~9007199254740992"),
            format!("{good}~{}", "x".repeat(10_000)),
            positions(&[Some(cursor("e", 1))]).to_string(),
            positions(&[Some(cursor("e", 1)), None, None]).to_string(),
        ];
        for bad in bad {
            assert_eq!(blank(&some).resume(&bad), Err(Malformed), "{bad:?}");
        }
        assert_eq!(blank(&some).resume(&good), Ok(false));
    }

    #[test]
    fn a_position_moves_within_its_room() {
        let mut some = positions(&[None, Some(cursor("e", 2))]);
        some.reach(&room(0), &cursor("e", 5));
        some.reach(&room(1), &cursor("f", 1));
        some.reach(&room(7), &cursor("f", 9));
        assert_eq!(some, positions(&[Some(cursor("e", 5)), Some(cursor("f", 1))]));
    }
}

//! Cursors of a room's lives, and those of its archive.

use super::{ArchivedRoom, HotRoom};
use crate::{Cursor, Epoch, Error, Head, Result, RoomId, Seq, StoredMessage};

impl HotRoom {
    pub(super) fn head(&self) -> Head {
        Head { cursor: Cursor::new(self.life.clone(), self.head), oldest: self.oldest }
    }
}

impl ArchivedRoom {
    /// The epoch that readers see: that of the present life, or the archive's own where no hot log was ever in front.
    pub(super) fn epoch(&self) -> &Epoch {
        self.life().map_or(&self.head.cursor.epoch, |life| &life.epoch)
    }

    /// The ends as readers see them.
    pub(super) fn visible_head(&self) -> Head {
        Head { cursor: Cursor::new(self.epoch().clone(), self.head.cursor.seq), oldest: self.head.oldest }
    }

    /// Whether what this cursor has seen is still the room's history: every later life began at or behind it.
    pub(super) fn goes_on(&self, cursor: &Cursor) -> bool {
        if let Some(index) = self.lives.iter().position(|life| life.epoch == cursor.epoch) {
            return self.lives[index + 1..].iter().all(|later| cursor.seq <= later.base);
        }
        // From before there was a hot log. Lives that were forgotten may have begun before it.
        cursor.epoch == self.head.cursor.epoch
            && self.lives.len() < Self::MAX_LIVES
            && self.lives.iter().all(|life| cursor.seq <= life.base)
    }

    /// The position of a cursor of any life, in a room whose ends are these.
    ///
    /// # Errors
    /// [`Error::CursorReset`] if something that it has seen was lost.
    pub(super) fn position(&self, room: &RoomId, cursor: &Cursor, head: &Head) -> Result<Seq> {
        if cursor.seq <= head.cursor.seq && self.goes_on(cursor) {
            return Ok(cursor.seq);
        }
        Err(Error::CursorReset { room: room.clone(), current: head.cursor.clone() })
    }
}

/// Shows an entry of the archive in the epoch that readers see.
pub(super) fn show(entry: &mut StoredMessage, epoch: &Epoch) {
    entry.position.cursor.epoch = epoch.clone();
}

#[cfg(test)]
mod tests {
    use super::{super::Life, *};

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    fn cursor(epoch: &str, number: u64) -> Cursor {
        Cursor::new(Epoch::new(epoch).unwrap(), seq(number))
    }

    fn archived(head: u64, lives: &[(&str, u64)]) -> ArchivedRoom {
        let life = |(epoch, base): &(&str, u64)| Life { epoch: Epoch::new(epoch).unwrap(), base: seq(*base) };
        ArchivedRoom {
            head: Head { cursor: cursor("store", head), oldest: Seq::FIRST },
            last_id: None,
            lives: lives.iter().map(life).collect(),
        }
    }

    #[test]
    fn a_cursor_holds_where_no_later_life_began_before_it() {
        let room = RoomId::new("tea").unwrap();
        let known = archived(200, &[("a", 50), ("b", 140), ("c", 160)]);
        let head = known.visible_head();
        assert_eq!(head.cursor, cursor("c", 200));
        let holds = |cursor| known.position(&room, &cursor, &head).is_ok();
        assert!(holds(cursor("c", 200)) && !holds(cursor("c", 201)));
        assert!(holds(cursor("b", 160)) && !holds(cursor("b", 161)));
        assert!(holds(cursor("a", 140)) && !holds(cursor("a", 141)));
        assert!(holds(cursor("store", 50)) && !holds(cursor("store", 51)));
        assert!(!holds(cursor("other", 1)));
    }

    #[test]
    fn cursors_from_before_forgotten_lives_are_reset() {
        let room = RoomId::new("tea").unwrap();
        let many = [("a", 50); ArchivedRoom::MAX_LIVES];
        let known = archived(200, &many);
        assert!(known.position(&room, &cursor("store", 1), &known.visible_head()).is_err());
    }
}

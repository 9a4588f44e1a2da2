//! The rooms of one user as they stand in their list.

use std::{fmt, str::FromStr};

use super::{Member, Room};
use crate::{Cursor, RoomId, StoredMessage, Timestamp};

/// A room as it stands in one user's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSummary {
    /// The room.
    pub room: Room,
    /// The user's membership.
    pub member: Member,
    /// How far the user has read.
    pub read: Cursor,
    /// The last entry's position.
    pub head: Cursor,
    /// How many entries are unread.
    pub unread: u64,
    /// The newest entry of the room's timeline, as it is now.
    pub preview: Option<StoredMessage>,
    /// When something last happened: the newest timeline entry, or the user's joining where there is none since.
    pub activity: Timestamp,
}

impl RoomSummary {
    /// The place of this room in the list.
    #[must_use]
    pub fn cursor(&self) -> ActivityCursor {
        ActivityCursor { at: self.activity, room: self.room.id.clone() }
    }
}

/// A place in a user's list of rooms: latest activity first, equal times by room id, greatest first.
///
/// The text form is `<milliseconds>.<room id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActivityCursor {
    /// The activity of the last room of the page before.
    pub at: Timestamp,
    /// That room.
    pub room: RoomId,
}

impl fmt::Display for ActivityCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.as_millis(), self.room)
    }
}

/// The text is not a place in a list of rooms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a place in a list of rooms is the text that came with the page before")]
pub struct InvalidActivityCursor;

impl FromStr for ActivityCursor {
    type Err = InvalidActivityCursor;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidActivityCursor> {
        let (at, room) = text.split_once('.').ok_or(InvalidActivityCursor)?;
        // One text per place, as for a cursor: no sign, no leading zeros.
        if !at.bytes().all(|byte| byte.is_ascii_digit()) || (at.len() > 1 && at.starts_with('0')) {
            return Err(InvalidActivityCursor);
        }
        let at = at.parse().map_err(|_| InvalidActivityCursor)?;
        Ok(Self {
            at: Timestamp::from_millis(at),
            room: RoomId::new(room).map_err(|_| InvalidActivityCursor)?,
        })
    }
}

/// One page of a user's rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomsPage {
    /// Latest activity first.
    pub rooms: Vec<RoomSummary>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<ActivityCursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_list_of_rooms_has_one_text() {
        let place = ActivityCursor { at: Timestamp::from_millis(5), room: RoomId::new("a.b").unwrap() };
        assert_eq!(place.to_string().parse(), Ok(place));
        for bad in ["", "5", ".a", "+5.a", "-5.a", "05.a", "5.", "5.a b", "99999999999999999999.a"] {
            assert_eq!(bad.parse::<ActivityCursor>(), Err(InvalidActivityCursor), "{bad:?}");
        }
    }
}

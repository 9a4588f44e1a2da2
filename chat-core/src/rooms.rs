//! Rooms, their members, and how far each member has read.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    Backend, Cursor, DEFAULT_MAX_BODY_CHARS, Error, Result, RoomId, RoomKey, StoredMessage, Timestamp, UserId,
};

/// Free-form data of a room: its name, its picture, whatever the application shows.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// A room's metadata is at most this many bytes of JSON.
pub const MAX_METADATA_BYTES: usize = 8 * 1024;

/// A room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Room {
    /// Its name in this library.
    pub id: RoomId,
    /// The application's unique key, if it was created with one.
    pub key: Option<RoomKey>,
    /// An inactive room can be read and takes no new entries.
    pub active: bool,
    /// The longest body it takes, in characters.
    pub max_body_chars: u32,
    /// The application's data.
    pub metadata: Metadata,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Room {
    /// The room that `new` describes, for a backend that creates it.
    #[must_use]
    pub fn create(new: NewRoom, created_at: Timestamp) -> Self {
        let NewRoom { id, key, metadata, max_body_chars, owner: _ } = new;
        Self { id, key, active: true, max_body_chars, metadata, created_at }
    }

    /// Puts a room together from stored parts.
    #[must_use]
    pub const fn from_parts(
        id: RoomId,
        key: Option<RoomKey>,
        active: bool,
        max_body_chars: u32,
        metadata: Metadata,
        created_at: Timestamp,
    ) -> Self {
        Self { id, key, active, max_body_chars, metadata, created_at }
    }
}

/// A room to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewRoom {
    /// Its id.
    pub id: RoomId,
    /// A unique key of the application's: if a room with this key (or this id) exists, that room is the answer.
    pub key: Option<RoomKey>,
    /// The application's data.
    pub metadata: Metadata,
    /// The longest body, in characters: 1 to [`MAX_BODY_CHARS`](crate::MAX_BODY_CHARS).
    pub max_body_chars: u32,
    /// Becomes the owner in the same step that creates the room; without effect if the room is there already.
    pub owner: Option<UserId>,
}

impl NewRoom {
    /// A room with this id, without key and metadata, with the default body limit.
    #[must_use]
    pub fn new(id: RoomId) -> Self {
        Self { id, key: None, metadata: Metadata::new(), max_body_chars: DEFAULT_MAX_BODY_CHARS, owner: None }
    }

    /// A room for this key, with a generated id.
    #[must_use]
    pub fn for_key(key: RoomKey) -> Self {
        Self { key: Some(key), ..Self::new(RoomId::generate()) }
    }

    /// With a key.
    #[must_use]
    pub fn with_key(mut self, key: RoomKey) -> Self {
        self.key = Some(key);
        self
    }

    /// With metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// With a body limit.
    #[must_use]
    pub const fn with_max_body_chars(mut self, max_body_chars: u32) -> Self {
        self.max_body_chars = max_body_chars;
        self
    }

    /// With an owner.
    #[must_use]
    pub fn with_owner(mut self, owner: UserId) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Checks metadata and limit; every backend calls this first.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`].
    pub fn check(&self) -> Result<()> {
        check_room_settings(Some(&self.metadata), Some(self.max_body_chars))
    }
}

/// Changes to a room; what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomChange {
    /// Replaces the metadata.
    pub metadata: Option<Metadata>,
    /// Opens or closes the room for new entries.
    pub active: Option<bool>,
    /// Replaces the body limit.
    pub max_body_chars: Option<u32>,
}

impl RoomChange {
    /// Checks metadata and limit; every backend calls this first.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`].
    pub fn check(&self) -> Result<()> {
        check_room_settings(self.metadata.as_ref(), self.max_body_chars)
    }
}

fn check_room_settings(metadata: Option<&Metadata>, max_body_chars: Option<u32>) -> Result<()> {
    let too_big = |metadata: &Metadata| {
        serde_json::to_vec(metadata).map_or(true, |json| json.len() > MAX_METADATA_BYTES)
    };
    if metadata.is_some_and(too_big) {
        return Err(Error::LimitExceeded { what: "room metadata bytes", max: MAX_METADATA_BYTES as u64 });
    }
    if max_body_chars.is_some_and(|chars| chars == 0 || chars > crate::MAX_BODY_CHARS) {
        return Err(Error::LimitExceeded {
            what: "body characters of a room",
            max: crate::MAX_BODY_CHARS.into(),
        });
    }
    Ok(())
}

/// What a member may do; what each role allows is up to [`Authorize`](crate::auth::Authorize).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads, but does not write.
    Reader,
    /// Reads and writes.
    #[default]
    Member,
    /// May also delete what others wrote and remove members.
    Moderator,
    /// May also change the room and the members' roles.
    Owner,
}

/// A user's membership of a room, present or past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// What they may do.
    pub role: Role,
    /// When they last became a member.
    pub joined_at: Timestamp,
    /// When they left; `None` while they are a member.
    pub left_at: Option<Timestamp>,
    /// The version of the last change applied, given by whoever changes memberships.
    pub version: u64,
}

impl Member {
    /// Puts a membership together from stored parts.
    #[must_use]
    pub const fn from_parts(
        user: UserId,
        role: Role,
        joined_at: Timestamp,
        left_at: Option<Timestamp>,
        version: u64,
    ) -> Self {
        Self { user, role, joined_at, left_at, version }
    }

    /// Is a member now.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.left_at.is_none()
    }
}

/// A change of one membership.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberChange {
    /// Who.
    pub user: UserId,
    /// The role from now on, or `None` to end the membership.
    pub role: Option<Role>,
    /// Orders changes that may arrive out of order: one that is not greater than the last applied is ignored.
    /// `None` takes the next version, so it always applies.
    pub version: Option<u64>,
    /// Refused where it would take the only owner from a room that still has members: nobody could manage it any more.
    pub keep_owner: bool,
    /// When a membership that begins with this change began, or one that ends with it ended; `None` is now, and so is a time to come. For
    /// memberships that are taken over from elsewhere: the time of joining counts as activity in the user's list of rooms.
    pub since: Option<Timestamp>,
}

impl MemberChange {
    /// `user` becomes a member with `role`.
    #[must_use]
    pub const fn add(user: UserId, role: Role) -> Self {
        Self { user, role: Some(role), version: None, keep_owner: false, since: None }
    }

    /// `user` is a member no longer.
    #[must_use]
    pub const fn remove(user: UserId) -> Self {
        Self { user, role: None, version: None, keep_owner: false, since: None }
    }

    /// A membership that begins with this change began then, and one that ends with it ended then.
    #[must_use]
    pub const fn with_since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// When a membership that begins or ends with this change does so, for a backend that applies it `now`.
    #[must_use]
    pub fn takes_place_at(&self, now: Timestamp) -> Timestamp {
        self.since.map_or(now, |since| since.min(now))
    }

    /// With a version.
    #[must_use]
    pub const fn with_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Refused where it would take the only owner from a room that still has members.
    #[must_use]
    pub const fn keeping_an_owner(mut self) -> Self {
        self.keep_owner = true;
        self
    }
}

/// What a change of a membership did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberOutcome {
    /// Was no member, is one now.
    Added(Member),
    /// Was a member, has another role now.
    RoleChanged(Member),
    /// Was a member, is none now.
    Removed(Member),
    /// Nothing changed: it was so already, or the change was older than what is known. `None`: never a member.
    Unchanged(Option<Member>),
}

/// How far a member has read. It only moves forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadMarker {
    /// Who.
    pub user: UserId,
    /// Up to and with this entry.
    pub cursor: Cursor,
    /// When it last moved; `None` if it stands where it was when the user joined.
    pub at: Option<Timestamp>,
}

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

/// One page of a room's members, by user id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersPage {
    /// Current members only.
    pub members: Vec<Member>,
    /// Give this as `after` for the next page; `None` on the last one.
    pub next: Option<UserId>,
}

/// Rooms, members, read markers.
///
/// Unread is derived, never a counter that is counted up and reset: it is the number of entries after the read marker
/// that are still kept, countable ([`StoredMessage::is_countable`]), not deleted and not the user's own. Its cost does not
/// grow with that number.
#[async_trait]
pub trait Rooms: Backend {
    /// Creates the room, with its owner as a member, or answers the one that has its key or id; `true` if it was created
    /// now. Two calls at once create one room.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] for metadata or a body limit out of bounds; [`Error::RoomExists`] if the id is taken by
    /// a room with another key.
    async fn create(&self, room: NewRoom) -> Result<(Room, bool)>;

    /// The room.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`].
    async fn room(&self, room: &RoomId) -> Result<Room>;

    /// The room with this key.
    async fn room_by_key(&self, key: &RoomKey) -> Result<Option<Room>>;

    /// Changes the room and answers it as it is then.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`], [`Error::LimitExceeded`].
    async fn update(&self, room: &RoomId, change: RoomChange) -> Result<Room>;

    /// Adds a member, changes a role or ends a membership. A new member's read marker starts at the head, and never
    /// lies before where it was.
    ///
    /// With [`keep_owner`](MemberChange::keep_owner), a change that takes an owner's role or membership is refused where the
    /// room has members afterwards and no owner among them. It is decided in the step that applies it: of two owners who
    /// leave at once, one stays. A change that is outdated by its version is ignored as ever.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`], [`Error::LastOwner`].
    async fn change_member(&self, room: &RoomId, change: MemberChange) -> Result<MemberOutcome>;

    /// The user's membership, present or past; `None` if there never was one, or no such room.
    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>>;

    /// The user's memberships of many rooms in one call, in the order of `rooms`.
    async fn memberships(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<Option<Member>>>;

    /// Current members by user id, after `after`, at most `limit` (1 to 1,000).
    ///
    /// # Errors
    /// [`Error::RoomNotFound`].
    async fn members(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<MembersPage>;

    /// Moves a read marker forward to `cursor`; where it is further already it stays. Answers where it is then.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`]; [`Error::NotAMember`]; [`Error::CursorReset`] for a cursor of another epoch or beyond
    /// the head.
    async fn mark_read(&self, room: &RoomId, user: &UserId, cursor: &Cursor) -> Result<ReadMarker>;

    /// The user's unread entries of many rooms in one call, in the order of `rooms`; zero where the user is no member.
    async fn unread(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>>;

    /// The rooms that `user` is a member of, latest activity first, at most `limit` (1 to 200), from `after`.
    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&ActivityCursor>,
        limit: usize,
    ) -> Result<RoomsPage>;

    /// Who of the current members has read up to where, by user id, after `after`, at most `limit` (1 to 1,000).
    ///
    /// # Errors
    /// [`Error::RoomNotFound`].
    async fn read_markers(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ReadMarker>>;
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

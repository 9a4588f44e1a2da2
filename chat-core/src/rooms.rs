//! Rooms, their members, and how far each member has read.

mod listing;
mod member;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Backend, Cursor, DEFAULT_MAX_BODY_CHARS, Error, Result, RoomId, RoomKey, Timestamp, UserId};

pub use self::{
    listing::{ActivityCursor, InvalidActivityCursor, RoomSummary, RoomsPage},
    member::{Member, MemberChange, MemberOutcome, MembersPage, ReadMarker, Role},
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

/// Rooms, members, read markers.
///
/// Unread is derived, never a counter that is counted up and reset: it is the number of entries after the read marker
/// that are still kept, countable ([`StoredMessage::is_countable`](crate::StoredMessage::is_countable)), not deleted and not the user's own. Its cost does not
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

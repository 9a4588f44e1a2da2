//! Who is in a room, since when, and how far they have read.

use serde::{Deserialize, Serialize};

use crate::{Cursor, Timestamp, UserId};

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

/// One page of a room's members, by user id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersPage {
    /// Current members only.
    pub members: Vec<Member>,
    /// Give this as `after` for the next page; `None` on the last one.
    pub next: Option<UserId>,
}

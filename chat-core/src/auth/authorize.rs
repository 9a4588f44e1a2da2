use std::fmt;

use async_trait::async_trait;

use crate::{Authority, EntryKind, Member, Result, RoomId, auth::Principal};

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Create a room (no room is named).
    CreateRoom,
    /// Join, read history, search, see read markers.
    Read,
    /// Append an entry of this kind.
    Send(EntryKind),
    /// Tell others something short-lived, such as typing.
    Signal,
    /// See who is a member and who is online.
    SeeMembers,
    /// Become a member oneself.
    JoinAsMember,
    /// End one's own membership.
    LeaveAsMember,
    /// Add or remove others, change roles.
    ManageMembers,
    /// Change metadata, limits, the active flag.
    ManageRoom,
}

/// A request for permission, with what is known about it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Access<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// For what.
    pub action: Action,
    /// In which room; `None` for [`Action::CreateRoom`].
    pub room: Option<&'a RoomId>,
    /// Their membership of it, present or past.
    pub member: Option<&'a Member>,
}

impl<'a> Access<'a> {
    /// Puts a request together.
    #[must_use]
    pub const fn new(
        principal: &'a Principal,
        action: Action,
        room: Option<&'a RoomId>,
        member: Option<&'a Member>,
    ) -> Self {
        Self { principal, action, room, member }
    }
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes; a send goes to the log in this right.
    Allow(Authority),
    /// No, because they are not a member.
    NotAMember,
    /// No, for the reason given, which the client is told.
    Deny(&'static str),
}

/// Decides who may do what. Replace it to bring your own rules; identity and membership are settled before it is asked.
#[async_trait]
pub trait Authorize: fmt::Debug + Send + Sync + 'static {
    /// Decides.
    ///
    /// # Errors
    /// If it cannot be found out; the action is not done.
    async fn authorize(&self, access: Access<'_>) -> Result<Decision>;
}

/// x
#[derive(Debug)]
pub struct RoleAuthorizer;

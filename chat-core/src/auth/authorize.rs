use std::fmt;

use async_trait::async_trait;

use crate::{Authority, EntryKind, Member, Result, Role, RoomId, auth::Principal};

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

/// The default rules, by membership and [`Role`].
///
/// | | may |
/// |---|---|
/// | anybody | create rooms ([`with_creator_role`](Self::with_creator_role)); join a room as a member where rooms are open ([`open_rooms`](Self::open_rooms)) |
/// | [`Role::Reader`] | read, see members, leave |
/// | [`Role::Member`] | send chat, the application's own kinds and reactions, edit and delete what is their own, signal |
/// | [`Role::Moderator`] | edit and delete what others sent, manage members |
/// | [`Role::Owner`] | manage the room |
/// | the role `admin` in the whole service ([`with_admin_role`](Self::with_admin_role)) | everything in every room, but send only where they are a member, since the log takes entries of members alone |
///
/// Each role may what those above it may. Nobody sends join and leave entries: the service writes them. Whoever is a
/// member already is not allowed to join again, so that joining an open room cannot change a role.
#[derive(Debug, Clone)]
pub struct RoleAuthorizer {
    open_rooms: bool,
    admin_role: Option<String>,
    creator_role: Option<String>,
}

impl RoleAuthorizer {
    /// The default of [`with_admin_role`](Self::with_admin_role).
    pub const DEFAULT_ADMIN_ROLE: &str = "admin";

    /// The rules as they are unless something is set.
    #[must_use]
    pub fn new() -> Self {
        Self { open_rooms: false, admin_role: Some(Self::DEFAULT_ADMIN_ROLE.to_owned()), creator_role: None }
    }

    /// Whether anybody may become a member of any room whose id they know, also after they were removed; `false` unless
    /// set.
    #[must_use]
    pub const fn open_rooms(mut self, open_rooms: bool) -> Self {
        self.open_rooms = open_rooms;
        self
    }

    /// The role in the whole service that may everything; `admin` unless set.
    #[must_use]
    pub fn with_admin_role(mut self, role: impl Into<String>) -> Self {
        self.admin_role = Some(role.into());
        self
    }

    /// No role in the whole service counts.
    #[must_use]
    pub fn without_admin_role(mut self) -> Self {
        self.admin_role = None;
        self
    }

    /// Only who has this role in the whole service (or the admin's) creates rooms; anybody unless set.
    #[must_use]
    pub fn with_creator_role(mut self, role: impl Into<String>) -> Self {
        self.creator_role = Some(role.into());
        self
    }

    /// Decides.
    #[must_use]
    pub fn decide(&self, access: Access<'_>) -> Decision {
        let Access { principal, action, member, .. } = access;
        let has = |role: &Option<String>| role.as_deref().is_some_and(|role| principal.has_role(role));
        // A membership of somebody else's counts for nothing, whoever put the request together.
        let role = member
            .filter(|member| member.is_current() && member.user == principal.user)
            .map(|member| member.role);
        match (action, role) {
            (Action::Send(EntryKind::Join | EntryKind::Leave), _) => {
                Decision::Deny("the service itself writes who joined and who left")
            }
            (Action::JoinAsMember, Some(_)) => Decision::Deny("already a member of this room"),
            (Action::Send(_) | Action::LeaveAsMember, None) => Decision::NotAMember,
            _ if has(&self.admin_role) => Decision::Allow(Authority::Moderator),
            (Action::CreateRoom, _) if self.creator_role.is_none() || has(&self.creator_role) => {
                Decision::Allow(Authority::Member)
            }
            (Action::CreateRoom, _) => Decision::Deny("rooms are not created by everybody here"),
            (Action::JoinAsMember, None) if self.open_rooms => Decision::Allow(Authority::Member),
            (Action::JoinAsMember, None) => Decision::Deny("members of this room are added by others"),
            (_, None) => Decision::NotAMember,
            (_, Some(role)) => by_role(action, role),
        }
    }
}

impl Default for RoleAuthorizer {
    fn default() -> Self {
        Self::new()
    }
}

/// What a member may do, where nothing but the role counts.
fn by_role(action: Action, role: Role) -> Decision {
    let (least, refusal) = match action {
        Action::Read | Action::SeeMembers | Action::LeaveAsMember => (Role::Reader, ""),
        Action::Send(_) | Action::Signal => (Role::Member, "readers do not write"),
        Action::ManageMembers => (Role::Moderator, "only moderators and owners manage members"),
        Action::ManageRoom => (Role::Owner, "only owners manage the room"),
        Action::CreateRoom | Action::JoinAsMember => {
            return Decision::Deny("not a question of a role in the room");
        }
    };
    if role < least {
        return Decision::Deny(refusal);
    }
    Decision::Allow(if role >= Role::Moderator { Authority::Moderator } else { Authority::Member })
}

#[async_trait]
impl Authorize for RoleAuthorizer {
    async fn authorize(&self, access: Access<'_>) -> Result<Decision> {
        Ok(self.decide(access))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Timestamp, UserId};

    /// Who asks, in the order of the table's columns.
    #[derive(Debug, Clone, Copy)]
    enum Who {
        Stranger,
        Former,
        Is(Role),
        Admin,
        AdminAs(Role),
    }

    const COLUMNS: [Who; 8] = [
        Who::Stranger,
        Who::Former,
        Who::Is(Role::Reader),
        Who::Is(Role::Member),
        Who::Is(Role::Moderator),
        Who::Is(Role::Owner),
        Who::Admin,
        Who::AdminAs(Role::Reader),
    ];

    fn decide(rules: &RoleAuthorizer, who: Who, action: Action) -> Decision {
        let user = UserId::new("ann").unwrap();
        let room = RoomId::new("room").unwrap();
        let at = Timestamp::EPOCH;
        let member = |role, left| Member::from_parts(user.clone(), role, at, left, 1);
        let (principal, member) = match who {
            Who::Stranger => (Principal::new(user.clone()), None),
            Who::Former => (Principal::new(user.clone()), Some(member(Role::Owner, Some(at)))),
            Who::Is(role) => (Principal::new(user.clone()), Some(member(role, None))),
            Who::Admin => (Principal::new(user.clone()).with_role("admin"), None),
            Who::AdminAs(role) => (Principal::new(user.clone()).with_role("admin"), Some(member(role, None))),
        };
        let room = (action != Action::CreateRoom).then_some(&room);
        let access = Access::new(&principal, action, room, member.as_ref());
        futures::FutureExt::now_or_never(rules.authorize(access)).unwrap().unwrap()
    }

    /// `m`: allowed as a member, `M`: as a moderator, `n`: no member, `d`: denied.
    fn letter(decision: Decision) -> char {
        match decision {
            Decision::Allow(Authority::Member) => 'm',
            Decision::Allow(Authority::Moderator) => 'M',
            Decision::Allow(Authority::System) => 'S',
            Decision::NotAMember => 'n',
            Decision::Deny(reason) => {
                assert!(!reason.is_empty());
                'd'
            }
        }
    }

    fn check(rules: &RoleAuthorizer, table: &[(Action, &str)]) {
        for (action, expected) in table {
            let got: String = COLUMNS.iter().map(|who| letter(decide(rules, *who, *action))).collect();
            assert_eq!(&got, expected, "{action:?} for {COLUMNS:?}");
        }
    }

    #[test]
    fn each_role_may_what_the_table_says() {
        let table = [
            // stranger, former, reader, member, moderator, owner, admin, admin who reads
            (Action::CreateRoom, "mmmmmmMM"),
            (Action::Read, "nnmmMMMM"),
            (Action::SeeMembers, "nnmmMMMM"),
            (Action::LeaveAsMember, "nnmmMMnM"),
            (Action::JoinAsMember, "ddddddMd"),
            (Action::Signal, "nndmMMMM"),
            (Action::Send(EntryKind::Chat), "nndmMMnM"),
            (Action::Send(EntryKind::Edit), "nndmMMnM"),
            (Action::Send(EntryKind::Delete), "nndmMMnM"),
            (Action::Send(EntryKind::Reaction), "nndmMMnM"),
            (Action::Send(EntryKind::Custom), "nndmMMnM"),
            (Action::Send(EntryKind::Join), "dddddddd"),
            (Action::Send(EntryKind::Leave), "dddddddd"),
            (Action::ManageMembers, "nnddMMMM"),
            (Action::ManageRoom, "nndddMMM"),
        ];
        check(&RoleAuthorizer::new(), &table);
    }

    #[test]
    fn open_rooms_let_strangers_in_and_change_nothing_else() {
        let rules = RoleAuthorizer::new().open_rooms(true);
        check(&rules, &[(Action::JoinAsMember, "mmddddMd"), (Action::Read, "nnmmMMMM")]);
    }

    #[test]
    fn the_admin_role_can_be_another_or_none() {
        let none = RoleAuthorizer::new().without_admin_role();
        check(&none, &[(Action::ManageRoom, "nndddMnd"), (Action::CreateRoom, "mmmmmmmm")]);
        check(&RoleAuthorizer::new().with_admin_role("root"), &[(Action::ManageRoom, "nndddMnd")]);
    }

    #[test]
    fn creating_rooms_can_be_kept_to_a_role() {
        check(&RoleAuthorizer::new().with_creator_role("staff"), &[(Action::CreateRoom, "ddddddMM")]);
        check(
            &RoleAuthorizer::new().with_creator_role("admin").without_admin_role(),
            &[(Action::CreateRoom, "ddddddmm")],
        );
    }

    #[test]
    fn a_membership_of_somebody_else_counts_for_nothing() {
        let owner = Member::from_parts(UserId::new("bob").unwrap(), Role::Owner, Timestamp::EPOCH, None, 1);
        let ann = Principal::new(UserId::new("ann").unwrap());
        let room = RoomId::new("room").unwrap();
        let access = Access::new(&ann, Action::Read, Some(&room), Some(&owner));
        assert_eq!(RoleAuthorizer::new().decide(access), Decision::NotAMember);
    }
}

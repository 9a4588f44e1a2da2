//! Changes of membership: who may make them, and who is told.

use std::time::Duration;

use super::Actor;
use crate::{
    Authority, ClientMessageId, Content, Draft, Error, Member, MemberChange, MemberOutcome, Result, Role,
    RoomId,
    auth::Action,
    fanout::{FanoutEvent, Publication, Topic},
    rate_limit::RateKey,
};

/// For so long after a removal a repeated one sees to it that the room has its entry. Later ones leave it: a log that was
/// trimmed would not know that it had it.
const NOTED_AGAIN: Duration = Duration::from_mins(10);

impl Actor {
    /// Adds somebody, changes a role or ends a membership, and tells the room. Nobody gives a role above their own, or
    /// changes somebody who stands above them. Ending a membership ends the user's live subscriptions everywhere. A change
    /// that finds everything as it wants it tells again, so that trying again mends what a crash kept from being told.
    ///
    /// A room keeps an owner as long as it has members: its only one can leave it, or take another role, once somebody else
    /// is an owner. The [service itself](crate::Chat::system) may take the last one, and asks for the same with
    /// [`keeping_an_owner`](MemberChange::keeping_an_owner).
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::Forbidden`], [`Error::RoomNotFound`], [`Error::LastOwner`]. After [`Error::Timeout`] it is told as soon as
    /// it is stored.
    ///
    /// # Cancel safety
    /// A dropped call has changed nothing, or changes it and tells.
    pub async fn change_member(&self, room: &RoomId, mut change: MemberChange) -> Result<MemberOutcome> {
        if !self.system {
            change.keep_owner = true;
            self.permit_member_change(room, &change).await?;
            self.take(RateKey::UserSends(self.user().clone())).await?;
        }
        let numbered = change.version.is_some();
        let (actor, rooms, of) = (self.clone(), self.inner.parts.rooms.clone(), room.clone());
        let store = async move { rooms.change_member(&of, change).await };
        let room = room.clone();
        let tell = async move |outcome| {
            actor.tell_of_change(&room, &outcome, numbered).await;
            outcome
        };
        let (changes, parts) = (&self.inner.changes, &self.inner.parts);
        changes.see_through(parts, "change_member", store, tell).await
    }

    async fn permit_member_change(&self, room: &RoomId, change: &MemberChange) -> Result<()> {
        let parts = &self.inner.parts;
        let oneself = change.user == *self.user();
        let target = parts.call("member", parts.rooms.member(room, &change.user)).await?;
        let target_role = target.filter(Member::is_current).map(|member| member.role);
        let action = match change.role {
            None if oneself => Action::LeaveAsMember,
            Some(Role::Member) if oneself && target_role.is_none() => Action::JoinAsMember,
            _ => Action::ManageMembers,
        };
        let (authority, member) = self.permit(action, room).await?;
        if action != Action::ManageMembers {
            return Ok(());
        }
        match member.filter(Member::is_current).map(|member| member.role) {
            // Let in by the authorizer without being a member, such as an administrator.
            None if authority != Authority::Member => Ok(()),
            Some(Role::Owner) => Ok(()),
            Some(own)
                if change.role.is_none_or(|role| role <= own)
                    && target_role.is_none_or(|role| role < own) =>
            {
                Ok(())
            }
            _ => Err(Error::Forbidden { reason: "only for roles below one's own" }),
        }
    }

    async fn tell_of_change(&self, room: &RoomId, outcome: &MemberOutcome, numbered: bool) {
        let join = |member: &Member| Content::Join { user: member.user.clone() };
        let leave = |member: &Member| Content::Leave { user: member.user.clone() };
        let (member, entry) = match outcome {
            MemberOutcome::Added(member) => (member, Some(join(member))),
            MemberOutcome::Removed(member) => (member, Some(leave(member))),
            MemberOutcome::RoleChanged(member) => (member, None),
            // Whoever made it may have died before it was told. A numbered change that comes too late may have moved the
            // version, by which the entry is known, and so may a role: those have no entry again.
            MemberOutcome::Unchanged(Some(member)) => {
                let recent = |left| self.inner.parts.clock.now().since(left) < NOTED_AGAIN;
                (member, (!numbered && member.left_at.is_some_and(recent)).then(|| leave(member)))
            }
            MemberOutcome::Unchanged(None) => return,
        };
        self.tell_of_member(room, member);
        if let Some(content) = entry.filter(|_| self.inner.parts.settings.announce_members) {
            self.note(room, member, content).await;
        }
    }

    /// Tells the room and the user's devices; this node's sessions at once.
    pub(super) fn tell_of_member(&self, room: &RoomId, member: &Member) {
        if let Some(lane) = self.inner.hub.existing_lane(room) {
            lane.member_changed(member, &self.inner.parts);
        }
        let event = || FanoutEvent::MemberChanged { room: room.clone(), member: member.clone() };
        self.inner.publisher.send(vec![
            Publication::new(Topic::Room(room.clone()), event()),
            Publication::new(Topic::User(member.user.clone()), event()),
        ]);
    }

    /// Writes a change of membership into the room. The change stands whether or not this is stored.
    async fn note(&self, room: &RoomId, member: &Member, content: Content) {
        let reserved = ClientMessageId::RESERVED;
        let client_id = format!("{reserved}{}-{}", content.kind().as_str(), member.version);
        let Ok(client_id) = ClientMessageId::new(&client_id) else { return };
        let draft = Draft::new(room.clone(), member.user.clone(), client_id, content);
        if let Err(error) = self.append(draft.with_authority(Authority::System)).await {
            tracing::debug!(%error, "a change of membership was not written to the room");
        }
    }
}

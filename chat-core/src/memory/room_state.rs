//! One room with its log and its members: plain data, no lock, no clock.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use super::room_log::RoomLog;
use crate::{
    AppendOutcome, Authority, Cursor, Draft, Epoch, Fingerprint, Member, MemberChange, MemberOutcome,
    ReadMarker, Refusal, Role, Room, Seq, Timestamp, UserId, check_body, tiered::Life,
};

#[derive(Debug, Clone)]
pub(super) struct RoomState {
    pub(super) room: Room,
    pub(super) log: RoomLog,
    /// Of the store's present epoch, oldest first.
    pub(super) lives: Vec<Life>,
    members: BTreeMap<UserId, Membership>,
}

/// What is known of a user in a room.
#[derive(Debug, Clone)]
pub(super) struct Membership {
    /// `None` for somebody of whom only a numbered removal was seen: an addition that came late must not undo it.
    member: Option<Member>,
    version: u64,
    read: Seq,
    read_at: Option<Timestamp>,
}

impl Membership {
    pub(super) fn current(&self) -> Option<&Member> {
        self.member.as_ref().filter(|member| member.is_current())
    }

    pub(super) const fn read(&self) -> Seq {
        self.read
    }

    pub(super) fn marker(&self, user: &UserId, epoch: &Epoch) -> ReadMarker {
        ReadMarker { user: user.clone(), cursor: Cursor::new(epoch.clone(), self.read), at: self.read_at }
    }

    /// Moves the marker, forward only.
    pub(super) fn mark(&mut self, seq: Seq, now: Timestamp) {
        if seq > self.read {
            self.read = seq;
            self.read_at = Some(now);
        }
    }
}

impl RoomState {
    pub(super) fn new(room: Room) -> Self {
        Self { room, log: RoomLog::new(), lives: Vec::new(), members: BTreeMap::new() }
    }

    /// Checks a draft and stores it. The order of the checks is part of the contract: a retry of what is stored gets
    /// its first answer, whatever has become of the room and the sender since.
    pub(super) fn append(
        &mut self,
        epoch: &Epoch,
        draft: &Draft,
        fingerprint: Fingerprint,
        now: Timestamp,
    ) -> AppendOutcome {
        if let Some(first) = self.log.copy_of(&draft.sender, &draft.client_id) {
            let position = first.position(epoch);
            let same = first.fingerprint == fingerprint;
            return if same { AppendOutcome::Duplicate(position) } else { AppendOutcome::Conflict(position) };
        }
        match self.check(draft) {
            Ok(()) => {
                AppendOutcome::New(self.log.push(draft, fingerprint, now, fastrand::u128(..)).position(epoch))
            }
            Err(refusal) => AppendOutcome::Refused(refusal),
        }
    }

    fn check(&self, draft: &Draft) -> Result<(), Refusal> {
        if !self.room.active {
            return Err(Refusal::RoomInactive);
        }
        if draft.authority != Authority::System && self.current(&draft.sender).is_none() {
            return Err(Refusal::NotAMember);
        }
        check_body(draft, self.room.max_body_chars)?;
        self.log.check_target(draft)
    }

    pub(super) fn membership_mut(&mut self, user: &UserId) -> Option<&mut Membership> {
        self.members.get_mut(user)
    }

    /// Present or past.
    pub(super) fn member(&self, user: &UserId) -> Option<&Member> {
        self.members.get(user)?.member.as_ref()
    }

    pub(super) fn current(&self, user: &UserId) -> Option<&Membership> {
        self.members.get(user).filter(|membership| membership.current().is_some())
    }

    /// Current members by user id, after `after`.
    pub(super) fn current_after(
        &self,
        after: Option<&UserId>,
    ) -> impl Iterator<Item = (&UserId, &Membership)> {
        let from = after.map_or(Unbounded, Excluded);
        self.members
            .range::<UserId, _>((from, Unbounded))
            .filter(|(_, membership)| membership.current().is_some())
    }

    /// Whether a change that is to keep an owner takes the last one from members who stay.
    pub(super) fn refuses(&self, change: &MemberChange) -> bool {
        let role = |membership: &Membership| membership.current().map(|member| member.role);
        let Some(known) = self.members.get(&change.user) else { return false };
        let outdated = change.version.is_some_and(|version| version <= known.version);
        let goes = role(known) == Some(Role::Owner) && change.role != Some(Role::Owner);
        if !change.keep_owner || !goes || outdated {
            return false;
        }
        let mut others = self.current_after(None).filter(|(user, _)| **user != change.user).peekable();
        let somebody_stays = change.role.is_some() || others.peek().is_some();
        somebody_stays && !others.any(|(_, membership)| role(membership) == Some(Role::Owner))
    }

    pub(super) fn change_member(&mut self, change: &MemberChange, now: Timestamp) -> MemberOutcome {
        let head = self.log.last();
        let Some(known) = self.members.get_mut(&change.user) else { return self.first_change(change, now) };
        if change.version.is_some_and(|version| version <= known.version) {
            return MemberOutcome::Unchanged(known.member.clone());
        }
        let version = change.version.unwrap_or_else(|| known.version.saturating_add(1));
        let was = known.current().map(|member| member.role);
        if was == change.role {
            // A numbered change that finds everything as it wants it still outdates the ones before it.
            if change.version.is_some() {
                known.version = version;
                if let Some(member) = &mut known.member {
                    member.version = version;
                }
            }
            return MemberOutcome::Unchanged(known.member.clone());
        }
        known.version = version;
        let user = change.user.clone();
        match (&mut known.member, change.role) {
            (Some(member), Some(role)) if member.is_current() => {
                member.role = role;
                member.version = version;
                MemberOutcome::RoleChanged(member.clone())
            }
            (_, Some(role)) => {
                let member = Member::from_parts(user, role, change.takes_place_at(now), None, version);
                known.member = Some(member.clone());
                known.read = known.read.max(head);
                known.read_at = None;
                MemberOutcome::Added(member)
            }
            (Some(member), None) => {
                member.left_at = Some(change.takes_place_at(now));
                member.version = version;
                MemberOutcome::Removed(member.clone())
            }
            (None, None) => MemberOutcome::Unchanged(None),
        }
    }

    fn first_change(&mut self, change: &MemberChange, now: Timestamp) -> MemberOutcome {
        if change.role.is_none() && change.version.is_none() {
            return MemberOutcome::Unchanged(None);
        }
        let version = change.version.unwrap_or(1);
        let member = change.role.map(|role| {
            Member::from_parts(change.user.clone(), role, change.takes_place_at(now), None, version)
        });
        let membership = Membership { member: member.clone(), version, read: self.log.last(), read_at: None };
        self.members.insert(change.user.clone(), membership);
        member.map_or(MemberOutcome::Unchanged(None), MemberOutcome::Added)
    }
}

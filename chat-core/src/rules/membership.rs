use crate::{Member, MemberChange, MemberOutcome, Role, Timestamp};

/// What a store knows of a user in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The membership, present or past; `None` where only a numbered removal was seen.
    pub member: Option<Member>,
    /// The number of the last change.
    pub version: u64,
}

/// What a change does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipChange {
    /// The answer.
    pub outcome: MemberOutcome,
    /// What is to be stored, if anything.
    pub stored: Option<Membership>,
}

impl Membership {
    /// What `change` does to what is `known` of its user in a room. Outdated changes do nothing; a numbered removal of
    /// somebody who never was a member is remembered, so that the addition it overtook stays without effect.
    #[must_use]
    pub fn change(known: Option<Self>, change: &MemberChange, now: Timestamp) -> MembershipChange {
        let Some(known) = known else { return Self::first(change, now) };
        if change.version.is_some_and(|version| version <= known.version) {
            return MembershipChange { outcome: MemberOutcome::Unchanged(known.member), stored: None };
        }
        let version = change.version.unwrap_or_else(|| known.version.saturating_add(1));
        let was = known.role();
        let mut member = known.member;
        if was == change.role {
            // A numbered change that finds everything as it wants it still outdates the ones before it.
            if change.version.is_none() {
                return MembershipChange { outcome: MemberOutcome::Unchanged(member), stored: None };
            }
            if let Some(member) = &mut member {
                member.version = version;
            }
            let outcome = MemberOutcome::Unchanged(member.clone());
            return MembershipChange { outcome, stored: Some(Self { member, version }) };
        }
        let outcome = match (change.role, member) {
            (Some(role), Some(mut member)) if was.is_some() => {
                (member.role, member.version) = (role, version);
                MemberOutcome::RoleChanged(member)
            }
            (Some(role), _) => MemberOutcome::Added(Self::begun(change, role, now, version)),
            (None, Some(mut member)) => {
                (member.left_at, member.version) = (Some(change.takes_place_at(now)), version);
                MemberOutcome::Removed(member)
            }
            (None, None) => MemberOutcome::Unchanged(None),
        };
        let member = match &outcome {
            MemberOutcome::Added(member)
            | MemberOutcome::RoleChanged(member)
            | MemberOutcome::Removed(member) => Some(member.clone()),
            MemberOutcome::Unchanged(member) => member.clone(),
        };
        MembershipChange { outcome, stored: Some(Self { member, version }) }
    }

    fn first(change: &MemberChange, now: Timestamp) -> MembershipChange {
        // Only a numbered removal leaves a trace: an addition that comes late must not undo it.
        if change.role.is_none() && change.version.is_none() {
            return MembershipChange { outcome: MemberOutcome::Unchanged(None), stored: None };
        }
        let version = change.version.unwrap_or(1);
        let member = change.role.map(|role| Self::begun(change, role, now, version));
        let outcome = member.clone().map_or(MemberOutcome::Unchanged(None), MemberOutcome::Added);
        MembershipChange { outcome, stored: Some(Self { member, version }) }
    }

    fn begun(change: &MemberChange, role: Role, now: Timestamp, version: u64) -> Member {
        Member::from_parts(change.user.clone(), role, change.takes_place_at(now), None, version)
    }

    fn role(&self) -> Option<Role> {
        self.member.as_ref().filter(|member| member.is_current()).map(|member| member.role)
    }
}

//! Members by events: `study.member.created`.

use async_trait::async_trait;
use chat_backend_kafka::{MembershipEvent, MembershipRecord, Memberships};
use chat_core::{BoxError, MemberChange, MemberOutcome, Result, Role, Timestamp};
use serde::Deserialize;

use crate::{
    studies::{Studies, new_room},
    wire::user,
};

/// A study has a new member.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    study_id: u64,
    #[serde(alias = "userId")]
    member_id: u64,
    /// Of the room, if it has to be created.
    #[serde(default, alias = "name")]
    study_name: String,
    created_at: Option<Time>,
}

/// Milliseconds since 1970, or a date and time of UTC with or without its `Z`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Time {
    Millis(u64),
    Text(String),
}

impl Time {
    fn read(&self) -> Result<Timestamp, BoxError> {
        match self {
            Self::Millis(millis) => Ok(Timestamp::from_millis(*millis)),
            Self::Text(text) => Ok(humantime::parse_rfc3339_weak(text)?.into()),
        }
    }
}

/// What a record means. Its time is the version of the membership, so that an event that comes again after the member has left does
/// not bring them back; one without a time is applied whenever it comes.
pub(crate) fn decode(record: &MembershipRecord<'_>) -> Result<Option<MembershipEvent>, BoxError> {
    let created: Created = serde_json::from_slice(record.value.ok_or("the event has no value")?)?;
    let mut change = MemberChange::add(user(created.member_id)?, Role::Member);
    if let Some(time) = &created.created_at {
        change = change.with_version(time.read()?.as_millis());
    }
    Ok(Some(MembershipEvent::new(new_room(created.study_id, &created.study_name)?, change)))
}

#[async_trait]
impl Memberships for Studies {
    async fn apply(&self, event: MembershipEvent) -> Result<MemberOutcome> {
        let MembershipEvent { room, mut change, .. } = event;
        let service = self.service(&change.user);
        let (room, _) = self.find_or_create(&service, room).await?;
        change.role = Some(self.role_of(&room.id, &change.user).await?);
        match change.version {
            Some(_) => service.change_member(&room.id, change).await,
            None => self.change(&service, &room.id, change).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

    use super::*;

    #[test]
    fn times_are_read_in_their_forms() {
        let event = |time: &str| {
            let event = format!(r#"{{"studyId":1,"memberId":2,"createdAt":{time}}}"#);
            let created: Created = serde_json::from_str(&event).unwrap();
            created.created_at.map(|time| time.read().map(Timestamp::as_millis).ok())
        };
        for time in ["1736433000000", r#""2025-01-09T14:30:00""#, r#""2025-01-09T14:30:00.000Z""#] {
            assert_eq!(event(time), Some(Some(1_736_433_000_000)), "{time}");
        }
        assert_eq!((event("null"), event(r#""yesterday""#)), (None, Some(None)));
    }
}

//! Events as texts between nodes whose releases differ: what every carrier needs.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::value::RawValue;

use super::FanoutEvent;

/// The kinds of [`FanoutEvent`] that this release knows: of these nothing is passed over without a word.
const KINDS: [&str; 11] = [
    "message",
    "head",
    "typing",
    "read",
    "presence",
    "room_changed",
    "member_changed",
    "revoked",
    "superseded",
    "send_failed",
    "signal",
];

/// What the text of an event says to this release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// An event.
    Event(Arc<FanoutEvent>),
    /// Something of a kind that this release knows, and cannot read: whoever subscribes to it has missed something.
    Unreadable,
    /// Something of a kind that only newer releases know. It means nothing here.
    Unknown,
}

/// Reads an event as [`serde_json`] wrote it, in this release or another one. Fields that are not known are passed over.
#[must_use]
pub fn read(text: &str) -> Received {
    match serde_json::from_str(text) {
        Ok(event) => Received::Event(Arc::new(event)),
        Err(error) if is_known(text) => {
            tracing::debug!(%error, "an event of a known kind cannot be read");
            Received::Unreadable
        }
        Err(_) => {
            tracing::debug!("an event of an unknown kind, of a newer release, was passed over");
            Received::Unknown
        }
    }
}

fn is_known(text: &str) -> bool {
    serde_json::from_str::<BTreeMap<String, &RawValue>>(text)
        .is_ok_and(|fields| KINDS.iter().any(|kind| fields.contains_key(*kind)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RoomId, UserId};

    #[test]
    fn an_event_of_a_newer_release_is_read_as_far_as_it_is_known() {
        let (room, user) = (RoomId::new("r").unwrap(), UserId::new("ann").unwrap());
        let typing = FanoutEvent::Typing { room, user, active: true };
        let text = r#"{"typing":{"room":"r","user":"ann","active":true,"where":"phone"}}"#;
        assert_eq!(read(text), Received::Event(Arc::new(typing)));
        assert_eq!(read(r#"{"typing":{"room":"r"}}"#), Received::Unreadable);
        assert_eq!(read(r#"{"waved":{"room":"r"}}"#), Received::Unknown);
        assert_eq!(read("nothing"), Received::Unknown);
    }

    #[test]
    fn serde_knows_the_same_kinds() {
        let error = serde_json::from_str::<FanoutEvent>(r#"{"none":{}}"#).unwrap_err().to_string();
        let listed = KINDS.map(|kind| format!("`{kind}`")).join(", ");
        assert!(error.contains(&format!("expected one of {listed}")), "{error}");
    }
}

//! Events as records.
//!
//! A record is one event. Its key is the topic, `r:` and a room's id or `u:` and a user's, so all of a topic is in one partition and
//! in order. Its header `version` is 1, and its value the event as JSON, or `null` where the event cannot be carried. An event may
//! gain fields and kinds; older nodes pass over what they do not know. The version changes when they could not; the key never
//! does, so of a record that a node cannot read it knows whose it is.

use std::sync::Arc;

use chat_core::{
    RoomId, UserId,
    fanout::{
        FanoutEvent, Publication, Topic,
        wire::{self, Received},
    },
};
use rdkafka::message::{Message, OwnedHeaders};

use crate::{
    KafkaError, KafkaErrorKind,
    record::{header, with_header},
};

const VERSION_HEADER: &str = "version";
const VERSION: &str = "1";

/// What brokers take is a MiB by default, all around it included. A longer event is not carried: of a message it is said how far the
/// log has got, of anything else that it was missed.
const MAX_EVENT: usize = 768 * 1024;

/// The value of an event that cannot be carried.
const TOO_LONG: &str = "null";

pub(super) fn key(topic: &Topic) -> String {
    match topic {
        Topic::Room(room) => format!("r:{room}"),
        Topic::User(user) => format!("u:{user}"),
    }
}

/// Whose a record is: none of a kind of topic that only newer releases know, and an error where it is no key of ours.
fn topic(key: Option<&[u8]>) -> Result<Option<Topic>, ()> {
    let key = key.and_then(|key| std::str::from_utf8(key).ok());
    let (kind, id) = key.and_then(|key| key.split_once(':')).ok_or(())?;
    match kind {
        "r" => RoomId::new(id).map(|room| Some(Topic::Room(room))).map_err(drop),
        "u" => UserId::new(id).map(|user| Some(Topic::User(user))).map_err(drop),
        _ => Ok(None),
    }
}

pub(super) fn headers() -> OwnedHeaders {
    with_header(OwnedHeaders::new(), VERSION_HEADER, VERSION)
}

pub(super) fn value(publication: &Publication) -> Result<String, KafkaError> {
    let corrupt = |error| KafkaError::new(KafkaErrorKind::Corrupt, error);
    let text = serde_json::to_string(&*publication.event).map_err(corrupt)?;
    if text.len() <= MAX_EVENT {
        return Ok(text);
    }
    match &*publication.event {
        FanoutEvent::Message(message) => {
            let cursor = message.position.cursor.clone();
            serde_json::to_string(&FanoutEvent::Head { room: message.room.clone(), cursor }).map_err(corrupt)
        }
        _ => Ok(TOO_LONG.to_owned()),
    }
}

/// What a record says to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Event(Topic, Arc<FanoutEvent>),
    /// The topic has missed something.
    Missed(Topic),
    /// Somebody has missed something, and it is not known who.
    AllMissed,
    /// Nothing that matters here.
    Nothing,
}

/// Reads a record of the topic of events, if anybody `wants` it.
pub(super) fn read(record: &impl Message, wants: impl FnOnce(&Topic) -> bool) -> Said {
    let topic = match topic(record.key()) {
        Ok(topic) => topic.filter(wants),
        Err(()) => return Said::AllMissed,
    };
    let Some(topic) = topic else { return Said::Nothing };
    if header(record.headers(), VERSION_HEADER) != Some(VERSION.as_bytes()) {
        return Said::Missed(topic);
    }
    let text = record.payload().and_then(|value| std::str::from_utf8(value).ok());
    match text.filter(|text| *text != TOO_LONG).map(wire::read) {
        Some(Received::Event(event)) => Said::Event(topic, event),
        Some(Received::Unknown) => Said::Nothing,
        Some(Received::Unreadable) | None => Said::Missed(topic),
    }
}

#[cfg(test)]
mod tests {
    use chat_core::{CustomKind, JsonText};
    use rdkafka::{Timestamp, message::OwnedMessage};

    use super::*;

    fn room(name: &str) -> RoomId {
        RoomId::new(name).unwrap()
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn record(key: &str, headers: Option<OwnedHeaders>, value: &str) -> OwnedMessage {
        let value = Some(value.as_bytes().to_vec());
        OwnedMessage::new(value, Some(key.into()), "t".to_owned(), Timestamp::NotAvailable, 0, 0, headers)
    }

    fn said(record: &OwnedMessage) -> Said {
        read(record, |_| true)
    }

    /// They wait in topics while nodes of the next release come up.
    #[test]
    fn records_are_the_same_in_every_release() {
        let typing = FanoutEvent::Typing { room: room("tea"), user: user("ann"), active: true };
        let publication = Publication::new(Topic::Room(room("tea")), typing);
        assert_eq!(key(&publication.topic), "r:tea");
        assert_eq!(key(&Topic::User(user("r:ann"))), "u:r:ann");
        assert_eq!(value(&publication).unwrap(), r#"{"typing":{"room":"tea","user":"ann","active":true}}"#);
        let record = record("r:tea", Some(headers()), &value(&publication).unwrap());
        assert_eq!(said(&record), Said::Event(publication.topic, publication.event));
    }

    #[test]
    fn what_cannot_be_read_is_missed_by_whom_it_was_for() {
        let (tea, now) = (Topic::Room(room("tea")), || Some(headers()));
        let typing = r#"{"typing":{"room":"tea","user":"ann","active":true}}"#;
        let later = Some(with_header(OwnedHeaders::new(), VERSION_HEADER, "2"));
        assert_eq!(said(&record("r:tea", later, typing)), Said::Missed(tea.clone()));
        assert_eq!(said(&record("r:tea", None, typing)), Said::Missed(tea.clone()));
        assert_eq!(said(&record("r:tea", now(), r#"{"typing":{}}"#)), Said::Missed(tea.clone()));
        assert_eq!(said(&record("r:tea", now(), TOO_LONG)), Said::Missed(tea));
        assert_eq!(said(&record("r:tea", now(), r#"{"waved":{}}"#)), Said::Nothing);
        assert_eq!(said(&record("x:tea", now(), typing)), Said::Nothing);
        for key in ["tea", "r:", "r:t e a"] {
            assert_eq!(said(&record(key, now(), typing)), Said::AllMissed, "{key}");
        }
        assert_eq!(read(&record("r:tea", now(), typing), |_| false), Said::Nothing);
    }

    #[test]
    fn what_is_too_long_is_told_as_missed() {
        let data = JsonText::new(&format!("\"{}\"", "x".repeat(MAX_EVENT))).unwrap();
        let name = CustomKind::new("note").unwrap();
        let signal = FanoutEvent::Signal { room: room("tea"), user: user("ann"), name, data };
        assert_eq!(value(&Publication::new(Topic::Room(room("tea")), signal)).unwrap(), TOO_LONG);
    }
}

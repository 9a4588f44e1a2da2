//! What is written to Kafka, and how it is read again.
//!
//! A value is one JSON object. Its field `v` is the version of its form, 1. Fields that are not known are passed over, so a
//! later release may add some; what older ones would misread gets another version.

use std::fmt;

use chat_core::{
    AppendOutcome, ClientMessageId, Draft, Position, Refusal, RoomId, SendFailure, StoredMessage, UserId,
    fanout::{FanoutEvent, Publication, Topic},
};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use serde::{Deserialize, Serialize};

/// Header: who waits for what becomes of the message, as `<node>-<number>`.
pub(crate) const REQUEST: &str = "request";
/// Header: when the message was given to the queue, in milliseconds since 1970.
pub(crate) const PRODUCED_AT: &str = "produced-at";
/// Header: what became of the message, as [`Persisted::kind`].
pub(crate) const OUTCOME: &str = "outcome";
/// Headers of a dead letter: why, and where it was.
pub(crate) const REASON: &str = "reason";
pub(crate) const ORIGINAL_TOPIC: &str = "original-topic";
pub(crate) const ORIGINAL_PARTITION: &str = "original-partition";
pub(crate) const ORIGINAL_OFFSET: &str = "original-offset";

const VERSION: u32 = 1;

/// A value that this release cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRecord {
    /// It has no value.
    #[error("the record has no value")]
    Empty,
    /// It was written by a release with other forms of records: run that one, or a later one.
    #[error("the record is of version {version}, which this release does not know")]
    OtherVersion {
        /// Its version.
        version: u32,
    },
    /// It is not what this library writes.
    #[error("the record cannot be read: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

/// Checks the version first: of another one nothing else is known.
fn read<'v, T: Deserialize<'v>>(value: Option<&'v [u8]>) -> Result<T, InvalidRecord> {
    let value = value.filter(|value| !value.is_empty()).ok_or(InvalidRecord::Empty)?;
    let malformed = |error: serde_json::Error| InvalidRecord::Malformed { reason: error.to_string() };
    let Versioned { v: version } = serde_json::from_slice(value).map_err(malformed)?;
    if version != VERSION {
        return Err(InvalidRecord::OtherVersion { version });
    }
    serde_json::from_slice(value).map_err(malformed)
}

fn write(value: &impl Serialize) -> Result<Vec<u8>, InvalidRecord> {
    serde_json::to_vec(value).map_err(|error| InvalidRecord::Malformed { reason: error.to_string() })
}

/// A record of the messages topic: what was sent, with the digest by which a repeat is known. Its key is the room.
pub(crate) fn encode_draft(draft: &Draft) -> Result<Vec<u8>, InvalidRecord> {
    #[derive(Serialize)]
    struct Form<'d> {
        v: u32,
        draft: &'d Draft,
    }
    write(&Form { v: VERSION, draft })
}

pub(crate) fn decode_draft(value: Option<&[u8]>) -> Result<Draft, InvalidRecord> {
    #[derive(Deserialize)]
    struct Form {
        draft: Draft,
    }
    read(value).map(|Form { draft }| draft)
}

/// A message by its sender's name for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SentName {
    /// For which room it was.
    pub room: RoomId,
    /// From whom.
    pub sender: UserId,
    /// The sender's name for it.
    pub client_id: ClientMessageId,
}

impl SentName {
    pub(crate) fn of(draft: &Draft) -> Self {
        Self { room: draft.room.clone(), sender: draft.sender.clone(), client_id: draft.client_id.clone() }
    }
}

/// What became of a message: a record of the persisted topic. Its key is the room.
///
/// As a value: `{"v":1,"outcome":"stored","message":{…}}`, with the message as
/// [`FanoutEvent::Message`] has it, and likewise `duplicate`; `{"v":1,"outcome":"conflict","room":…,"sender":…,"client_id":…,
/// "first":{…}}`, with the position of the message that has the name; `{…,"outcome":"refused",…,"refusal":…}`;
/// `{…,"outcome":"dead_lettered",…,"reason":…}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
#[non_exhaustive]
pub enum Persisted {
    /// Stored now.
    Stored {
        /// The entry.
        message: StoredMessage,
    },
    /// Stored before, by an earlier try: this is that first one, as it was sent. It may have been announced before.
    Duplicate {
        /// The entry.
        message: StoredMessage,
    },
    /// Its client id names another message.
    Conflict {
        /// Which.
        #[serde(flatten)]
        sent: SentName,
        /// Where that other one is.
        first: Position,
    },
    /// The log did not take it.
    Refused {
        /// Which.
        #[serde(flatten)]
        sent: SentName,
        /// Why.
        refusal: Refusal,
    },
    /// The log fails whenever it is to store it: it is in the topic of dead letters.
    DeadLettered {
        /// Which.
        #[serde(flatten)]
        sent: SentName,
        /// How the log failed.
        reason: String,
    },
}

impl Persisted {
    /// What the log made of a draft; `None` where it only accepted it, and somebody else will tell.
    pub(crate) fn new(draft: &Draft, outcome: AppendOutcome) -> Option<Self> {
        let message = |position| StoredMessage::new(draft.clone(), position);
        Some(match outcome {
            AppendOutcome::New(position) => Self::Stored { message: message(position) },
            AppendOutcome::Duplicate(position) => Self::Duplicate { message: message(position) },
            AppendOutcome::Conflict(first) => Self::Conflict { sent: SentName::of(draft), first },
            AppendOutcome::Refused(refusal) => Self::Refused { sent: SentName::of(draft), refusal },
            AppendOutcome::Accepted => return None,
        })
    }

    /// Reads the value of a record.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(value: Option<&[u8]>) -> Result<Self, InvalidRecord> {
        read(value)
    }

    /// The value of a record.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, InvalidRecord> {
        #[derive(Serialize)]
        struct Form<'p> {
            v: u32,
            #[serde(flatten)]
            persisted: &'p Persisted,
        }
        write(&Form { v: VERSION, persisted: self })
    }

    /// The outcome in one word, as in the header `outcome`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Stored { .. } => "stored",
            Self::Duplicate { .. } => "duplicate",
            Self::Conflict { .. } => "conflict",
            Self::Refused { .. } => "refused",
            Self::DeadLettered { .. } => "dead_lettered",
        }
    }

    /// The room it was for: the record's key.
    #[must_use]
    pub const fn room(&self) -> &RoomId {
        match self {
            Self::Stored { message } | Self::Duplicate { message } => &message.room,
            Self::Conflict { sent, .. } | Self::Refused { sent, .. } | Self::DeadLettered { sent, .. } => {
                &sent.room
            }
        }
    }

    /// What live sessions are told: a message goes to its room, a failure to its sender.
    #[must_use]
    pub fn into_publication(self) -> Publication {
        let failed = |SentName { room, sender: user, client_id }, reason| {
            let topic = Topic::User(user.clone());
            Publication::new(topic, FanoutEvent::SendFailed { room, client_id, user, reason })
        };
        match self {
            Self::Stored { message } | Self::Duplicate { message } => {
                Publication::new(Topic::Room(message.room.clone()), FanoutEvent::Message(message))
            }
            Self::Conflict { sent, first } => failed(sent, SendFailure::Conflict(first)),
            Self::Refused { sent, refusal } => failed(sent, SendFailure::Refused(refusal)),
            Self::DeadLettered { sent, .. } => failed(sent, SendFailure::Refused(Refusal::Unstorable)),
        }
    }

    /// Whether this is about the message with that name.
    pub(crate) fn is_of(&self, name: &SentName) -> bool {
        match self {
            Self::Stored { message } | Self::Duplicate { message } => {
                (&message.room, &message.sender, &message.client_id)
                    == (&name.room, &name.sender, &name.client_id)
            }
            Self::Conflict { sent, .. } | Self::Refused { sent, .. } | Self::DeadLettered { sent, .. } => {
                sent == name
            }
        }
    }

    /// What the sender is answered who waited for it.
    pub(crate) fn into_outcome(self) -> AppendOutcome {
        match self {
            Self::Stored { message } => AppendOutcome::New(message.position),
            Self::Duplicate { message } => AppendOutcome::Duplicate(message.position),
            Self::Conflict { first, .. } => AppendOutcome::Conflict(first),
            Self::Refused { refusal, .. } => AppendOutcome::Refused(refusal),
            Self::DeadLettered { .. } => AppendOutcome::Refused(Refusal::Unstorable),
        }
    }
}

/// Who waits for what becomes of a message: a node, by a name that no other one has, and a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RequestId {
    pub(crate) node: u128,
    pub(crate) number: u64,
}

impl RequestId {
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (node, number) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self {
            node: u128::from_str_radix(node, 16).ok()?,
            number: u64::from_str_radix(number, 16).ok()?,
        })
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{:x}", self.node, self.number)
    }
}

/// The value of the first header with this name.
pub(crate) fn header<'h>(headers: Option<&'h impl Headers>, name: &str) -> Option<&'h [u8]> {
    headers?.iter().find(|header| header.key == name)?.value
}

/// With one more header.
pub(crate) fn with_header(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

#[cfg(test)]
mod tests {
    use chat_core::{Content, Cursor, Epoch, InvalidBody, MessageId, Seq, Timestamp};

    use super::*;

    fn draft() -> Draft {
        let name = ClientMessageId::new("m1").unwrap();
        Draft::new(RoomId::new("tea").unwrap(), UserId::new("ann").unwrap(), name, Content::text("hello"))
    }

    fn position() -> Position {
        let cursor = Cursor::new(Epoch::new("e1").unwrap(), Seq::FIRST);
        Position { cursor, id: MessageId::from_u128(7), created_at: Timestamp::from_millis(5) }
    }

    /// They wait in topics that people have.
    #[test]
    fn records_are_the_same_in_every_release() {
        assert_eq!(
            String::from_utf8(encode_draft(&draft()).unwrap()).unwrap(),
            r#"{"v":1,"draft":{"room":"tea","sender":"ann","client_id":"m1","authority":"member","content":{"kind":"chat","body":{"text":"hello"}},"sent":null}}"#
        );
        let text = |persisted: &Persisted| String::from_utf8(persisted.encode().unwrap()).unwrap();
        let refused = Persisted::new(&draft(), AppendOutcome::Refused(Refusal::NotAMember)).unwrap();
        assert_eq!(
            text(&refused),
            r#"{"v":1,"outcome":"refused","room":"tea","sender":"ann","client_id":"m1","refusal":"not_a_member"}"#
        );
        let stored = Persisted::new(&draft(), AppendOutcome::New(position())).unwrap();
        assert_eq!(
            text(&stored),
            r#"{"v":1,"outcome":"stored","message":{"room":"tea","cursor":"e1.1","id":"00000000000000000000000007","created_at":5,"sender":"ann","client_id":"m1","authority":"member","content":{"kind":"chat","body":{"text":"hello"}},"state":{"edited":null,"deleted":null,"reactions":[]}}}"#
        );
    }

    #[test]
    fn a_draft_comes_back_with_the_digest_of_what_was_sent() {
        let mut rewritten = draft();
        rewritten.rewrite(Content::text("****"));
        for draft in [draft(), rewritten] {
            let back = decode_draft(Some(&encode_draft(&draft).unwrap())).unwrap();
            assert_eq!((&back, back.fingerprint()), (&draft, draft.fingerprint()));
        }
    }

    #[test]
    fn every_outcome_comes_back() {
        let refusal = Refusal::Body(InvalidBody::TooLong { max_chars: 5 });
        for outcome in [
            AppendOutcome::New(position()),
            AppendOutcome::Duplicate(position()),
            AppendOutcome::Conflict(position()),
            AppendOutcome::Refused(refusal),
        ] {
            let persisted = Persisted::new(&draft(), outcome.clone()).unwrap();
            let back = Persisted::decode(Some(&persisted.encode().unwrap())).unwrap();
            assert_eq!((&back, back.room().as_str()), (&persisted, "tea"));
            let told = back.clone().into_publication();
            assert_eq!(matches!(told.topic, Topic::Room(_)), outcome.stored().is_some());
            assert!(back.is_of(&SentName::of(&draft())));
            assert_eq!(back.into_outcome(), outcome);
        }
        let dead = Persisted::DeadLettered { sent: SentName::of(&draft()), reason: "no".to_owned() };
        let back = Persisted::decode(Some(&dead.encode().unwrap())).unwrap();
        let unstorable = AppendOutcome::Refused(Refusal::Unstorable);
        assert_eq!((&back, back.clone().into_outcome()), (&dead, unstorable));
        let told = back.into_publication();
        assert!(matches!(told.topic, Topic::User(_)));
        let FanoutEvent::SendFailed { reason, .. } = &*told.event else { panic!("another event") };
        assert_eq!(*reason, SendFailure::Refused(Refusal::Unstorable));
        assert!(Persisted::new(&draft(), AppendOutcome::Accepted).is_none());
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let reason = |value: Option<&[u8]>| decode_draft(value).unwrap_err();
        assert_eq!(reason(None), InvalidRecord::Empty);
        assert_eq!(reason(Some(b"")), InvalidRecord::Empty);
        assert_eq!(reason(Some(br#"{"v":2,"letter":{}}"#)), InvalidRecord::OtherVersion { version: 2 });
        assert!(matches!(reason(Some(b"nonsense")), InvalidRecord::Malformed { .. }));
        assert!(matches!(reason(Some(br#"{"v":1}"#)), InvalidRecord::Malformed { .. }));
        // A later release of the same version may say more.
        assert!(Persisted::decode(Some(br#"{"v":1,"outcome":"waved"}"#)).is_err());
    }

    #[test]
    fn a_request_is_found_by_its_text() {
        let request = RequestId { node: 0xabc, number: 17 };
        assert_eq!(RequestId::parse(request.to_string().as_bytes()), Some(request));
        for bad in ["", "-", "x-1", "1", "1-x"] {
            assert_eq!(RequestId::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}

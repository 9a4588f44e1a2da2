//! What a message is: as clients send it, as it is stored, and as it is told.

use std::borrow::Cow;

use chat_core::{
    Body, ClientMessageId, Content, CustomKind, Error, JsonText, Result, RoomId, StoredMessage, Timestamp,
    UserId,
};
use chat_gateway::Problem;
use example_support::import::PREFIX;
use serde::{Deserialize, Serialize};

/// The longest content, in characters.
pub(crate) const MAX_CONTENT_CHARS: u32 = 1_000;
/// The longest nickname, in characters.
pub(crate) const MAX_NICKNAME_CHARS: usize = 50;
/// What a room takes, in characters of JSON: the longest message with all of it escaped (`\u0001`), and the names of its fields.
pub(crate) const MAX_BODY_CHARS: u32 = 8_000;

/// `messageType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Kind {
    Chat,
    Join,
    Leave,
}

impl Kind {
    /// Join and leave are the application's own kind of entry: the engine's would have no nickname.
    fn content(self, body: Body) -> Result<Content> {
        let name = match self {
            Self::Chat => return Ok(Content::Chat { body }),
            Self::Join => "JOIN",
            Self::Leave => "LEAVE",
        };
        let name = CustomKind::new(name).map_err(|error| Error::invalid("messageType", error))?;
        Ok(Content::Custom { name, body })
    }

    fn of(content: &Content) -> Option<Self> {
        match content {
            Content::Chat { .. } => Some(Self::Chat),
            Content::Custom { name, .. } => match name.as_str() {
                "JOIN" => Some(Self::Join),
                "LEAVE" => Some(Self::Leave),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The body of a `SEND`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    pub(crate) chat_room_id: u64,
    pub(crate) sender_id: u64,
    pub(crate) sender_nickname: String,
    #[serde(default)]
    pub(crate) content: String,
    pub(crate) message_type: Option<Kind>,
    client_msg_id: Option<String>,
}

impl Asked {
    pub(crate) fn read(body: &str) -> Result<Self, Problem> {
        serde_json::from_str(body).map_err(|error| {
            let code = if error.is_data() { "invalid_request" } else { "malformed" };
            Problem::new(code, error.to_string())
        })
    }

    /// By which a repeat is recognised; a new one where the client names none.
    pub(crate) fn client_id(&self) -> Result<ClientMessageId, Problem> {
        match &self.client_msg_id {
            Some(id) if id.starts_with(PREFIX) => {
                Err(Problem::invalid("clientMsgId: those are of imported messages"))
            }
            Some(id) => {
                ClientMessageId::new(id).map_err(|error| Problem::invalid(format!("clientMsgId: {error}")))
            }
            None => Ok(ClientMessageId::generate()),
        }
    }

    /// What of it is stored, in a room whose message ids are `offset` ahead of its positions.
    pub(crate) fn stored(&self, kind: Kind, offset: u64) -> Result<Content, Problem> {
        // A join or a leave need not say anything.
        if kind == Kind::Chat || !self.content.is_empty() {
            Body::text(&self.content).check(MAX_CONTENT_CHARS).map_err(Error::from)?;
        }
        let nickname = &self.sender_nickname;
        if nickname.trim().is_empty() || nickname.chars().count() > MAX_NICKNAME_CHARS {
            return Err(Problem::invalid(format!(
                "senderNickname must have 1 to {MAX_NICKNAME_CHARS} characters"
            )));
        }
        let stored = Stored { nickname: nickname.into(), content: (&self.content).into(), offset, at: None };
        Ok(stored.content(kind)?)
    }
}

/// The body of an entry of the log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored<'a> {
    #[serde(borrow)]
    pub(crate) nickname: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) content: Cow<'a, str>,
    /// How far the message's id is ahead of its position: zero in rooms that were not imported.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) offset: u64,
    /// When it was created, where the entry's own time is not exactly that.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Cow<'a, str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(offset: &u64) -> bool {
    *offset == 0
}

impl Stored<'_> {
    pub(crate) fn content(&self, kind: Kind) -> Result<Content> {
        let json = serde_json::to_string(self).map_err(|error| Error::invalid("a message", error))?;
        kind.content(Body::Json(JsonText::new(&json)?))
    }
}

/// The broadcast body.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    pub(crate) chat_room_id: u64,
    pub(crate) message_id: u64,
    sender_id: u64,
    sender_nickname: String,
    content: String,
    message_type: Kind,
    created_at: String,
}

impl Told {
    /// `None` for what is no message of this application.
    pub(crate) fn of(entry: &StoredMessage) -> Option<Self> {
        let Some(Body::Json(json)) = entry.content.body() else { return None };
        let stored: Stored<'_> = serde_json::from_str(json.as_str()).ok()?;
        let created_at = stored.at.map_or_else(|| local(entry.position.created_at), Cow::into_owned);
        Some(Self {
            chat_room_id: number(entry.room.as_str())?,
            message_id: entry.seq().get() + stored.offset,
            sender_id: number(entry.sender.as_str())?,
            sender_nickname: stored.nickname.into_owned(),
            content: stored.content.into_owned(),
            message_type: Kind::of(&entry.content)?,
            created_at,
        })
    }
}

/// A date and time without a zone, as the contract has it: in UTC, and without a fraction where that is zero.
pub(crate) fn local(time: Timestamp) -> String {
    let text = time.to_string();
    let text = text.trim_end_matches('Z');
    text.strip_suffix(".000").unwrap_or(text).to_owned()
}

/// The number that an id is the decimal text of. There is one text for each number, so nothing has two ids.
pub(crate) fn number(id: &str) -> Option<u64> {
    id.parse().ok().filter(|number: &u64| number.to_string() == id)
}

pub(crate) fn room(number: u64) -> Result<RoomId> {
    RoomId::new(&number.to_string()).map_err(|error| Error::invalid("chatRoomId", error))
}

pub(crate) fn user(number: u64) -> Result<UserId> {
    UserId::new(&number.to_string()).map_err(|error| Error::invalid("userId", error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

    use chat_core::{Cursor, Draft, Epoch, MessageId, Position, Seq};
    use serde_json::json;

    use super::*;

    fn asked(body: &serde_json::Value) -> Result<Content, Problem> {
        let asked = Asked::read(&body.to_string())?;
        asked.client_id()?;
        asked.stored(asked.message_type.unwrap_or(Kind::Chat), 0)
    }

    #[test]
    fn a_message_is_told_as_the_contract_says() {
        let body = json!({
            "chatRoomId": 1, "senderId": 123, "senderNickname": "hong", "content": "hello!", "messageType": "CHAT",
        });
        let asked = Asked::read(&body.to_string()).unwrap();
        let draft = |offset| {
            let content = asked.stored(Kind::Chat, offset).unwrap();
            Draft::new(room(1).unwrap(), user(123).unwrap(), asked.client_id().unwrap(), content)
        };
        let at = |millis| Position {
            cursor: Cursor::new(Epoch::new("e").unwrap(), Seq::new(56).unwrap()),
            id: MessageId::from_u128(1),
            created_at: Timestamp::from_millis(millis),
        };
        let told = Told::of(&StoredMessage::new(draft(400), at(1_736_433_000_000))).unwrap();
        let expected = json!({
            "chatRoomId": 1, "messageId": 456, "senderId": 123, "senderNickname": "hong", "content": "hello!",
            "messageType": "CHAT", "createdAt": "2025-01-09T14:30:00",
        });
        assert_eq!(serde_json::to_value(told).unwrap(), expected);
        let told = Told::of(&StoredMessage::new(draft(0), at(1_736_433_000_120))).unwrap();
        assert_eq!((told.message_id, told.created_at.as_str()), (56, "2025-01-09T14:30:00.120"));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let good = json!({ "chatRoomId": 1, "senderId": 2, "senderNickname": "hong", "content": "\u{1}".repeat(1_000) });
        let stored = asked(&good).unwrap();
        assert_eq!(stored.body().unwrap().check(MAX_BODY_CHARS), Ok(()), "all of it escaped");
        for (field, value, code) in [
            ("content", json!(""), "body_blank"),
            ("content", json!(" \n"), "body_blank"),
            ("content", json!("x".repeat(1_001)), "body_too_long"),
            ("content", json!(7), "invalid_request"),
            ("senderNickname", json!("  "), "invalid_request"),
            ("senderNickname", json!("x".repeat(51)), "invalid_request"),
            ("senderNickname", json!(null), "invalid_request"),
            ("chatRoomId", json!("1"), "invalid_request"),
            ("senderId", json!(-2), "invalid_request"),
            ("clientMsgId", json!("two words"), "invalid_request"),
            ("messageType", json!("SHOUT"), "invalid_request"),
        ] {
            let mut body = good.clone();
            body[field] = value;
            assert_eq!(asked(&body).unwrap_err().code, code, "{field}");
        }
        assert_eq!(Asked::read("{").unwrap_err().code, "malformed");
    }

    #[test]
    fn a_number_has_one_text() {
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for text in ["", "01", "+1", "-1", "1.0", "x", "18446744073709551616"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}

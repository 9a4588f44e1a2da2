//! Frames of a client: text in, a checked command out.

use std::{fmt, str::FromStr};

use chat_core::{
    Body, ClientMessageId, Content, Cursor, CustomKind, JsonText, MessageId, Place, ReactionKey, ReactionOp,
    ReadFrom, ReadQuery, RoomId, UserId, View, auth::Secret, rooms::ActivityCursor,
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// A command with the number by which its sender knows the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The client's number for it: 1 or greater.
    pub id: Option<u64>,
    /// What is to be done.
    pub action: Action,
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `connect`
    Connect {
        /// The credentials; `None` if they came in a header.
        token: Option<Secret>,
    },
    /// `join`
    Join {
        /// Which room.
        room: RoomId,
        /// The last entry that was applied.
        cursor: Option<Cursor>,
        /// Entries of the page, where the answer has one.
        limit: Option<usize>,
    },
    /// `leave`
    Leave {
        /// Which room.
        room: RoomId,
    },
    /// `send`, `edit`, `delete` or `react`
    Append {
        /// Into which room.
        room: RoomId,
        /// The sender's name for it.
        client_id: ClientMessageId,
        /// What it says.
        content: Content,
    },
    /// `typing`
    Typing {
        /// Where.
        room: RoomId,
        /// Types now.
        active: bool,
    },
    /// `signal`
    Signal {
        /// Where.
        room: RoomId,
        /// The application's name for it.
        name: CustomKind,
        /// Its data.
        data: JsonText,
    },
    /// `read`
    Read {
        /// Where.
        room: RoomId,
        /// Up to and with this entry.
        cursor: Cursor,
    },
    /// `history`
    History {
        /// Of which room.
        room: RoomId,
        /// Which page.
        query: ReadQuery,
    },
    /// `rooms`
    Rooms {
        /// Where the page before ended.
        after: Option<ActivityCursor>,
        /// At most this many.
        limit: Option<usize>,
    },
    /// `members`
    Members {
        /// Of which room.
        room: RoomId,
        /// Where the page before ended.
        after: Option<UserId>,
        /// At most this many.
        limit: Option<usize>,
    },
    /// `presence`
    Presence {
        /// Of whom.
        users: Vec<UserId>,
    },
    /// `token`
    Token {
        /// The new credentials.
        token: Secret,
    },
    /// `ping`
    Ping,
}

impl Action {
    /// The `type` of its frame. An [`Action::Append`] is told by its content.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Join { .. } => "join",
            Self::Leave { .. } => "leave",
            Self::Append { content, .. } => match content {
                Content::Edit { .. } => "edit",
                Content::Delete { .. } => "delete",
                Content::Reaction { .. } => "react",
                _ => "send",
            },
            Self::Typing { .. } => "typing",
            Self::Signal { .. } => "signal",
            Self::Read { .. } => "read",
            Self::History { .. } => "history",
            Self::Rooms { .. } => "rooms",
            Self::Members { .. } => "members",
            Self::Presence { .. } => "presence",
            Self::Token { .. } => "token",
            Self::Ping => "ping",
        }
    }
}

/// A frame that is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// What kind of error.
    pub kind: DecodeErrorKind,
    /// The frame's `id`, if it could be read.
    pub id: Option<u64>,
    /// The frame's `room`, if it could be read.
    pub room: Option<RoomId>,
    /// The frame's `clientId`, if it could be read.
    pub client_id: Option<ClientMessageId>,
    /// What is wrong, for people; names the field.
    pub message: String,
}

/// How a frame fails to be a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// Not one JSON object.
    Malformed,
    /// No command has this `type`.
    UnknownCommand,
    /// A field is missing or wrong.
    InvalidRequest,
}

impl DecodeErrorKind {
    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownCommand => "unknown_command",
            Self::InvalidRequest => "invalid_request",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code(), self.message)
    }
}

impl std::error::Error for DecodeError {}

/// Every field of every command, unread: what a command does not have is not looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    #[serde(borrow)]
    room: Option<&'a RawValue>,
    #[serde(borrow)]
    cursor: Option<&'a RawValue>,
    #[serde(borrow)]
    limit: Option<&'a RawValue>,
    #[serde(borrow)]
    client_id: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    // In these two `null` is a value.
    #[serde(borrow, default, deserialize_with = "any")]
    json: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "any")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    target: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    op: Option<&'a RawValue>,
    #[serde(borrow)]
    active: Option<&'a RawValue>,
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    view: Option<&'a RawValue>,
    #[serde(borrow)]
    users: Option<&'a RawValue>,
}

fn any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one frame.
///
/// # Errors
/// What is wrong with it.
pub fn decode(text: &str) -> Result<Command, DecodeError> {
    let bad = |kind, message: String| DecodeError { kind, id: None, room: None, client_id: None, message };
    // serde would also take an array for a struct.
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(bad(DecodeErrorKind::Malformed, "a frame is one JSON object".to_owned()));
    }
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|error| {
        let kind = if error.is_data() { DecodeErrorKind::InvalidRequest } else { DecodeErrorKind::Malformed };
        bad(kind, error.to_string())
    })?;
    let known = |kind, id, message| DecodeError {
        kind,
        id,
        room: parsed(fields.room, "room").ok().flatten(),
        client_id: parsed(fields.client_id, "clientId").ok().flatten(),
        message,
    };
    let id = optional::<u64>(fields.id, "id")
        .map_err(|message| known(DecodeErrorKind::InvalidRequest, None, message))?;
    if id == Some(0) {
        return Err(known(DecodeErrorKind::InvalidRequest, None, "`id`: 1 or greater".to_owned()));
    }
    let invalid = |message| known(DecodeErrorKind::InvalidRequest, id, message);
    let kind = required::<String>(fields.kind, "type").map_err(invalid)?;
    match fields.action(&kind) {
        Some(action) => Ok(Command { id, action: action.map_err(invalid)? }),
        None => {
            let message = format!("no command is called {:?}", kind.chars().take(64).collect::<String>());
            Err(known(DecodeErrorKind::UnknownCommand, id, message))
        }
    }
}

type Field<T> = Result<T, String>;

fn optional<T: DeserializeOwned>(raw: Option<&RawValue>, name: &str) -> Field<Option<T>> {
    raw.map(|raw| serde_json::from_str(raw.get()))
        .transpose()
        .map_err(|error| format!("`{name}`: {}", without_place(&error)))
}

/// The error's text without its line and column, which count from the field's beginning.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(text, _)| text.to_owned())
}

fn required<T: DeserializeOwned>(raw: Option<&RawValue>, name: &str) -> Field<T> {
    optional(raw, name)?.ok_or_else(|| format!("`{name}` is missing"))
}

fn parsed<T: FromStr<Err: fmt::Display>>(raw: Option<&RawValue>, name: &str) -> Field<Option<T>> {
    let text: Option<String> = optional(raw, name)?;
    text.map(|text| text.parse()).transpose().map_err(|error: T::Err| format!("`{name}`: {error}"))
}

/// A place in a log: a cursor, or the id of a message.
pub(crate) fn parse_place(text: &str) -> Result<Place, String> {
    if text.contains('.') {
        text.parse().map(Place::Cursor).map_err(|error| format!("{error}"))
    } else {
        text.parse().map(Place::Id).map_err(|error| format!("{error}"))
    }
}

/// What part of a room is asked for; `before` and `after` exclude each other.
pub(crate) fn read_query(
    before: Option<&str>,
    after: Option<&str>,
    view: Option<&str>,
    limit: Option<usize>,
) -> Field<ReadQuery> {
    let place = |name: &str, text: &str| parse_place(text).map_err(|error| format!("`{name}`: {error}"));
    let from = match (before, after) {
        (Some(_), Some(_)) => return Err("`before` and `after` exclude each other".to_owned()),
        (Some(before), None) => ReadFrom::Before(place("before", before)?),
        (None, Some(after)) => ReadFrom::After(place("after", after)?),
        (None, None) => ReadFrom::Newest,
    };
    let view = match view {
        None | Some("timeline") => View::Timeline,
        Some("log") => View::Log,
        Some(_) => return Err("`view`: \"timeline\" or \"log\"".to_owned()),
    };
    let query = ReadQuery::new(from).with_view(view);
    Ok(match limit {
        Some(limit) => query.with_limit(limit),
        None => query,
    })
}

impl Fields<'_> {
    /// The command of this name; `None` if there is none.
    fn action(&self, kind: &str) -> Option<Field<Action>> {
        Some(match kind {
            "connect" => optional(self.token, "token")
                .map(|token: Option<String>| Action::Connect { token: token.map(Secret::new) }),
            "join" => self.join(),
            "leave" => self.room().map(|room| Action::Leave { room }),
            "send" => self.body().and_then(|body| {
                self.append(match parsed(self.name, "name")? {
                    Some(name) => Content::Custom { name, body },
                    None => Content::Chat { body },
                })
            }),
            "edit" => self.target().and_then(|target| {
                let body = self.body()?;
                self.append(Content::Edit { target, body })
            }),
            "delete" => self.target().and_then(|target| self.append(Content::Delete { target })),
            "react" => self.react(),
            "typing" => self.typing(),
            "signal" => self.signal(),
            "read" => self.read(),
            "history" => self.history(),
            "rooms" => self.rooms(),
            "members" => self.members(),
            "presence" => required(self.users, "users").map(|users| Action::Presence { users }),
            "token" => required::<String>(self.token, "token")
                .map(|token| Action::Token { token: Secret::new(token) }),
            "ping" => Ok(Action::Ping),
            _ => return None,
        })
    }

    fn text_id<T: FromStr<Err: fmt::Display>>(raw: Option<&RawValue>, name: &str) -> Field<T> {
        parsed(raw, name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    fn room(&self) -> Field<RoomId> {
        Self::text_id(self.room, "room")
    }

    fn target(&self) -> Field<MessageId> {
        Self::text_id(self.target, "target")
    }

    fn limit(&self) -> Field<Option<usize>> {
        match optional(self.limit, "limit")? {
            Some(0) => Err("`limit`: 1 or greater".to_owned()),
            limit => Ok(limit),
        }
    }

    fn body(&self) -> Field<Body> {
        match (optional::<String>(self.text, "text")?, self.json) {
            (Some(text), None) => Ok(Body::text(&text)),
            (None, Some(json)) => {
                JsonText::new(json.get()).map(Body::Json).map_err(|error| format!("`json`: {error}"))
            }
            (Some(_), Some(_)) => Err("`text` and `json` exclude each other".to_owned()),
            (None, None) => Err("`text` or `json` is missing".to_owned()),
        }
    }

    fn append(&self, content: Content) -> Field<Action> {
        let client_id: ClientMessageId = Self::text_id(self.client_id, "clientId")?;
        if client_id.is_reserved() {
            return Err("`clientId`: those that begin with \"!\" are the server's own".to_owned());
        }
        Ok(Action::Append { room: self.room()?, client_id, content })
    }

    fn join(&self) -> Field<Action> {
        let (cursor, limit) = (parsed(self.cursor, "cursor")?, self.limit()?);
        Ok(Action::Join { room: self.room()?, cursor, limit })
    }

    fn react(&self) -> Field<Action> {
        let key: ReactionKey = Self::text_id(self.key, "key")?;
        let op = match required::<String>(self.op, "op")?.as_str() {
            "add" => ReactionOp::Add,
            "remove" => ReactionOp::Remove,
            _ => return Err("`op`: \"add\" or \"remove\"".to_owned()),
        };
        self.append(Content::Reaction { target: self.target()?, key, op })
    }

    fn typing(&self) -> Field<Action> {
        let active = optional(self.active, "active")?.unwrap_or(true);
        Ok(Action::Typing { room: self.room()?, active })
    }

    fn signal(&self) -> Field<Action> {
        let data = self.data.map_or("null", RawValue::get);
        let data = JsonText::new(data).map_err(|error| format!("`data`: {error}"))?;
        Ok(Action::Signal { room: self.room()?, name: Self::text_id(self.name, "name")?, data })
    }

    fn read(&self) -> Field<Action> {
        Ok(Action::Read { room: self.room()?, cursor: Self::text_id(self.cursor, "cursor")? })
    }

    fn history(&self) -> Field<Action> {
        let text = |raw, name| optional::<String>(raw, name);
        let (before, after) = (text(self.before, "before")?, text(self.after, "after")?);
        let view = text(self.view, "view")?;
        let query = read_query(before.as_deref(), after.as_deref(), view.as_deref(), self.limit()?)?;
        Ok(Action::History { room: self.room()?, query })
    }

    fn rooms(&self) -> Field<Action> {
        Ok(Action::Rooms { after: parsed(self.after, "after")?, limit: self.limit()? })
    }

    fn members(&self) -> Field<Action> {
        let after = parsed(self.after, "after")?;
        Ok(Action::Members { room: self.room()?, after, limit: self.limit()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> DecodeError {
        decode(text).unwrap_err()
    }

    #[test]
    fn a_send_keeps_its_json_as_it_was_written() {
        let command = decode(
            r#" {"type":"send","id":7,"room":"r","clientId":"c","json":{"b": 1.0,"a":[]},"name":"x","extra":1}"#,
        )
        .unwrap();
        assert_eq!(command.id, Some(7));
        let Action::Append { content: Content::Custom { name, body: Body::Json(json) }, .. } = command.action
        else {
            panic!()
        };
        assert_eq!((name.as_str(), json.as_str()), ("x", r#"{"b": 1.0,"a":[]}"#));
    }

    #[test]
    fn an_error_names_the_field_and_keeps_the_id() {
        for (frame, field) in [
            (r#"{"id":3,"room":"r"}"#, "type"),
            (r#"{"id":3,"type":"join"}"#, "room"),
            (r#"{"id":3,"type":"join","room":5}"#, "room"),
            (r#"{"id":3,"type":"join","room":"two words"}"#, "room"),
            (r#"{"id":3,"type":"join","room":"r","cursor":"x"}"#, "cursor"),
            (r#"{"id":3,"type":"join","room":"r","limit":0}"#, "limit"),
            (r#"{"id":3,"type":"join","room":"r","limit":-1}"#, "limit"),
            (r#"{"id":3,"type":"send","room":"r","clientId":"c"}"#, "text"),
            (r#"{"id":3,"type":"send","room":"r","clientId":"c","text":"t","json":null}"#, "json"),
            (r#"{"id":3,"type":"send","room":"r","text":"t"}"#, "clientId"),
            (r#"{"id":3,"type":"send","room":"r","clientId":"!c","text":"t"}"#, "clientId"),
            (r#"{"id":3,"type":"edit","room":"r","clientId":"c","text":"t","target":"x"}"#, "target"),
            (r#"{"id":3,"type":"react","room":"r","clientId":"c","key":"k","op":"no"}"#, "op"),
            (r#"{"id":3,"type":"history","room":"r","before":"e.1","after":"e.2"}"#, "before"),
            (r#"{"id":3,"type":"history","room":"r","view":"x"}"#, "view"),
            (r#"{"id":3,"type":"presence","users":"ann"}"#, "users"),
            (r#"{"id":3,"type":"token"}"#, "token"),
        ] {
            let error = error(frame);
            assert_eq!((error.kind, error.id), (DecodeErrorKind::InvalidRequest, Some(3)), "{frame}");
            assert!(error.message.contains(&format!("`{field}`")), "{frame}: {}", error.message);
        }
    }

    #[test]
    fn an_error_keeps_the_room_and_the_client_id_that_could_be_read() {
        for (frame, room, client_id) in [
            (r#"{"type":"send","room":"r","clientId":"c"}"#, Some("r"), Some("c")),
            (r#"{"type":"send","room":"r","clientId":"c","id":0,"text":"t"}"#, Some("r"), Some("c")),
            (r#"{"type":"send","room":"two words","clientId":"c","text":"t"}"#, None, Some("c")),
            (r#"{"type":"send","room":"r","clientId":7,"text":"t"}"#, Some("r"), None),
            (r#"{"type":"join","room":"r","limit":0}"#, Some("r"), None),
            (r#"{"type":"fly","room":"r"}"#, Some("r"), None),
            (r#"{"type":"presence","users":"ann"}"#, None, None),
        ] {
            let error = error(frame);
            assert_eq!(error.room.as_ref().map(RoomId::as_str), room, "{frame}");
            assert_eq!(error.client_id.as_ref().map(ClientMessageId::as_str), client_id, "{frame}");
        }
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        for frame in ["", "null", "[]", "{", "\"x\"", "{\"type\":\"ping\"} x", "{'type':'ping'}"] {
            assert_eq!(error(frame).kind, DecodeErrorKind::Malformed, "{frame}");
        }
        let deep = format!(r#"{{"type":"ping","data":{}}}"#, "[".repeat(10_000));
        assert_eq!(error(&deep).kind, DecodeErrorKind::Malformed);
    }

    #[test]
    fn an_unknown_command_and_a_bad_id_are_told_apart() {
        assert_eq!(error(r#"{"type":"fly","id":1}"#).kind, DecodeErrorKind::UnknownCommand);
        for id in ["0", "-1", "1.5", "\"1\"", "18446744073709551616"] {
            let error = error(&format!(r#"{{"type":"ping","id":{id}}}"#));
            assert_eq!((error.kind, error.id), (DecodeErrorKind::InvalidRequest, None), "{id}");
            assert!(error.message.contains("`id`"));
        }
    }

    #[test]
    fn a_token_never_shows() {
        let command = decode(r#"{"type":"connect","token":"hush-hush"}"#).unwrap();
        assert!(!format!("{command:?}").contains("hush"));
    }
}

//! From the fields of a frame to a command.

use std::{fmt, str::FromStr};

use chat_core::{
    Body, ClientMessageId, Content, JsonText, MessageId, ReactionKey, ReactionOp, RoomId, auth::Secret,
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{Action, Command, DecodeError, DecodeErrorKind, query::read_query};

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
mod tests;

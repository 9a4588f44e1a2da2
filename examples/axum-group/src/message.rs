//! A message between its form on the wire and in the log.

use chat_core::{Body, Content, CustomKind, StoredMessage};
use serde_json::{Value, json};

/// The type of plain messages; any other is kept under its name.
const TEXT: &str = "TEXT";

/// What `type` and `content` say.
///
/// # Errors
/// `kind` is no name.
pub(crate) fn content(kind: &str, text: &str) -> Result<Content, String> {
    if kind == TEXT {
        return Ok(Content::text(text));
    }
    let name = CustomKind::new(kind).map_err(|error| format!("`type`: {error}"))?;
    Ok(Content::Custom { name, body: Body::text(text) })
}

/// A message as it is told live and in history, the same in both; `None` for what clients of this service do not know.
pub(crate) fn view(entry: &StoredMessage) -> Option<Value> {
    let (kind, body) = match &entry.content {
        Content::Chat { body } => (TEXT, body),
        Content::Custom { name, body } => (name.as_str(), body),
        _ => return None,
    };
    let Body::Text(text) = body else { return None };
    let at = &entry.position;
    Some(json!({
        "messageId": at.id, "id": at.id, "roomId": entry.room, "senderId": entry.sender,
        "clientMsgId": entry.client_id, "type": kind, "content": text, "createdAt": at.created_at.to_string(),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

    use chat_core::{ClientMessageId, Draft, MessageId, Position, RoomId, Timestamp, UserId};

    use super::*;

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        for kind in ["TEXT", "IMAGE", "text"] {
            let draft = Draft::new(
                RoomId::new("r").unwrap(),
                UserId::new("ann").unwrap(),
                ClientMessageId::new("c1").unwrap(),
                content(kind, "hello").unwrap(),
            );
            let id = MessageId::from_u128(7);
            let position =
                Position { cursor: "e.1".parse().unwrap(), id, created_at: Timestamp::from_millis(1_500) };
            let told = view(&StoredMessage::new(draft, position)).unwrap();
            let id = id.to_string();
            assert_eq!(
                told,
                json!({
                    "messageId": id, "id": id, "roomId": "r", "senderId": "ann", "clientMsgId": "c1", "type": kind,
                    "content": "hello", "createdAt": "1970-01-01T00:00:01.500Z",
                })
            );
        }
        assert!(content("two words", "x").is_err());
    }
}

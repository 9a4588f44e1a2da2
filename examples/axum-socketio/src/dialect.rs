//! What this service's events are called and how they look. Everything else is the library's.

use chat_core::{Body, ClientMessageId, Content, EntryKind, StoredMessage};
use chat_gateway::{
    Problem,
    socketio::{Answer, Asked, Dialect, Done, Emit, Request},
};
use serde_json::{Value, json};

/// `join-room` `{roomId, after?}`, `leave-room` `{roomId}` and `send-message` `{roomId, text, clientMsgId?}`, each acknowledged with
/// `{success, message?, data?}`; `new-message` to every socket in the room.
#[derive(Debug)]
pub(crate) struct Rooms;

impl Dialect for Rooms {
    fn namespace(&self) -> &str {
        "/chat"
    }

    fn request(&self, asked: &Asked<'_>) -> Result<Request, Problem> {
        let room = || asked.field("roomId");
        Ok(match asked.event {
            // With the cursor of the last message that it has, a client is given everything after it.
            "join-room" => Request::Join { room: room()?, after: asked.optional("after")? },
            "leave-room" => Request::Leave { room: room()? },
            "send-message" => Request::Send {
                room: room()?,
                // Sent again under the same name, it is the same message.
                client_id: asked.optional("clientMsgId")?.unwrap_or_else(ClientMessageId::generate),
                content: Content::text(asked.text("text")?),
            },
            _ => return Err(asked.unknown()),
        })
    }

    fn answer(&self, asked: &Asked<'_>, done: Result<Done, Problem>) -> Answer {
        let data = match done {
            Ok(Done::Joined { cursor, recovered, .. }) => json!({ "cursor": cursor, "recovered": recovered }),
            Ok(Done::Sent { sent, .. }) => match sent.position {
                Some(at) => json!({ "id": at.id, "cursor": at.cursor, "senderId": asked.user() }),
                None => Value::Null,
            },
            Ok(_) => Value::Null,
            Err(problem) => return Answer::Ack(json!({ "success": false, "message": problem.message })),
        };
        Answer::Ack(json!({ "success": true, "data": data }))
    }

    fn entry(&self, entry: &StoredMessage) -> Option<Emit> {
        let Some(Body::Text(text)) = entry.content.body() else { return None };
        if entry.content.kind() != EntryKind::Chat {
            return None;
        }
        let at = &entry.position;
        let message = json!({
            "id": at.id, "cursor": at.cursor, "roomId": entry.room, "senderId": entry.sender,
            "clientMsgId": entry.client_id, "text": text, "createdAt": at.created_at.to_string(),
        });
        Some(Emit::new("new-message", &message))
    }
}

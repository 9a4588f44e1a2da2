//! The shop's events and how a message looks. Everything else is the library's.

use chat_core::{Authority, Body, ClientMessageId, Content, EntryKind, StoredMessage};
use chat_gateway::{
    Problem,
    socketio::{Answer, Asked, Dialect, Done, Emit, Request},
};
use example_support::import;
use serde_json::{Value, json};

/// `join-room`, `leave-room` and `send-message`, each acknowledged with `{success, message?, data?}`; `new-message` to every socket in
/// the room.
#[derive(Debug)]
pub(crate) struct ShopDialect;

impl Dialect for ShopDialect {
    fn namespace(&self) -> &str {
        "/chat"
    }

    fn request(&self, asked: &Asked<'_>) -> Result<Request, Problem> {
        let room = || asked.field("roomId");
        Ok(match asked.event {
            // With the cursor of the last message that it has, a client is given everything after it.
            "join-room" => Request::Join { room: room()?, after: asked.optional("after")? },
            "leave-room" => Request::Leave { room: room()? },
            // Who sends is whose token it is: a sender in the payload counts for nothing.
            "send-message" => Request::Send {
                room: room()?,
                client_id: client_id(asked.optional("clientMsgId")?)?,
                content: Content::text(asked.text("text")?),
            },
            _ => return Err(asked.unknown()),
        })
    }

    fn answer(&self, asked: &Asked<'_>, done: Result<Done, Problem>) -> Answer {
        let data = match done {
            Ok(Done::Joined { room, cursor, recovered }) => {
                json!({ "roomId": room, "cursor": cursor, "recovered": recovered })
            }
            Ok(Done::Left { room }) => json!({ "roomId": room }),
            Ok(Done::Sent { room, client_id, sent, .. }) => match sent.position {
                Some(at) => json!({
                    "id": at.id, "roomId": room, "senderId": asked.user(), "createdAt": at.created_at.to_string(),
                    "clientMsgId": client_id, "cursor": at.cursor, "duplicate": sent.duplicate,
                }),
                None => Value::Null,
            },
            Ok(_) => Value::Null,
            Err(problem) => {
                let data = json!({
                    "code": problem.code, "retryable": problem.retryable, "retryAfterMs": problem.retry_after_ms(),
                });
                return Answer::Ack(json!({ "success": false, "message": problem.message, "data": data }));
            }
        };
        Answer::Ack(json!({ "success": true, "data": data }))
    }

    fn entry(&self, entry: &StoredMessage) -> Option<Emit> {
        Some(Emit::new("new-message", &message(entry)?))
    }
}

/// A message as it is told live and in history; `None` for what clients of this service do not know.
pub(crate) fn message(entry: &StoredMessage) -> Option<Value> {
    let Some(Body::Text(text)) = entry.content.body() else { return None };
    if entry.content.kind() != EntryKind::Chat {
        return None;
    }
    let at = &entry.position;
    // What was taken over keeps the id by which clients know it.
    let id = import::old_id(entry).map_or_else(|| at.id.to_string(), str::to_owned);
    let side = if entry.authority == Authority::Moderator { "STORE" } else { "USER" };
    Some(json!({
        "id": id, "roomId": entry.room, "text": text, "senderId": entry.sender, "senderType": side,
        "createdAt": at.created_at.to_string(), "cursor": at.cursor, "clientMsgId": entry.client_id,
    }))
}

/// Sent again under the same name, it is the same message.
fn client_id(given: Option<ClientMessageId>) -> Result<ClientMessageId, Problem> {
    match given {
        None => Ok(ClientMessageId::generate()),
        Some(id) => import::client_id(id),
    }
}

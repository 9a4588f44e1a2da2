//! The events of `/chat`.

use axum::http::HeaderName;
use chat_core::{
    Body, ClientMessageId, Content, EntryKind, MessageId, RoomId, StoredMessage, Timestamp, UserId,
    auth::Credentials,
};
use chat_gateway::{
    Problem,
    socketio::{Answer, Asked, Dialect, Done, Emit, Handshake, Request},
};
use example_support::import::{self, old_id};
use serde::Serialize;
use serde_json::{Value, json};

/// A number up to here is the same one in JavaScript.
const MAX_ROOM: u64 = (1 << 53) - 1;

/// The names under which `auth` may have a presentation.
const PRESENTATION: [&str; 3] = ["presentation", "vp", "verifiablePresentation"];
/// The header that may have it instead, and REST's.
pub(crate) const PRESENTATION_HEADER: HeaderName = HeaderName::from_static("x-presentation");

/// `joinRoom`, `leaveRoom` and `sendMessage`, each acknowledged; `message` to every socket in the room.
#[derive(Debug)]
pub(crate) struct VerifiedDialect;

/// A message as clients know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatMessage<'a> {
    id: String,
    room_id: u64,
    sender_id: &'a UserId,
    message: &'a str,
    created_at: String,
}

impl<'a> ChatMessage<'a> {
    /// None for what is no message, or is deleted.
    pub(crate) fn of(entry: &'a StoredMessage) -> Option<Self> {
        let Some(Body::Text(text)) = entry.content.body() else { return None };
        if entry.content.kind() != EntryKind::Chat {
            return None;
        }
        let at = &entry.position;
        let mut message = Self::new(&entry.room, &entry.sender, text, at.id, at.created_at)?;
        // What was taken over from another system is known by the id it had there.
        if let Some(old) = old_id(entry) {
            old.clone_into(&mut message.id);
        }
        Some(message)
    }

    fn new(
        room: &RoomId,
        sender_id: &'a UserId,
        text: &'a str,
        id: MessageId,
        at: Timestamp,
    ) -> Option<Self> {
        let room_id = number_of(room)?;
        Some(Self { id: id.to_string(), room_id, sender_id, message: text, created_at: at.to_string() })
    }
}

/// The room of a number.
pub(crate) fn room(number: u64) -> Result<RoomId, Problem> {
    let id = (number <= MAX_ROOM).then(|| RoomId::new(&number.to_string()).ok()).flatten();
    id.ok_or_else(|| Problem::invalid(format!("`roomId` must be a whole number from 0 to {MAX_ROOM}")))
}

pub(crate) fn number_of(room: &RoomId) -> Option<u64> {
    room.as_str().parse().ok()
}

impl Dialect for VerifiedDialect {
    fn namespace(&self) -> &str {
        "/chat"
    }

    fn credentials(&self, handshake: &Handshake<'_>) -> Credentials {
        let credentials = handshake.token().map_or_else(Credentials::none, Credentials::token);
        let given = PRESENTATION.iter().find_map(|name| handshake.auth.get(name)?.as_str());
        let header = || handshake.request.headers.get(PRESENTATION_HEADER)?.to_str().ok();
        match given.or_else(header) {
            Some(presentation) => credentials.with_presentation(presentation),
            None => credentials,
        }
    }

    fn request(&self, asked: &Asked<'_>) -> Result<Request, Problem> {
        let room = || room(asked.field("roomId")?);
        Ok(match asked.event {
            "joinRoom" => Request::Join { room: room()?, after: asked.optional("after")? },
            "leaveRoom" => Request::Leave { room: room()? },
            "sendMessage" => Request::Send {
                room: room()?,
                client_id: client_id(asked.optional("clientMsgId")?)?,
                content: Content::text(asked.text("message")?),
            },
            _ => return Err(asked.unknown()),
        })
    }

    fn answer(&self, asked: &Asked<'_>, done: Result<Done, Problem>) -> Answer {
        Answer::Ack(match done {
            Ok(Done::Joined { cursor, recovered, .. }) => {
                json!({ "success": true, "message": "joined", "cursor": cursor, "recovered": recovered })
            }
            Ok(Done::Left { .. }) => json!({ "success": true, "message": "left" }),
            Ok(Done::Sent { room, sent, content, .. }) => {
                let data = || {
                    let Some(Body::Text(text)) = content.body() else { return None };
                    let at = sent.position.as_ref()?;
                    ChatMessage::new(&room, asked.user(), text, at.id, at.created_at)
                };
                json!({ "success": true, "data": data() })
            }
            Ok(_) => json!({ "success": true }),
            Err(problem) => refused(&problem),
        })
    }

    fn entry(&self, entry: &StoredMessage) -> Option<Emit> {
        ChatMessage::of(entry).map(|message| Emit::new("message", &message))
    }
}

/// Sent again under the same name, it is the same message. Names by which messages that were taken over are known are nobody's.
fn client_id(given: Option<ClientMessageId>) -> Result<ClientMessageId, Problem> {
    match given {
        None => Ok(ClientMessageId::generate()),
        Some(id) => import::client_id(id),
    }
}

/// What a client is told that is refused. It is told apart from a full queue that trying again helps.
fn refused(problem: &Problem) -> Value {
    let message = match problem.code {
        "busy" => "too many messages wait for the database: nothing was sent, try again in a while",
        _ => &problem.message,
    };
    json!({ "success": false, "message": message, "code": problem.code, "retryable": problem.retryable })
}

//! STOMP: `/topic/chatroom/{chatRoomId}`, `/user/{userId}/queue/errors`, `/app/chat.*`.

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::{RoomId, Session, StoredMessage, UserId, session::LeftReason};
use chat_gateway::{
    Problem,
    stomp::{Destinations, QueueMessage, Route, SendFrame},
};
use serde_json::{Value, json};

use crate::{
    studies::Studies,
    wire::{Asked, Kind, Told, number, room},
};

/// The one queue of a user.
const ERRORS: &str = "errors";

pub(crate) struct StudyDestinations(pub(crate) Studies);

fn unknown() -> Problem {
    Problem::new("not_found", "there is no such destination")
}

#[async_trait]
impl Destinations for StudyDestinations {
    fn route(&self, user: &UserId, destination: &str) -> Result<Route, Problem> {
        if let Some(id) = destination.strip_prefix("/topic/chatroom/") {
            return Ok(Route::Room(room(number(id).ok_or_else(unknown)?)?));
        }
        match destination.strip_prefix("/user/").and_then(|rest| rest.split_once("/queue/")) {
            Some((id, ERRORS)) if id == user.as_str() => Ok(Route::Queue(ERRORS.to_owned())),
            Some((_, ERRORS)) => Err(Problem::new("forbidden", "this queue is somebody else's")),
            _ => Err(unknown()),
        }
    }

    async fn send(&self, session: &Session, frame: &SendFrame) -> Result<(), Problem> {
        let kind = match frame.destination() {
            "/app/chat.sendMessage" => Kind::Chat,
            "/app/chat.join" => Kind::Join,
            "/app/chat.leave" => Kind::Leave,
            _ => return Err(unknown()),
        };
        let asked = Asked::read(frame.text()?)?;
        if asked.sender_id.to_string() != session.user().as_str() {
            return Err(Problem::new("forbidden", "senderId is somebody else"));
        }
        if asked.message_type.is_some_and(|said| said != kind) {
            return Err(Problem::invalid("messageType is not what this destination takes"));
        }
        let room = room(asked.chat_room_id)?;
        if kind != Kind::Chat {
            // The log takes them from the service, without asking who is a member; and what the session knows of a removal by
            // another instance may be late.
            self.0.member(&room, session.user()).await?;
        }
        let content = asked.stored(kind, self.0.offset(&room).await?)?;
        session.actor()?.send(&room, asked.client_id()?, content).await?;
        Ok(())
    }

    fn entry(&self, entry: &StoredMessage) -> Option<Bytes> {
        serde_json::to_vec(&Told::of(entry)?).ok().map(Bytes::from)
    }

    /// With what was asked for, as far as it can be read: so that the client knows which of its messages it was.
    fn refused(&self, _: &UserId, problem: &Problem, frame: &SendFrame) -> Option<QueueMessage> {
        let asked: Value = serde_json::from_slice(frame.body()).unwrap_or_default();
        let said = |name| asked.get(name).filter(|value: &&Value| value.is_string() || value.is_u64());
        let told = json!({
            "code": problem.code, "message": problem.message, "retryable": problem.retryable,
            "chatRoomId": said("chatRoomId"), "clientMsgId": said("clientMsgId"),
        });
        Some(QueueMessage::new(ERRORS, told.to_string()))
    }

    /// The other rooms of the connection go on.
    fn left(&self, _: &UserId, room: &RoomId, reason: LeftReason) -> Option<QueueMessage> {
        let (code, message) = match reason {
            LeftReason::Removed => ("not_a_member", "you are no longer a member of this room"),
            _ => ("room_not_found", "the room is gone"),
        };
        let told = json!({ "code": code, "message": message, "retryable": false, "chatRoomId": number(room.as_str()) });
        Some(QueueMessage::new(ERRORS, told.to_string()))
    }
}

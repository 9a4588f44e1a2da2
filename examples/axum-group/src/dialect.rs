//! The system's events. Everything else is the library's.

use chat_core::{ClientMessageId, RoomId, StoredMessage, auth::Credentials, session::Hole};
use chat_gateway::{
    Problem,
    socketio::{Answer, Asked, Dialect, Done, Emit, Handshake, Refusal, Request},
};
use example_support::import;
use serde_json::{Value, json};

use crate::message;

const SEND: &str = "sendMessage";

/// `joinRoom`, `sendMessage` and `heartbeat`; `newMessage` to every socket in the room.
#[derive(Debug)]
pub(crate) struct GroupDialect;

impl Dialect for GroupDialect {
    /// Not of the address: addresses stand in logs.
    fn credentials(&self, handshake: &Handshake<'_>) -> Credentials {
        let token = handshake.auth.get("token").and_then(Value::as_str).map(str::to_owned);
        token.or_else(|| handshake.bearer()).map_or_else(Credentials::none, Credentials::token)
    }

    fn refusal(&self, problem: &Problem) -> Refusal {
        match problem.code {
            "unauthenticated" | "token_expired" | "token_revoked" => Refusal::Disconnect,
            // A gateway that ends, or a store that is away: the client comes back by itself.
            _ if problem.retryable => Refusal::Later,
            _ => Refusal::ConnectError(problem.message.clone()),
        }
    }

    fn request(&self, asked: &Asked<'_>) -> Result<Request, Problem> {
        Ok(match asked.event {
            // A client that comes back asks for what it missed over REST, `after` the last message that it has.
            "joinRoom" => Request::Join { room: asked.field("roomId")?, after: None },
            // Who sends is whose token it is: a sender in the payload counts for nothing.
            SEND => Request::Send {
                room: asked.field("roomId")?,
                client_id: import::client_id(asked.field("clientMsgId")?)?,
                content: message::content(asked.text("type")?, asked.text("content")?)
                    .map_err(Problem::invalid)?,
            },
            "heartbeat" => Request::Alive,
            _ => return Err(asked.unknown()),
        })
    }

    fn answer(&self, asked: &Asked<'_>, done: Result<Done, Problem>) -> Answer {
        if asked.event == SEND {
            // As the client wrote it, also where it is no id.
            let client_id = asked.data.get("clientMsgId").unwrap_or(&Value::Null);
            let failed = |problem: &Problem| failed(client_id, problem);
            return match done {
                Ok(_) => {
                    told(asked, "messageAccepted", json!({ "clientMsgId": client_id, "status": "ACCEPTED" }))
                }
                Err(problem) => told(asked, FAILED, failed(&problem)),
            };
        }
        Answer::Ack(match done {
            Ok(_) => json!({ "success": true }),
            Err(problem) => json!({ "success": false, "error": problem.message }),
        })
    }

    fn entry(&self, entry: &StoredMessage) -> Option<Emit> {
        Some(Emit::new("newMessage", &message::view(entry)?))
    }

    /// What Kafka had accepted is not stored after all: all devices of its sender are told.
    fn send_failed(&self, room: &RoomId, client_id: &ClientMessageId, problem: &Problem) -> Option<Emit> {
        let mut said = failed(&json!(client_id), problem);
        said["roomId"] = json!(room);
        Some(Emit::new(FAILED, &said))
    }

    /// A client that is so far behind asks over REST, as after a reconnect. This system's clients know no such event, so those that do not
    /// listen for it see a hole until they do.
    fn gap(&self, room: &RoomId, _hole: Option<&Hole>) -> Option<Emit> {
        Some(Emit::new("messagesMissed", &json!({ "roomId": room })))
    }
}

const FAILED: &str = "messageFailed";

fn failed(client_id: &Value, problem: &Problem) -> Value {
    json!({
        "clientMsgId": client_id, "status": "FAILED", "error": problem.message, "code": problem.code,
        // Under the same `clientMsgId` it is the same message, whatever became of this one.
        "retryable": problem.retryable,
    })
}

/// By the acknowledgement where there is one, else by an event.
fn told(asked: &Asked<'_>, event: &'static str, data: Value) -> Answer {
    if asked.wants_ack { Answer::Ack(data) } else { Answer::Event(Emit::new(event, &data)) }
}

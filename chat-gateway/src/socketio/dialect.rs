//! What an application's events are called and how they look.

use std::{borrow::Cow, fmt, future::Future, pin::Pin};

use chat_core::{
    ClientMessageId, Content, Cursor, Error, RoomId, Sent, Session, StoredMessage, UserId,
    auth::Credentials,
    fanout::FanoutEvent,
    session::{CloseReason, Hole},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use super::Handshake;
use crate::Problem;

/// An event of a client.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The event's name.
    pub event: &'a str,
    /// Its first argument; null where it has none.
    pub data: &'a Value,
    /// The client waits for an acknowledgement.
    pub wants_ack: bool,
    /// Whose it is.
    pub session: &'a Session,
}

impl Asked<'_> {
    /// Who asks.
    #[must_use]
    pub fn user(&self) -> &UserId {
        self.session.user()
    }

    /// A field of the argument that must be there.
    ///
    /// # Errors
    /// A problem that names it.
    pub fn field<T: DeserializeOwned>(&self, name: &str) -> Result<T, Problem> {
        self.optional(name)?.ok_or_else(|| Problem::invalid(format!("`{name}` is missing")))
    }

    /// A field of the argument that may be missing or null.
    ///
    /// # Errors
    /// A problem that names it.
    pub fn optional<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Problem> {
        match self.data.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|error| Problem::invalid(format!("`{name}`: {error}"))),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// A problem that names it.
    pub fn text(&self, name: &str) -> Result<&str, Problem> {
        let text = self.data.get(name).and_then(Value::as_str);
        text.ok_or_else(|| Problem::invalid(format!("`{name}` must be a text")))
    }

    /// There is no such event.
    #[must_use]
    pub fn unknown(&self) -> Problem {
        let name: String = self.event.chars().take(64).collect();
        Problem::new("unknown_command", format!("no event is called {name:?}"))
    }
}

/// A call of the application's own.
pub type Call = Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send>>;

/// What a client's event asks for.
#[non_exhaustive]
pub enum Request {
    /// To follow a room, if given from behind a position: then everything after it comes first, exactly once and in order.
    Join {
        /// Which room.
        room: RoomId,
        /// The last entry the client has.
        after: Option<Cursor>,
    },
    /// To follow a room no longer.
    Leave {
        /// Which room.
        room: RoomId,
    },
    /// To store something.
    Send {
        /// In which room.
        room: RoomId,
        /// The client's name for it. For clients that give none, [`ClientMessageId::generate`]: then nobody can tell a repeat.
        client_id: ClientMessageId,
        /// What.
        content: Content,
    },
    /// To tell the others in a joined room that the user types, or stopped.
    Typing {
        /// Which room.
        room: RoomId,
        /// Types now.
        active: bool,
    },
    /// To say how far the user has read.
    Read {
        /// Which room.
        room: RoomId,
        /// Up to where.
        cursor: Cursor,
    },
    /// Nothing: a sign of life. Presence does not depend on it, since the server's pings tell.
    Alive,
    /// Something of the application's own.
    Call(Call),
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Join { .. } => "Join",
            Self::Leave { .. } => "Leave",
            Self::Send { .. } => "Send",
            Self::Typing { .. } => "Typing",
            Self::Read { .. } => "Read",
            Self::Alive => "Alive",
            Self::Call(_) => "Call",
        })
    }
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Done {
    /// The room is followed. Its entries come after the answer.
    Joined {
        /// Which room.
        room: RoomId,
        /// How far its log has got.
        cursor: Cursor,
        /// Everything after the client's position follows. Without a position, or where too much was missed, it is false.
        recovered: bool,
    },
    /// The room is not followed any more.
    Left {
        /// Which room.
        room: RoomId,
    },
    /// It is stored, or in a durable queue.
    Sent {
        /// In which room.
        room: RoomId,
        /// The client's name for it.
        client_id: ClientMessageId,
        /// Where it is.
        sent: Sent,
        /// What was sent.
        content: Content,
    },
    /// It is done, and there is nothing to say about it.
    Nothing,
    /// What the application's own call answered.
    Called(Value),
}

/// How a client is told of what it asked for.
#[derive(Debug)]
pub enum Answer {
    /// By the acknowledgement, if the client waits for one.
    Ack(Value),
    /// By an event.
    Event(Emit),
    /// Not at all.
    Nothing,
}

/// An event for a client.
#[derive(Debug, Clone)]
pub struct Emit {
    pub(super) event: Cow<'static, str>,
    pub(super) data: Box<RawValue>,
}

impl Emit {
    /// The event of this name with one argument. An argument that has no form in JSON is null.
    #[must_use]
    pub fn new(event: impl Into<Cow<'static, str>>, data: &impl Serialize) -> Self {
        let data = serde_json::value::to_raw_value(data).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self { event: event.into(), data }
    }
}

/// How a client that is not let in is told so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// By `connect_error` with this message.
    ConnectError(String),
    /// Not with a word: it is connected, and disconnected at once.
    Disconnect,
    /// Not yet. It is tried again until [`connect_timeout`](crate::Limits::connect_timeout) is over, and the client waits. Then it
    /// loses its transport, and Socket.IO's own client comes back by itself as after any other loss. Where another namespace
    /// of the same client keeps that transport, it is told by `connect_error`. While the server ends,
    /// [`refuse_while_draining`](super::refuse_while_draining) sends clients away before they wait.
    Later,
}

/// The event names and payloads of an application. Only [`request`](Self::request), [`answer`](Self::answer) and [`entry`](Self::entry)
/// have no default.
///
/// Nothing here may block; what takes time is a [`Request::Call`].
pub trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// On which namespace.
    fn namespace(&self) -> &str {
        "/"
    }

    /// Whom a client claims to be: by default the token of `auth.token`, of the header `Authorization` or of the query's `token`.
    fn credentials(&self, handshake: &Handshake<'_>) -> Credentials {
        handshake.token().map_or_else(Credentials::none, Credentials::token)
    }

    /// How a client that is not let in is told so. By default [`Refusal::Later`] where the problem is `retryable`, such as a store that is
    /// away, and by `connect_error` with what is wrong otherwise: after that Socket.IO's own client does not come back by itself.
    fn refusal(&self, problem: &Problem) -> Refusal {
        if problem.retryable { Refusal::Later } else { Refusal::ConnectError(problem.message.clone()) }
    }

    /// What an event asks for.
    ///
    /// # Errors
    /// What is wrong with it, for [`answer`](Self::answer).
    fn request(&self, asked: &Asked<'_>) -> Result<Request, Problem>;

    /// How its outcome is told.
    fn answer(&self, asked: &Asked<'_>, done: Result<Done, Problem>) -> Answer;

    /// An entry of a followed room, the sender's own included. `None` for what these clients are not told. Made once for all of them.
    fn entry(&self, entry: &StoredMessage) -> Option<Emit>;

    /// A message of this user's that a durable queue had accepted is not stored, and why. Nothing, unless said otherwise: an application whose
    /// log only accepts what is sent should say it, on every device of the user's.
    fn send_failed(&self, room: &RoomId, client_id: &ClientMessageId, problem: &Problem) -> Option<Emit> {
        let _ = (room, client_id, problem);
        None
    }

    /// Any other live event that is not part of a room's log. Nothing, unless said otherwise.
    fn notice(&self, event: &FanoutEvent) -> Option<Emit> {
        let _ = event;
        None
    }

    /// Entries of a room are passed over, since too many were missed (`hole`), or since its log began a new life (no `hole`). The
    /// newest page follows. Nothing is said, unless said otherwise.
    fn gap(&self, room: &RoomId, hole: Option<&Hole>) -> Option<Emit> {
        let _ = (room, hole);
        None
    }

    /// The room is followed no longer, since the user was removed or the room is gone.
    fn left(&self, room: &RoomId) -> Option<Emit> {
        let _ = room;
        None
    }

    /// The session ends; the client is disconnected after this.
    fn closing(&self, reason: CloseReason) -> Option<Emit> {
        let _ = reason;
        None
    }
}

/// An error of the engine, as a problem.
pub(super) fn problem(error: &Error) -> Problem {
    error.into()
}

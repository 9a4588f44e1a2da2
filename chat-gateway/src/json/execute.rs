//! Commands of a connected client.

use bytes::Bytes;
use chat_core::{
    Actor, ClientMessageId, Content, Error, JoinRequest, ReadQuery, RoomId, Session, auth::Credentials,
};

use crate::{
    Problem,
    json::{
        command::{Action, Command},
        frame,
    },
    limits, observe,
};

/// Does what the command says. `None` if nothing is answered, or not yet: a join is answered by an event.
pub(super) async fn execute(session: &Session, command: Command) -> Option<Bytes> {
    let Command { id, action } = command;
    let (room, client_id) = subject(&action);
    match answer(session, id, action).await {
        Ok(answer) => answer,
        // The session's last event says why, and the connection ends with it.
        Err(Failure::Engine(Error::SessionClosed)) => None,
        Err(failure) => {
            let problem = match failure {
                Failure::Engine(error) => Problem::from(error),
                Failure::Protocol(problem) => problem,
            };
            observe::error(problem.code);
            Some(frame::error(id, &problem, room.as_ref(), client_id.as_ref()))
        }
    }
}

enum Failure {
    Engine(Error),
    Protocol(Problem),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

/// What an error is about.
pub(super) fn subject(action: &Action) -> (Option<RoomId>, Option<ClientMessageId>) {
    match action {
        Action::Append { room, client_id, .. } => (Some(room.clone()), Some(client_id.clone())),
        Action::Join { room, .. }
        | Action::Leave { room }
        | Action::Typing { room, .. }
        | Action::Signal { room, .. }
        | Action::Read { room, .. }
        | Action::History { room, .. }
        | Action::Members { room, .. } => (Some(room.clone()), None),
        Action::Connect { .. }
        | Action::Rooms { .. }
        | Action::Presence { .. }
        | Action::Token { .. }
        | Action::Ping => (None, None),
    }
}

fn must_have_joined(session: &Session, room: &RoomId) -> Result<(), Failure> {
    if session.has_joined(room) {
        return Ok(());
    }
    Err(Failure::Protocol(Problem::new("not_joined", format!("room {room} is not joined"))))
}

async fn answer(session: &Session, id: Option<u64>, action: Action) -> Result<Option<Bytes>, Failure> {
    let ok = || frame::ok(id, None);
    Ok(match action {
        Action::Connect { .. } => {
            let problem = Problem::new("already_connected", "this connection is connected already");
            return Err(Failure::Protocol(problem));
        }
        Action::Join { room, cursor, limit } => {
            let mut request = JoinRequest::new(room).with_tag(id.unwrap_or(0));
            (request.cursor, request.page) = (cursor, limit);
            session.join(request).await?;
            None
        }
        Action::Leave { room } => {
            must_have_joined(session, &room)?;
            session.leave(&room);
            Some(ok())
        }
        Action::Append { room, client_id, content } => {
            Some(append(&session.actor()?, id, &room, client_id, content).await?)
        }
        Action::Typing { room, active } => {
            must_have_joined(session, &room)?;
            session.typing(&room, active).await?;
            id.map(|_| ok())
        }
        Action::Signal { room, name, data } => {
            must_have_joined(session, &room)?;
            session.signal(&room, name, data).await?;
            id.map(|_| ok())
        }
        Action::Read { room, cursor } => {
            session.actor()?.mark_read(&room, &cursor).await?;
            Some(ok())
        }
        Action::History { room, query } => Some(history(&session.actor()?, id, &room, query).await?),
        Action::Rooms { after, limit } => {
            let page = session.actor()?.rooms(after.as_ref(), limits::rooms(limit)).await?;
            Some(frame::rooms(id, &page))
        }
        Action::Members { room, after, limit } => {
            let page = session.actor()?.members(&room, after.as_ref(), limits::members(limit)).await?;
            Some(frame::members(id, &page))
        }
        Action::Presence { users } => {
            let users = session.actor()?.presence(&users).await?;
            Some(frame::presence(id, &users))
        }
        Action::Token { token } => {
            let principal = session.renew(&Credentials::token(token.expose())).await?;
            Some(frame::ok(id, principal.expires_at))
        }
        Action::Ping => Some(frame::pong(id)),
    })
}

async fn append(
    actor: &Actor,
    id: Option<u64>,
    room: &RoomId,
    client_id: ClientMessageId,
    content: Content,
) -> Result<Bytes, Error> {
    let sent = actor.send(room, client_id.clone(), content).await?;
    Ok(frame::sent(id, &client_id, &sent))
}

async fn history(actor: &Actor, id: Option<u64>, room: &RoomId, query: ReadQuery) -> Result<Bytes, Error> {
    let page = actor.history(room, query).await?;
    Ok(frame::history(id, &page))
}

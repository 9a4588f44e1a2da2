//! Lets a client in and joins its rooms, before a word is sent: so that a refusal still has a status.

use chat_core::{Chat, Error, RoomId, Session, SessionEvents, auth::Credentials, session::JoinRequest};
use futures::{StreamExt, stream};
use tokio::time::timeout;

use super::{
    StreamRequest,
    positions::Positions,
    stream::{EventStream, Pump, retry},
    write::Text,
};
use crate::{
    Limits, Problem,
    json::{close::Goodbye, frame},
    observe,
};

/// Rooms that are joined at the same time.
const JOINS: usize = 8;

/// Opens a stream: connects with the credentials, or else with those of the query, and joins the rooms.
///
/// A failure that may pass is told within a stream that then ends, since an `EventSource` gives up for good on any answer
/// but 200: so it comes back by itself.
///
/// # Errors
/// What trying again does not cure: bad credentials, too many rooms, or no room of those asked for may be read.
///
/// # Cancel safety
/// Dropping the call ends the session, and so does dropping the stream.
pub async fn open(
    chat: &Chat,
    credentials: Option<Credentials>,
    request: StreamRequest,
    limits: &Limits,
) -> Result<EventStream, Problem> {
    check_rooms(chat, &request)?;
    let credentials = chosen(credentials, &request)?;
    let opening = async {
        let (session, events) = chat.connect(&credentials).await?;
        let refused = join_all(chat, &session, &request).await?;
        Ok((session, events, refused))
    };
    let too_late = |_| Err(Problem::from(Error::Timeout { operation: "open" }));
    match timeout(limits.connect_timeout, opening).await.unwrap_or_else(too_late) {
        Ok((session, events, refused)) => Ok(begin(chat, &session, events, request, limits, &refused)),
        Err(problem) if problem.retryable => Ok(refuse(&problem, &request.positions)),
        Err(problem) => Err(problem),
    }
}

/// Checks what [`open`] checks of the credentials and the request, without a session.
///
/// # Errors
/// As for [`open`].
pub async fn check(
    chat: &Chat,
    credentials: Option<Credentials>,
    request: &StreamRequest,
) -> Result<(), Problem> {
    check_rooms(chat, request)?;
    chat.authenticate(&chosen(credentials, request)?).await?;
    Ok(())
}

fn check_rooms(chat: &Chat, request: &StreamRequest) -> Result<(), Problem> {
    let most = chat.settings().rooms_per_session;
    if request.positions.rooms().len() > most {
        return Err(Error::LimitExceeded { what: "rooms per session", max: most as u64 }.into());
    }
    Ok(())
}

fn chosen(credentials: Option<Credentials>, request: &StreamRequest) -> Result<Credentials, Problem> {
    match (credentials, request.token()) {
        // https://www.rfc-editor.org/rfc/rfc6750#section-2: one way at a time.
        (Some(_), Some(_)) => Err(Problem::invalid("a token stands in the header and in the query")),
        (Some(credentials), None) => Ok(credentials),
        (None, Some(token)) => Ok(token.clone()),
        (None, None) => Ok(Credentials::none()),
    }
}

/// Joins the rooms. Those that are refused for good are answered, unless they are all there are.
async fn join_all(
    chat: &Chat,
    session: &Session,
    request: &StreamRequest,
) -> Result<Vec<(RoomId, Problem)>, Problem> {
    let rooms = request.positions.rooms();
    let settings = chat.settings();
    // All of them wait till the last room is joined, so they share what may wait evenly.
    let share = settings.session_page_entries / rooms.len().max(1);
    let page = request.page.unwrap_or(settings.join_page).min(share);
    let requests: Vec<JoinRequest> = rooms
        .iter()
        .map(|(room, cursor)| {
            let mut join = JoinRequest::new(room.clone());
            (join.cursor, join.page) = (cursor.clone(), Some(page));
            join
        })
        .collect();
    let joins = requests.into_iter().map(|join| {
        let session = session.clone();
        async move { (join.room.clone(), session.join(join).await) }
    });
    // In the order of their names, so that what is answered does not hang on who was first.
    let mut joined = stream::iter(joins).buffered(JOINS);
    let mut refused = Vec::new();
    while let Some((room, answer)) = joined.next().await {
        match answer {
            // The session's only event says why, and the stream ends with it.
            Ok(()) | Err(Error::SessionClosed) => {}
            Err(error @ Error::Unauthenticated(_)) => return Err(error.into()),
            Err(error) if error.is_retryable() => return Err(error.into()),
            Err(error) => refused.push((room, Problem::from(error))),
        }
    }
    if refused.len() == rooms.len()
        && let Some((_, problem)) = refused.pop()
    {
        return Err(problem);
    }
    Ok(refused)
}

fn begin(
    chat: &Chat,
    session: &Session,
    events: SessionEvents,
    request: StreamRequest,
    limits: &Limits,
    refused: &[(RoomId, Problem)],
) -> EventStream {
    let mut text = Text::default();
    text.retry(retry());
    text.first_frame(&request.positions, &frame::connected(None, chat, session, limits.frame_bytes));
    for (room, problem) in refused {
        observe::error(problem.code);
        text.frame(&frame::error(None, problem, Some(room), None));
    }
    let heartbeat = chat.settings().heartbeat_interval;
    Pump { events, positions: request.positions, text, heartbeat, write_timeout: limits.write_timeout }
        .start()
}

/// A stream that says what is wrong and ends.
fn refuse(problem: &Problem, positions: &Positions) -> EventStream {
    observe::error(problem.code);
    let mut text = Text::default();
    text.retry(problem.retry_after.unwrap_or_default().max(retry()));
    text.first_frame(positions, &frame::error(None, problem, None, None));
    if problem.code == "draining" {
        text.frame(&frame::closing(&Goodbye::new("draining", "the server is shutting down")));
    }
    EventStream::ended(text)
}

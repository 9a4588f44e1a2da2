//! One connection, from its first frame to its last.

use std::{pin::Pin, time::Duration};

use chat_core::{Chat, ClientMessageId, Error, RoomId, Session, SessionEvents, auth::Credentials};
use futures::{Sink, Stream, StreamExt};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::warn;

use crate::{
    Limits, Problem,
    json::{
        close::Goodbye,
        command::{Action, Command, DecodeError, decode},
        execute::{execute, subject},
        frame,
        incoming::{Incoming, Outgoing},
        writer::{Reply, Wire, Writer},
    },
    observe::{self, Counted, Transport},
    pace::Pace,
};

/// Replies that may wait for the writer; then the client is read no further.
const REPLIES: usize = 16;

/// How long a client has to answer the server's close.
const LINGER: Duration = Duration::from_secs(2);

/// Boxed, since a channel keeps room for 32 of them from its beginning.
type Replies = mpsc::Sender<Box<Reply>>;

/// How a connection ends before it began, or its reading half.
enum End {
    /// The client is gone.
    Gone,
    /// It is told so.
    Told(Goodbye),
}

/// Serves one client until it or the server ends the connection: at `incoming` it is read, at `outgoing` it is written to,
/// each by a task of its own. `credentials` are those that came before the first frame, such as a header's.
///
/// The transport answers pings itself and bounds what it takes into memory by [`Limits::frame_bytes`].
///
/// # Cancel safety
/// Dropping the call ends the session.
pub fn serve<I, O, E>(
    chat: Chat,
    credentials: Option<Credentials>,
    limits: Limits,
    incoming: I,
    outgoing: O,
) -> impl Future<Output = ()> + Send
where
    I: Stream<Item = Result<Incoming, E>> + Send + 'static,
    O: Sink<Outgoing> + Send + 'static,
    O::Error: Send,
    E: Send + 'static,
{
    // Boxed, and nothing of it kept here: what a connection needs to begin would be with it all the while that it waits.
    let begun = Box::pin(begin(chat, credentials, limits, incoming, outgoing));
    async move {
        let _counted = Counted::new(Transport::WebSocket);
        let Some(Begun { mut reader, session, replies, writer, idle }) = begun.await else { return };
        reader.read(&session, replies, idle).await;
        match writer.await {
            Ok(true) => reader.linger().await,
            Ok(false) => {}
            Err(error) => warn!(%error, "a connection's writer failed"),
        }
    }
}

/// A connection that was let in.
struct Begun<I> {
    reader: Reader<I>,
    session: Session,
    replies: Replies,
    /// True if the client was told of the end.
    writer: JoinHandle<bool>,
    /// How long it may be silent.
    idle: Duration,
}

/// Lets the client in and starts what writes to it; `None` where it was refused or went away.
async fn begin<I, O, E>(
    chat: Chat,
    credentials: Option<Credentials>,
    limits: Limits,
    incoming: I,
    outgoing: O,
) -> Option<Begun<I>>
where
    I: Stream<Item = Result<Incoming, E>>,
    O: Sink<Outgoing> + Send + 'static,
    O::Error: Send,
{
    let mut reader =
        Reader { incoming: Box::pin(incoming), limits: limits.clone(), pace: Pace::new(&limits) };
    let mut wire = Wire::new(outgoing, limits.write_timeout);
    let (session, events) = match reader.open(&chat, credentials, &mut wire).await {
        Ok(opened) => opened,
        Err(End::Gone) => return None,
        Err(End::Told(goodbye)) => {
            if wire.close(&goodbye).await.is_ok() {
                reader.linger().await;
            }
            return None;
        }
    };
    let heartbeat = chat.settings().heartbeat_interval;
    let (replies, queue) = mpsc::channel(REPLIES);
    // From here on the session lives as long as its events, which the writer holds.
    let writer = tokio::spawn(Writer { wire, events, replies: queue, heartbeat }.run());
    Some(Begun { reader, session, replies, writer, idle: heartbeat * 2 + limits.idle_slack })
}

struct Reader<I> {
    incoming: Pin<Box<I>>,
    limits: Limits,
    pace: Pace,
}

impl<I, E> Reader<I>
where
    I: Stream<Item = Result<Incoming, E>>,
{
    /// The next text; what ends the connection, such as silence for longer than `idle`, is an error.
    async fn next(&mut self, idle: Duration) -> Result<String, End> {
        loop {
            return match timeout(idle, self.incoming.next()).await {
                Err(_) => Err(End::Told(Goodbye::IDLE)),
                Ok(None | Some(Err(_))) => Err(End::Gone),
                Ok(Some(Ok(Incoming::Close))) => {
                    // Reading on lets the transport answer the close.
                    let _ = timeout(LINGER, self.incoming.next()).await;
                    Err(End::Gone)
                }
                Ok(Some(Ok(Incoming::Alive))) => continue,
                Ok(Some(Ok(Incoming::Binary))) => Err(End::Told(Goodbye::BINARY_FRAME)),
                Ok(Some(Ok(Incoming::TooLarge))) => {
                    Err(End::Told(Goodbye::frame_too_large(self.limits.frame_bytes)))
                }
                Ok(Some(Ok(Incoming::Text(text)))) if text.len() > self.limits.frame_bytes => {
                    Err(End::Told(Goodbye::frame_too_large(self.limits.frame_bytes)))
                }
                Ok(Some(Ok(Incoming::Text(text)))) => Ok(text),
            };
        }
    }

    /// Waits for `connect` and lets the client in.
    async fn open<O: Sink<Outgoing>>(
        &mut self,
        chat: &Chat,
        credentials: Option<Credentials>,
        wire: &mut Wire<O>,
    ) -> Result<(Session, SessionEvents), End> {
        let deadline = Instant::now() + self.limits.connect_timeout;
        let credentials = credentials.unwrap_or(Credentials::none());
        loop {
            let next = async {
                let text = self.next(Duration::MAX).await?;
                // However often a client fails to connect, it does so no faster than it may send.
                while let Err(wait) = self.pace.admit().await {
                    sleep(wait).await;
                }
                Ok(text)
            };
            let Ok(text) = timeout_at(deadline, next).await else {
                return Err(End::Told(Goodbye::CONNECT_TIMEOUT));
            };
            let decoded = decode(&text?);
            let (_, room, client_id) = about(&decoded);
            let (id, problem, end) = match decoded {
                Ok(Command { id, action: Action::Connect { token } }) => {
                    let credentials = match token {
                        Some(token) => Credentials::token(token.expose()),
                        None => credentials.clone(),
                    };
                    match chat.connect(&credentials).await {
                        Ok((session, events)) => {
                            let frame = frame::connected(id, chat, &session, self.limits.frame_bytes);
                            return match wire.send(frame).await {
                                Ok(()) => Ok((session, events)),
                                Err(_) => Err(End::Gone),
                            };
                        }
                        Err(error) => (id, Problem::from(&error), refusal(&error)),
                    }
                }
                Ok(Command { id, .. }) => {
                    (id, Problem::new("not_connected", "the first command must be `connect`"), None)
                }
                Err(error) => (error.id, Problem::from(error), Some(Goodbye::MALFORMED)),
            };
            observe::error(problem.code);
            let told = wire.send(frame::error(id, &problem, room.as_ref(), client_id.as_ref())).await;
            match end {
                _ if told.is_err() => return Err(End::Gone),
                Some(goodbye) => return Err(End::Told(goodbye)),
                None => {}
            }
        }
    }

    /// Works on commands, one after the other, until the client or the writer ends.
    async fn read(&mut self, session: &Session, replies: Replies, idle: Duration) {
        let writer = replies.clone();
        let mut writer_ended = std::pin::pin!(writer.closed());
        loop {
            let next = tokio::select! {
                biased;
                () = &mut writer_ended => return,
                next = self.next(idle) => next,
            };
            let reply = match next {
                Ok(text) => tokio::select! {
                    biased;
                    () = &mut writer_ended => return,
                    reply = self.answer(session, &text) => reply.map(Reply::Frame),
                },
                Err(End::Gone) => return,
                Err(End::Told(goodbye)) => {
                    // Nothing comes after it: the writer ends with it.
                    let _ = replies.send(Box::new(Reply::Close(goodbye))).await;
                    return;
                }
            };
            if let Some(reply) = reply {
                // A writer that is held up by the client holds up the reading of more commands.
                if replies.send(Box::new(reply)).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn answer(&mut self, session: &Session, text: &str) -> Option<bytes::Bytes> {
        let decoded = decode(text);
        let (id, room, client_id) = about(&decoded);
        let problem = match self.pace.admit().await {
            Err(retry_after) => Problem::from(Error::RateLimited { retry_after }),
            Ok(()) => match decoded {
                Ok(command) => {
                    observe::command(command.action.name());
                    // Given back afterwards: a connection mostly waits.
                    return Box::pin(execute(session, command)).await;
                }
                Err(error) => error.into(),
            },
        };
        observe::error(problem.code);
        Some(frame::error(id, &problem, room.as_ref(), client_id.as_ref()))
    }

    /// Waits for the client's close, so that the last frames are not lost with the connection.
    async fn linger(&mut self) {
        let end = Instant::now() + LINGER;
        let answered = timeout_at(end, async {
            loop {
                match self.incoming.next().await {
                    // The transport answers nothing more; what was written may still be on its way.
                    None | Some(Ok(Incoming::TooLarge)) => return false,
                    Some(Err(_) | Ok(Incoming::Close)) => return true,
                    Some(Ok(_)) => {}
                }
            }
        })
        .await;
        if answered == Ok(false) {
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// What an error says of the frame that it answers: its number, its room, and its sender's name for it.
fn about(decoded: &Result<Command, DecodeError>) -> (Option<u64>, Option<RoomId>, Option<ClientMessageId>) {
    match decoded {
        Ok(command) => {
            let (room, client_id) = subject(&command.action);
            (command.id, room, client_id)
        }
        Err(error) => (error.id, error.room.clone(), error.client_id.clone()),
    }
}

/// How a refused `connect` ends the connection; `None` if it may be tried again.
fn refusal(error: &Error) -> Option<Goodbye> {
    Some(match error.code() {
        code @ ("unauthenticated" | "token_expired" | "token_revoked" | "draining") => {
            Goodbye::new(code, "the connection was refused")
        }
        "other_user" => Goodbye::new("unauthenticated", "the connection was refused"),
        _ if error.is_retryable() => return None,
        _ => Goodbye::INTERNAL,
    })
}

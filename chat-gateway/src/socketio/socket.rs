//! One socket, from its handshake to its end.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chat_core::{Chat, Session, SessionEvents, auth::Credentials};
use serde_json::Value;
use socketioxide::{
    SocketIo,
    extract::{Event, SocketRef, TryData},
    handler::ConnectHandler as _,
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Dialect, Handshake, Refusal,
    commands::{Commands, Received, answer_busy},
    dialect,
    emit::{DialectId, Reply, Wire},
    pump::Pump,
};
use crate::{
    GatewayConfig, Problem,
    axum::origin,
    observe::{self, Counted, Transport},
};

/// Events of one client that wait to be worked on; more are refused as busy. More than a client may send at once after a pause
/// ([`Limits::COMMAND_BURST`](crate::Limits::COMMAND_BURST)).
const WAITING: usize = 256;
/// Bytes of them, as so many events of the greatest size.
const WAITING_FRAMES: usize = 8;

/// How soon it is tried again to let a client in: at first, and at most.
const FIRST_TRY: Duration = Duration::from_millis(250);
const LONGEST_TRY: Duration = Duration::from_secs(4);
/// The transport's own end has to come first.
const GRACE: Duration = Duration::from_secs(1);

/// A dialect and the chat behind it.
pub(super) struct Mount {
    pub(super) chat: Chat,
    pub(super) id: DialectId,
    pub(super) dialect: Box<dyn Dialect>,
    pub(super) config: GatewayConfig,
}

/// What was made in the handshake, until the client is told that it is connected. If it never is, the session ends with the socket.
struct Opened {
    session: Session,
    events: SessionEvents,
    received: mpsc::Receiver<Received>,
    gone: watch::Receiver<()>,
}

type Waiting = Arc<Mutex<Option<Opened>>>;

impl Mount {
    pub(super) fn mount(self: Arc<Self>, io: &SocketIo) {
        let (at_handshake, once_connected) = (Arc::clone(&self), Arc::clone(&self));
        let middleware = move |socket: SocketRef, auth: TryData<Value>| async move {
            at_handshake.admit(&socket, &auth.0.unwrap_or_default()).await
        };
        let connected = move |socket: SocketRef| async move { once_connected.serve(socket) };
        io.ns(self.dialect.namespace().to_owned(), connected.with(middleware));
    }

    /// Lets a client in, or says why not. What it says from the first moment on is heard.
    async fn admit(self: &Arc<Self>, socket: &SocketRef, auth: &Value) -> Result<(), String> {
        let request = socket.req_parts();
        let opened = if origin::allowed(&self.config.origins, &request.headers, &request.uri) {
            let credentials = self.dialect.credentials(&Handshake { auth, request });
            self.connect(&credentials).await
        } else {
            Err(Problem::new("forbidden", "this page may not connect"))
        };
        let opened = match opened {
            Ok((session, events)) => Some(self.listen(socket, session, events)),
            Err(problem) => {
                observe::error(problem.code);
                match self.dialect.refusal(&problem) {
                    Refusal::ConnectError(message) => return Err(message),
                    Refusal::Disconnect => None,
                    Refusal::Later => return Err(problem.message),
                }
            }
        };
        socket.extensions.insert::<Waiting>(Arc::new(Mutex::new(opened)));
        Ok(())
    }

    /// Tries again for as long as the dialect wants it and the client's transport waits. That ends without a word, which Socket.IO's own
    /// client takes for a loss; a `connect_error` it would take for an answer.
    async fn connect(&self, credentials: &Credentials) -> Result<(Session, SessionEvents), Problem> {
        let end = Instant::now() + self.config.limits.connect_timeout + GRACE;
        let mut wait = FIRST_TRY;
        loop {
            let problem = match self.chat.connect(credentials).await {
                Ok(opened) => return Ok(opened),
                Err(error) => dialect::problem(&error),
            };
            if self.dialect.refusal(&problem) != Refusal::Later {
                return Err(problem);
            }
            if problem.code == "draining" {
                // Nobody is let in any more: no use in asking.
                sleep_until(end).await;
                return Err(problem);
            }
            // Not all who wait at the same time.
            let pause = wait.mul_f64(0.5 + fastrand::f64()).max(problem.retry_after.unwrap_or_default());
            if Instant::now() + pause >= end {
                sleep_until(end).await;
                return Err(problem);
            }
            observe::error(problem.code);
            sleep(pause).await;
            wait = (wait * 2).min(LONGEST_TRY);
        }
    }

    /// Puts the client's events into a queue, in their order. What the socket keeps does not keep the socket.
    fn listen(self: &Arc<Self>, socket: &SocketRef, session: Session, events: SessionEvents) -> Opened {
        let (queue, received) = mpsc::channel(WAITING);
        let (over, gone) = watch::channel(());
        let over = Arc::new(Mutex::new(Some(over)));
        socket.on_disconnect(move || {
            // Whoever waits for it sees that it is closed.
            drop(over.lock().unwrap_or_else(PoisonError::into_inner).take());
            async {}
        });
        let (mount, at) = (Arc::clone(self), session.clone());
        let bytes = Arc::new(Semaphore::new(WAITING_FRAMES * self.config.limits.frame_bytes));
        socket.on_fallback(move |reply: Reply, Event(event): Event, data: TryData<Value>| {
            let received = Received::new(event, data.0.unwrap_or_default(), reply);
            let share = Arc::clone(&bytes).try_acquire_many_owned(received.reply.len());
            let refused = match (share, queue.try_reserve()) {
                (Ok(share), Ok(place)) => {
                    place.send(received.with_share(share));
                    None
                }
                (_, Err(mpsc::error::TrySendError::Closed(()))) => None,
                _ => Some(received),
            };
            if let Some(received) = refused {
                answer_busy(&*mount.dialect, &at, &received);
            }
            async {}
        });
        Opened { session, events, received, gone }
    }

    /// Serves a client that was let in, by a task that reads and one that writes. Both end with the socket or the session.
    fn serve(self: Arc<Self>, socket: SocketRef) {
        let waiting = socket.extensions.remove::<Waiting>();
        let opened = waiting.and_then(|opened| opened.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(Opened { session, events, received, gone }) = opened else {
            let _ = socket.disconnect();
            return;
        };
        let counted = Counted::new(Transport::SocketIo);
        let wire = Arc::new(Wire { socket, patience: self.config.limits.write_timeout });
        let joins = Arc::default();
        let commands = Commands {
            mount: Arc::clone(&self),
            session: session.clone(),
            wire: Arc::clone(&wire),
            joins: Arc::clone(&joins),
        };
        let reading = tokio::spawn(commands.run(received));
        let pump = Pump { mount: self, events, session, wire, joins };
        tokio::spawn(async move {
            pump.run(gone).await;
            reading.abort();
            drop(counted);
        });
    }
}

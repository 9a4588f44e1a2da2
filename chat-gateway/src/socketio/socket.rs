//! One socket, from its handshake to its end.

use std::sync::{Arc, Mutex, PoisonError};

use chat_core::{Chat, Session, SessionEvents};
use serde_json::Value;
use socketioxide::{
    SocketIo,
    extract::{Event, SocketRef, TryData},
    handler::ConnectHandler as _,
};
use tokio::sync::{mpsc, watch};

use super::{
    Dialect, Handshake, Refusal,
    commands::{Commands, Received},
    dialect,
    emit::{DialectId, Reply, Wire},
    pump::Pump,
};
use crate::{
    Limits,
    observe::{self, Counted, Transport},
};

/// Events of one client that wait to be worked on; more are refused as busy.
const WAITING: usize = 64;

/// A dialect and the chat behind it.
pub(super) struct Mount {
    pub(super) chat: Chat,
    pub(super) id: DialectId,
    pub(super) dialect: Box<dyn Dialect>,
    pub(super) limits: Limits,
}

/// What was made in the handshake, until the socket is there. If it never is, the session ends with it.
#[derive(Clone)]
struct Opened(Arc<Mutex<Option<(Session, SessionEvents)>>>);

impl Mount {
    pub(super) fn mount(self: Arc<Self>, io: &SocketIo) {
        let (at_handshake, once_connected) = (Arc::clone(&self), Arc::clone(&self));
        let middleware = move |socket: SocketRef, auth: TryData<Value>| async move {
            at_handshake.admit(&socket, &auth.0.unwrap_or_default()).await
        };
        let connected = move |socket: SocketRef| async move { once_connected.serve(socket) };
        io.ns(self.dialect.namespace().to_owned(), connected.with(middleware));
    }

    /// Lets a client in, or says why not.
    async fn admit(&self, socket: &SocketRef, auth: &Value) -> Result<(), String> {
        let credentials = self.dialect.credentials(&Handshake { auth, request: socket.req_parts() });
        let opened = match self.chat.connect(&credentials).await {
            Ok(opened) => Some(opened),
            Err(error) => {
                let problem = dialect::problem(&error);
                observe::error(problem.code);
                match self.dialect.refusal(&problem) {
                    Refusal::ConnectError(message) => return Err(message),
                    Refusal::Disconnect => None,
                }
            }
        };
        socket.extensions.insert(Opened(Arc::new(Mutex::new(opened))));
        Ok(())
    }

    /// Serves a client that was let in, by a task that reads and one that writes. Both end with the socket or the session.
    fn serve(self: Arc<Self>, socket: SocketRef) {
        let opened = socket.extensions.remove::<Opened>();
        let opened = opened.and_then(|opened| opened.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some((session, events)) = opened else {
            let _ = socket.disconnect();
            return;
        };
        let (queue, received) = mpsc::channel(WAITING);
        let (over, gone) = watch::channel(());
        let over = Arc::new(Mutex::new(Some(over)));
        socket.on_disconnect(move || {
            // Whoever waits for it sees that it is closed.
            drop(over.lock().unwrap_or_else(PoisonError::into_inner).take());
            async {}
        });
        let full = Arc::clone(&self);
        let (at, at_pump) = (session.clone(), session.clone());
        let wire = Arc::new(Wire { socket: socket.clone(), patience: self.limits.write_timeout });
        let refusing = Arc::clone(&wire);
        // The events come here one after the other, and into the queue in that order.
        socket.on_fallback(move |Event(event): Event, data: TryData<Value>, reply: Reply| {
            let data = data.0.unwrap_or_default();
            let refused = match queue.try_send(Received { event, data, reply }) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
                Err(mpsc::error::TrySendError::Full(received)) => Some(received),
            };
            async move {
                if let Some(received) = refused {
                    super::commands::refuse_as_busy(&*full.dialect, &at, &refusing, &received).await;
                }
            }
        });
        let counted = Counted::new(Transport::SocketIo);
        let joins = Arc::default();
        let commands = Commands {
            mount: Arc::clone(&self),
            session,
            wire: Arc::clone(&wire),
            joins: Arc::clone(&joins),
        };
        let reading = tokio::spawn(commands.run(received));
        let pump = Pump { mount: self, events, session: at_pump, wire, joins };
        tokio::spawn(async move {
            pump.run(gone).await;
            reading.abort();
            drop(counted);
        });
    }
}

//! The end of the server, in good order.

use std::{io, time::Duration};

use chat_core::Chat;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// How long clients may take to go once they were asked to.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What asks the server to end: SIGTERM or Ctrl-C.
pub(crate) struct Asked {
    interrupt: Signal,
    terminate: Signal,
}

impl Asked {
    /// Listens from now on.
    pub(crate) fn new() -> io::Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate })
    }

    /// Waits until the server is asked to end.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Asks every client to come back within `window`, and waits until what was sent is stored.
pub(crate) async fn drain(chat: &Chat, window: Duration) {
    info!(sessions = chat.session_count(), "ending: clients are asked to reconnect");
    chat.drain(window, PATIENCE).await;
}

//! A server from its first connection to its last.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{ConnectInfo, Request},
    middleware::map_request,
    serve::ListenerExt as _,
};
use chat_core::Chat;
use chat_gateway::socketio::socketioxide::SocketIo;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::timeout,
};
use tracing::{debug, info};

/// How long clients may take to go once they were asked to, and then once more how long requests may take to end.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The other end of a request's connection, among its extensions. A type of its own, since everybody behind one proxy has the same: what
/// counts by [`ConnectInfo`] does not count by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

async fn note_peer(mut request: Request) -> Request {
    let extensions = request.extensions_mut();
    if let Some(ConnectInfo(address)) = extensions.remove::<ConnectInfo<SocketAddr>>() {
        extensions.insert(Peer(address));
    }
    request
}

/// Serves until SIGTERM or Ctrl-C, then drains: clients are asked to come back within `drain_window`, what was taken is stored, and
/// connections are closed. It ends within twice [`PATIENCE`] and a second, whatever clients do.
///
/// Prints `listening on http://…` on stdout once connections are accepted.
///
/// # Errors
/// The listener's, or that signals cannot be heard.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    chat: Chat,
    io: Option<SocketIo>,
    drain_window: Duration,
) -> anyhow::Result<()> {
    let mut asked = Asked::new().context("signals cannot be heard")?;
    println!("listening on http://{}", listener.local_addr()?);
    // Or an answer that follows an event waits for the client's acknowledgement of that: 40 ms, mostly.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            debug!(%error, "a connection sends small packets late");
        }
    });
    let (drained, rest) = oneshot::channel::<()>();
    // Dropping the sender is the sign.
    let ending = async move { _ = rest.await };
    let service = router.layer(map_request(note_peer));
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    let mut server =
        tokio::spawn(axum::serve(listener, service).with_graceful_shutdown(ending).into_future());
    tokio::select! {
        biased;
        ended = &mut server => return Ok(ended.context("the server ended")??),
        () = asked.wait() => {}
    }
    info!(sessions = chat.session_count(), "ending: clients are asked to reconnect");
    chat.drain(drain_window, PATIENCE).await;
    if let Some(io) = io {
        // It waits for clients that take nothing.
        _ = timeout(Duration::from_secs(1), io.close()).await;
    }
    drop(drained);
    if timeout(PATIENCE, &mut server).await.is_err() {
        // It holds what stands behind it.
        server.abort();
    }
    Ok(())
}

/// What asks the server to end.
struct Asked {
    interrupt: Signal,
    terminate: Signal,
}

impl Asked {
    /// Listens from now on.
    fn new() -> io::Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate })
    }

    async fn wait(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

//! A TCP proxy that does to connections what networks do.

mod connection;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::port;

/// How many connections at once; the next ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 1024;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What is done to connections now.
#[derive(Debug, Clone, Copy, Default)]
struct Mode {
    link: Link,
    /// A connection ends when this is not what it was at its start.
    epoch: u64,
    delay: Duration,
    to_server_stalled: bool,
    to_client_stalled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Link {
    #[default]
    Up,
    Cut,
    HalfOpen,
}

impl Mode {
    fn is_stalled(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToServer => self.to_server_stalled,
            Direction::ToClient => self.to_client_stalled,
        }
    }
}

/// Passes connections on to a server, as well or badly as it is told. It goes with this value, and all its connections too.
///
/// A client whose server does not listen is taken and then reset: the proxy cannot refuse what it has accepted. After
/// [`cut`](Self::cut) nobody listens here either, and clients are refused.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    listening: watch::Receiver<bool>,
    connections: watch::Receiver<usize>,
    accepted: Arc<AtomicU64>,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 in front of `target`, a host and a port.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(target: impl Into<String>) -> Result<Self> {
        let target = target.into();
        // Of a range that is given to no client: after a cut the same port has to be there again.
        port::start_on_a_free_one(|port| Self::start_at(port, target.clone())).await
    }

    pub(crate) async fn start_at(port: u16, target: String) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let (mode, mode_seen) = watch::channel(Mode::default());
        let (listening_told, listening) = watch::channel(true);
        let (count, connections) = watch::channel(0);
        let accepted = Arc::new(AtomicU64::new(0));
        let acceptor = Acceptor {
            target,
            address,
            mode: mode_seen,
            listening: listening_told,
            connections: count,
            accepted: Arc::clone(&accepted),
            tasks: JoinSet::new(),
        };
        let acceptor = tokio::spawn(acceptor.run(listener));
        Ok(Self { address, mode, listening, connections, accepted, acceptor })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there are now.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// How many connections there have been, those that are open included.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Resets all connections and refuses new ones. Both is so when this returns.
    pub async fn cut(&self) {
        self.mode.send_modify(|mode| {
            mode.link = Link::Cut;
            mode.epoch += 1;
        });
        // Neither fails: who tells lives as long as the proxy.
        let _ = self.listening.clone().wait_for(|listening| !listening).await;
        let _ = self.connections.clone().wait_for(|connections| *connections == 0).await;
    }

    /// Resets all connections that there are. New ones work.
    pub fn reset(&self) {
        self.mode.send_modify(|mode| mode.epoch += 1);
    }

    /// Makes all well: connections are taken again, what was held flows, nothing is delayed. Connections that were half-open
    /// are reset, as by a server that does not know them any more.
    pub async fn mend(&self) {
        self.mode.send_modify(|mode| {
            let half_open = u64::from(mode.link == Link::HalfOpen);
            *mode = Mode { epoch: mode.epoch + half_open, ..Mode::default() };
        });
        let _ = self.listening.clone().wait_for(|listening| *listening).await;
    }

    /// Passes on what is read from now on so much later, in both directions. Up to 1 MiB per direction is on its way; then
    /// the sender has to wait.
    pub fn delay(&self, delay: Duration) {
        self.mode.send_modify(|mode| mode.delay = delay);
    }

    /// Holds what goes in one direction. Nothing of it is lost. The other direction goes on.
    pub fn stall(&self, direction: Direction) {
        self.mode.send_modify(|mode| match direction {
            Direction::ToServer => mode.to_server_stalled = true,
            Direction::ToClient => mode.to_client_stalled = true,
        });
    }

    /// The server's side of every connection is gone and the client is not told: no end, no reset, no answer. New
    /// connections are taken and are the same.
    pub fn half_open(&self) {
        self.mode.send_modify(|mode| mode.link = Link::HalfOpen);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

struct Acceptor {
    target: String,
    address: SocketAddr,
    mode: watch::Receiver<Mode>,
    listening: watch::Sender<bool>,
    connections: watch::Sender<usize>,
    accepted: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Acceptor {
    async fn run(mut self, listener: TcpListener) {
        let mut listener = Some(listener);
        loop {
            let cut = self.mode.borrow_and_update().link == Link::Cut;
            if cut {
                listener = None;
            } else if listener.is_none() {
                listener = TcpListener::bind(self.address).await.ok();
            }
            self.listening.send_replace(listener.is_some());
            let room = self.tasks.len() < MAX_CONNECTIONS;
            tokio::select! {
                biased;
                changed = self.mode.changed() => if changed.is_err() { return },
                _ = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    self.connections.send_replace(self.tasks.len());
                }
                stream = accept(listener.as_ref()), if !cut && room => {
                    let Some(client) = stream else { continue };
                    let mode = self.mode.clone();
                    let epoch = mode.borrow().epoch;
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    self.tasks.spawn(connection::serve(client, self.target.clone(), mode, epoch));
                    self.connections.send_replace(self.tasks.len());
                }
            }
        }
    }
}

/// The next connection. None where there is no listener yet, or the system had none to give: then it is time to try again.
async fn accept(listener: Option<&TcpListener>) -> Option<tokio::net::TcpStream> {
    if let Some(listener) = listener
        && let Ok((stream, _)) = listener.accept().await
    {
        return Some(stream);
    }
    sleep(Duration::from_millis(10)).await;
    None
}

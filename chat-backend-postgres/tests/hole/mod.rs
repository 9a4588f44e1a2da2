//! A network that falls silent.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Passes bytes on between clients and a server. Connections that were there at a freeze stay open, and whatever comes on
/// them is swallowed, for good; newer ones work.
pub(crate) struct Hole {
    pub(crate) address: SocketAddr,
    pub(crate) accepted: Arc<AtomicU64>,
    frozen: Arc<AtomicU64>,
    pub(crate) tasks: JoinSet<()>,
}

impl Hole {
    pub(crate) async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, frozen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (accepted, frozen) = (Arc::clone(&accepted), Arc::clone(&frozen));
            async move {
                let mut passing = JoinSet::new();
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    let number = accepted.fetch_add(1, Ordering::SeqCst);
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = TcpStream::connect(&target).await.unwrap().into_split();
                    for (mut from, mut to) in [(from_client, to_server), (from_server, to_client)] {
                        let frozen = Arc::clone(&frozen);
                        passing.spawn(async move {
                            let mut buffer = vec![0; 16_384];
                            loop {
                                let read = from.read(&mut buffer).await.unwrap_or(0);
                                let is_frozen = number < frozen.load(Ordering::SeqCst);
                                if read == 0 && is_frozen {
                                    std::future::pending::<()>().await;
                                }
                                if read == 0 || !is_frozen && to.write_all(&buffer[..read]).await.is_err() {
                                    return;
                                }
                            }
                        });
                    }
                }
            }
        });
        Self { address, accepted, frozen, tasks }
    }

    pub(crate) fn freeze(&self) {
        self.frozen.store(self.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

//! One connection through the proxy.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{Direction, Link, Mode};

/// What is read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// How many chunks are on their way in one direction.
const CHUNKS: usize = 64;

/// A stream that is reset when it is dropped before its end.
struct Side {
    stream: TcpStream,
    ended: bool,
}

impl Side {
    fn new(stream: TcpStream) -> io::Result<Self> {
        // Delays are the proxy's to make, not the system's.
        stream.set_nodelay(true)?;
        Ok(Self { stream, ended: false })
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// Serves a client until either side ends, or the proxy is told to end it.
pub(super) async fn serve(client: TcpStream, target: String, mut mode: watch::Receiver<Mode>, epoch: u64) {
    let Ok(mut client) = Side::new(client) else { return };
    let mut events = mode.clone();
    let half_open = tokio::select! {
        biased;
        half_open = is_to_end(&mut events, epoch) => half_open,
        passed = pass(&mut client.stream, &target, &mode) => {
            client.ended = passed.is_ok();
            return;
        }
    };
    // The server's side is gone by now.
    if half_open {
        // Fails only if the proxy is gone, and then so is this.
        let _ = mode.wait_for(|mode| mode.epoch != epoch).await;
    }
}

/// Waits until the connection has to end; true if only the server's side has to.
async fn is_to_end(mode: &mut watch::Receiver<Mode>, epoch: u64) -> bool {
    match mode.wait_for(|mode| mode.epoch != epoch || mode.link == Link::HalfOpen).await {
        Ok(mode) => mode.epoch == epoch,
        Err(_) => false,
    }
}

/// Passes bytes both ways until both sides have ended what they send.
async fn pass(client: &mut TcpStream, target: &str, mode: &watch::Receiver<Mode>) -> io::Result<()> {
    let mut server = Side::new(TcpStream::connect(target).await?)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.stream.split();
    tokio::try_join!(
        pump(from_client, to_server, Direction::ToServer, mode.clone()),
        pump(from_server, to_client, Direction::ToClient, mode.clone()),
    )?;
    server.ended = true;
    Ok(())
}

/// Passes bytes one way, and their end. No bytes are the end.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS);
    let seen = mode.clone();
    let read = async move {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let ended = from.read_buf(&mut chunk).await? == 0;
            let due = Instant::now() + seen.borrow().delay;
            if sender.send((due, chunk)).await.is_err() || ended {
                return io::Result::Ok(());
            }
        }
    };
    let write = async {
        while let Some((due, chunk)) = receiver.recv().await {
            sleep_until(due).await;
            // Fails only if the proxy is gone, and then so is this.
            let _ = mode.wait_for(|mode| !mode.is_stalled(direction)).await;
            if chunk.is_empty() {
                to.shutdown().await?;
            }
            to.write_all(&chunk).await?;
        }
        io::Result::Ok(())
    };
    tokio::try_join!(read, write)?;
    Ok(())
}

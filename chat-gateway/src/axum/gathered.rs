//! A transport whose small writes become one, and that keeps no memory while there is nothing to write.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::FutureExt as _;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop::unconstrained,
};

/// What is written is gathered until it is flushed, or `most` bytes are there. The WebSocket library's own buffer stays as large as it
/// ever was, with every connection that once had much to say; this one goes with what was in it. So the library is to gather nothing: what it
/// keeps then is as large as the largest single frame was.
#[derive(Debug)]
pub(super) struct Gathered<S: AsyncWrite + Unpin> {
    inner: S,
    waiting: Vec<u8>,
    /// Of `waiting`, what `inner` has taken already.
    taken: usize,
    most: usize,
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    pub(super) const fn new(inner: S, most: usize) -> Self {
        Self { inner, waiting: Vec::new(), taken: 0, most }
    }

    /// Until `inner` has taken everything. What it took is not offered again, however often this is polled or given up.
    fn poll_emptied(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.taken < self.waiting.len() {
            let written = Pin::new(&mut self.inner).poll_write(context, &self.waiting[self.taken..]);
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.taken += written,
            }
        }
        self.taken = 0;
        self.waiting = Vec::new();
        Poll::Ready(Ok(()))
    }
}

/// The WebSocket library answers a client's close without a flush, and ends. What waits goes out if that takes no waiting.
impl<S: AsyncWrite + Unpin> Drop for Gathered<S> {
    fn drop(&mut self) {
        // Unconstrained: the task may have used up its turn.
        let _ = unconstrained(poll_fn(|context| self.poll_emptied(context))).now_or_never();
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.waiting.len() + bytes.len() > self.most {
            ready!(self.poll_emptied(context))?;
        }
        if bytes.len() >= self.most {
            return Pin::new(&mut self.inner).poll_write(context, bytes);
        }
        self.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_emptied(context))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_emptied(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::timeout,
    };

    use super::*;

    #[tokio::test]
    async fn it_goes_out_when_it_is_flushed_and_leaves_no_memory() {
        let (near, mut far) = duplex(1_024);
        let mut near = Gathered::new(near, 100);
        near.write_all(b"one ").await.unwrap();
        near.write_all(b"two").await.unwrap();
        let mut read = [0; 16];
        assert!(far.read(&mut read).now_or_never().is_none(), "it waits for a flush");
        near.flush().await.unwrap();
        assert_eq!(far.read(&mut read).await.unwrap(), 7);
        assert_eq!((&read[..7], near.waiting.capacity()), (&b"one two"[..], 0));
    }

    #[tokio::test]
    async fn what_was_not_flushed_goes_out_with_its_end() {
        let (near, mut far) = duplex(1_024);
        let mut near = Gathered::new(near, 100);
        near.write_all(b"bye").await.unwrap();
        drop(near);
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "bye");
    }

    #[tokio::test]
    async fn nothing_is_lost_or_doubled_on_a_reader_that_is_slow_with_flushes_given_up() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (near, mut far) = duplex(random.usize(1..64));
            let most = random.usize(1..80);
            let mut near = Gathered::new(near, most);
            let said: Vec<u8> = (0..4_000).map(|_| random.u8(..)).collect();
            let pace = random.clone();
            let heard = tokio::spawn(async move {
                let (mut heard, mut pace) = (Vec::new(), pace);
                let mut part = [0; 50];
                loop {
                    let most = pace.usize(1..=part.len());
                    match far.read(&mut part[..most]).await.unwrap() {
                        0 => return heard,
                        count => heard.extend_from_slice(&part[..count]),
                    }
                    if pace.bool() {
                        tokio::task::yield_now().await;
                    }
                }
            });
            let mut rest = &said[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(random.usize(1..=rest.len().min(120)));
                near.write_all(now).await.unwrap();
                rest = later;
                assert!(near.waiting.len() <= most);
                if random.bool() {
                    // Given up where it has to wait.
                    let _ = near.flush().now_or_never();
                }
            }
            near.shutdown().await.unwrap();
            let heard = timeout(Duration::from_secs(10), heard).await.unwrap().unwrap();
            assert!(heard == said, "seed {seed}");
        }
    }

    #[tokio::test]
    async fn a_transport_that_takes_nothing_is_an_error() {
        let (near, far) = duplex(8);
        let mut near = Gathered::new(near, 4);
        drop(far);
        near.write_all(b"abc").await.unwrap();
        assert_eq!(near.flush().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

//! The reading half of a connection.

use std::{pin::Pin, time::Duration};

use bytes::{Buf as _, Bytes};
use futures::{Stream, StreamExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Decoded, Decoder, Frame, Incoming, StompConfig, Version, writer::Last};
use crate::{Problem, observe, pace::Pace};

/// How long a client has to answer the server's close.
const LINGER: Duration = Duration::from_secs(2);

/// How a connection ends, as the reading half sees it.
pub(super) enum End {
    /// The client is gone.
    Gone,
    /// It is told so.
    Told(Last),
}

pub(super) struct Reader<I> {
    incoming: Pin<Box<I>>,
    decoder: Decoder,
    version: Version,
    /// What came and was not looked at yet.
    waiting: Bytes,
    pace: Pace,
    max_body: usize,
}

impl<I, E> Reader<I>
where
    I: Stream<Item = Result<Incoming, E>>,
{
    pub(super) fn new(incoming: I, config: &StompConfig) -> Self {
        Self {
            incoming: Box::pin(incoming),
            decoder: Decoder::new(config.frames),
            version: Version::V1_0,
            waiting: Bytes::new(),
            pace: Pace::new(&config.limits),
            max_body: config.frames.body_bytes,
        }
    }

    pub(super) const fn set_version(&mut self, version: Version) {
        self.version = version;
        self.decoder.set_version(version);
    }

    /// The next frame; what ends the connection, such as silence for so long, is an error.
    pub(super) async fn next(&mut self, silence: Duration) -> Result<Frame, End> {
        loop {
            let mut rest = &self.waiting[..];
            let decoded = self.decoder.decode(&mut rest);
            let read = self.waiting.len() - rest.len();
            self.waiting.advance(read);
            match decoded {
                Ok(Some(Decoded::Frame(frame))) => {
                    // However fast a client sends, it is read no faster than it may.
                    while let Err(wait) = self.pace.admit().await {
                        sleep(wait).await;
                    }
                    return Ok(frame);
                }
                Ok(Some(Decoded::HeartBeat)) => continue,
                Ok(None) => {}
                Err(error) => return Err(self.told(&error.into())),
            }
            self.waiting = match timeout(silence, self.incoming.next()).await {
                Err(_) => return Err(self.told(&Problem::new("idle", "nothing was heard for too long"))),
                Ok(None | Some(Err(_))) => return Err(End::Gone),
                Ok(Some(Ok(Incoming::Close))) => {
                    // Reading on lets the transport answer the close.
                    let _ = timeout(LINGER, self.incoming.next()).await;
                    return Err(End::Gone);
                }
                Ok(Some(Ok(Incoming::Alive))) => continue,
                Ok(Some(Ok(Incoming::TooLarge))) => {
                    let message = format!("a body has at most {} bytes", self.max_body);
                    return Err(self.told(&Problem::new("frame_too_large", message)));
                }
                Ok(Some(Ok(Incoming::Data(bytes)))) => bytes,
            };
        }
    }

    fn told(&self, problem: &Problem) -> End {
        observe::error(problem.code);
        End::Told(Last::error(self.version, problem, None))
    }

    /// Waits for the client's close, so that the last frames are not lost with the connection.
    pub(super) async fn linger(&mut self) {
        let end = Instant::now() + LINGER;
        let _ = timeout_at(end, async {
            while let Some(Ok(incoming)) = self.incoming.next().await {
                if incoming == Incoming::Close {
                    break;
                }
            }
        })
        .await;
    }
}

//! From a session's events to the text of the stream.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use chat_core::{
    Event, SessionEvents,
    session::{CloseReason, JoinOutcome},
};
use futures::Stream;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tracing::debug;

use super::{positions::Positions, write::Text};
use crate::{
    json::{close::Goodbye, frame},
    observe::{self, Counted, Transport},
};

/// Bytes that are gathered before they are handed to the transport; a single frame may be larger. A transport keeps some
/// chunks of a slow client, so they are small.
const CHUNK_BYTES: usize = 16 * 1024;

/// How long a client waits at least before it opens the stream again.
const RETRY_LEAST: Duration = Duration::from_secs(1);

/// Up to how much longer, so that the clients of a server that fails do not come back all at once.
const RETRY_SPREAD_MS: u64 = 4_000;

/// A wait for a client that opens its stream again.
pub(super) fn retry() -> Duration {
    RETRY_LEAST + Duration::from_millis(fastrand::u64(0..RETRY_SPREAD_MS))
}

/// The body of the answer: chunks of UTF-8. It is fed no faster than it is read; dropping it ends the session.
pub struct EventStream {
    chunks: mpsc::Receiver<Bytes>,
}

impl EventStream {
    /// A stream of what was written already, and no more.
    pub(super) fn ended(mut text: Text) -> Self {
        let (sender, chunks) = mpsc::channel(1);
        let (bytes, frames) = text.take();
        observe::frames_sent(Transport::Sse, frames);
        // There is room for one.
        let _ = sender.try_send(bytes.into());
        Self { chunks }
    }
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.chunks.poll_recv(context)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

/// Why a stream ends without a last frame.
enum Cut {
    /// Nobody reads it any more.
    Gone,
    /// Nothing of it was read for too long.
    TooSlow,
}

/// Writes until the session or the client ends. The session ends with it.
pub(super) struct Pump {
    pub(super) events: SessionEvents,
    pub(super) positions: Positions,
    pub(super) text: Text,
    pub(super) heartbeat: Duration,
    pub(super) write_timeout: Duration,
}

impl Pump {
    /// Begins to write, with what was written already.
    pub(super) fn start(self) -> EventStream {
        let (sender, chunks) = mpsc::channel(1);
        // A task of its own, since a transport that is held up by its client does not ask for more: somebody has to notice
        // and end the session.
        tokio::spawn(self.run(sender));
        EventStream { chunks }
    }

    async fn run(mut self, chunks: mpsc::Sender<Bytes>) {
        let _counted = Counted::new(Transport::Sse);
        if let Err(Cut::TooSlow) = self.write(&chunks).await {
            observe::closing(Transport::Sse, "too_slow");
            debug!("a stream could not be written to for too long");
        }
    }

    async fn write(&mut self, chunks: &mpsc::Sender<Bytes>) -> Result<(), Cut> {
        let mut next_comment = Instant::now() + self.heartbeat;
        let mut open = true;
        loop {
            // There is room before anything is taken from the session: what its rooms say waits in their shared memory.
            let room = match timeout(self.write_timeout, chunks.reserve()).await {
                Ok(Ok(room)) => room,
                Ok(Err(_)) => return Err(Cut::Gone),
                Err(_) => return Err(Cut::TooSlow),
            };
            if self.text.len() == 0 {
                if !open {
                    return Ok(());
                }
                tokio::select! {
                    biased;
                    () = chunks.closed() => return Err(Cut::Gone),
                    event = self.events.next() => open = self.add(event),
                    () = sleep_until(next_comment) => {
                        next_comment = Instant::now() + self.heartbeat;
                        self.text.comment();
                    }
                }
            }
            while open && self.text.len() < CHUNK_BYTES {
                match self.events.try_next() {
                    Some(event) => open = self.add(Some(event)),
                    None => break,
                }
            }
            let (bytes, frames) = self.text.take();
            if !bytes.is_empty() {
                room.send(bytes.into());
                observe::frames_sent(Transport::Sse, frames);
            }
        }
    }

    /// Writes an event. False if it was the last.
    fn add(&mut self, event: Option<Event>) -> bool {
        let closing = match event {
            Some(Event::Closing(closing)) => Some(closing),
            Some(event) => {
                self.tell(&event);
                return true;
            }
            // The last event says why and was seen already; without one something is wrong here.
            None => None,
        };
        let goodbye = closing.map_or(Goodbye::INTERNAL, Goodbye::from);
        observe::closing(Transport::Sse, goodbye.code);
        debug!(code = goodbye.code, "a stream is closed");
        let frame = frame::closing(&goodbye);
        match closing.map(|closing| closing.reason) {
            Some(CloseReason::Closed | CloseReason::Replaced | CloseReason::Superseded) => {
                self.text.last_frame(&self.positions, &frame)
            }
            _ => {
                if let Some(after) = goodbye.reconnect_after {
                    self.text.retry(after);
                }
                self.text.frame(&frame);
            }
        }
        false
    }

    fn tell(&mut self, event: &Event) {
        let Some(frame) = frame::event(event) else { return };
        let moved = match event {
            Event::Entry(live) => {
                let entry = live.value();
                Some((&entry.room, &entry.position.cursor))
            }
            Event::Joined(joined) => match joined.outcome {
                // What follows begins where the client was.
                JoinOutcome::Recovered => None,
                _ => Some((&joined.room, &joined.cursor)),
            },
            Event::Resync { room, page: Some(page), .. } | Event::Reset { room, page } => {
                Some((room, &page.head.cursor))
            }
            _ => None,
        };
        match moved {
            Some((room, cursor)) => {
                self.positions.reach(room, cursor);
                self.text.frame_at(&self.positions, &frame);
            }
            None => self.text.frame(&frame),
        }
    }
}

//! Sends notifications: one statement at a time per node, with all that came while the one before was under way.
//!
//! Never in a transaction of the log: a transaction that notifies takes a lock of the whole server when it commits, and
//! all appends would wait for each other.

use std::sync::Arc;

use chat_core::Result;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    channel::Channels,
    pack::{Encoded, MAX_PAYLOAD, Packer},
};
use crate::{PostgresError, PostgresErrorKind, backend::Shared, lease};

/// Calls that wait; later ones wait for a place.
const WAITING: usize = 1_024;
/// Text that is gathered for one statement.
const GATHERED: usize = 256 * 1_024;
/// Payloads in one statement.
const AT_ONCE: usize = 2 * GATHERED / MAX_PAYLOAD;

const NOTIFY: &str =
    "SELECT pg_notify(n.channel, n.payload) FROM unnest($1::text[], $2::text[]) AS n(channel, payload)";

const BATCH: &str = "chat_postgres_notify_events";

type Done<T> = std::result::Result<T, PostgresError>;

/// What one call publishes.
struct Call {
    events: Vec<Encoded>,
    done: oneshot::Sender<Done<()>>,
}

#[derive(Debug, Clone)]
pub(super) struct Publisher {
    calls: mpsc::Sender<Call>,
}

impl Publisher {
    /// Starts the task that sends. It ends with the last handle.
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let (calls, waiting) = mpsc::channel(WAITING);
        let channels = Channels::new(shared.sql.schema());
        let sender = Sender { shared, channels, packer: Packer::new(fastrand::u64(..)) };
        tokio::spawn(sender.run(waiting));
        Self { calls }
    }

    /// Returns once the server has the notifications.
    pub(super) async fn publish(&self, events: Vec<Encoded>) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let closed = || PostgresError::new(PostgresErrorKind::Closed, "the publisher is gone");
        let sent = self.calls.send(Call { events, done }).await;
        let answered = match sent {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(closed())),
            Err(_) => Err(closed()),
        };
        answered.map_err(|error| error.during("publish"))
    }
}

struct Sender {
    shared: Arc<Shared>,
    channels: Channels,
    packer: Packer,
}

impl Sender {
    async fn run(mut self, mut waiting: mpsc::Receiver<Call>) {
        while let Some(first) = waiting.recv().await {
            let mut calls = vec![first.done];
            let mut events = first.events;
            let mut size: usize = events.iter().map(Encoded::len).sum();
            while size < GATHERED
                && let Ok(next) = waiting.try_recv()
            {
                size += next.events.iter().map(Encoded::len).sum::<usize>();
                events.extend(next.events);
                calls.push(next.done);
            }
            #[allow(clippy::cast_precision_loss, reason = "for a graph")]
            metrics::histogram!(BATCH).record(events.len() as f64);
            let payloads = self.packer.pack(events);
            let done = self.send(&payloads).await;
            for call in calls {
                // Who does not wait any more does not want to know.
                let _ = call.send(done.clone());
            }
        }
    }

    async fn send(&self, payloads: &[(u8, String)]) -> Done<()> {
        for payloads in payloads.chunks(AT_ONCE) {
            self.send_once(payloads).await?;
        }
        Ok(())
    }

    /// Tries again when a connection turns out to be dead: after the server was away, all in the pool are. Listeners know a
    /// payload that comes twice by its number, and one that never comes by its gap.
    async fn send_once(&self, payloads: &[(u8, String)]) -> Done<()> {
        let deadline = Instant::now() + self.shared.config.statement_timeout;
        let mut tries = 2 * self.shared.connections.pool.size() + 2;
        let mut error = match self.notify(payloads, false).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        while error.kind() == PostgresErrorKind::Connection && tries > 0 && Instant::now() < deadline {
            tries -= 1;
            error = match self.notify(payloads, true).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
        }
        tracing::warn!(%error, "events were not published");
        Err(error)
    }

    async fn notify(&self, payloads: &[(u8, String)], doubtful: bool) -> Done<()> {
        if doubtful {
            // A dead connection closes with this, and the next one is tried.
            lease::ping(&mut self.shared.lease().await?).await?;
        }
        let channels: Vec<String> = payloads.iter().map(|(bucket, _)| self.channels.name(*bucket)).collect();
        let texts: Vec<&str> = payloads.iter().map(|(_, payload)| payload.as_str()).collect();
        self.shared.all(self.shared.sql.query(NOTIFY).bind(channels).bind(texts)).await?;
        Ok(())
    }
}

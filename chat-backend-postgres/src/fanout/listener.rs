//! The one connection of a node that listens.
//!
//! It is put back here and not by sqlx's own reconnecting, which forgets to say what was lost.

use std::{convert::Infallible, sync::Arc, time::Duration};

use chat_core::fanout::{Topic, Topics};
use sqlx::{
    Executor as _,
    postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions},
};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::{
    channel::{Channels, bucket_of},
    interest::Channeled,
    unpack::{Said, Unpacker},
};
use crate::{PostgresError, PostgresErrorKind};

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

const RECONNECTS: &str = "chat_postgres_listener_reconnects_total";

type Done<T> = Result<T, PostgresError>;

#[derive(Debug)]
pub(super) struct Listening {
    pub(super) options: PgConnectOptions,
    pub(super) channels: Channels,
    pub(super) topics: Topics,
    pub(super) channeled: Arc<Channeled>,
    /// How often the connection is asked for a sign of life, and how long it may take.
    pub(super) probe: Duration,
    /// How long connecting may take.
    pub(super) patience: Duration,
    pub(super) unpacker: Unpacker,
    /// Events may have been lost since it was last connected.
    pub(super) was_connected: bool,
    pub(super) pause: Duration,
}

impl Listening {
    pub(super) fn new(
        options: &PgConnectOptions,
        channels: Channels,
        topics: Topics,
        channeled: Arc<Channeled>,
        (probe, patience): (Duration, Duration),
    ) -> Self {
        let name = options.get_application_name().unwrap_or("chat");
        let options = options.clone().application_name(&format!("{name} listener"));
        let (unpacker, pause) = (Unpacker::default(), SHORTEST_PAUSE);
        Self { options, channels, topics, channeled, probe, patience, unpacker, was_connected: false, pause }
    }

    /// Listens until it is dropped.
    pub(super) async fn run(mut self) -> Infallible {
        loop {
            let failure = match self.listen().await {
                Ok(never) => match never {},
                Err(failure) => failure,
            };
            if self.was_connected {
                tracing::warn!(error = %failure, "the connection that listens was lost");
            } else {
                tracing::debug!(error = %failure, "cannot listen");
            }
            self.channeled.lost(failure);
            // All nodes lose a server at the same time, and need not come back at the same time.
            sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Connects, and listens until the connection is lost.
    async fn listen(&mut self) -> Done<Infallible> {
        let mut listener = self.connect().await?;
        self.unpacker.forget_all();
        let wanted = self.channeled.lacking();
        self.start(&mut listener, &wanted).await?;
        if self.was_connected {
            metrics::counter!(RECONNECTS).increment(1);
            self.topics.missed_all();
        }
        self.was_connected = true;
        self.pause = SHORTEST_PAUSE;
        self.channeled.confirm(&wanted);
        let mut probe = interval_at(Instant::now() + self.probe, self.probe);
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // What came while the connection was asked something.
            while let Some(notification) = listener.next_buffered() {
                self.take(&notification);
            }
            tokio::select! {
                biased;
                () = self.channeled.changed() => {
                    let lacking = self.channeled.lacking();
                    lacking.iter().for_each(|bucket| self.unpacker.forget(*bucket));
                    self.start(&mut listener, &lacking).await?;
                    self.channeled.confirm(&lacking);
                }
                _ = probe.tick() => self.look_after(&mut listener).await?,
                received = listener.try_recv() => match received? {
                    Some(notification) => self.take(&notification),
                    None => return Err(lost("the server closed the connection")),
                },
            }
        }
    }

    async fn connect(&self) -> Done<PgListener> {
        // sqlx makes listeners out of pools only. One that is given up asks for an end of its listening first: over a
        // half-open connection that lasts until the system gives up, in a task and on a socket of its own.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(self.patience)
            .connect_lazy_with(self.options.clone());
        let mut listener = match PgListener::connect_with(&pool).await {
            Ok(listener) => listener,
            Err(sqlx::Error::PoolTimedOut) => return Err(lost("no connection in time")),
            Err(error) => return Err(error.into()),
        };
        listener.eager_reconnect(false);
        Ok(listener)
    }

    async fn start(&self, listener: &mut PgListener, buckets: &[u8]) -> Done<()> {
        if buckets.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = buckets.iter().map(|bucket| self.channels.name(*bucket)).collect();
        in_time(self.patience, listener.listen_all(names.iter().map(String::as_str))).await
    }

    /// Finds out whether the connection still leads to a server, and ends what is not wanted any more. Not sooner: who
    /// leaves is often followed by who comes.
    async fn look_after(&self, listener: &mut PgListener) -> Done<()> {
        let idle = self.channeled.take_idle();
        in_time(self.probe, async {
            for bucket in idle {
                listener.unlisten(&self.channels.name(bucket)).await?;
            }
            listener.execute("SELECT 1").await
        })
        .await?;
        Ok(())
    }

    fn take(&mut self, notification: &PgNotification) {
        let Some(bucket) = self.channels.bucket(notification.channel()) else { return };
        let topics = &self.topics;
        for said in self.unpacker.unpack(bucket, notification.payload(), |topic| topics.contains(topic)) {
            match said {
                Said::Event(topic, event) => topics.deliver(&topic, &event),
                Said::Missed(topic) => topics.missed(&topic),
                Said::BucketMissed => topics.missed_where(|topic: &Topic| bucket_of(topic) == bucket),
            }
        }
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, sqlx::Error>>) -> Done<T> {
    match timeout(limit, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(lost("no answer in time")),
    }
}

fn lost(why: &'static str) -> PostgresError {
    PostgresError::new(PostgresErrorKind::Connection, why)
}

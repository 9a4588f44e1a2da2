//! Reads every partition of some topics from where they ended when it began: what each node does for itself.
//!
//! Nobody joins a group and nothing is committed: members of a group share the partitions out among them, so each event would
//! reach one node and none of the others. The partitions are assigned by hand, each from the end that was looked up before
//! anything else is done. From then on every record is handed on, in the order of its partition, whatever happens to connections:
//! Kafka keeps records, so one that comes back goes on where it was.
//!
//! A partition whose leader is away holds up no other. When reading begins, or begins anew, it is left out and added as soon as its leader
//! answers: where it was, or at its end if nothing of it was read yet. That something may be missing is then told.
//!
//! Two threads of its own, since librdkafka blocks: the [`reader`](self::reader) takes records off and owns the sink; the
//! [`watcher`](self::watcher) asks the cluster at an interval whether there are new partitions, and whether what was read and what is
//! there fit together.

mod bell;
mod context;
mod leaders;
mod places;
mod reader;
mod watcher;

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use rdkafka::{ClientConfig, message::Message};
use tokio::{sync::watch, time::timeout};

use self::{bell::Bell, places::Place, reader::Reader, watcher::Watcher};
use crate::{KafkaConfig, KafkaError, KafkaErrorKind, forsaken::STATISTICS};

/// What a broker's access rules see: librdkafka assigns partitions to nobody without a group. None is ever joined.
const GROUP: &str = "chat-tail";

/// Orders that wait for the reader. The watcher gives some per look, and waits when these are not taken.
const ORDERS: usize = 16;

/// Takes what a tail reads, on the tail's own thread, so it takes note and returns.
pub(crate) trait Sink: Send + 'static {
    /// The next record of its partition.
    fn record(&mut self, record: &impl Message);

    /// There is no further record just now: what was gathered can go on.
    fn flush(&mut self);

    /// Records may be lacking, or late, between the one before and the next one.
    fn missed(&mut self);

    /// The tail failed for good, and nobody closed it: nothing more comes. It may have failed in the middle of another call.
    fn died(&mut self, why: &KafkaError);
}

/// How a tail watches over itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TailSettings {
    /// How often it asks for new partitions, and whether it has read what was there; also how long it waits for an answer.
    pub(crate) refresh: Duration,
    /// Records that were there for so long and were not read yet are told as missed.
    pub(crate) stall: Duration,
}

impl TailSettings {
    /// How often a tail asks.
    pub(crate) const DEFAULT_REFRESH: Duration = Duration::from_secs(5);
    /// How late a record may be.
    pub(crate) const DEFAULT_STALL: Duration = Duration::from_secs(10);
}

impl Default for TailSettings {
    fn default() -> Self {
        Self { refresh: Self::DEFAULT_REFRESH, stall: Self::DEFAULT_STALL }
    }
}

/// Where a tail is.
#[derive(Debug, Clone)]
enum State {
    /// The ends of the partitions are not known yet, and why.
    Starting(Option<KafkaError>),
    /// All is read as it comes.
    Live,
    /// Something stands in the way; it goes on when that is gone.
    Troubled(KafkaError),
    /// A thread of its own panicked: nothing is read any more.
    Dead(KafkaError),
}

/// What the threads have in common.
struct Shared {
    topics: Vec<String>,
    settings: TailSettings,
    bell: Arc<Bell>,
    state: watch::Sender<State>,
    /// The next offset of each partition, as of the last records that were handed on.
    positions: Mutex<BTreeMap<Place, i64>>,
}

/// A tail; it ends with this value, within a moment and without anybody waiting for it.
pub(crate) struct Tail {
    shared: Arc<Shared>,
}

impl Tail {
    /// Begins to read these topics, which need not be in reach yet.
    ///
    /// # Errors
    /// A setting that librdkafka does not take, or no thread is to be had.
    pub(crate) fn start(
        config: &KafkaConfig,
        topics: Vec<String>,
        settings: TailSettings,
        sink: impl Sink,
    ) -> Result<Self, KafkaError> {
        let bell = Arc::new(Bell::default());
        let shared = Arc::new(Shared {
            topics,
            settings,
            bell,
            state: watch::Sender::new(State::Starting(None)),
            positions: Mutex::default(),
        });
        let tail = Self { shared: Arc::clone(&shared) };
        let (orders, taken) = mpsc::sync_channel(ORDERS);
        let reader = Reader::new(Arc::clone(&shared), taken, sink);
        let watcher = Watcher::new(shared, client(config, settings), orders)?;
        spawn("chat-kafka-read", move || reader.run())?;
        let watched = Arc::clone(&tail.shared);
        spawn("chat-kafka-watch", move || watched.guard("watches", || watcher.run()))?;
        Ok(tail)
    }

    /// Waits until the ends of the partitions are known: what is written from then on is handed on. Of partitions that have no leader for
    /// some seconds it is told as missed.
    ///
    /// # Errors
    /// Not within `patience`, and what stands in the way.
    ///
    /// # Cancel safety
    /// Nothing is lost with a call that is dropped.
    pub(crate) async fn ready(&self, patience: Duration) -> Result<(), KafkaError> {
        let mut state = self.shared.state.subscribe();
        // Whoever is not let in need not wait.
        let is_denied = |error: &KafkaError| error.kind() == KafkaErrorKind::Denied;
        let begun = state.wait_for(|state| match state {
            State::Starting(error) => error.as_ref().is_some_and(is_denied),
            State::Live | State::Troubled(_) | State::Dead(_) => true,
        });
        // What it is in by now is looked at in any case.
        drop(timeout(patience, begun).await);
        let late = || KafkaError::new(KafkaErrorKind::Connection, "the topics' ends were not known in time");
        match &*self.shared.state.borrow() {
            State::Starting(error) => Err(error.clone().unwrap_or_else(late)),
            State::Live | State::Troubled(_) => Ok(()),
            State::Dead(error) => Err(error.clone()),
        }
    }

    /// What stands in the way of reading now.
    pub(crate) fn health(&self) -> Result<(), KafkaError> {
        let starting = || KafkaError::new(KafkaErrorKind::Connection, "the topics' ends are not known yet");
        match &*self.shared.state.borrow() {
            State::Live => Ok(()),
            State::Starting(error) => Err(error.clone().unwrap_or_else(starting)),
            State::Troubled(error) | State::Dead(error) => Err(error.clone()),
        }
    }

    /// Ends it; what was read already may still be handed on.
    pub(crate) fn close(&self) {
        self.shared.bell.close();
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail")
            .field("topics", &self.shared.topics)
            .field("state", &*self.shared.state.borrow())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn positions(&self) -> std::sync::MutexGuard<'_, BTreeMap<Place, i64>> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing follows after death.
    fn is_in(&self, state: State) {
        self.state.send_if_modified(|now| {
            let lives = !matches!(now, State::Dead(_));
            if lives {
                *now = state;
            }
            lives
        });
    }

    /// Runs one of the two threads. Neither is of use without the other, so a panic of one ends both.
    fn guard(&self, does: &'static str, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!(topics = ?self.topics, "the thread that {does} topics panicked; nothing is read any more");
            let why = format!("the thread that {does} panicked");
            self.is_in(State::Dead(KafkaError::new(KafkaErrorKind::Fatal, why)));
            self.bell.close();
        }
    }

    fn death(&self) -> Option<KafkaError> {
        match &*self.state.borrow() {
            State::Dead(why) => Some(why.clone()),
            State::Starting(_) | State::Live | State::Troubled(_) => None,
        }
    }
}

fn client(config: &KafkaConfig, settings: TailSettings) -> ClientConfig {
    let mut client = config.client();
    // How much waits here, and how long before what waits is asked for again, is open to whoever knows better.
    for (name, value) in [
        ("fetch.error.backoff.ms", "100"),
        ("fetch.queue.backoff.ms", "50"),
        ("queued.max.messages.kbytes", "16384"),
        ("socket.keepalive.enable", "true"),
        ("log.connection.close", "false"),
    ] {
        if client.get(name).is_none() {
            client.set(name, value);
        }
    }
    client.set("group.id", GROUP);
    client.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    client.set("allow.auto.create.topics", "false");
    // What is not there any more is looked at here, and not passed over in silence.
    client.set("auto.offset.reset", "error");
    // The watcher compares offsets with the end; of a transaction that is open they would be two.
    client.set("isolation.level", "read_uncommitted");
    // By these a connection is known to have broken: librdkafka keeps what comes often to itself.
    let looks = settings.refresh.min(Duration::from_secs(1)).as_millis().max(50);
    client.set(STATISTICS, looks.to_string());
    client
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), KafkaError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map(drop).map_err(|error| KafkaError::new(KafkaErrorKind::Other, error))
}

#[cfg(test)]
mod tests;

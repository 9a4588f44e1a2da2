//! Reads of a room's log that sessions share: those that are under way, and for a moment what they brought.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, future::Shared};
use tokio::{sync::oneshot, time::sleep};

use crate::{
    Broadcast, Cursor, Head, ReadQuery, Result, RoomId, View, chat::Parts, error::SharedError, hub::LiveEntry,
};

/// For so long what follows a position is kept for others who come from there: when a node goes down, all of a room's sessions come
/// back from the same position, but one after the other. What came since is read from the page's end on: also what changed its entries,
/// which are given as they were, as those in memory are.
const KEPT: Duration = Duration::from_secs(2);
/// How many times the bytes of a room's buffer it may be: with the default settings all that is sent again after a break, of messages
/// of 700 bytes.
const KEPT_BUFFERS: usize = 4;

/// A page of a room's log that sessions share, each entry encoded at most once per protocol.
#[derive(Debug)]
#[non_exhaustive]
pub struct LivePage {
    /// Oldest first.
    pub entries: Vec<LiveEntry>,
    /// What the room held when the page was read.
    pub head: Head,
    /// Nothing follows this page.
    pub reaches_head: bool,
    /// Nothing that is still kept precedes this page.
    pub reaches_start: bool,
}

/// What is read: at most one such read of a room is under way on a node, whoever waits for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Read {
    /// The newest entries of the timeline, for showing.
    Newest { limit: usize },
    /// The newest entries of the log, for memory.
    Warm { limit: usize },
    /// What follows a position, for catching up.
    After { epoch: String, seq: u64, limit: usize },
}

impl Read {
    pub(crate) fn after(cursor: &Cursor, limit: usize) -> Self {
        Self::After { epoch: cursor.epoch.as_str().to_owned(), seq: cursor.seq.get(), limit }
    }

    fn query(&self) -> Result<ReadQuery> {
        Ok(match self {
            Self::Newest { limit } => ReadQuery::newest().with_view(View::Timeline).with_limit(*limit),
            Self::Warm { limit } => ReadQuery::newest().with_limit(*limit),
            Self::After { epoch, seq, limit } => {
                let cursor = format!("{epoch}.{seq}")
                    .parse()
                    .map_err(|error| crate::Error::invalid("cursor", error))?;
                ReadQuery::after(cursor).with_limit(*limit)
            }
        })
    }
}

type Answer = Result<Arc<LivePage>, SharedError>;
type Flight = Shared<
    futures::future::Map<oneshot::Receiver<Answer>, fn(Result<Answer, oneshot::error::RecvError>) -> Answer>,
>;

/// Reads of one room, shared by all who ask for the same.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    reads: Arc<Mutex<Reads>>,
}

#[derive(Debug, Default)]
struct Reads {
    flights: BTreeMap<Read, (u64, Flight)>,
    /// How many there have been.
    begun: u64,
    /// Of the pages that are kept.
    kept_bytes: usize,
}

impl Reads {
    /// Ends a read, unless it was begun anew meanwhile.
    fn remove(&mut self, read: &Read, number: u64) {
        if self.flights.get(read).is_some_and(|(begun, _)| *begun == number) {
            self.flights.remove(read);
        }
    }
}

fn lock(reads: &Mutex<Reads>) -> MutexGuard<'_, Reads> {
    reads.lock().unwrap_or_else(PoisonError::into_inner)
}

fn landed(answer: Result<Answer, oneshot::error::RecvError>) -> Answer {
    // The reading task never drops its sender unsent, short of a runtime that ends or a log that panics.
    answer.unwrap_or_else(|_| Err(SharedError::new(crate::Error::Draining)))
}

impl Flights {
    /// Reads, or waits for the read that is under way, or takes what it brought a moment ago. It goes on whoever stops waiting.
    pub(crate) async fn read(&self, parts: &Arc<Parts>, room: &RoomId, read: Read) -> Result<Arc<LivePage>> {
        self.flight(parts, room, read, false).await.map_err(|error| error.to_error())
    }

    /// Reads, or waits for the read that is under way.
    pub(crate) async fn read_anew(
        &self,
        parts: &Arc<Parts>,
        room: &RoomId,
        read: Read,
    ) -> Result<Arc<LivePage>> {
        self.flight(parts, room, read, true).await.map_err(|error| error.to_error())
    }

    fn flight(&self, parts: &Arc<Parts>, room: &RoomId, read: Read, anew: bool) -> Flight {
        let mut reads = lock(&self.reads);
        match reads.flights.get(&read) {
            // What failed is tried again, also where a log has panicked.
            Some((_, flight)) if !flight.peek().is_some_and(|landed| anew || landed.is_err()) => {
                flight.clone()
            }
            _ => {
                reads.begun += 1;
                let number = reads.begun;
                let flight = self.start(parts.clone(), room.clone(), read.clone(), number);
                reads.flights.insert(read, (number, flight.clone()));
                flight
            }
        }
    }

    fn start(&self, parts: Arc<Parts>, room: RoomId, read: Read, number: u64) -> Flight {
        let (done, answer) = oneshot::channel();
        let shared = self.reads.clone();
        tokio::spawn(async move {
            let result = match read.query() {
                Ok(query) => parts.call("read", parts.log.read(&room, query)).await,
                Err(error) => Err(error),
            };
            let answer = result.map_err(SharedError::new).map(|page| {
                let entries = page.entries.into_iter().map(|entry| Arc::new(Broadcast::new(entry))).collect();
                let (head, reaches_head, reaches_start) = (page.head, page.reaches_head, page.reaches_start);
                Arc::new(LivePage { entries, head, reaches_head, reaches_start })
            });
            let bytes = answer.as_ref().map_or(0, |page| len_bytes(&read, page));
            let kept = {
                let most = parts.settings.room_buffer_bytes.saturating_mul(KEPT_BUFFERS);
                let mut reads = lock(&shared);
                let kept = bytes > 0 && reads.kept_bytes + bytes <= most;
                if kept {
                    reads.kept_bytes += bytes;
                } else {
                    reads.remove(&read, number);
                }
                kept
            };
            drop(parts);
            // Nobody waits any more: fine.
            let _ = done.send(answer);
            if kept {
                sleep(KEPT).await;
                let mut reads = lock(&shared);
                reads.kept_bytes -= bytes;
                reads.remove(&read, number);
            }
        });
        answer.map(landed as fn(_) -> _).shared()
    }
}

/// Of a page that is worth keeping.
fn len_bytes(read: &Read, page: &LivePage) -> usize {
    match read {
        Read::After { .. } => page.entries.iter().map(|entry| entry.value().len_bytes()).sum(),
        // The newest page is for showing, and the one for memory is kept there.
        Read::Newest { .. } | Read::Warm { .. } => 0,
    }
}

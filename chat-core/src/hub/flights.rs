use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt, future::Shared};
use tokio::sync::oneshot;

use crate::{
    Broadcast, Cursor, Head, ReadQuery, Result, RoomId, View, chat::Parts, error::SharedError, hub::LiveEntry,
};

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

/// Reads of one room that are under way, shared by all who ask for the same.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    under_way: Arc<Mutex<BTreeMap<Read, Flight>>>,
}

fn landed(answer: Result<Answer, oneshot::error::RecvError>) -> Answer {
    // The reading task never drops its sender unsent, short of a runtime that ends.
    answer.unwrap_or_else(|_| Err(SharedError::new(crate::Error::Draining)))
}

impl Flights {
    /// Reads, or waits for the read that is under way. It goes on whoever stops waiting.
    pub(crate) async fn read(&self, parts: &Arc<Parts>, room: &RoomId, read: Read) -> Result<Arc<LivePage>> {
        let flight = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            match under_way.get(&read) {
                Some(flight) => flight.clone(),
                None => {
                    let flight = self.start(parts, room, read.clone());
                    under_way.insert(read, flight.clone());
                    flight
                }
            }
        };
        flight.await.map_err(|error| error.to_error())
    }

    fn start(&self, parts: &Arc<Parts>, room: &RoomId, read: Read) -> Flight {
        let (done, answer) = oneshot::channel();
        let (parts, room, under_way) = (parts.clone(), room.clone(), self.under_way.clone());
        tokio::spawn(async move {
            let result = match read.query() {
                Ok(query) => parts.call("read", parts.log.read(&room, query)).await,
                Err(error) => Err(error),
            };
            under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&read);
            let answer = result.map_err(SharedError::new).map(|page| {
                let entries = page.entries.into_iter().map(|entry| Arc::new(Broadcast::new(entry))).collect();
                let (head, reaches_head, reaches_start) = (page.head, page.reaches_head, page.reaches_start);
                Arc::new(LivePage { entries, head, reaches_head, reaches_start })
            });
            // Nobody waits any more: fine.
            let _ = done.send(answer);
        });
        answer.map(landed as fn(_) -> _).shared()
    }
}

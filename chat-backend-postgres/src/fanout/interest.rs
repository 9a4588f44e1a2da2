//! Which channels are wanted on this node, and which are listened to.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_core::fanout::{Interest, Topic};
use tokio::sync::{Notify, watch};

use super::channel::{BUCKETS, bucket_of};
use crate::{PostgresError, PostgresErrorKind};

/// A set of buckets.
type Buckets = [bool; BUCKETS];

#[derive(Debug)]
pub(super) struct Channeled {
    /// How many topics of each bucket have a subscriber.
    topics: Mutex<[u32; BUCKETS]>,
    state: watch::Sender<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// `LISTEN` is in force.
    listened: Buckets,
    connected: bool,
    /// Why it is not connected.
    failure: Option<PostgresError>,
    closed: bool,
}

impl Channeled {
    pub(super) fn new() -> Self {
        let state = State { listened: [false; BUCKETS], connected: false, failure: None, closed: false };
        Self { topics: Mutex::new([0; BUCKETS]), state: watch::Sender::new(state), changed: Notify::new() }
    }

    fn topics(&self) -> MutexGuard<'_, [u32; BUCKETS]> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A topic got its first subscriber, or lost its last one.
    pub(super) fn note(&self, topic: &Topic, interest: Interest) {
        let bucket = usize::from(bucket_of(topic));
        let mut topics = self.topics();
        match interest {
            Interest::Begins => {
                topics[bucket] += 1;
                if !self.state.borrow().listened[bucket] {
                    self.changed.notify_one();
                }
            }
            Interest::Ends => topics[bucket] = topics[bucket].saturating_sub(1),
        }
    }

    /// Returns once the topic's channel is listened to.
    pub(super) async fn in_force(&self, topic: &Topic) -> Result<(), PostgresError> {
        let bucket = usize::from(bucket_of(topic));
        let mut state = self.state.subscribe();
        let closed = match state.wait_for(|state| state.listened[bucket] || state.closed).await {
            Ok(state) => state.closed,
            Err(_) => true,
        };
        if closed { Err(closed_error()) } else { Ok(()) }
    }

    /// Why there is no connection, if there is none.
    pub(super) fn failure(&self) -> Option<PostgresError> {
        let state = self.state.borrow();
        if state.closed {
            return Some(closed_error());
        }
        state.failure.clone().filter(|_| !state.connected)
    }

    /// Something is wanted that is not listened to, most likely.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Buckets that are wanted and not listened to.
    pub(super) fn lacking(&self) -> Vec<u8> {
        let topics = self.topics();
        let state = self.state.borrow();
        (0..=u8::MAX)
            .filter(|bucket| topics[usize::from(*bucket)] > 0 && !state.listened[usize::from(*bucket)])
            .collect()
    }

    /// Buckets that are listened to and not wanted. They count as not listened to from now on: who comes later waits.
    pub(super) fn take_idle(&self) -> Vec<u8> {
        let topics = self.topics();
        let mut idle = Vec::new();
        self.state.send_if_modified(|state| {
            for (bucket, listened) in (0..=u8::MAX).zip(&mut state.listened) {
                if *listened && topics[usize::from(bucket)] == 0 {
                    *listened = false;
                    idle.push(bucket);
                }
            }
            // Nobody waits for this.
            false
        });
        idle
    }

    /// These are listened to.
    pub(super) fn confirm(&self, buckets: &[u8]) {
        self.state.send_modify(|state| {
            state.connected = true;
            state.failure = None;
            buckets.iter().for_each(|bucket| state.listened[usize::from(*bucket)] = true);
        });
    }

    /// Nothing is listened to any more.
    pub(super) fn lost(&self, failure: PostgresError) {
        self.state.send_modify(|state| {
            state.connected = false;
            state.failure = Some(failure);
            state.listened = [false; BUCKETS];
        });
    }

    /// For good.
    pub(super) fn close(&self) {
        self.state.send_modify(|state| {
            state.closed = true;
            state.listened = [false; BUCKETS];
        });
    }
}

pub(super) fn closed_error() -> PostgresError {
    PostgresError::new(PostgresErrorKind::Closed, "the backend was closed")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chat_core::RoomId;

    use super::*;

    fn topic() -> Topic {
        Topic::Room(RoomId::new("tea").unwrap())
    }

    #[tokio::test]
    async fn a_channel_is_listened_to_from_its_first_topic_until_it_is_idle() {
        let (channeled, topic) = (Channeled::new(), topic());
        let bucket = bucket_of(&topic);
        assert!(channeled.lacking().is_empty());
        channeled.note(&topic, Interest::Begins);
        channeled.changed().await;
        assert_eq!(channeled.lacking(), [bucket]);
        let waits = tokio::time::timeout(Duration::from_millis(10), channeled.in_force(&topic));
        assert!(waits.await.is_err(), "not yet in force");
        channeled.confirm(&[bucket]);
        channeled.in_force(&topic).await.unwrap();
        assert_eq!((channeled.lacking(), channeled.take_idle()), (vec![], vec![]));
        channeled.note(&topic, Interest::Ends);
        assert_eq!(channeled.take_idle(), [bucket]);
        channeled.note(&topic, Interest::Begins);
        assert_eq!(channeled.lacking(), [bucket], "it was given up meanwhile");
    }

    #[tokio::test]
    async fn a_lost_connection_lacks_everything_and_an_end_is_told_to_who_waits() {
        let channeled = Channeled::new();
        channeled.note(&topic(), Interest::Begins);
        channeled.confirm(&channeled.lacking());
        assert!(channeled.failure().is_none());
        channeled.lost(PostgresError::new(PostgresErrorKind::Connection, "reset"));
        assert_eq!(channeled.failure().map(|failure| failure.kind()), Some(PostgresErrorKind::Connection));
        assert_eq!(channeled.lacking().len(), 1);
        channeled.close();
        let error = channeled.in_force(&topic()).await.unwrap_err();
        assert_eq!(error.kind(), PostgresErrorKind::Closed);
    }
}

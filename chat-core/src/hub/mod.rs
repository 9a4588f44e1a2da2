//! Rooms and users with sessions on this node.

mod flights;
mod lane;
mod lane_task;
mod link;
mod order;
mod recheck;
mod user_lane;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{Notify, watch};
use tracing::debug;

use crate::{
    ConnectionId, Cursor, Error, Result, RoomId, StoredMessage, UserId,
    chat::Parts,
    mutation::Mutation,
    session::{CloseReason, SessionCore},
};

pub use self::{flights::LivePage, order::LiveEntry};
pub(crate) use self::{
    flights::Read,
    lane::Lane,
    lane_task::Backoff,
    link::{Phase, RoomLink},
    order::Pull,
};
use self::{lane_task::LaneTask, user_lane::UserLane};

/// Rooms asked about in one call when heads are compared.
const HEADS_PER_CALL: usize = 1_000;

/// Hands entries and events to the sessions of this node.
#[derive(Debug)]
pub(crate) struct Hub {
    parts: Arc<Parts>,
    shutdown: watch::Receiver<()>,
    lanes: Mutex<BTreeMap<RoomId, Arc<Lane>>>,
    users: Mutex<BTreeMap<UserId, Arc<UserLane>>>,
    sessions: Mutex<BTreeMap<u64, Arc<SessionCore>>>,
    next_session: AtomicU64,
    interrupted: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(crate) fn new(parts: Arc<Parts>, shutdown: watch::Receiver<()>) -> Arc<Self> {
        Arc::new(Self {
            parts,
            shutdown,
            lanes: Mutex::default(),
            users: Mutex::default(),
            sessions: Mutex::default(),
            next_session: AtomicU64::new(1),
            interrupted: Notify::new(),
        })
    }

    /// Waits until the fan-out has told of an interruption that nobody has waited for yet.
    pub(crate) async fn interrupted(&self) {
        self.interrupted.notified().await;
    }

    pub(crate) fn existing_lane(&self, room: &RoomId) -> Option<Arc<Lane>> {
        lock(&self.lanes).get(room).cloned()
    }

    /// The room's lane, started if there is none, once it is live.
    pub(crate) async fn lane(self: &Arc<Self>, room: &RoomId) -> Result<Arc<Lane>> {
        let lane = {
            let mut lanes = lock(&self.lanes);
            match lanes.get(room) {
                Some(lane) => lane.clone(),
                None => {
                    if self.shutdown.has_changed().is_err() {
                        return Err(Error::Draining);
                    }
                    let lane = Lane::new(room.clone());
                    lanes.insert(room.clone(), lane.clone());
                    let task = LaneTask {
                        lane: lane.clone(),
                        parts: self.parts.clone(),
                        hub: self.clone(),
                        shutdown: self.shutdown.clone(),
                    };
                    tokio::spawn(task.run());
                    lane
                }
            }
        };
        lane.ready().await?;
        Ok(lane)
    }

    /// Takes a lane that has ended out of the list, unless another has taken its place.
    fn forget(&self, lane: &Arc<Lane>) {
        let mut lanes = lock(&self.lanes);
        if lanes.get(&lane.room).is_some_and(|current| Arc::ptr_eq(current, lane)) {
            lanes.remove(&lane.room);
        }
    }

    /// An entry was stored by this node.
    pub(crate) fn offer(&self, message: &StoredMessage) {
        if let Some(lane) = self.existing_lane(&message.room) {
            lane.offer(message);
        }
    }

    pub(crate) fn hint(&self, room: &RoomId, cursor: &Cursor) {
        if let Some(lane) = self.existing_lane(room) {
            lane.hint(cursor);
        }
    }

    fn lanes(&self) -> Vec<Arc<Lane>> {
        lock(&self.lanes).values().cloned().collect()
    }

    /// Compares every room's head with the log, so that a lost last entry is found.
    pub(crate) async fn check_heads(&self) {
        if self.parts.settings.is_mutated(Mutation::NoHeadCheck) {
            return;
        }
        for lanes in self.lanes().chunks(HEADS_PER_CALL) {
            let rooms: Vec<RoomId> = lanes.iter().map(|lane| lane.room.clone()).collect();
            match self.parts.call("heads", self.parts.log.heads(&rooms)).await {
                Ok(heads) => {
                    for (lane, head) in lanes.iter().zip(heads) {
                        match head {
                            Some(head) => lane.hint(&head.cursor),
                            None => lane.verify(),
                        }
                    }
                }
                Err(error) => debug!(%error, "heads could not be compared with the log"),
            }
        }
    }

    pub(crate) fn next_session_id(&self) -> u64 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    /// Registers a session: from here on it hears what concerns its user.
    pub(crate) fn add_session(self: &Arc<Self>, session: &Arc<SessionCore>) {
        lock(&self.sessions).insert(session.id, session.clone());
        let surplus = {
            let mut users = lock(&self.users);
            let lane = users.entry(session.user.clone()).or_insert_with(|| {
                let lane = UserLane::new(session.user.clone());
                tokio::spawn(lane.clone().run(self.parts.clone(), self.clone(), self.shutdown.clone()));
                lane
            });
            lane.add(session, self.parts.settings.sessions_per_user)
        };
        surplus.iter().for_each(|oldest| oldest.close(CloseReason::Replaced, None));
    }

    pub(crate) fn remove_session(&self, session: &SessionCore) {
        lock(&self.sessions).remove(&session.id);
        let mut users = lock(&self.users);
        if let Some(lane) = users.get(&session.user)
            && lane.remove(session)
        {
            lane.close();
            users.remove(&session.user);
        }
    }

    /// Another session took what this connection's session was bound to.
    pub(crate) fn supersede(&self, user: &UserId, connection: &ConnectionId) {
        let lane = lock(&self.users).get(user).cloned();
        if let Some(lane) = lane {
            lane.supersede(connection);
        }
    }

    pub(crate) fn sessions(&self) -> Vec<Arc<SessionCore>> {
        lock(&self.sessions).values().cloned().collect()
    }

    pub(crate) fn session_count(&self) -> usize {
        lock(&self.sessions).len()
    }
}

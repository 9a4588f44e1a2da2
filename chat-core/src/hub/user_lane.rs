//! A user with sessions on this node: what concerns the user rather than a room.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tracing::debug;

use crate::{
    Broadcast, ConnectionId, UserId,
    chat::Parts,
    fanout::{FanoutEvent, FanoutItem, Topic},
    hub::{Hub, lane_task::Backoff},
    mutation::Mutation,
    session::{CloseReason, SessionCore},
};

#[derive(Debug)]
pub(crate) struct UserLane {
    pub(crate) user: UserId,
    sessions: Mutex<Vec<Arc<SessionCore>>>,
    /// The last session is gone.
    deserted: Notify,
}

impl UserLane {
    pub(crate) fn new(user: UserId) -> Arc<Self> {
        Arc::new(Self { user, sessions: Mutex::default(), deserted: Notify::new() })
    }

    /// Adds a session. The oldest are to be ended where there are more than `most`.
    pub(crate) fn add(&self, session: &Arc<SessionCore>, most: usize) -> Vec<Arc<SessionCore>> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.push(session.clone());
        let surplus = sessions.len().saturating_sub(most);
        sessions.drain(..surplus).collect()
    }

    /// Removes a session; true if it was the last.
    pub(crate) fn remove(&self, session: &SessionCore) -> bool {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|other| other.id != session.id);
        sessions.is_empty()
    }

    pub(crate) fn close(&self) {
        self.deserted.notify_one();
    }

    fn sessions(&self) -> Vec<Arc<SessionCore>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the session of this connection, if it is one of these.
    pub(crate) fn supersede(&self, connection: &ConnectionId) {
        for session in self.sessions() {
            if session.connection() == connection {
                session.close(CloseReason::Superseded, None);
            }
        }
    }

    fn event(&self, event: &FanoutEvent, parts: &Parts, hub: &Hub) {
        if let FanoutEvent::Revoked(revocation) = event {
            if parts.settings.is_mutated(Mutation::IgnoreExpiry) {
                return;
            }
            for session in self.sessions() {
                if revocation.covers(&session.principal()) {
                    session.close(CloseReason::Revoked, None);
                }
            }
            return;
        }
        if let FanoutEvent::Superseded { connection } = event {
            self.supersede(connection);
            return;
        }
        if let FanoutEvent::MemberChanged { room, member } = event {
            // The room's own topic says so too; whichever comes through ends the subscription.
            if let Some(lane) = hub.existing_lane(room) {
                lane.member_changed(member, parts);
            }
        }
        let notice = Arc::new(Broadcast::new(event.clone()));
        for session in self.sessions() {
            // A joined room's own topic has told it already.
            let told = match event {
                FanoutEvent::Read { room, .. } | FanoutEvent::MemberChanged { room, .. } => {
                    session.has_joined(room)
                }
                _ => false,
            };
            if !told {
                session.push_notice(&notice, parts.settings.notice_queue);
            }
        }
    }

    /// Follows the user's topic until the last session is gone.
    pub(crate) async fn run(
        self: Arc<Self>,
        parts: Arc<Parts>,
        hub: Arc<Hub>,
        mut shutdown: watch::Receiver<()>,
    ) {
        let topic = Topic::User(self.user.clone());
        let mut pause = Backoff::default();
        loop {
            let subscription = tokio::select! {
                biased;
                _ = shutdown.changed() => return,
                () = self.deserted.notified() => return,
                subscription = parts.call("subscribe", parts.fanout.subscribe(&topic)) => subscription,
            };
            if let Ok(mut subscription) = subscription {
                pause.reset();
                self.missed(&hub);
                loop {
                    tokio::select! {
                        biased;
                        _ = shutdown.changed() => return,
                        () = self.deserted.notified() => return,
                        item = subscription.next() => match item {
                            Some(Ok(FanoutItem::Event(event))) => self.event(&event, &parts, &hub),
                            Some(Ok(FanoutItem::Missed)) => {
                                hub.interrupted.notify_one();
                                self.missed(&hub);
                                self.sessions().iter().for_each(|session| session.lose_notices());
                            }
                            Some(Err(error)) => {
                                debug!(%error, "a user's subscription ended");
                                break;
                            }
                            None => break,
                        },
                    }
                }
            }
            let again = Instant::now() + pause.next();
            tokio::select! {
                biased;
                _ = shutdown.changed() => return,
                () = self.deserted.notified() => return,
                () = tokio::time::sleep_until(again) => {}
            }
        }
    }

    /// What was said before the subscription stood may have been a revocation, or that another session took a binding.
    fn missed(&self, hub: &Arc<Hub>) {
        for session in self.sessions() {
            hub.revalidate(&session);
        }
    }
}

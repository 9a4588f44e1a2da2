//! This node's part in presence: its lease, its connections, and the announcements that follow from them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tracing::{debug, error, warn};

use crate::{
    ConnectionId, NodeId, Result, UserId,
    chat::{Parts, publisher::Publisher},
    fanout::{FanoutEvent, Publication, Topic},
    hub::Hub,
    mutation::Mutation,
    presence::{Incarnation, LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
    session::SessionCore,
};

/// Tasks that tell the store of connections; one connection always uses the same one, so its coming precedes its going.
const WORKERS: usize = 8;
/// Changes that may wait in each. Past that everything is registered anew with the next renewal.
const QUEUE: usize = 4_096;
/// Connections that are registered anew at the same time: all have to be before the grace of their users ends.
const REGISTERED_AT_ONCE: usize = 32;
/// The pause before a renewal that is due early: another try, or a look after an interruption, however many topics tell of one.
const SOON: Duration = Duration::from_secs(1);
/// Rooms that are asked for at a time.
const ROOMS_PER_PAGE: usize = 100;

#[derive(Debug)]
enum Change {
    Came(Arc<SessionCore>),
    Went(PresenceConnection),
}

#[derive(Debug)]
pub(crate) struct PresenceKeeper {
    parts: Arc<Parts>,
    node: NodeId,
    lease: Mutex<NodeLease>,
    next_incarnation: AtomicU64,
    workers: Vec<mpsc::Sender<Change>>,
    publisher: Publisher,
    /// A change did not reach the store: begin a new lease, which ends all connections of the old one, and register
    /// every connection anew.
    rebuild: AtomicBool,
    /// A renewal had no answer, and may have begun the lease: register every connection with the next one that has, whatever it says.
    unanswered: AtomicBool,
    renew_now: Notify,
}

impl PresenceKeeper {
    pub(crate) fn start(
        parts: &Arc<Parts>,
        hub: &Arc<Hub>,
        node: NodeId,
        stopped: &watch::Receiver<()>,
    ) -> Arc<Self> {
        let incarnation = Incarnation(parts.clock.now().as_millis());
        let (workers, queues): (Vec<_>, Vec<_>) = (0..WORKERS).map(|_| mpsc::channel(QUEUE)).unzip();
        let keeper = Arc::new(Self {
            parts: parts.clone(),
            lease: Mutex::new(NodeLease { node: node.clone(), incarnation }),
            node,
            next_incarnation: AtomicU64::new(1),
            workers,
            publisher: Publisher::start(parts),
            rebuild: AtomicBool::new(false),
            unanswered: AtomicBool::new(false),
            renew_now: Notify::new(),
        });
        tokio::spawn(keeper.clone().run(hub.clone(), queues, stopped.clone()));
        keeper
    }

    pub(crate) const fn node(&self) -> &NodeId {
        &self.node
    }

    fn lease(&self) -> NodeLease {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection of this node, to be told of with [`came`](Self::came).
    pub(crate) fn connection(&self, user: &UserId, connection: ConnectionId) -> PresenceConnection {
        let incarnation = Incarnation(self.next_incarnation.fetch_add(1, Ordering::Relaxed));
        PresenceConnection { user: user.clone(), connection, incarnation, lease: self.lease() }
    }

    pub(crate) fn came(&self, session: &Arc<SessionCore>) {
        self.tell(session.id, Change::Came(session.clone()));
    }

    pub(crate) fn went(&self, session: &SessionCore) {
        self.tell(session.id, Change::Went(session.presence.clone()));
    }

    fn tell(&self, session: u64, change: Change) {
        let worker = usize::try_from(session % WORKERS as u64).unwrap_or(0);
        if self.workers[worker].try_send(change).is_err() {
            self.rebuild.store(true, Ordering::Release);
        }
    }

    /// Gives the lease up, and with it every connection.
    pub(crate) async fn release(&self) {
        let lease = self.lease();
        if let Err(error) = self.parts.call("release", self.parts.presence.release(&lease)).await {
            debug!(%error, "the presence lease could not be given up; it will run out");
        }
    }

    async fn run(
        self: Arc<Self>,
        hub: Arc<Hub>,
        queues: Vec<mpsc::Receiver<Change>>,
        mut stopped: watch::Receiver<()>,
    ) {
        // Connections need the lease. Without an answer they are registered when it begins.
        let mut renewed_at = Instant::now();
        let mut renew_at = self.renew(&hub).await;
        for queue in queues {
            tokio::spawn(self.clone().work(queue, stopped.clone()));
        }
        let settings = &self.parts.settings;
        let sweep_interval =
            (settings.presence_grace / 2).clamp(Duration::from_millis(50), Duration::from_secs(5));
        let mut sweep_at = Instant::now() + sweep_interval;
        loop {
            tokio::select! {
                biased;
                _ = stopped.changed() => return,
                () = self.renew_now.notified() => {
                    renewed_at = Instant::now();
                    renew_at = self.renew(&hub).await;
                }
                // Who carries events often keeps presence, too, and may have come up again without the lease.
                () = hub.interrupted() => {
                    renew_at = renew_at.min(Instant::now().max(renewed_at + self.soon()));
                }
                () = tokio::time::sleep_until(renew_at) => {
                    renewed_at = Instant::now();
                    renew_at = self.renew(&hub).await;
                }
                () = tokio::time::sleep_until(sweep_at) => {
                    self.sweep().await;
                    sweep_at = Instant::now() + sweep_interval;
                }
            }
        }
    }

    fn soon(&self) -> Duration {
        SOON.min(self.parts.settings.presence_renewal)
    }

    /// Renews the lease, and says when it is to be renewed again.
    async fn renew(&self, hub: &Hub) -> Instant {
        let mut pause = self.parts.settings.presence_renewal;
        if self.rebuild.swap(false, Ordering::AcqRel) {
            let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
            lease.incarnation = Incarnation(lease.incarnation.0 + 1);
        }
        let lease = self.lease();
        let renewal = self.parts.presence.renew(&lease, self.parts.settings.presence_lease);
        // Said before it is asked, so that it holds whatever becomes of the answer.
        let was_unanswered = self.unanswered.swap(true, Ordering::AcqRel);
        let answer = self.parts.call("renew", renewal).await;
        self.unanswered.store(answer.is_err(), Ordering::Release);
        match answer {
            Ok(LeaseStatus::Renewed) if !was_unanswered => {}
            Ok(LeaseStatus::Renewed | LeaseStatus::Started) => {
                if !self.parts.settings.is_mutated(Mutation::NoReregistration) {
                    let sessions = stream::iter(hub.sessions());
                    sessions
                        .for_each_concurrent(REGISTERED_AT_ONCE, async |session| {
                            self.connected(&session).await
                        })
                        .await;
                }
            }
            Ok(LeaseStatus::Superseded) => {
                error!(node = %lease.node, "another process serves under this node's name; give each its own");
            }
            Err(error) => {
                warn!(error = %error.with_causes(), "the presence lease was not renewed; presence is unknown meanwhile");
                pause = self.soon();
            }
        }
        Instant::now() + pause
    }

    async fn work(self: Arc<Self>, mut queue: mpsc::Receiver<Change>, mut stopped: watch::Receiver<()>) {
        loop {
            let change = tokio::select! {
                biased;
                change = queue.recv() => change,
                _ = stopped.changed() => return,
            };
            match change {
                Some(Change::Came(session)) => self.connected(&session).await,
                Some(Change::Went(connection)) => self.disconnected(connection).await,
                None => return,
            }
        }
    }

    async fn connected(&self, session: &SessionCore) {
        let connection = PresenceConnection { lease: self.lease(), ..session.presence.clone() };
        match self.parts.call("connected", self.parts.presence.connected(&connection)).await {
            Ok(PresenceChange::CameOnline) => {
                if let Err(error) = self.announce_online(&connection.user).await {
                    debug!(%error, "a user's coming online was not announced");
                }
            }
            Ok(PresenceChange::Noted) => {}
            // Ended meanwhile, or the lease ran out: then the renewal registers it again.
            Ok(PresenceChange::Stale) if session.is_closing() => {}
            Ok(PresenceChange::Stale) => self.renew_now.notify_one(),
            Err(error) => {
                debug!(%error, "a connection was not registered; it is tried again with the next renewal");
                self.rebuild.store(true, Ordering::Release);
            }
        }
    }

    async fn disconnected(&self, connection: PresenceConnection) {
        let connection = PresenceConnection { lease: self.lease(), ..connection };
        if let Err(error) =
            self.parts.call("disconnected", self.parts.presence.disconnected(&connection)).await
        {
            debug!(%error, "the end of a connection was not registered; it is made good with the next renewal");
            self.rebuild.store(true, Ordering::Release);
        }
    }

    async fn announce_online(&self, user: &UserId) -> Result<()> {
        let now =
            self.parts.call("presence", self.parts.presence.presence(std::slice::from_ref(user))).await?;
        for presence in now {
            self.announce(presence).await?;
        }
        Ok(())
    }

    async fn sweep(&self) {
        match self.parts.call("sweep", self.parts.presence.sweep(self.parts.settings.presence_grace)).await {
            Ok(gone) => {
                for presence in gone {
                    if let Err(error) = self.announce(presence).await {
                        debug!(%error, "a user's going offline was not announced");
                    }
                }
            }
            Err(error) => debug!(%error, "presence was not swept"),
        }
    }

    /// Tells the user's rooms, those with the latest activity first.
    async fn announce(&self, presence: UserPresence) -> Result<()> {
        let mut left = self.parts.settings.presence_rooms;
        let mut after = None;
        while left > 0 {
            let rooms = self.parts.rooms.rooms_of(&presence.user, after.as_ref(), left.min(ROOMS_PER_PAGE));
            let page = self.parts.call("rooms_of", rooms).await?;
            left -= page.rooms.len().min(left);
            let tell = |room: crate::rooms::RoomSummary| {
                Publication::new(Topic::Room(room.room.id), FanoutEvent::Presence(presence.clone()))
            };
            self.publisher.send(page.rooms.into_iter().map(tell).collect());
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(())
    }
}

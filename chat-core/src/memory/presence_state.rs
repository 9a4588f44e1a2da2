//! Leases, connections and users: plain data. Time is handed in.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    ConnectionId, NodeId, Timestamp, UserId,
    presence::{
        DEFAULT_LEASE, Incarnation, LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence,
    },
};

/// Longer leases are taken as this one, so that no sum of times overflows.
const LONGEST_LEASE: Duration = Duration::from_secs(366 * 24 * 3_600);

/// One instant on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) wall: Timestamp,
}

impl Now {
    /// An earlier instant, with the time that the wall clock shows for it from here.
    fn back_to(self, instant: Instant) -> Self {
        let elapsed =
            u64::try_from(self.instant.saturating_duration_since(instant).as_millis()).unwrap_or(u64::MAX);
        Self { instant, wall: Timestamp::from_millis(self.wall.as_millis().saturating_sub(elapsed)) }
    }
}

#[derive(Debug)]
pub(super) struct PresenceState {
    leases: HashMap<NodeId, Lease>,
    /// When each lease runs out, soonest first.
    expiry: BTreeSet<(Instant, NodeId)>,
    connections: HashMap<ConnectionId, Connection>,
    /// Users who are announced as online or have a connection.
    users: HashMap<UserId, User>,
    /// Users announced as online without a connection, by when the last one went.
    leaving: BTreeSet<(Instant, UserId)>,
    /// All that is kept of users who are offline and announced so.
    last_seen: HashMap<UserId, Timestamp>,
    ended_connections: Tombstones<ConnectionId>,
    ended_leases: Tombstones<NodeId>,
    /// The longest lease there was, which is how long an end is remembered.
    memory: Duration,
}

#[derive(Debug)]
struct Lease {
    incarnation: Incarnation,
    expires: Instant,
    connections: BTreeSet<ConnectionId>,
}

#[derive(Debug)]
struct Connection {
    user: UserId,
    incarnation: Incarnation,
    lease: NodeLease,
}

#[derive(Debug, Default)]
struct User {
    connections: u32,
    /// Told to others as online.
    announced: bool,
    since: Option<Timestamp>,
    /// When the last connection went, if there is none.
    left: Option<Now>,
}

/// The greatest ended incarnation of each id, remembered for a while.
#[derive(Debug)]
struct Tombstones<K> {
    ended: HashMap<K, (Incarnation, Instant)>,
    order: VecDeque<(Instant, K)>,
}

impl PresenceState {
    pub(super) fn new() -> Self {
        Self {
            leases: HashMap::new(),
            expiry: BTreeSet::new(),
            connections: HashMap::new(),
            users: HashMap::new(),
            leaving: BTreeSet::new(),
            last_seen: HashMap::new(),
            ended_connections: Tombstones::new(),
            ended_leases: Tombstones::new(),
            memory: DEFAULT_LEASE,
        }
    }

    /// Ends the leases that ran out by now, in their order, each at its own instant. Comes before everything else.
    pub(super) fn advance(&mut self, now: Now) {
        while let Some((expires, node)) = self.expiry.first()
            && *expires <= now.instant
        {
            let (expires, node) = (*expires, node.clone());
            self.end_lease(&node, now.back_to(expires));
        }
        self.ended_connections.prune(now.instant);
        self.ended_leases.prune(now.instant);
    }

    pub(super) fn renew(&mut self, lease: &NodeLease, ttl: Duration, now: Now) -> LeaseStatus {
        let held = self.leases.get(&lease.node).map(|held| held.incarnation);
        if held.max(self.ended_leases.greatest(&lease.node)) > Some(lease.incarnation) {
            return LeaseStatus::Superseded;
        }
        let ttl = ttl.min(LONGEST_LEASE);
        self.memory = self.memory.max(ttl);
        if held.is_some_and(|held| held < lease.incarnation) {
            self.end_lease(&lease.node, now);
        }
        let expires = now.instant + ttl;
        self.expiry.insert((expires, lease.node.clone()));
        if let Some(held) = self.leases.get_mut(&lease.node) {
            if held.expires != expires {
                self.expiry.remove(&(held.expires, lease.node.clone()));
            }
            held.expires = expires;
            return LeaseStatus::Renewed;
        }
        let new = Lease { incarnation: lease.incarnation, expires, connections: BTreeSet::new() };
        self.leases.insert(lease.node.clone(), new);
        LeaseStatus::Started
    }

    pub(super) fn release(&mut self, lease: &NodeLease, now: Now) {
        if self.leases.get(&lease.node).is_some_and(|held| held.incarnation == lease.incarnation) {
            self.end_lease(&lease.node, now);
        }
    }

    fn end_lease(&mut self, node: &NodeId, at: Now) {
        let Some(lease) = self.leases.remove(node) else { return };
        self.expiry.remove(&(lease.expires, node.clone()));
        self.ended_leases.put(node, lease.incarnation, at.instant + self.memory);
        for connection in &lease.connections {
            if let Some(connection) = self.connections.remove(connection) {
                self.lose(&connection.user, at);
            }
        }
    }

    pub(super) fn connected(&mut self, new: &PresenceConnection, now: Now) -> PresenceChange {
        let lease_holds =
            self.leases.get(&new.lease.node).is_some_and(|held| held.incarnation == new.lease.incarnation);
        if !lease_holds || self.ended_connections.greatest(&new.connection) >= Some(new.incarnation) {
            return PresenceChange::Stale;
        }
        let known = self.connections.get(&new.connection);
        if let Some(known) = known.filter(|known| known.incarnation >= new.incarnation) {
            let same =
                known.incarnation == new.incarnation && known.user == new.user && known.lease == new.lease;
            return if same { PresenceChange::Noted } else { PresenceChange::Stale };
        }
        // The new life is counted before the old one goes, so that `since` goes on.
        let change = self.gain(&new.user, now);
        if let Some(old) = self.remove_connection(&new.connection) {
            self.lose(&old.user, now);
        }
        if let Some(lease) = self.leases.get_mut(&new.lease.node) {
            lease.connections.insert(new.connection.clone());
        }
        let connection =
            Connection { user: new.user.clone(), incarnation: new.incarnation, lease: new.lease.clone() };
        self.connections.insert(new.connection.clone(), connection);
        change
    }

    pub(super) fn disconnected(&mut self, old: &PresenceConnection, now: Now) -> PresenceChange {
        if self.ended_connections.greatest(&old.connection) >= Some(old.incarnation)
            || self.connections.get(&old.connection).is_some_and(|known| known.incarnation > old.incarnation)
        {
            return PresenceChange::Stale;
        }
        // Also for one that was never seen: its `connected` may still be on its way.
        self.ended_connections.put(&old.connection, old.incarnation, now.instant + self.memory);
        if let Some(known) = self.remove_connection(&old.connection) {
            self.lose(&known.user, now);
        }
        PresenceChange::Noted
    }

    fn remove_connection(&mut self, connection: &ConnectionId) -> Option<Connection> {
        let known = self.connections.remove(connection)?;
        if let Some(lease) = self.leases.get_mut(&known.lease.node) {
            lease.connections.remove(connection);
        }
        Some(known)
    }

    /// A user has one connection more.
    fn gain(&mut self, user: &UserId, now: Now) -> PresenceChange {
        self.last_seen.remove(user);
        let known = self.users.entry(user.clone()).or_default();
        known.connections += 1;
        if let Some(left) = known.left.take() {
            self.leaving.remove(&(left.instant, user.clone()));
        }
        if known.connections == 1 {
            known.since = Some(now.wall);
        }
        if std::mem::replace(&mut known.announced, true) {
            PresenceChange::Noted
        } else {
            PresenceChange::CameOnline
        }
    }

    /// A user has one connection less.
    fn lose(&mut self, user: &UserId, at: Now) {
        let Some(known) = self.users.get_mut(user) else { return };
        known.connections = known.connections.saturating_sub(1);
        if known.connections == 0 {
            // Nobody was last seen before they came, whatever the wall clock did meanwhile.
            let wall = known.since.take().map_or(at.wall, |since| since.max(at.wall));
            known.left = Some(Now { instant: at.instant, wall });
            self.leaving.insert((at.instant, user.clone()));
        }
    }

    pub(super) fn presence(&self, user: &UserId) -> UserPresence {
        let Some(known) = self.users.get(user) else {
            return UserPresence {
                last_seen: self.last_seen.get(user).copied(),
                ..UserPresence::never(user.clone())
            };
        };
        UserPresence {
            user: user.clone(),
            online: known.connections > 0,
            connections: known.connections,
            since: known.since,
            last_seen: known.left.map(|left| left.wall),
        }
    }

    pub(super) fn sweep(&mut self, grace: Duration, now: Now) -> Vec<UserPresence> {
        let mut gone = Vec::new();
        while let Some((left, user)) = self.leaving.first()
            && now.instant.saturating_duration_since(*left) >= grace
        {
            let user = user.clone();
            let presence = self.presence(&user);
            self.leaving.pop_first();
            self.users.remove(&user);
            if let Some(last_seen) = presence.last_seen {
                self.last_seen.insert(user, last_seen);
            }
            gone.push(presence);
        }
        gone
    }

    /// How much is kept beside what is live and what was last seen.
    #[cfg(test)]
    pub(super) fn leftovers(&self) -> usize {
        self.connections.len()
            + self.users.len()
            + self.leaving.len()
            + self.ended_connections.ended.len()
            + self.ended_connections.order.len()
    }
}

impl<K: Clone + Eq + std::hash::Hash> Tombstones<K> {
    fn new() -> Self {
        Self { ended: HashMap::new(), order: VecDeque::new() }
    }

    fn greatest(&self, key: &K) -> Option<Incarnation> {
        self.ended.get(key).map(|(incarnation, _)| *incarnation)
    }

    fn put(&mut self, key: &K, incarnation: Incarnation, until: Instant) {
        let known = self.ended.entry(key.clone()).or_insert((incarnation, until));
        *known = (known.0.max(incarnation), known.1.max(until));
        self.order.push_back((until, key.clone()));
    }

    /// Drops what is due. An entry that was put again later has a later place in the order, too.
    fn prune(&mut self, now: Instant) {
        while let Some((until, _)) = self.order.front()
            && *until <= now
        {
            let Some((_, key)) = self.order.pop_front() else { return };
            if self.ended.get(&key).is_some_and(|(_, until)| *until <= now) {
                self.ended.remove(&key);
            }
        }
    }
}

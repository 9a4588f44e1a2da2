//! Who is online, on how many connections, and since when.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Backend, ConnectionId, NodeId, Result, Timestamp, UserId};

/// Default life of a node's lease without renewal: 60 s, three times [`DEFAULT_RENEWAL`].
pub const DEFAULT_LEASE: Duration = Duration::from_secs(60);

/// Default interval between renewals of a node's lease.
pub const DEFAULT_RENEWAL: Duration = Duration::from_secs(20);

/// Default time a user stays announced as online after the last connection went.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// Distinguishes lives of the same id: of two claims about one connection or node, the greater incarnation holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

/// A node's claim to be alive, on which every connection of it depends. So a heartbeat costs one write per node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLease {
    /// Which node.
    pub node: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
}

/// A connection as presence knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceConnection {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub connection: ConnectionId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// The node that holds it.
    pub lease: NodeLease,
}

/// What renewing a node's lease did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseStatus {
    /// It goes on.
    Renewed,
    /// It had run out, or was never there: it begins now, and the node registers its connections again.
    Started,
    /// A greater incarnation of this node holds the lease; this one is dead and must not serve.
    Superseded,
}

/// What a connection's coming or going did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceChange {
    /// The user was announced as offline and is online now: tell others.
    CameOnline,
    /// Noted; nothing to tell.
    Noted,
    /// An older incarnation than the one known, or already ended: ignored.
    Stale,
}

/// A user's presence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPresence {
    /// Who.
    pub user: UserId,
    /// Has at least one live connection.
    pub online: bool,
    /// Live connections, on all nodes.
    pub connections: u32,
    /// Since when there has been a live connection without a break; `None` while offline.
    pub since: Option<Timestamp>,
    /// When the last live connection went; `None` if online or never seen.
    pub last_seen: Option<Timestamp>,
}

impl UserPresence {
    /// Somebody who was never seen.
    #[must_use]
    pub const fn never(user: UserId) -> Self {
        Self { user, online: false, connections: 0, since: None, last_seen: None }
    }
}

/// Keeps the connections of all nodes.
///
/// A connection is live while it was not ended and its node's lease (of the same incarnation) has not run out. All times
/// are the store's. Every transition is atomic.
#[async_trait]
pub trait Presence: Backend {
    /// Renews a node's lease for `ttl`.
    ///
    /// # Errors
    /// Whether it was renewed, or even [`Started`](LeaseStatus::Started), is then not known, and neither where the call was dropped: the
    /// caller registers its connections again after the next call that answers, also where that answers
    /// [`Renewed`](LeaseStatus::Renewed).
    async fn renew(&self, lease: &NodeLease, ttl: Duration) -> Result<LeaseStatus>;

    /// Ends a node's lease at once, and with it all its connections.
    async fn release(&self, lease: &NodeLease) -> Result<()>;

    /// A connection is there. Repeating it is harmless; one that was ended, or is known with a greater incarnation,
    /// stays as it is ([`PresenceChange::Stale`]), and so does one whose lease is unknown or has run out.
    async fn connected(&self, connection: &PresenceConnection) -> Result<PresenceChange>;

    /// A connection is gone. It counts no longer at once; whether the user goes offline is told by [`sweep`](Self::sweep)
    /// after the grace, so that a reconnect does not flap.
    async fn disconnected(&self, connection: &PresenceConnection) -> Result<PresenceChange>;

    /// The presence of these users now, in their order, in one call.
    async fn presence(&self, users: &[UserId]) -> Result<Vec<UserPresence>>;

    /// Users announced as online who have had no live connection for at least `grace`: from now on announced as
    /// offline. Each is given to one caller at most: if its answer is lost, nobody is told. Any node may call this at any time, for all nodes; connections of
    /// leases that ran out end when they ran out.
    async fn sweep(&self, grace: Duration) -> Result<Vec<UserPresence>>;
}

//! Cases for [`Presence`], a file per group.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

pub mod connections;
pub mod lease;
pub mod race;

use std::time::Duration;

use crate::{
    ConnectionId, NodeId, Presence,
    presence::{Incarnation, LeaseStatus, NodeLease, PresenceConnection, UserPresence},
    testkit::fixtures::user,
};

/// The life of a lease where a case is not about time: longer than any case.
const LONG: Duration = Duration::from_secs(60);
/// A grace that no case outlives.
const LONG_GRACE: Duration = Duration::from_secs(3_600);

fn node_lease(node: &str, incarnation: u64) -> NodeLease {
    NodeLease { node: NodeId::new(node).unwrap(), incarnation: Incarnation(incarnation) }
}

fn connection(name: &str, id: &str, incarnation: u64, lease: &NodeLease) -> PresenceConnection {
    PresenceConnection {
        user: user(name),
        connection: ConnectionId::new(id).unwrap(),
        incarnation: Incarnation(incarnation),
        lease: lease.clone(),
    }
}

/// A lease of that node that holds from now on.
async fn start(presence: &dyn Presence, node: &str, ttl: Duration) -> NodeLease {
    let lease = node_lease(node, 1);
    assert_eq!(presence.renew(&lease, ttl).await.unwrap(), LeaseStatus::Started);
    lease
}

async fn one(presence: &dyn Presence, name: &str) -> UserPresence {
    presence.presence(&[user(name)]).await.unwrap().remove(0)
}

/// How many live connections a user has, checked against the flag.
async fn count(presence: &dyn Presence, name: &str) -> u32 {
    let now = one(presence, name).await;
    assert_eq!(now.online, now.connections > 0, "{now:?}");
    assert_eq!(now.online, now.since.is_some(), "{now:?}");
    assert!(!now.online || now.last_seen.is_none(), "{now:?}");
    now.connections
}

/// Who is swept, by name.
async fn swept(presence: &dyn Presence, grace: Duration) -> Vec<String> {
    let gone = presence.sweep(grace).await.unwrap();
    assert!(gone.iter().all(|user| !user.online && user.connections == 0), "{gone:?}");
    let mut names: Vec<_> = gone.into_iter().map(|gone| gone.user.to_string()).collect();
    names.sort();
    names
}

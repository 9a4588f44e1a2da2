//! Leases end connections whose node is dead.

use std::time::Duration;

use super::{LONG, connection, count, node_lease, one, start, swept};
use crate::{
    presence::{LeaseStatus, PresenceChange},
    testkit::PresenceHarness,
};

/// By any handle on the store.
pub async fn a_lease_starts_and_is_renewed(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let lease = start(&*nodes[0], "n1", LONG).await;
    for node in &nodes {
        assert_eq!(node.renew(&lease, LONG).await.unwrap(), LeaseStatus::Renewed);
    }
}

/// Without anybody calling.
pub async fn a_lease_that_runs_out_ends_its_connections(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", harness.unit()).await;
    nodes[0].connected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    nodes[0].connected(&connection("ann", "c2", 1, &n1)).await.unwrap();
    nodes[0].connected(&connection("bob", "c3", 1, &n1)).await.unwrap();
    assert_eq!(count(&*nodes[1], "ann").await, 2);
    harness.pass(harness.unit() * 3 / 2).await;
    assert_eq!((count(&*nodes[1], "ann").await, count(&*nodes[1], "bob").await), (0, 0));
    assert!(one(&*nodes[1], "ann").await.last_seen.is_some());
    assert_eq!(swept(&*nodes[1], Duration::ZERO).await, ["ann", "bob"]);
}

/// One write per node keeps all of its connections.
pub async fn renewing_keeps_connections_for_as_long_as_it_goes_on(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", harness.unit()).await;
    nodes[0].connected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    for _ in 0..6 {
        harness.pass(harness.unit() / 3).await;
        assert_eq!(nodes[0].renew(&n1, harness.unit()).await.unwrap(), LeaseStatus::Renewed);
        assert_eq!(count(&*nodes[1], "ann").await, 1);
    }
    harness.pass(harness.unit() * 3 / 2).await;
    assert_eq!(count(&*nodes[1], "ann").await, 0);
}

/// The last renewal says for how long.
pub async fn a_shorter_renewal_ends_sooner(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    nodes[0].connected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    nodes[0].renew(&n1, harness.unit()).await.unwrap();
    harness.pass(harness.unit() * 3 / 2).await;
    assert_eq!(count(&*nodes[1], "ann").await, 0);
}

/// Then the node registers again what it has, under the same names.
pub async fn nothing_connects_under_a_lease_that_ran_out_until_it_starts_again(
    harness: &dyn PresenceHarness,
) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", harness.unit()).await;
    let device = connection("ann", "c1", 1, &n1);
    nodes[0].connected(&device).await.unwrap();
    harness.pass(harness.unit() * 3 / 2).await;
    for late in [&device, &connection("bob", "c2", 1, &n1)] {
        assert_eq!(nodes[1].connected(late).await.unwrap(), PresenceChange::Stale);
        assert_eq!(count(&*nodes[0], late.user.as_str()).await, 0);
    }
    assert_eq!(nodes[0].renew(&n1, LONG).await.unwrap(), LeaseStatus::Started);
    assert_eq!(count(&*nodes[0], "ann").await, 0, "starting brings nobody back by itself");
    // Nobody was told yet that ann went.
    assert_eq!(nodes[0].connected(&device).await.unwrap(), PresenceChange::Noted);
    let bob = nodes[0].connected(&connection("bob", "c2", 1, &n1)).await.unwrap();
    assert_eq!(bob, PresenceChange::CameOnline);
    assert_eq!((count(&*nodes[1], "ann").await, count(&*nodes[1], "bob").await), (1, 1));
}

/// The socket was closed while the lease was away.
pub async fn what_was_ended_by_name_does_not_come_back_with_a_new_lease(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", harness.unit()).await;
    let device = connection("ann", "c1", 1, &n1);
    nodes[0].connected(&device).await.unwrap();
    nodes[0].disconnected(&device).await.unwrap();
    harness.pass(harness.unit() * 3 / 2).await;
    assert_eq!(nodes[0].renew(&n1, LONG).await.unwrap(), LeaseStatus::Started);
    assert_eq!(nodes[0].connected(&device).await.unwrap(), PresenceChange::Stale);
    assert_eq!(count(&*nodes[1], "ann").await, 0);
}

/// Every connection depends on its own node, not on the user's other ones.
pub async fn a_dead_device_does_not_live_on_another_ones_lease(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let dead = start(&*nodes[0], "dead", harness.unit()).await;
    let alive = start(&*nodes[1], "alive", LONG).await;
    nodes[0].connected(&connection("ann", "c1", 1, &dead)).await.unwrap();
    nodes[1].connected(&connection("ann", "c2", 1, &alive)).await.unwrap();
    assert_eq!(count(&*nodes[1], "ann").await, 2);
    harness.pass(harness.unit() * 3 / 2).await;
    nodes[1].renew(&alive, LONG).await.unwrap();
    nodes[1].connected(&connection("ann", "c2", 1, &alive)).await.unwrap();
    assert_eq!(count(&*nodes[1], "ann").await, 1);
    assert_eq!(swept(&*nodes[1], Duration::ZERO).await, Vec::<String>::new());
    nodes[1].disconnected(&connection("ann", "c2", 1, &alive)).await.unwrap();
    assert_eq!(count(&*nodes[1], "ann").await, 0);
}

/// So the grace and `last_seen` count from there.
pub async fn connections_end_when_the_lease_ran_out_and_not_when_that_is_noticed(
    harness: &dyn PresenceHarness,
) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", harness.unit()).await;
    nodes[0].connected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    let since = one(&*nodes[0], "ann").await.since.unwrap();
    harness.pass(harness.unit() * 3).await;
    // The first call after three units: the lease ran out two units ago.
    let gone = nodes[1].sweep(harness.unit() * 3 / 2).await.unwrap();
    assert_eq!(gone.len(), 1, "{gone:?}");
    let online_for = gone[0].last_seen.unwrap().since(since);
    assert!(online_for < harness.unit() * 2, "last seen {online_for:?} after coming");
}

/// As a node does that stops in good order.
pub async fn releasing_a_lease_ends_its_connections_at_once(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let (n1, n2) = (start(&*nodes[0], "n1", LONG).await, start(&*nodes[1], "n2", LONG).await);
    nodes[0].connected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    nodes[0].connected(&connection("bob", "c2", 1, &n1)).await.unwrap();
    nodes[1].connected(&connection("bob", "c3", 1, &n2)).await.unwrap();
    nodes[0].release(&n1).await.unwrap();
    assert_eq!((count(&*nodes[1], "ann").await, count(&*nodes[1], "bob").await), (0, 1));
    let late = nodes[0].connected(&connection("ann", "c4", 1, &n1)).await.unwrap();
    assert_eq!(late, PresenceChange::Stale);
    assert_eq!(swept(&*nodes[1], Duration::ZERO).await, ["ann"]);
    // Twice, and one that never was, is fine.
    nodes[0].release(&n1).await.unwrap();
    nodes[0].release(&node_lease("never", 1)).await.unwrap();
    assert_eq!(nodes[0].renew(&n1, LONG).await.unwrap(), LeaseStatus::Started);
}

/// The node was started anew meanwhile.
pub async fn releasing_an_older_life_does_nothing(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let (old, new) = (start(&*nodes[0], "n1", LONG).await, node_lease("n1", 2));
    assert_eq!(nodes[1].renew(&new, LONG).await.unwrap(), LeaseStatus::Started);
    nodes[1].connected(&connection("ann", "c1", 1, &new)).await.unwrap();
    nodes[0].release(&old).await.unwrap();
    assert_eq!(count(&*nodes[0], "ann").await, 1);
    assert_eq!(nodes[1].renew(&new, LONG).await.unwrap(), LeaseStatus::Renewed);
}

/// The connections of the older life are gone.
pub async fn a_greater_incarnation_supersedes_the_older_one(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let old = start(&*nodes[0], "n1", LONG).await;
    nodes[0].connected(&connection("ann", "c1", 1, &old)).await.unwrap();
    nodes[0].connected(&connection("bob", "c2", 1, &old)).await.unwrap();
    let new = node_lease("n1", 2);
    assert_eq!(nodes[1].renew(&new, LONG).await.unwrap(), LeaseStatus::Started);
    assert_eq!((count(&*nodes[1], "ann").await, count(&*nodes[1], "bob").await), (0, 0));
    let back = nodes[1].connected(&connection("bob", "c3", 1, &new)).await.unwrap();
    assert_eq!((back, count(&*nodes[0], "bob").await), (PresenceChange::Noted, 1));
    assert_eq!(swept(&*nodes[0], Duration::ZERO).await, ["ann"]);
}

/// It is told so and must not serve.
pub async fn a_superseded_node_neither_renews_nor_connects(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let (old, new) = (start(&*nodes[0], "n1", LONG).await, node_lease("n1", 2));
    nodes[1].renew(&new, LONG).await.unwrap();
    for _ in 0..2 {
        assert_eq!(nodes[0].renew(&old, LONG).await.unwrap(), LeaseStatus::Superseded);
        let stale = nodes[0].connected(&connection("ann", "c1", 1, &old)).await.unwrap();
        assert_eq!((stale, count(&*nodes[1], "ann").await), (PresenceChange::Stale, 0));
    }
    assert_eq!(nodes[1].renew(&new, LONG).await.unwrap(), LeaseStatus::Renewed);
}

/// What one renews, releases or lets run out is no other's.
pub async fn leases_of_nodes_are_separate(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    for (number, name) in ["n1", "n2", "n10"].into_iter().enumerate() {
        let lease = start(&*nodes[0], name, LONG).await;
        nodes[0].connected(&connection("ann", &format!("c{number}"), 1, &lease)).await.unwrap();
    }
    nodes[1].release(&node_lease("n1", 1)).await.unwrap();
    assert_eq!(count(&*nodes[0], "ann").await, 2);
    nodes[1].renew(&node_lease("n10", 1), harness.unit()).await.unwrap();
    harness.pass(harness.unit() * 3 / 2).await;
    assert_eq!(count(&*nodes[0], "ann").await, 1);
}

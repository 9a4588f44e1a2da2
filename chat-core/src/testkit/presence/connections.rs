//! Connections come and go.

use std::time::Duration;

use super::{LONG, LONG_GRACE, connection, count, node_lease, one, start, swept};
use crate::{
    presence::{PresenceChange, UserPresence},
    testkit::{PresenceHarness, fixtures::user},
};

/// On whichever node it is.
pub async fn the_first_connection_brings_a_user_online_and_the_second_is_noted(
    harness: &dyn PresenceHarness,
) {
    let nodes = harness.nodes(2).await;
    let (n1, n2) = (start(&*nodes[0], "n1", LONG).await, start(&*nodes[1], "n2", LONG).await);
    let first = nodes[0].connected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    let second = nodes[1].connected(&connection("ann", "c2", 1, &n2)).await.unwrap();
    let other = nodes[1].connected(&connection("bob", "c3", 1, &n2)).await.unwrap();
    assert_eq!(first, PresenceChange::CameOnline);
    assert_eq!((second, other), (PresenceChange::Noted, PresenceChange::CameOnline));
    for node in &nodes {
        assert_eq!((count(&**node, "ann").await, count(&**node, "bob").await), (2, 1));
    }
}

/// The decision is the store's: each node sees only its own connections.
pub async fn a_user_is_online_until_the_last_connection_is_gone(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let leases = [start(&*nodes[0], "n1", LONG).await, start(&*nodes[1], "n2", LONG).await];
    let devices: Vec<_> =
        (0..4).map(|number| connection("ann", &format!("c{number}"), 1, &leases[number % 2])).collect();
    for (number, device) in devices.iter().enumerate() {
        nodes[number % 2].connected(device).await.unwrap();
    }
    for (number, device) in devices.iter().enumerate() {
        assert_eq!(count(&*nodes[1], "ann").await as usize, 4 - number);
        assert_eq!(nodes[number % 2].disconnected(device).await.unwrap(), PresenceChange::Noted);
    }
    assert_eq!(count(&*nodes[0], "ann").await, 0);
}

/// It does not wait for a sweep.
pub async fn a_disconnect_counts_at_once_on_every_node(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    for round in 1..=5 {
        nodes[0].connected(&connection("ann", "c1", round, &n1)).await.unwrap();
        assert_eq!(count(&*nodes[1], "ann").await, 1);
        nodes[0].disconnected(&connection("ann", "c1", round, &n1)).await.unwrap();
        assert_eq!(count(&*nodes[1], "ann").await, 0);
    }
}

/// From the first connection on, whichever ones follow.
pub async fn since_is_kept_while_connections_overlap(harness: &dyn PresenceHarness) {
    let node = &harness.nodes(1).await[0];
    let n1 = start(&**node, "n1", LONG).await;
    node.connected(&connection("ann", "c0", 1, &n1)).await.unwrap();
    let since = one(&**node, "ann").await.since;
    assert!(since.is_some());
    for number in 1..4 {
        harness.pass(Duration::from_millis(10)).await;
        node.connected(&connection("ann", &format!("c{number}"), 1, &n1)).await.unwrap();
        node.disconnected(&connection("ann", &format!("c{}", number - 1), 1, &n1)).await.unwrap();
        assert_eq!(one(&**node, "ann").await.since, since);
    }
    node.disconnected(&connection("ann", "c3", 1, &n1)).await.unwrap();
    assert_eq!(one(&**node, "ann").await.since, None);
    harness.pass(Duration::from_millis(10)).await;
    node.connected(&connection("ann", "c4", 1, &n1)).await.unwrap();
    assert!(one(&**node, "ann").await.since > since);
}

/// Not while somebody is online; and it stays after the sweep.
pub async fn last_seen_is_when_the_last_connection_went(harness: &dyn PresenceHarness) {
    let node = &harness.nodes(1).await[0];
    let n1 = start(&**node, "n1", LONG).await;
    node.connected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    let online = one(&**node, "ann").await;
    assert_eq!(online.last_seen, None);
    harness.pass(Duration::from_millis(10)).await;
    node.disconnected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    let gone = one(&**node, "ann").await;
    assert!(gone.last_seen > online.since, "{gone:?}");
    harness.pass(Duration::from_millis(10)).await;
    assert_eq!(one(&**node, "ann").await, gone);
    assert_eq!(node.sweep(Duration::ZERO).await.unwrap(), std::slice::from_ref(&gone));
    assert_eq!(one(&**node, "ann").await, gone);
}

/// Unknown ones and repeated ones included.
pub async fn many_users_come_in_their_order_in_one_call(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    for number in 0..100 {
        for device in 0..number % 3 {
            let id = format!("c{number}-{device}");
            nodes[0].connected(&connection(&format!("u{number}"), &id, 1, &n1)).await.unwrap();
        }
    }
    let mut asked: Vec<u32> = (0..100).chain([7, 7]).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut asked);
    let users: Vec<_> = asked.iter().map(|number| user(&format!("u{number}"))).collect();
    let answers = nodes[1].presence(&users).await.unwrap();
    assert_eq!(answers.len(), users.len());
    for ((number, user), answer) in asked.iter().zip(&users).zip(&answers) {
        assert_eq!((&answer.user, answer.connections), (user, number % 3));
    }
    assert_eq!(nodes[1].presence(&[]).await.unwrap(), []);
}

/// And is not swept.
pub async fn an_unknown_user_was_never_seen(harness: &dyn PresenceHarness) {
    let node = &harness.nodes(1).await[0];
    assert_eq!(one(&**node, "nobody").await, UserPresence::never(user("nobody")));
    assert_eq!(swept(&**node, Duration::ZERO).await, Vec::<String>::new());
}

/// A node that registers again what is there counts nothing twice.
pub async fn repeating_a_connection_is_harmless(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    let device = connection("ann", "c1", 1, &n1);
    nodes[0].connected(&device).await.unwrap();
    let before = one(&*nodes[0], "ann").await;
    for node in [&nodes[0], &nodes[1], &nodes[0]] {
        assert_eq!(node.connected(&device).await.unwrap(), PresenceChange::Noted);
        assert_eq!(one(&**node, "ann").await, before);
    }
    nodes[0].disconnected(&device).await.unwrap();
    assert_eq!(count(&*nodes[0], "ann").await, 0);
}

/// It takes no other connection with it.
pub async fn repeating_a_disconnect_is_stale_and_harmless(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    let (gone, stays) = (connection("ann", "c1", 1, &n1), connection("ann", "c2", 1, &n1));
    nodes[0].connected(&gone).await.unwrap();
    nodes[0].connected(&stays).await.unwrap();
    nodes[0].disconnected(&gone).await.unwrap();
    for node in &nodes {
        assert_eq!(node.disconnected(&gone).await.unwrap(), PresenceChange::Stale);
        assert_eq!(count(&**node, "ann").await, 1);
    }
}

/// A late claim about it, from any node, is ignored.
pub async fn a_connection_that_was_ended_does_not_come_back(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    let device = connection("ann", "c1", 5, &n1);
    nodes[0].connected(&device).await.unwrap();
    nodes[0].disconnected(&device).await.unwrap();
    for node in &nodes {
        assert_eq!(node.connected(&device).await.unwrap(), PresenceChange::Stale);
        assert_eq!(node.connected(&connection("ann", "c1", 4, &n1)).await.unwrap(), PresenceChange::Stale);
        assert_eq!(count(&**node, "ann").await, 0);
    }
    // A greater incarnation is a new life.
    assert_ne!(nodes[1].connected(&connection("ann", "c1", 6, &n1)).await.unwrap(), PresenceChange::Stale);
    assert_eq!(count(&*nodes[0], "ann").await, 1);
}

/// The two calls of a short connection may meet the store in the wrong order.
pub async fn an_end_that_overtakes_its_beginning_holds(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    let device = connection("ann", "c1", 1, &n1);
    nodes[1].disconnected(&device).await.unwrap();
    assert_eq!(nodes[0].connected(&device).await.unwrap(), PresenceChange::Stale);
    assert_eq!(one(&*nodes[0], "ann").await, UserPresence::never(user("ann")));
}

/// The newer life goes on as it was.
pub async fn a_lower_incarnation_of_a_connection_is_stale(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    nodes[0].connected(&connection("ann", "c1", 7, &n1)).await.unwrap();
    let before = one(&*nodes[0], "ann").await;
    for older in [1, 6] {
        let stale = nodes[1].connected(&connection("ann", "c1", older, &n1)).await.unwrap();
        assert_eq!((stale, one(&*nodes[0], "ann").await), (PresenceChange::Stale, before.clone()));
    }
    // A newer life takes the place of the older one.
    assert_eq!(nodes[1].connected(&connection("ann", "c1", 8, &n1)).await.unwrap(), PresenceChange::Noted);
    assert_eq!(one(&*nodes[0], "ann").await, before);
}

/// A close that comes late closes what it is about.
pub async fn the_end_of_an_older_life_does_not_touch_the_newer_one(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    let (old, new) = (connection("ann", "c1", 1, &n1), connection("ann", "c1", 2, &n1));
    nodes[0].connected(&old).await.unwrap();
    nodes[0].connected(&new).await.unwrap();
    assert_eq!(nodes[1].disconnected(&old).await.unwrap(), PresenceChange::Stale);
    assert_eq!(count(&*nodes[0], "ann").await, 1);
    nodes[1].disconnected(&new).await.unwrap();
    assert_eq!(count(&*nodes[0], "ann").await, 0);
}

/// Nothing would ever end it. Neither under another life of a lease that holds.
pub async fn a_connection_under_an_unknown_lease_is_stale(harness: &dyn PresenceHarness) {
    let node = &harness.nodes(1).await[0];
    let n1 = start(&**node, "n1", LONG).await;
    for unknown in [node_lease("n2", 1), node_lease("n1", 0), node_lease("n1", 2)] {
        let stale = node.connected(&connection("ann", "c1", 1, &unknown)).await.unwrap();
        assert_eq!(stale, PresenceChange::Stale, "{unknown:?}");
        assert_eq!(one(&**node, "ann").await, UserPresence::never(user("ann")));
    }
    let first = node.connected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    assert_eq!(first, PresenceChange::CameOnline);
}

/// Exactly when it has passed.
pub async fn a_sweep_does_not_come_before_the_grace(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    let device = connection("ann", "c1", 1, &n1);
    nodes[0].connected(&device).await.unwrap();
    nodes[0].disconnected(&device).await.unwrap();
    assert_eq!(swept(&*nodes[1], LONG_GRACE).await, Vec::<String>::new());
    harness.pass(harness.unit()).await;
    assert_eq!(swept(&*nodes[1], LONG_GRACE).await, Vec::<String>::new());
    assert_eq!(swept(&*nodes[1], harness.unit()).await, ["ann"]);
}

/// Whoever sweeps, and however often.
pub async fn a_swept_user_is_given_once(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    for name in ["ann", "bob", "cy"] {
        nodes[0].connected(&connection(name, name, 1, &n1)).await.unwrap();
    }
    for name in ["ann", "cy"] {
        nodes[0].disconnected(&connection(name, name, 1, &n1)).await.unwrap();
    }
    assert_eq!(swept(&*nodes[1], Duration::ZERO).await, ["ann", "cy"]);
    for node in &nodes {
        assert_eq!(swept(&**node, Duration::ZERO).await, Vec::<String>::new());
    }
}

/// Others saw nobody go.
pub async fn a_reconnect_within_the_grace_is_not_announced(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let (n1, n2) = (start(&*nodes[0], "n1", LONG).await, start(&*nodes[1], "n2", LONG).await);
    nodes[0].connected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    nodes[0].disconnected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    assert_eq!(swept(&*nodes[0], LONG_GRACE).await, Vec::<String>::new());
    let back = nodes[1].connected(&connection("ann", "c2", 1, &n2)).await.unwrap();
    assert_eq!(back, PresenceChange::Noted);
    assert_eq!(swept(&*nodes[0], Duration::ZERO).await, Vec::<String>::new());
    assert_eq!(count(&*nodes[0], "ann").await, 1);
}

/// Others were told that the user is offline.
pub async fn a_reconnect_after_a_sweep_is_announced(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    for round in 1..=3 {
        let device = connection("ann", "c1", round, &n1);
        assert_eq!(nodes[0].connected(&device).await.unwrap(), PresenceChange::CameOnline);
        nodes[0].disconnected(&device).await.unwrap();
        assert_eq!(swept(&*nodes[1], Duration::ZERO).await, ["ann"]);
    }
}

/// Not even where another connection of theirs went long ago.
pub async fn users_who_are_online_are_never_swept(harness: &dyn PresenceHarness) {
    let node = &harness.nodes(1).await[0];
    let n1 = start(&**node, "n1", LONG).await;
    for id in ["c1", "c2"] {
        node.connected(&connection("ann", id, 1, &n1)).await.unwrap();
    }
    node.disconnected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    harness.pass(Duration::from_millis(20)).await;
    assert_eq!(swept(&**node, Duration::ZERO).await, Vec::<String>::new());
    assert_eq!(count(&**node, "ann").await, 1);
}

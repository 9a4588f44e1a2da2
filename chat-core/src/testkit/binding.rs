//! Cases for [`SessionBindings`].
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;

use crate::{
    ConnectionId,
    auth::{
        Binding, BindingClaim,
        BindingPolicy::{self, NewerWins, OlderStays},
        SessionBindings,
    },
    testkit::{BindingHarness, fixtures::user},
};

/// Nothing runs out during a case.
const LONG: Duration = Duration::from_secs(3_600);
/// For the cases in which something does.
const SHORT: Duration = Duration::from_secs(2);

fn binding(name: &str, to: &str) -> Binding {
    Binding { user: user(name), to: to.to_owned() }
}

fn connections<const N: usize>() -> [ConnectionId; N] {
    [(); N].map(|()| ConnectionId::generate())
}

async fn claim(
    store: &dyn SessionBindings,
    connection: &ConnectionId,
    policy: BindingPolicy,
    time_to_live: Duration,
) -> BindingClaim {
    store.claim(&binding("ann", "p1"), connection, policy, time_to_live).await.unwrap()
}

fn granted(previous: Option<&ConnectionId>) -> BindingClaim {
    BindingClaim::Granted { previous: previous.cloned() }
}

fn refused(holder: &ConnectionId) -> BindingClaim {
    BindingClaim::Refused { holder: holder.clone() }
}

/// By either policy.
pub async fn whoever_comes_first_takes_it_from_nobody(harness: &dyn BindingHarness) {
    let store = &harness.nodes(1).await[0];
    let [a] = connections();
    assert_eq!(claim(&**store, &a, NewerWins, LONG).await, granted(None));
    let other = store.claim(&binding("bob", "p2"), &a, OlderStays, LONG).await.unwrap();
    assert_eq!(other, granted(None));
}

/// On whichever node, and each one from the one before it.
pub async fn a_newer_claim_takes_it_and_says_from_whom(harness: &dyn BindingHarness) {
    let nodes = harness.nodes(2).await;
    let [a, b, c] = connections();
    assert_eq!(claim(&*nodes[0], &a, NewerWins, LONG).await, granted(None));
    assert_eq!(claim(&*nodes[1], &b, NewerWins, LONG).await, granted(Some(&a)));
    assert_eq!(claim(&*nodes[0], &c, NewerWins, LONG).await, granted(Some(&b)));
    assert_eq!(claim(&*nodes[1], &a, OlderStays, LONG).await, refused(&c));
}

/// Being refused changes nothing.
pub async fn an_older_claim_stays_where_that_is_asked_for(harness: &dyn BindingHarness) {
    let nodes = harness.nodes(2).await;
    let [a, b] = connections();
    assert_eq!(claim(&*nodes[0], &a, OlderStays, LONG).await, granted(None));
    for node in nodes.iter().chain(&nodes) {
        assert_eq!(claim(&**node, &b, OlderStays, LONG).await, refused(&a));
    }
    assert_eq!(claim(&*nodes[1], &a, OlderStays, LONG).await, granted(None));
}

/// Nobody is named: it was nobody else's.
pub async fn claiming_again_keeps_it(harness: &dyn BindingHarness) {
    let nodes = harness.nodes(2).await;
    let [a, b] = connections();
    for (node, policy) in [(0, NewerWins), (1, NewerWins), (0, OlderStays), (1, OlderStays)] {
        assert_eq!(claim(&*nodes[node], &a, policy, LONG).await, granted(None));
    }
    assert_eq!(claim(&*nodes[0], &b, OlderStays, LONG).await, refused(&a));
}

/// Renewing is a claim that leaves it where it is: whoever lost it learns so, and the other one keeps it.
pub async fn whoever_lost_it_cannot_renew_it(harness: &dyn BindingHarness) {
    let nodes = harness.nodes(2).await;
    let [a, b] = connections();
    claim(&*nodes[0], &a, NewerWins, LONG).await;
    claim(&*nodes[1], &b, NewerWins, LONG).await;
    for _ in 0..2 {
        assert_eq!(claim(&*nodes[0], &a, OlderStays, LONG).await, refused(&b));
        assert_eq!(claim(&*nodes[1], &b, OlderStays, LONG).await, granted(None));
    }
}

/// Also when it is released more than once.
pub async fn a_released_binding_is_free(harness: &dyn BindingHarness) {
    let nodes = harness.nodes(2).await;
    let [a, b] = connections();
    claim(&*nodes[0], &a, NewerWins, LONG).await;
    for node in &nodes {
        node.release(&binding("ann", "p1"), &a).await.unwrap();
    }
    assert_eq!(claim(&*nodes[1], &b, OlderStays, LONG).await, granted(None));
}

/// The end of a session that was replaced comes late.
pub async fn a_release_by_another_changes_nothing(harness: &dyn BindingHarness) {
    let nodes = harness.nodes(2).await;
    let [a, b, c] = connections();
    claim(&*nodes[0], &a, NewerWins, LONG).await;
    claim(&*nodes[1], &b, NewerWins, LONG).await;
    nodes[0].release(&binding("ann", "p1"), &a).await.unwrap();
    assert_eq!(claim(&*nodes[0], &c, OlderStays, LONG).await, refused(&b));
}

/// Another user's, and another one of the same user, whatever is in the texts.
pub async fn bindings_are_separate(harness: &dyn BindingHarness) {
    let store = &harness.nodes(1).await[0];
    let texts = ["p1", "p2", "", "p1:", "}{", "\u{1F375}", " p1"];
    let all = ["ann", "bob"].iter().flat_map(|name| texts.map(|to| binding(name, to)));
    let held: Vec<(Binding, ConnectionId)> = all.map(|binding| (binding, ConnectionId::generate())).collect();
    for (binding, connection) in &held {
        let claimed = store.claim(binding, connection, OlderStays, LONG).await.unwrap();
        assert_eq!(claimed, granted(None), "{} {:?}", binding.user, binding.to);
    }
    store.release(&held[0].0, &held[0].1).await.unwrap();
    let [other] = connections();
    for (binding, connection) in &held[1..] {
        let claimed = store.claim(binding, &other, OlderStays, LONG).await.unwrap();
        assert_eq!(claimed, refused(connection), "{} {:?}", binding.user, binding.to);
    }
}

/// Renewing puts its end off, on whichever node; afterwards it is free, and whoever had it may have it again.
pub async fn a_claim_that_is_not_renewed_runs_out(harness: &dyn BindingHarness) {
    let nodes = harness.nodes(2).await;
    let [a, b] = connections();
    claim(&*nodes[0], &a, NewerWins, SHORT).await;
    for round in 0..3 {
        harness.pass(SHORT / 2).await;
        assert_eq!(claim(&*nodes[round % 2], &a, OlderStays, SHORT).await, granted(None));
    }
    assert_eq!(claim(&*nodes[1], &b, OlderStays, SHORT).await, refused(&a));
    harness.pass(SHORT + Duration::from_millis(100)).await;
    assert_eq!(claim(&*nodes[1], &b, NewerWins, SHORT).await, granted(None), "nobody has it");
    harness.pass(SHORT + Duration::from_millis(100)).await;
    assert_eq!(claim(&*nodes[0], &a, OlderStays, SHORT).await, granted(None), "nor now");
}

/// They are a chain: from each it was taken once, but for the last.
pub async fn of_newer_claims_at_once_one_holds_it_and_each_other_is_named_once(harness: &dyn BindingHarness) {
    let nodes = harness.nodes(3).await;
    let claimants: [ConnectionId; 30] = connections();
    let claims = claimants.iter().enumerate().map(|(n, connection)| {
        let node = Arc::clone(&nodes[n % 3]);
        async move { claim(&*node, connection, NewerWins, LONG).await }
    });
    let mut left: BTreeSet<&str> = claimants.iter().map(ConnectionId::as_str).collect();
    let mut from_nobody = 0;
    for claimed in join_all(claims).await {
        match claimed {
            BindingClaim::Granted { previous: Some(previous) } => {
                assert!(left.remove(previous.as_str()), "it was taken from {previous} twice");
            }
            BindingClaim::Granted { previous: None } => from_nobody += 1,
            BindingClaim::Refused { holder } => panic!("refused for {holder}"),
        }
    }
    assert_eq!((from_nobody, left.len()), (1, 1));
    for connection in &claimants {
        let holds = claim(&*nodes[0], connection, OlderStays, LONG).await == granted(None);
        assert_eq!(holds, left.contains(connection.as_str()));
    }
}

/// The others are told of that one.
pub async fn of_claims_at_once_one_is_granted_where_the_older_stays(harness: &dyn BindingHarness) {
    let nodes = harness.nodes(3).await;
    let claimants: [ConnectionId; 30] = connections();
    let claims = claimants.iter().enumerate().map(|(n, connection)| {
        let node = Arc::clone(&nodes[n % 3]);
        async move { claim(&*node, connection, OlderStays, LONG).await }
    });
    let claimed = join_all(claims).await;
    let granted_to = claimants.iter().zip(&claimed).filter(|(_, claimed)| **claimed == granted(None));
    let winners: Vec<&ConnectionId> = granted_to.map(|(connection, _)| connection).collect();
    assert_eq!(winners.len(), 1, "{claimed:?}");
    assert_eq!(claimed.iter().filter(|claimed| **claimed == refused(winners[0])).count(), 29);
}

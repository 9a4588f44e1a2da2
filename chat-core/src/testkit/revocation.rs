//! Cases for [`RevocationStore`].
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::time::Duration;

use crate::{
    Clock, SystemClock, Timestamp, TokenId,
    auth::{Principal, Revocation, RevocationScope, RevocationStore},
    testkit::{RevocationHarness, fixtures::user},
};

/// Far enough ahead that nothing is forgotten during a case.
fn until() -> Timestamp {
    SystemClock.now().after(Duration::from_secs(3_600))
}

fn token(name: &str) -> TokenId {
    TokenId::new(name).unwrap()
}

fn of_token(name: &str, id: &str) -> Revocation {
    Revocation { user: user(name), scope: RevocationScope::Token(token(id)), until: until() }
}

fn before(name: &str, secs: u64) -> Revocation {
    let scope = RevocationScope::IssuedBefore(Timestamp::from_secs(secs));
    Revocation { user: user(name), scope, until: until() }
}

fn bearer(name: &str, id: &str) -> Principal {
    Principal::new(user(name)).with_token(token(id))
}

fn issued(name: &str, secs: u64) -> Principal {
    Principal::new(user(name)).with_issued_at(Timestamp::from_secs(secs))
}

async fn revoked(store: &dyn RevocationStore, principal: &Principal) -> bool {
    store.is_revoked(principal).await.unwrap()
}

/// Whatever is known of the principal.
pub async fn nothing_is_revoked_at_first(harness: &dyn RevocationHarness) {
    let store = &harness.nodes(1).await[0];
    for principal in [Principal::new(user("ann")), bearer("ann", "t1"), issued("ann", 0)] {
        assert!(!revoked(&**store, &principal).await, "{principal:?}");
    }
}

/// The user's other tokens work on, and so do credentials without a token.
pub async fn one_token_is_withdrawn_on_every_node(harness: &dyn RevocationHarness) {
    let nodes = harness.nodes(2).await;
    nodes[0].revoke(&of_token("ann", "t1")).await.unwrap();
    for node in &nodes {
        assert!(revoked(&**node, &bearer("ann", "t1")).await);
        assert!(revoked(&**node, &bearer("ann", "t1").with_issued_at(until())).await, "whenever issued");
        assert!(!revoked(&**node, &bearer("ann", "t2")).await);
        assert!(!revoked(&**node, &Principal::new(user("ann"))).await);
    }
}

/// To the millisecond: what was issued at that time is not before it.
pub async fn everything_issued_before_a_time_is_withdrawn(harness: &dyn RevocationHarness) {
    let nodes = harness.nodes(2).await;
    nodes[0].revoke(&before("ann", 1_000)).await.unwrap();
    for node in &nodes {
        assert!(revoked(&**node, &issued("ann", 0)).await);
        let last = Principal::new(user("ann")).with_issued_at(Timestamp::from_millis(999_999));
        assert!(revoked(&**node, &last).await);
        assert!(revoked(&**node, &last.with_token(token("t1"))).await, "whichever token");
        assert!(!revoked(&**node, &issued("ann", 1_000)).await);
        assert!(!revoked(&**node, &issued("ann", 2_000).with_token(token("t1"))).await);
    }
}

/// They cannot be shown to be newer.
pub async fn credentials_without_a_time_of_issue_count_as_issued_before(harness: &dyn RevocationHarness) {
    let nodes = harness.nodes(2).await;
    nodes[0].revoke(&before("ann", 1)).await.unwrap();
    assert!(revoked(&*nodes[1], &Principal::new(user("ann"))).await);
    assert!(revoked(&*nodes[1], &bearer("ann", "t1")).await);
}

/// Token ids are one user's own; names are compared whole.
pub async fn other_users_and_tokens_are_untouched(harness: &dyn RevocationHarness) {
    let store = &harness.nodes(1).await[0];
    store.revoke(&of_token("ann", "t1")).await.unwrap();
    store.revoke(&before("cy", 1_000)).await.unwrap();
    for other in [bearer("bob", "t1"), bearer("Ann", "t1"), bearer("ann", "T1"), bearer("ann", "t1:x")] {
        assert!(!revoked(&**store, &other).await, "{other:?}");
    }
    for other in ["ann", "Cy", "cy:1", "c"] {
        assert!(!revoked(&**store, &issued(other, 5)).await, "{other}");
    }
}

/// Of both kinds, in any order.
pub async fn withdrawals_add_up(harness: &dyn RevocationHarness) {
    let nodes = harness.nodes(2).await;
    for number in 0..20 {
        nodes[number % 2].revoke(&of_token("ann", &format!("t{number}"))).await.unwrap();
    }
    for number in 0..20 {
        let late = bearer("ann", &format!("t{number}")).with_issued_at(Timestamp::from_secs(9_000));
        assert!(revoked(&*nodes[(number + 1) % 2], &late).await, "{number}");
    }
    // The greatest time holds, whichever came last.
    for secs in [500, 2_000, 1_000] {
        nodes[0].revoke(&before("ann", secs)).await.unwrap();
    }
    assert!(revoked(&*nodes[1], &issued("ann", 1_999)).await);
    assert!(!revoked(&*nodes[1], &issued("ann", 2_000)).await);
    assert!(revoked(&*nodes[1], &bearer("ann", "t3").with_issued_at(Timestamp::from_secs(9_000))).await);
}

/// As after a call that was not answered.
pub async fn a_repeated_withdrawal_is_harmless(harness: &dyn RevocationHarness) {
    let nodes = harness.nodes(2).await;
    let (one, all) = (of_token("ann", "t1"), before("bob", 1_000));
    for node in nodes.iter().chain(&nodes) {
        node.revoke(&one).await.unwrap();
        node.revoke(&all).await.unwrap();
    }
    assert!(revoked(&*nodes[0], &bearer("ann", "t1")).await);
    assert!(revoked(&*nodes[0], &issued("bob", 1)).await);
    assert!(!revoked(&*nodes[0], &issued("bob", 1_000)).await);
}

/// It is remembered for as long as the longest one says, also where the shorter one has run out before.
pub async fn a_shorter_withdrawal_does_not_shorten_a_longer_one(harness: &dyn RevocationHarness) {
    let store = &harness.nodes(1).await[0];
    let over = SystemClock.now();
    for mut withdrawal in [of_token("ann", "t1"), before("bob", 1_000)] {
        store.revoke(&withdrawal).await.unwrap();
        withdrawal.until = over;
        store.revoke(&withdrawal).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(revoked(&**store, &bearer("ann", "t1")).await);
    assert!(revoked(&**store, &issued("bob", 1)).await);
}

/// A read that begins after it sees it, on whichever node, though that node has answered about this user before.
pub async fn a_withdrawal_is_known_everywhere_once_it_has_returned(harness: &dyn RevocationHarness) {
    let nodes = harness.nodes(3).await;
    for round in 0..20 {
        let ann = bearer("ann", &format!("t{round}"));
        for node in &nodes {
            assert!(!revoked(&**node, &ann).await);
        }
        nodes[round % 3].revoke(&of_token("ann", &format!("t{round}"))).await.unwrap();
        for node in &nodes {
            assert!(revoked(&**node, &ann).await, "round {round}");
        }
    }
}

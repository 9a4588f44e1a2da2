//! Behind Sentinel: the primary is killed or replaced, and fan-out and presence go on at the next one.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::time::Duration;

use chat_core::{
    Backend as _, ConnectionId, NodeId,
    presence::{Incarnation, LeaseStatus, NodeLease, PresenceConnection},
};
use chat_test_services::RedisSentinel;
use live::{config, connect, is_live, until, user};

const PROBE: Duration = Duration::from_millis(300);
const LEASE: Duration = Duration::from_secs(60);

fn connection(lease: &NodeLease) -> PresenceConnection {
    PresenceConnection {
        user: user("ann"),
        connection: ConnectionId::new("c1").unwrap(),
        incarnation: Incarnation(1),
        lease: lease.clone(),
    }
}

/// What holds before holds after `change`.
async fn survives(all: &RedisSentinel, change: impl AsyncFnOnce()) {
    let settings = config(&all.url()).with_probe(PROBE);
    let (here, there) = (connect(&settings).await, connect(&settings).await);
    let (publisher, listener) = (here.fanout(), there.fanout());
    let mut subscription = listener.subscribe(&live::topic("tea")).await.unwrap();
    is_live(&*publisher, "tea", &mut subscription).await;
    let (presence, other) = (here.presence(), there.presence());
    let lease = NodeLease { node: NodeId::new("n1").unwrap(), incarnation: Incarnation(1) };
    presence.renew(&lease, LEASE).await.unwrap();
    presence.connected(&connection(&lease)).await.unwrap();
    assert_eq!(presence.renew(&lease, LEASE).await.unwrap(), LeaseStatus::Renewed);

    change().await;

    until("the lease begins anew at the new primary", async || {
        matches!(presence.renew(&lease, LEASE).await, Ok(LeaseStatus::Started))
    })
    .await;
    assert_eq!(all.primary().await.unwrap(), 1);
    presence.connected(&connection(&lease)).await.unwrap();
    until(
        "the other node sees it",
        async || matches!(other.presence(&[user("ann")]).await, Ok(seen) if seen[0].connections == 1),
    )
    .await;
    is_live(&*publisher, "tea", &mut subscription).await;
    // And in the other direction, and for who comes now.
    let mut subscription = publisher.subscribe(&live::topic("milk")).await.unwrap();
    is_live(&*listener, "milk", &mut subscription).await;
    until("all is well", async || here.health().await.is_ok() && listener.health().await.is_ok()).await;
}

#[tokio::test]
async fn a_killed_primary_is_followed_by_the_replica() {
    let all = RedisSentinel::private().await.unwrap();
    survives(&all, async || all.servers()[0].kill().await.unwrap()).await;
}

/// As an operator does for maintenance: the old primary is a replica from then on.
#[tokio::test]
async fn a_primary_that_is_replaced_in_good_order_is_left() {
    let all = RedisSentinel::private().await.unwrap();
    survives(&all, async || all.fail_over().await.unwrap()).await;
}

/// Its machine may be gone without a word: it is not the first one that is asked each time.
#[tokio::test]
async fn a_sentinel_that_is_silent_keeps_nobody_out() {
    let all = RedisSentinel::private().await.unwrap();
    let settings = config(&all.url()).with_probe(PROBE);
    // Two of them are too many to replace a primary, and not too many to find it.
    for silent in [1, 0] {
        all.pause_sentinel(silent).unwrap();
        let backend = connect(&settings).await;
        let fanout = backend.fanout();
        let mut subscription = fanout.subscribe(&live::topic("tea")).await.unwrap();
        is_live(&*fanout, "tea", &mut subscription).await;
    }
}

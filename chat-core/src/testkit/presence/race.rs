//! Calls at once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{LONG, connection, count, start};
use crate::{
    Presence,
    presence::{PresenceChange, PresenceConnection},
    testkit::{PresenceHarness, fixtures::user},
};

/// Makes all calls at once, each on the next node, and answers what became of each.
async fn at_once(nodes: &[Arc<dyn Presence>], calls: Vec<(bool, PresenceConnection)>) -> Vec<PresenceChange> {
    let calls: Vec<_> = calls
        .into_iter()
        .zip(nodes.iter().cycle().cloned())
        .map(|((comes, device), node)| {
            tokio::spawn(async move {
                if comes { node.connected(&device).await } else { node.disconnected(&device).await }.unwrap()
            })
        })
        .collect();
    let mut changes = Vec::new();
    for call in calls {
        changes.push(call.await.unwrap());
    }
    changes
}

/// One of them is told to tell others.
pub async fn connects_at_once_bring_a_user_online_once(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    for round in 0..10 {
        let name = format!("u{round}");
        let calls = (0..12).map(|number| (true, connection(&name, &format!("c{round}-{number}"), 1, &n1)));
        let changes = at_once(&nodes, calls.collect()).await;
        assert_eq!(changes.iter().filter(|change| **change == PresenceChange::CameOnline).count(), 1);
        assert!(!changes.contains(&PresenceChange::Stale));
        assert_eq!(count(&*nodes[1], &name).await, 12);
    }
}

/// Many stories: some connections, a few lives each, and their beginnings and ends in any order. A connection is live in
/// the end if its newest life began and was not ended.
pub async fn connects_and_disconnects_at_once_end_in_the_truth(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut calls = Vec::new();
        let mut live: BTreeMap<String, u32> = BTreeMap::new();
        for number in 0..5 {
            let (name, id) = (format!("u{seed}-{}", number % 2), format!("c{seed}-{number}"));
            let (mut begun, mut ended) = (0, 0);
            for incarnation in 1..=random.u64(1..4) {
                if random.u8(..4) > 0 {
                    calls.push((true, connection(&name, &id, incarnation, &n1)));
                    begun = incarnation;
                }
                if random.bool() {
                    calls.push((false, connection(&name, &id, incarnation, &n1)));
                    ended = incarnation;
                }
            }
            *live.entry(name).or_default() += u32::from(begun > ended);
        }
        random.shuffle(&mut calls);
        at_once(&nodes, calls).await;
        for (name, expected) in live {
            assert_eq!(count(&*nodes[0], &name).await, expected, "{name} with seed {seed}");
        }
    }
}

/// Nobody twice and nobody never.
pub async fn sweeps_at_once_give_each_user_to_one_caller(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    for round in 0..5 {
        for number in 0..20 {
            let id = format!("c{round}-{number}");
            nodes[0].connected(&connection(&format!("u{number}"), &id, 1, &n1)).await.unwrap();
            nodes[0].disconnected(&connection(&format!("u{number}"), &id, 1, &n1)).await.unwrap();
        }
        let sweeps: Vec<_> = (0..6)
            .zip(nodes.iter().cycle().cloned())
            .map(|(_, node)| tokio::spawn(async move { node.sweep(Duration::ZERO).await.unwrap() }))
            .collect();
        let mut gone = Vec::new();
        for sweep in sweeps {
            gone.extend(sweep.await.unwrap().into_iter().map(|gone| gone.user));
        }
        gone.sort();
        let mut expected: Vec<_> = (0..20).map(|number| user(&format!("u{number}"))).collect();
        expected.sort();
        assert_eq!(gone, expected, "round {round}");
    }
}

/// Either others are told of both, or of neither.
pub async fn a_sweep_and_a_reconnect_at_once_agree(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    nodes[0].connected(&connection("ann", "c1", 1, &n1)).await.unwrap();
    for life in 1..60u32 {
        nodes[0].disconnected(&connection("ann", "c1", life.into(), &n1)).await.unwrap();
        let (sweeps, comes) = (nodes[life as usize % 2].clone(), nodes[0].clone());
        let device = connection("ann", "c1", u64::from(life) + 1, &n1);
        let sweeping = tokio::spawn(async move { sweeps.sweep(Duration::ZERO).await.unwrap().len() });
        let coming = tokio::spawn(async move { comes.connected(&device).await.unwrap() });
        let expected =
            if sweeping.await.unwrap() == 1 { PresenceChange::CameOnline } else { PresenceChange::Noted };
        assert_eq!(coming.await.unwrap(), expected, "life {life}");
        assert_eq!(count(&*nodes[1], "ann").await, 1);
    }
}

/// Also where each of them comes twice.
pub async fn disconnects_at_once_leave_nobody_online(harness: &dyn PresenceHarness) {
    let nodes = harness.nodes(2).await;
    let n1 = start(&*nodes[0], "n1", LONG).await;
    let devices: Vec<_> = (0..10).map(|number| connection("ann", &format!("c{number}"), 1, &n1)).collect();
    at_once(&nodes, devices.iter().map(|device| (true, device.clone())).collect()).await;
    let ends = devices.iter().chain(&devices).map(|device| (false, device.clone())).collect();
    let changes = at_once(&nodes, ends).await;
    assert_eq!(changes.iter().filter(|change| **change == PresenceChange::Stale).count(), 10);
    assert_eq!(count(&*nodes[1], "ann").await, 0);
    assert_eq!(nodes[1].sweep(Duration::ZERO).await.unwrap().len(), 1);
}

//! A dropped append stored each draft whole or not at all, and is safely repeated.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::{task::Poll, time::Duration};

use super::reading::{assert_gapless, log};
use crate::{
    AppendOutcome, Draft, ReadQuery,
    testkit::{
        LogHarness, LogNode,
        fixtures::{append, create_room, draft, room, store},
    },
};

/// Six drafts for two rooms.
fn batch(name: &str) -> Vec<Draft> {
    (0..6).map(|n| draft(["r", "s"][n % 2], "ann", &format!("{name}-{n}"), &format!("{name} {n}"))).collect()
}

/// Sends `batch` again, and checks that every draft of it is stored once then.
async fn repeat(node: &LogNode, batch: &[Draft]) {
    let outcomes = node.log.append(batch).await.unwrap();
    for (sent, outcome) in batch.iter().zip(&outcomes) {
        let position = outcome.stored().unwrap_or_else(|| panic!("not stored: {outcome:?}"));
        let entries = log(node, sent.room.as_str()).await;
        let copies: Vec<_> = entries.iter().filter(|entry| entry.client_id == sent.client_id).collect();
        assert_eq!(copies.len(), 1, "{} was stored {} times", sent.client_id, copies.len());
        assert_eq!((&copies[0].position, &copies[0].content), (position, &sent.content));
    }
}

/// Checks that `batches` batches are stored without gaps, and that every node takes more.
async fn check(nodes: &[LogNode], batches: usize) {
    for name in ["r", "s"] {
        for (n, node) in nodes.iter().enumerate() {
            store(node, draft(name, "ann", &format!("after-{n}"), "still works")).await;
        }
        let entries = log(&nodes[0], name).await;
        assert_gapless(&entries);
        assert_eq!(entries.len(), batches * 3 + nodes.len());
    }
}

async fn rooms(nodes: &[LogNode]) {
    for name in ["r", "s"] {
        create_room(&nodes[0], name, &["ann"]).await;
    }
}

/// Dropped after every number of polls up to its end.
pub async fn an_append_dropped_at_any_poll_is_safely_repeated(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    rooms(&nodes).await;
    let mut batches = 0;
    for polls in 0..40 {
        let sent = batch(&format!("polls{polls}"));
        let done = {
            let mut pending = nodes[0].log.append(&sent);
            let mut done = false;
            for _ in 0..polls {
                if futures::poll!(&mut pending).is_ready() {
                    done = true;
                    break;
                }
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
            done
        };
        // The other node first: what the dropped call still does must not come between.
        repeat(&nodes[1], &sent).await;
        repeat(&nodes[0], &sent).await;
        batches += 1;
        if done && polls > 3 {
            break;
        }
    }
    check(&nodes, batches).await;
}

/// Dropped by a time limit, as servers do it.
pub async fn an_append_that_ran_out_of_time_is_safely_repeated(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    rooms(&nodes).await;
    let limits = [0, 50, 100, 200, 400, 800, 1_500, 3_000, 6_000];
    for limit in limits {
        let sent = batch(&format!("micros{limit}"));
        // Either is fine: that it was done in time, and that it was not.
        let _ = tokio::time::timeout(Duration::from_micros(limit), nodes[0].log.append(&sent)).await;
        repeat(&nodes[0], &sent).await;
        repeat(&nodes[1], &sent).await;
    }
    check(&nodes, limits.len()).await;
}

/// A call that is dropped takes no other call with it.
pub async fn a_dropped_append_leaves_others_alone(harness: &dyn LogHarness) {
    let nodes = harness.nodes(1).await;
    rooms(&nodes).await;
    for round in 0..10 {
        let (dropped, kept) = (batch(&format!("dropped{round}")), batch(&format!("kept{round}")));
        let mut pending = nodes[0].log.append(&dropped);
        let node = nodes[0].clone();
        let first_poll = futures::poll!(&mut pending);
        let other = tokio::spawn(async move { node.log.append(&kept).await });
        tokio::task::yield_now().await;
        drop(pending);
        let outcomes = other.await.unwrap().unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::New(_))), "{outcomes:?}");
        repeat(&nodes[0], &dropped).await;
        if let Poll::Ready(outcomes) = first_poll {
            let again = append(&nodes[0], dropped[0].clone()).await;
            assert_eq!(again.stored(), outcomes.unwrap()[0].stored());
        }
    }
    check(&nodes, 20).await;
}

/// A dropped read disturbs nothing.
pub async fn a_dropped_read_leaves_the_node_usable(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    rooms(&nodes).await;
    repeat(&nodes[0], &batch("first")).await;
    let name = room("r");
    for round in 0..60 {
        let mut read = nodes[round % 2].log.read(&name, ReadQuery::newest());
        let _ = futures::poll!(&mut read);
        drop(read);
        let mut heads = nodes[round % 2].log.heads(std::slice::from_ref(&name));
        let _ = futures::poll!(&mut heads);
    }
    check(&nodes, 1).await;
}

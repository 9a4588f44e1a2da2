//! One message per (room, sender, client id).
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use crate::{
    AppendOutcome,
    testkit::{
        LogHarness,
        fixtures::{append, create_room, draft, store},
    },
};

/// The second append answers where the first one's message is, and stores nothing.
pub async fn repeating_a_client_id_returns_the_first_position(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let first = store(node, draft("r", "ann", "c1", "hello")).await;
    assert_eq!(append(node, draft("r", "ann", "c1", "hello")).await, AppendOutcome::Duplicate(first.clone()));
    let next = store(node, draft("r", "ann", "c2", "next")).await;
    assert_eq!(next.cursor.seq, first.cursor.seq.next());
}

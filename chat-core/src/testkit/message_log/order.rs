//! One order per room: positions without gaps, ids that grow with them.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::time::Duration;

use super::reading::{assert_gapless, assert_head, log, refusal, text};
use crate::{
    AppendOutcome, Authority, Body, Clock, Content, CustomKind, JsonText, Refusal, StoredMessage,
    SystemClock,
    testkit::{
        LogHarness,
        fixtures::{about, append, create_room, draft, room, store, user},
    },
};

/// Positions begin at 1 in each room.
pub async fn positions_are_gapless_from_one_in_each_room(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    create_room(&nodes[0], "s", &["ann"]).await;
    for n in 1..=6 {
        for name in ["r", "s"] {
            let position = store(&nodes[n % 2], draft(name, "ann", &format!("c{n}"), "hello")).await;
            assert_eq!(position.cursor.seq.get(), n as u64);
        }
    }
    assert_gapless(&log(&nodes[0], "r").await);
    assert_gapless(&log(&nodes[1], "s").await);
}

/// One outcome per draft, each in its draft's place, whatever room it is for.
pub async fn a_batch_that_mixes_rooms_is_answered_in_its_order(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    for name in ["r", "s", "t"] {
        create_room(node, name, &["ann"]).await;
    }
    let names = ["t", "r", "s", "r", "missing", "t", "s", "r", "r", "t"];
    let batch: Vec<_> =
        (0..).zip(names).map(|(n, name)| draft(name, "ann", &format!("c{n}"), name)).collect();
    let outcomes = node.log.append(&batch).await.unwrap();
    assert_eq!(outcomes.len(), batch.len());
    for (sent, outcome) in batch.iter().zip(&outcomes) {
        if sent.room == room("missing") {
            assert_eq!(outcome, &AppendOutcome::Refused(Refusal::RoomMissing));
            continue;
        }
        let AppendOutcome::New(position) = outcome else { panic!("not stored: {outcome:?}") };
        let entries = log(node, sent.room.as_str()).await;
        let stored = entries.iter().find(|entry| entry.position == *position).unwrap();
        assert_eq!(stored.client_id, sent.client_id, "the answer to another draft");
    }
}

/// Drafts of one room get positions in the batch's order.
pub async fn drafts_of_one_room_keep_the_order_of_their_batch(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    create_room(node, "s", &["ann", "bob"]).await;
    let sent = |n: usize| {
        draft(["r", "s"][n % 2], ["bob", "ann", "ann"][n % 3], &format!("c{}", 100 - n), &n.to_string())
    };
    node.log.append(&(0..40).map(sent).collect::<Vec<_>>()).await.unwrap();
    for (first, name) in ["r", "s"].into_iter().enumerate() {
        let entries = log(node, name).await;
        assert_gapless(&entries);
        let texts: Vec<_> = entries.iter().filter_map(text).map(str::to_owned).collect();
        let expected: Vec<_> = (first..40).step_by(2).map(|n| n.to_string()).collect();
        assert_eq!(texts, expected);
    }
}

/// An empty batch has no outcomes.
pub async fn an_empty_batch_has_no_outcomes(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    assert_eq!(node.log.append(&[]).await.unwrap(), []);
    assert_head(node, "r", 0).await;
}

/// Ids grow strictly, also within one batch and one millisecond.
pub async fn ids_grow_with_positions(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    for round in 0..4 {
        let batch: Vec<_> = (0..50).map(|n| draft("r", "ann", &format!("c{round}-{n}"), "hello")).collect();
        nodes[round % 2].log.append(&batch).await.unwrap();
    }
    let entries = log(&nodes[0], "r").await;
    assert_eq!(entries.len(), 200);
    assert_gapless(&entries);
}

/// A draft that is not stored takes no position, alone or within a batch.
pub async fn drafts_that_are_not_stored_leave_no_gap(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    store(node, draft("r", "ann", "c1", "hello")).await;
    let batch = [
        draft("r", "ann", "c1", "hello"),
        draft("r", "ann", "c2", "second"),
        draft("r", "ann", "c1", "a conflict"),
        draft("r", "stranger", "c1", "refused"),
        draft("r", "ann", "c3", " "),
        draft("r", "ann", "c4", "third"),
    ];
    node.log.append(&batch).await.unwrap();
    append(node, draft("r", "ann", "c1", "hello")).await;
    append(node, draft("r", "ann", "c1", "a conflict")).await;
    append(node, draft("r", "stranger", "c1", "refused")).await;
    let last = store(node, draft("r", "ann", "c5", "fourth")).await;
    assert_eq!(last.cursor.seq.get(), 4);
    let entries = log(node, "r").await;
    assert_gapless(&entries);
    assert_eq!(entries.iter().filter_map(text).collect::<Vec<_>>(), ["hello", "second", "third", "fourth"]);
}

/// A refusal is about its draft; the others of the batch are stored.
pub async fn a_refused_draft_does_not_hold_up_its_batch(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let batch = [draft("r", "stranger", "c1", "no"), draft("r", "ann", "c1", "yes")];
    let mut outcomes = node.log.append(&batch).await.unwrap();
    assert!(matches!(outcomes.remove(1), AppendOutcome::New(_)));
    assert_eq!(refusal(outcomes.remove(0)), Refusal::NotAMember);
}

/// What is read is what was sent: every field, with the position that the append answered.
pub async fn an_entry_is_read_as_it_was_sent(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let odd = "a \"quoted\" \\ 'text'\r\n\té 👩‍👩‍👧 \u{202e}end";
    let sent = [
        draft("r", "ann", "c1", odd),
        draft("r", "ann", "c2", "as a moderator").with_authority(Authority::Moderator),
        draft("r", "service", "c3", "as the service").with_authority(Authority::System),
        about(
            "r",
            "ann",
            "c4",
            Content::Custom {
                name: CustomKind::new("offer").unwrap(),
                body: Body::Json(JsonText::new("{\"price\":  1.50, \"price\": null}").unwrap()),
            },
        ),
        about("r", "service", "c5", Content::Join { user: user("bob") }).with_authority(Authority::System),
    ];
    let outcomes = nodes[0].log.append(&sent).await.unwrap();
    let entries = log(&nodes[1], "r").await;
    assert_eq!(entries.len(), sent.len(), "{outcomes:?}");
    for ((sent, outcome), entry) in sent.into_iter().zip(outcomes).zip(entries) {
        let AppendOutcome::New(position) = outcome else { panic!("not stored: {outcome:?}") };
        assert_eq!(entry, StoredMessage::new(sent, position));
    }
}

/// A text is any text, and JSON keeps the form its sender gave it: a store that cannot hold a zero character as text
/// holds it in another way.
pub async fn a_body_may_hold_a_zero_character(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let json = Content::Chat { body: Body::Json(JsonText::new(r#"{"zero": "\u0000"}"#).unwrap()) };
    let sent = [draft("r", "ann", "c1", "a\u{0}b"), about("r", "ann", "c2", json)];
    node.log.append(&sent).await.unwrap();
    let read: Vec<_> = log(node, "r").await.into_iter().map(|entry| entry.content).collect();
    assert_eq!(read, sent.map(|draft| draft.content));
}

/// The time is the store's, so it is compared with this clock only roughly.
pub async fn entries_carry_the_time_of_their_storing(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let now = SystemClock.now();
    let at = store(node, draft("r", "ann", "c1", "hello")).await.created_at;
    let apart = at.since(now).max(now.since(at));
    assert!(apart < Duration::from_secs(600), "{at} and {now}");
}

//! One message per (room, sender, client id).
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use super::reading::{assert_gapless, assert_head, log, refusal, text};
use crate::{
    AppendOutcome, Body, Content, MemberChange, Refusal, Role, RoomChange,
    testkit::{
        LogHarness,
        fixtures::{about, append, create_room, draft, room, store, user},
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

/// A client that reconnects to another server repeats its message there.
pub async fn a_repeat_on_another_node_returns_the_first_position(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let first = store(&nodes[0], draft("r", "ann", "c1", "hello")).await;
    assert_eq!(append(&nodes[1], draft("r", "ann", "c1", "hello")).await, AppendOutcome::Duplicate(first));
    assert_head(&nodes[1], "r", 1).await;
}

/// The same key twice within a batch is one entry.
pub async fn a_repeat_in_the_same_batch_returns_the_first_position(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let batch = [
        draft("r", "ann", "c1", "hello"),
        draft("r", "ann", "c1", "hello"),
        draft("r", "ann", "c1", "something else"),
        draft("r", "ann", "c2", "next"),
    ];
    let outcomes = node.log.append(&batch).await.unwrap();
    let AppendOutcome::New(first) = outcomes[0].clone() else { panic!("not stored: {:?}", outcomes[0]) };
    assert_eq!(outcomes[1], AppendOutcome::Duplicate(first.clone()));
    assert_eq!(outcomes[2], AppendOutcome::Conflict(first));
    assert!(matches!(&outcomes[3], AppendOutcome::New(next) if next.cursor.seq.get() == 2), "{outcomes:?}");
    let entries = log(node, "r").await;
    assert_gapless(&entries);
    assert_eq!(entries.len(), 2);
}

/// What was said may be different by now; the repeat is compared with what was sent.
pub async fn a_repeat_after_an_edit_returns_the_first_position(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let first = store(node, draft("r", "ann", "c1", "hello")).await;
    let edit = Content::Edit { target: first.id, body: Body::text("hello!") };
    store(node, about("r", "ann", "c2", edit)).await;
    assert_eq!(append(node, draft("r", "ann", "c1", "hello")).await, AppendOutcome::Duplicate(first.clone()));
    assert_eq!(append(node, draft("r", "ann", "c1", "hello!")).await, AppendOutcome::Conflict(first));
}

/// A deleted message does not come back by being sent again.
pub async fn a_repeat_after_a_delete_returns_the_first_position(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let first = store(node, draft("r", "ann", "c1", "hello")).await;
    let delete = about("r", "ann", "c2", Content::Delete { target: first.id });
    let deleted = store(node, delete.clone()).await;
    assert_eq!(append(node, draft("r", "ann", "c1", "hello")).await, AppendOutcome::Duplicate(first));
    assert_eq!(append(node, delete).await, AppendOutcome::Duplicate(deleted));
    assert_head(node, "r", 2).await;
}

/// The first message stays, and the answer names it.
pub async fn another_payload_under_a_used_client_id_is_a_conflict(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let first = store(&nodes[0], draft("r", "ann", "c1", "hello")).await;
    for node in &nodes {
        let other = append(node, draft("r", "ann", "c1", "bye")).await;
        assert_eq!(other, AppendOutcome::Conflict(first.clone()));
    }
    let entries = log(&nodes[0], "r").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(text(&entries[0]), Some("hello"));
}

/// The kind is part of the payload.
pub async fn another_kind_under_a_used_client_id_is_a_conflict(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let first = store(node, draft("r", "ann", "c1", "hello")).await;
    let second = store(node, draft("r", "ann", "c2", "bye")).await;
    let edit = Content::Edit { target: first.id, body: Body::text("bye") };
    assert_eq!(append(node, about("r", "ann", "c2", edit)).await, AppendOutcome::Conflict(second));
    assert_eq!(text(&log(node, "r").await[0]), Some("hello"));
}

/// Senders choose their client ids without knowing of each other.
pub async fn a_client_id_of_another_sender_is_another_message(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    let first = store(node, draft("r", "ann", "c1", "hello")).await;
    let second = store(node, draft("r", "bob", "c1", "hello")).await;
    let third = append(node, draft("r", "bob", "c1", "hello")).await;
    assert_eq!(second.cursor.seq, first.cursor.seq.next());
    assert_eq!(third, AppendOutcome::Duplicate(second));
}

/// Client ids are counted per room by some clients.
pub async fn a_client_id_in_another_room_is_another_message(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    create_room(node, "s", &["ann"]).await;
    let first = store(node, draft("r", "ann", "c1", "hello")).await;
    let second = store(node, draft("s", "ann", "c1", "hello")).await;
    assert_ne!(first.id, second.id);
    assert_eq!(append(node, draft("r", "ann", "c1", "hello")).await, AppendOutcome::Duplicate(first));
    assert_eq!(append(node, draft("s", "ann", "c1", "hello")).await, AppendOutcome::Duplicate(second));
}

/// Names that differ only in case, or by where one part ends and the next begins, are different names.
pub async fn similar_keys_are_different_messages(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "Ann", "an"]).await;
    for (sender, client) in [("ann", "c1"), ("Ann", "c1"), ("ann", "C1"), ("an", "nc1"), ("an", "c1")] {
        store(node, draft("r", sender, client, "hello")).await;
    }
    assert_gapless(&log(node, "r").await);
}

/// The message is in the log, whatever became of its sender.
pub async fn a_repeat_by_a_member_removed_since_gets_its_first_answer(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let first = store(node, draft("r", "ann", "c1", "hello")).await;
    node.rooms.change_member(&room("r"), MemberChange::remove(user("ann"))).await.unwrap();
    assert_eq!(append(node, draft("r", "ann", "c1", "hello")).await, AppendOutcome::Duplicate(first.clone()));
    assert_eq!(append(node, draft("r", "ann", "c1", "bye")).await, AppendOutcome::Conflict(first));
}

/// The message is in the log, whatever became of its room.
pub async fn a_repeat_in_a_room_closed_since_gets_its_first_answer(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let first = store(node, draft("r", "ann", "c1", "hello")).await;
    let close = RoomChange { active: Some(false), max_body_chars: Some(1), ..RoomChange::default() };
    node.rooms.update(&room("r"), close).await.unwrap();
    assert_eq!(append(node, draft("r", "ann", "c1", "hello")).await, AppendOutcome::Duplicate(first));
}

/// A reaction may be repeated after its target is gone.
pub async fn a_repeat_about_a_message_deleted_since_gets_its_first_answer(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let target = store(node, draft("r", "ann", "c1", "hello")).await.id;
    let edit = about("r", "ann", "c2", Content::Edit { target, body: Body::text("hello!") });
    let edited = store(node, edit.clone()).await;
    store(node, about("r", "ann", "c3", Content::Delete { target })).await;
    assert_eq!(append(node, edit).await, AppendOutcome::Duplicate(edited));
}

/// A hook that masks a word must not turn a retry into a conflict when it masks differently the next time.
pub async fn a_rewritten_draft_is_recognised_by_what_was_sent(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let mut rewritten = draft("r", "ann", "c1", "darn");
    rewritten.rewrite(Content::text("****"));
    let first = store(node, rewritten.clone()).await;
    rewritten.rewrite(Content::text("d***"));
    assert_eq!(append(node, rewritten).await, AppendOutcome::Duplicate(first.clone()));
    assert_eq!(append(node, draft("r", "ann", "c1", "darn")).await, AppendOutcome::Duplicate(first.clone()));
    assert_eq!(append(node, draft("r", "ann", "c1", "****")).await, AppendOutcome::Conflict(first));
    assert_eq!(text(&log(node, "r").await[0]), Some("****"));
}

/// What was not stored leaves its client id free.
pub async fn a_refused_draft_can_be_sent_again(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &[]).await;
    let refused = append(node, draft("r", "ann", "c1", "hello")).await;
    assert_eq!(refusal(refused), Refusal::NotAMember);
    node.rooms.change_member(&room("r"), MemberChange::add(user("ann"), Role::Member)).await.unwrap();
    assert_eq!(store(node, draft("r", "ann", "c1", "hello, now")).await.cursor.seq.get(), 1);
}

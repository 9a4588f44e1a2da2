//! What may be edited, deleted and reacted to, and by whom.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use super::reading::{assert_head, entry, refusal, text};
use crate::{
    Authority, Body, Content, CustomKind, MessageId, ReactionOp, Refusal,
    testkit::{
        LogHarness, LogNode,
        fixtures::{about, append, create_room, draft, reaction, store, user},
    },
};

/// Everything that can be done to a message.
fn changes(target: MessageId) -> [Content; 4] {
    [
        Content::Edit { target, body: Body::text("changed") },
        reaction(target, "a", ReactionOp::Add),
        reaction(target, "a", ReactionOp::Remove),
        Content::Delete { target },
    ]
}

async fn assert_refused(node: &LogNode, target: MessageId, authority: Authority, why: Refusal) {
    for content in changes(target) {
        let sent = about("r", "ann", "refused", content.clone()).with_authority(authority);
        assert_eq!(refusal(append(node, sent).await), why, "{content:?} as {authority:?}");
    }
}

const EVERYONE: [Authority; 3] = [Authority::Member, Authority::Moderator, Authority::System];

/// There is nothing to change.
pub async fn an_unknown_target_is_refused(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    store(node, draft("r", "ann", "c1", "hello")).await;
    for authority in EVERYONE {
        assert_refused(node, MessageId::from_u128(7), authority, Refusal::TargetMissing).await;
    }
    assert_head(node, "r", 1).await;
}

/// A message is changed in its own room only.
pub async fn a_target_in_another_room_is_refused(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    create_room(node, "s", &["ann"]).await;
    store(node, draft("r", "ann", "c1", "here")).await;
    let target = store(node, draft("s", "ann", "c1", "hello")).await.id;
    for authority in EVERYONE {
        assert_refused(node, target, authority, Refusal::TargetMissing).await;
    }
    assert_eq!(text(&entry(node, "s", target).await), Some("hello"));
}

/// What is deleted stays as it is.
pub async fn a_deleted_target_is_refused(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let target = store(node, draft("r", "ann", "c1", "hello")).await.id;
    store(node, about("r", "ann", "c2", Content::Delete { target })).await;
    let deleted = entry(node, "r", target).await;
    for authority in EVERYONE {
        assert_refused(node, target, authority, Refusal::TargetMissing).await;
    }
    assert_eq!(entry(node, "r", target).await, deleted);
    assert_head(node, "r", 2).await;
}

/// Entries that change others, and the system's notes, cannot themselves be changed.
pub async fn a_target_that_says_nothing_is_refused(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let target = store(node, draft("r", "ann", "c1", "hello")).await.id;
    let contents = [
        Content::Join { user: user("bob") },
        Content::Leave { user: user("bob") },
        Content::Edit { target, body: Body::text("hello!") },
        reaction(target, "a", ReactionOp::Add),
        Content::Delete { target },
    ];
    for (n, content) in contents.into_iter().enumerate() {
        let id = store(node, about("r", "ann", &format!("d{n}"), content)).await.id;
        for authority in EVERYONE {
            assert_refused(node, id, authority, Refusal::TargetMissing).await;
        }
    }
}

/// A member edits and deletes what it sent itself, and nothing else.
pub async fn a_member_changes_only_its_own(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    let target = store(node, draft("r", "bob", "c1", "hello")).await.id;
    for content in [Content::Edit { target, body: Body::text("mine") }, Content::Delete { target }] {
        assert_eq!(refusal(append(node, about("r", "ann", "c2", content)).await), Refusal::TargetNotOwn);
    }
    assert_eq!(text(&entry(node, "r", target).await), Some("hello"));
    store(node, about("r", "bob", "c2", Content::Edit { target, body: Body::text("mine") })).await;
    assert_eq!(text(&entry(node, "r", target).await), Some("mine"));
    store(node, about("r", "bob", "c3", Content::Delete { target })).await;
    assert!(entry(node, "r", target).await.state.deleted.is_some());
}

/// Everybody reacts to everybody's messages.
pub async fn a_member_reacts_to_what_others_sent(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    let target = store(node, draft("r", "bob", "c1", "hello")).await.id;
    store(node, about("r", "ann", "c2", reaction(target, "a", ReactionOp::Add))).await;
    store(node, about("r", "bob", "c2", reaction(target, "a", ReactionOp::Add))).await;
    assert_eq!(entry(node, "r", target).await.state.reactions[0].count, 2);
}

/// A moderator changes what others sent, but must be a member.
pub async fn a_moderator_changes_what_others_sent(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    let target = store(node, draft("r", "bob", "c1", "hello")).await.id;
    let edit = Content::Edit { target, body: Body::text("moderated") };
    let by = |sender: &str, client: &str, content: Content| {
        about("r", sender, client, content).with_authority(Authority::Moderator)
    };
    assert_eq!(refusal(append(node, by("stranger", "c2", edit.clone())).await), Refusal::NotAMember);
    store(node, by("ann", "c2", edit)).await;
    assert_eq!(text(&entry(node, "r", target).await), Some("moderated"));
    store(node, by("ann", "c3", Content::Delete { target })).await;
    assert!(entry(node, "r", target).await.state.deleted.is_some());
}

/// The service changes anything.
pub async fn the_service_changes_what_others_sent(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["bob"]).await;
    let target = store(node, draft("r", "bob", "c1", "hello")).await.id;
    for (n, content) in changes(target).into_iter().enumerate() {
        let sent = about("r", "service", &format!("d{n}"), content);
        store(node, sent.with_authority(Authority::System)).await;
    }
    assert!(entry(node, "r", target).await.state.deleted.is_some());
}

/// The application's own kinds, and what the service says, are messages like others.
pub async fn whatever_can_be_said_can_be_changed(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let offer = Content::Custom { name: CustomKind::new("offer").unwrap(), body: Body::text("ten") };
    let offer = store(node, about("r", "ann", "c1", offer)).await.id;
    let said = store(node, draft("r", "ann", "c2", "said").with_authority(Authority::System)).await.id;
    for (name, target) in [("offer", offer), ("said", said)] {
        for (n, content) in changes(target).into_iter().enumerate() {
            store(node, about("r", "ann", &format!("{name}{n}"), content)).await;
        }
        let changed = entry(node, "r", target).await;
        assert_eq!(changed.content.body(), Some(&Body::Removed));
    }
}

/// The id names the target; the client id, which others may have used too, does not.
pub async fn a_target_is_told_from_others_of_the_same_client_id(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    let target = store(node, draft("r", "ann", "c1", "hello")).await.id;
    let other = store(node, draft("r", "bob", "c1", "hello")).await.id;
    store(node, about("r", "ann", "c2", Content::Edit { target, body: Body::text("changed") })).await;
    assert_eq!(text(&entry(node, "r", target).await), Some("changed"));
    assert_eq!(text(&entry(node, "r", other).await), Some("hello"));
}

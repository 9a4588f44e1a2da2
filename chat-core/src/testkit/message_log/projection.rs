//! Every page shows messages as later entries left them.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use super::reading::{entry, log, text};
use crate::{
    Authority, Body, Content, CustomKind, EntryState, JsonText, MessageId, Position, ReactionOp, Reactions,
    testkit::{
        LogHarness, LogNode,
        fixtures::{about, create_room, draft, reaction, store, user},
    },
};

async fn edit(node: &LogNode, client: &str, target: MessageId, text: &str) -> Position {
    store(node, about("r", "ann", client, Content::Edit { target, body: Body::text(text) })).await
}

async fn react(node: &LogNode, who: &str, client: &str, target: MessageId, key: &str, op: ReactionOp) {
    store(node, about("r", who, client, reaction(target, key, op))).await;
}

/// Keys, counts and users, as read.
async fn reactions(node: &LogNode, target: MessageId) -> Vec<(String, u32, Vec<String>)> {
    let named = |r: Reactions| {
        let users = r.users.iter().map(|user| user.as_str().to_owned()).collect();
        (r.key.as_str().to_owned(), r.count, users)
    };
    entry(node, "r", target).await.state.reactions.into_iter().map(named).collect()
}

fn tally(key: &str, users: &[&str]) -> (String, u32, Vec<String>) {
    let count = u32::try_from(users.len()).unwrap();
    (key.to_owned(), count, users.iter().map(|user| (*user).to_owned()).collect())
}

/// Nothing was done to it, so nothing is said to have been.
pub async fn an_untouched_message_has_an_empty_state(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let id = store(node, draft("r", "ann", "c1", "hello")).await.id;
    assert_eq!(entry(node, "r", id).await.state, EntryState::default());
}

/// Whichever way a page is read, on whichever node. The entry keeps its place, time and sender.
pub async fn an_edited_message_reads_as_edited_everywhere(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let first = store(&nodes[0], draft("r", "ann", "c1", "hello")).await;
    store(&nodes[0], draft("r", "ann", "c2", "in between")).await;
    let edited = edit(&nodes[0], "c3", first.id, "hello, world").await;
    for node in &nodes {
        let read = entry(node, "r", first.id).await;
        assert_eq!(text(&read), Some("hello, world"));
        let state = read.state.edited.unwrap();
        assert_eq!((state.seq, state.at), (edited.cursor.seq, edited.created_at));
        assert_eq!((&read.position, read.sender), (&first, user("ann")));
        let entry_of_edit = entry(node, "r", edited.id).await;
        let said = Content::Edit { target: first.id, body: Body::text("hello, world") };
        assert_eq!(entry_of_edit.content, said);
    }
}

/// Of several edits the one with the greatest position holds, also within a batch.
pub async fn the_last_edit_holds(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let target = store(node, draft("r", "ann", "c1", "hello")).await.id;
    edit(node, "c9", target, "second").await;
    let batch: Vec<_> = [("c8", "third"), ("c7", "fourth")]
        .into_iter()
        .map(|(client, text)| about("r", "ann", client, Content::Edit { target, body: Body::text(text) }))
        .collect();
    node.log.append(&batch).await.unwrap();
    let read = entry(node, "r", target).await;
    assert_eq!(text(&read), Some("fourth"));
    assert_eq!(read.state.edited.unwrap().seq.get(), 4);
    let said: Vec<_> = log(node, "r").await.iter().skip(1).filter_map(text).map(str::to_owned).collect();
    assert_eq!(said, ["second", "third", "fourth"]);
}

/// An edit replaces the body, of whatever form; the kind and its name stay.
pub async fn an_edit_replaces_the_body_and_nothing_else(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let name = CustomKind::new("offer").unwrap();
    let offer = Content::Custom { name: name.clone(), body: Body::text("ten") };
    let target = store(node, about("r", "ann", "c1", offer)).await.id;
    let body = Body::Json(JsonText::new("{\"price\":  10}").unwrap());
    store(node, about("r", "ann", "c2", Content::Edit { target, body: body.clone() })).await;
    assert_eq!(entry(node, "r", target).await.content, Content::Custom { name, body });
}

/// What a deleted message said is given out nowhere: neither by itself nor by its edits.
pub async fn a_deleted_body_is_gone_everywhere(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let target = store(&nodes[0], draft("r", "ann", "c1", "secret one")).await.id;
    let other = store(&nodes[0], draft("r", "ann", "c2", "kept")).await.id;
    let edits = [
        edit(&nodes[0], "c3", target, "secret two").await.id,
        edit(&nodes[0], "c4", target, "secret three").await.id,
    ];
    edit(&nodes[0], "c5", other, "kept, edited").await;
    let delete = store(&nodes[0], about("r", "ann", "c6", Content::Delete { target })).await;
    for node in &nodes {
        let read = entry(node, "r", target).await;
        assert_eq!(read.content, Content::Chat { body: Body::Removed });
        assert_eq!(read.state.deleted, Some(delete.cursor.seq));
        for id in edits {
            let content = entry(node, "r", id).await.content;
            assert_eq!(content, Content::Edit { target, body: Body::Removed });
        }
        assert_eq!(text(&entry(node, "r", other).await), Some("kept, edited"));
        let everything = format!("{:?}", log(node, "r").await);
        assert!(!everything.contains("secret"), "{everything}");
    }
}

/// Twice is the same as once.
pub async fn a_reaction_counts_once_per_user(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    let target = store(node, draft("r", "ann", "c1", "hello")).await.id;
    react(node, "bob", "c1", target, "👍", ReactionOp::Add).await;
    react(node, "bob", "c2", target, "👍", ReactionOp::Add).await;
    assert_eq!(reactions(node, target).await, [tally("👍", &["bob"])]);
    react(node, "ann", "c2", target, "👍", ReactionOp::Add).await;
    assert_eq!(reactions(node, target).await, [tally("👍", &["bob", "ann"])]);
}

/// Taken off is gone; taking off what is not there does nothing.
pub async fn a_reaction_taken_off_is_gone(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    let target = store(node, draft("r", "ann", "c1", "hello")).await.id;
    react(node, "ann", "r1", target, "a", ReactionOp::Remove).await;
    assert_eq!(reactions(node, target).await, []);
    react(node, "ann", "r2", target, "a", ReactionOp::Add).await;
    react(node, "bob", "r3", target, "a", ReactionOp::Add).await;
    react(node, "ann", "r4", target, "a", ReactionOp::Remove).await;
    react(node, "ann", "r5", target, "a", ReactionOp::Remove).await;
    assert_eq!(reactions(node, target).await, [tally("a", &["bob"])]);
    react(node, "bob", "r6", target, "a", ReactionOp::Remove).await;
    assert_eq!(reactions(node, target).await, []);
}

/// Keys stand in the order they first came; users in the order they reacted, who came back last.
pub async fn reactions_are_in_the_order_they_came(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob", "cid"]).await;
    let target = store(node, draft("r", "ann", "m", "hello")).await.id;
    let steps = [("cid", "z"), ("bob", "a"), ("ann", "z"), ("bob", "z"), ("ann", "m")];
    for (n, (who, key)) in steps.into_iter().enumerate() {
        react(node, who, &format!("r{n}"), target, key, ReactionOp::Add).await;
    }
    let expected = [tally("z", &["cid", "ann", "bob"]), tally("a", &["bob"]), tally("m", &["ann"])];
    assert_eq!(reactions(node, target).await, expected);
    react(node, "cid", "back1", target, "z", ReactionOp::Remove).await;
    react(node, "cid", "back2", target, "z", ReactionOp::Add).await;
    assert_eq!(reactions(node, target).await[0], tally("z", &["ann", "bob", "cid"]));
}

/// Keys are told apart exactly.
pub async fn similar_reactions_are_different(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let target = store(node, draft("r", "ann", "m", "hello")).await.id;
    for (n, key) in ["a", "A", "👍", "👍🏽"].into_iter().enumerate() {
        react(node, "ann", &format!("r{n}"), target, key, ReactionOp::Add).await;
    }
    let expected = [tally("a", &["ann"]), tally("A", &["ann"]), tally("👍", &["ann"]), tally("👍🏽", &["ann"])];
    assert_eq!(reactions(node, target).await, expected);
}

/// All are counted, the first hundred are named.
pub async fn many_users_are_counted_and_the_first_are_named(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let target = store(node, draft("r", "ann", "m", "hello")).await.id;
    // In the service's right, which spares 105 memberships.
    let batch: Vec<_> = (0..105)
        .rev()
        .map(|n| about("r", &format!("user{n:03}"), "c1", reaction(target, "a", ReactionOp::Add)))
        .map(|draft| draft.with_authority(Authority::System))
        .collect();
    node.log.append(&batch).await.unwrap();
    let read = entry(node, "r", target).await.state.reactions.remove(0);
    assert_eq!(read.count, 105);
    let expected: Vec<_> = (5..105).rev().map(|n| user(&format!("user{n:03}"))).collect();
    assert_eq!(read.users, expected);
    assert_eq!(read.users.len(), Reactions::MAX_USERS);
}

/// Edits and reactions do not disturb each other.
pub async fn an_edited_message_keeps_its_reactions(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let target = store(node, draft("r", "ann", "m", "hello")).await.id;
    react(node, "ann", "r1", target, "a", ReactionOp::Add).await;
    edit(node, "e1", target, "hello!").await;
    react(node, "ann", "r2", target, "b", ReactionOp::Add).await;
    assert_eq!(reactions(node, target).await, [tally("a", &["ann"]), tally("b", &["ann"])]);
    assert_eq!(text(&entry(node, "r", target).await), Some("hello!"));
}

/// A reader who has all entries knows what became of each message: what was done is in the log, too.
pub async fn every_change_is_an_entry_of_its_own(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let target = store(node, draft("r", "ann", "m", "hello")).await.id;
    react(node, "ann", "r1", target, "a", ReactionOp::Add).await;
    react(node, "ann", "r2", target, "a", ReactionOp::Add).await;
    react(node, "ann", "r3", target, "a", ReactionOp::Remove).await;
    store(node, about("r", "ann", "d1", Content::Delete { target })).await;
    let contents: Vec<_> = log(node, "r").await.into_iter().skip(1).map(|entry| entry.content).collect();
    let expected = [
        reaction(target, "a", ReactionOp::Add),
        reaction(target, "a", ReactionOp::Add),
        reaction(target, "a", ReactionOp::Remove),
        Content::Delete { target },
    ];
    assert_eq!(contents, expected);
}

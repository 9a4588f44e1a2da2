//! Imported entries act as if they had been appended.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use super::world::{World, by_ann, hot_id, living, of_life, says, texts};
use crate::{
    Authority, Body, Content, EntryState, MessageId, ReactionOp, Retention,
    search::SearchQuery,
    testkit::{
        ArchiveHarness,
        fixtures::{about, create_room, draft, reaction, room, seq, store, user},
        message_log::reading::text,
    },
    tiered::ImportOutcome,
};

fn edit(target: MessageId, text: &str) -> Content {
    Content::Edit { target, body: Body::text(text) }
}

/// An edit, two reactions of which one goes again, all in one life of `r` from this position on.
async fn change(world: &World, first: u64, target: MessageId) {
    let drafts = vec![
        by_ann(&format!("e{first}"), edit(target, "edited")),
        about("r", "bob", &format!("on{first}"), reaction(target, "+1", ReactionOp::Add)),
        by_ann(&format!("on{first}"), reaction(target, "+1", ReactionOp::Add)),
        about("r", "bob", &format!("off{first}"), reaction(target, "+1", ReactionOp::Remove)),
    ];
    world.take(first, drafts).await;
}

/// Checks what [`change`] left, from whichever side it is read.
async fn assert_changed(world: &World, first: u64, target: MessageId) {
    let entry = world.entry(target).await;
    assert_eq!(text(&entry), Some("edited"));
    let edited = entry.state.edited.unwrap();
    assert_eq!((edited.seq, edited.at), (seq(first), hot_id(first).timestamp()));
    assert_eq!(entry.state.reactions.len(), 1);
    let on = &entry.state.reactions[0];
    assert_eq!((on.key.as_str(), on.count, &on.users), ("+1", 1, &vec![user("ann")]));
}

/// Checks that a message was deleted by the entry at this position, and that nothing says what it said.
async fn assert_deleted(world: &World, target: MessageId, by: u64) {
    let entry = world.entry(target).await;
    assert_eq!((entry.content.body(), entry.state.deleted), (Some(&Body::Removed), Some(seq(by))));
    let everything = format!("{:?}", world.all().await);
    assert!(!everything.contains("secret") && !everything.contains("edited\""), "{everything}");
}

/// The target and its changes come in one import.
pub async fn changes_act_within_one_import(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    let target = hot_id(1);
    let drafts = vec![
        says("c1", "secret"),
        by_ann("e", edit(target, "edited")),
        about("r", "bob", "on", reaction(target, "+1", ReactionOp::Add)),
        says("c2", "another"),
        by_ann("r", reaction(hot_id(4), "a", ReactionOp::Add)),
    ];
    world.take(1, drafts).await;
    let entry = world.entry(target).await;
    assert_eq!(text(&entry), Some("edited"));
    assert_eq!(entry.state.reactions[0].users, [user("bob")]);
    assert_eq!(world.entry(hot_id(4)).await.state.reactions[0].key.as_str(), "a");
    world.take(6, vec![by_ann("d", Content::Delete { target })]).await;
    assert_deleted(&world, target, 6).await;
}

/// The whole life of a message comes in one import.
pub async fn a_message_may_come_and_go_in_one_import(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    let target = hot_id(1);
    let delete = by_ann("d", Content::Delete { target });
    world.take(1, vec![says("c1", "secret"), by_ann("e", edit(target, "secret, edited")), delete]).await;
    assert_deleted(&world, target, 3).await;
    assert_eq!(world.unread("bob").await, 0);
}

/// The target was imported earlier.
pub async fn changes_act_on_what_was_imported_before(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    let target = world.take(1, vec![says("c1", "secret")]).await[0];
    change(&world, 2, target).await;
    assert_changed(&world, 2, target).await;
    world.take(6, vec![by_ann("d", Content::Delete { target })]).await;
    assert_deleted(&world, target, 6).await;
}

/// The target is older than the hot log.
pub async fn changes_act_on_what_was_appended(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    let target = store(&world, says("c1", "secret")).await.id;
    change(&world, 2, target).await;
    assert_changed(&world, 2, target).await;
    world.take(6, vec![by_ann("d", Content::Delete { target })]).await;
    assert_deleted(&world, target, 6).await;
}

/// A direct append acts on what was imported.
pub async fn an_append_changes_what_was_imported(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    let target = world.take(1, vec![says("c1", "secret"), says("c2", "kept")]).await[0];
    store(&world, by_ann("e", edit(target, "edited"))).await;
    assert_eq!(text(&world.entry(target).await), Some("edited"));
    store(&world, by_ann("d", Content::Delete { target })).await;
    assert_deleted(&world, target, 4).await;
}

/// A change whose target is no longer there, or never was, or was deleted, is an entry and nothing more.
pub async fn a_change_without_its_target_has_no_effect(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    create_room(&world, "s", &["ann"]).await;
    let foreign = store(&world, draft("s", "ann", "c1", "elsewhere")).await.id;
    let ids = world.take(1, vec![says("c1", "trimmed"), says("c2", "secret"), says("c3", "kept")]).await;
    world.take(4, vec![by_ann("d", Content::Delete { target: ids[1] })]).await;
    let keep = Retention { max_entries: Some(3), not_before: None };
    world.log.log.trim(&room("r"), keep).await.unwrap();
    let mut drafts = Vec::new();
    for (target, name) in [(ids[0], "t"), (hot_id(77), "m"), (foreign, "f")] {
        drafts.push(by_ann(&format!("e{name}"), edit(target, "edited")));
        drafts.push(by_ann(&format!("r{name}"), reaction(target, "+1", ReactionOp::Add)));
        drafts.push(by_ann(&format!("d{name}"), Content::Delete { target }));
    }
    drafts.push(by_ann("ed", edit(ids[1], "back again")));
    drafts.push(by_ann("dd", Content::Delete { target: ids[1] }));
    world.take(5, drafts).await;
    assert_eq!(world.head("r").await.cursor.seq, seq(15));
    let gone = world.entry(ids[1]).await;
    assert_eq!((gone.content.body(), gone.state.deleted), (Some(&Body::Removed), Some(seq(4))));
    let kept = world.entry(ids[2]).await;
    assert_eq!((text(&kept), &kept.state), (Some("kept"), &EntryState::default()));
    let page = world.log.log.read(&room("s"), crate::ReadQuery::newest()).await.unwrap();
    assert_eq!((text(&page.entries[0]), &page.entries[0].state), (Some("elsewhere"), &EntryState::default()));
}

/// What people said is unread for the others, until they read it or it is deleted; what the service says is not.
pub async fn imported_messages_are_unread(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    let drafts = vec![
        says("c1", "one"),
        says("c2", "two"),
        draft("r", "bob", "c1", "three"),
        about("r", "service", "s", Content::text("said")).with_authority(Authority::System),
        by_ann("r1", reaction(hot_id(1), "+1", ReactionOp::Add)),
        says("c3", "four"),
    ];
    world.take(1, drafts).await;
    assert_eq!((world.unread("bob").await, world.unread("ann").await), (3, 1));
    world.take(7, vec![by_ann("d1", Content::Delete { target: hot_id(2) })]).await;
    assert_eq!((world.unread("bob").await, world.unread("ann").await), (2, 1));
    let read = world.entry(hot_id(3)).await.position.cursor;
    world.rooms.mark_read(&room("r"), &user("bob"), &read).await.unwrap();
    assert_eq!((world.unread("bob").await, world.unread("ann").await), (1, 1));
    // Imported and appended ones count alike.
    world.append("x").await;
    world
        .take(9, vec![draft("r", "bob", "c2", "five"), by_ann("d2", Content::Delete { target: hot_id(6) })])
        .await;
    assert_eq!((world.unread("bob").await, world.unread("ann").await), (1, 2));
}

/// A room's place in its members' lists, and its preview, are those of its newest entry of the timeline.
pub async fn an_import_shows_in_the_list_of_rooms(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    for name in ["s", "t"] {
        create_room(&world, name, &["ann", "bob"]).await;
        world.begin(name, "a", 0).await;
    }
    world.take(1, vec![says("c1", "hello"), by_ann("r", reaction(hot_id(1), "+1", ReactionOp::Add))]).await;
    let imports = [of_life("t", "a", texts("t", 1, 4)), of_life("s", "a", texts("s", 1, 3))];
    let outcomes = world.node.archive.import(&imports).await.unwrap();
    assert_eq!(outcomes, [ImportOutcome::Stored(seq(4)), ImportOutcome::Stored(seq(3))]);
    let page = world.rooms.rooms_of(&user("bob"), None, 10).await.unwrap();
    let shown: Vec<_> = page
        .rooms
        .iter()
        .map(|room| {
            let preview = room.preview.as_ref().and_then(text).unwrap();
            (room.room.id.as_str(), preview, room.activity, room.unread, room.head.seq.get())
        })
        .collect();
    let at = |number: u64| hot_id(number).timestamp();
    let expected =
        [("t", "message 4", at(4), 4, 4), ("s", "message 3", at(3), 3, 3), ("r", "hello", at(1), 1, 2)];
    assert_eq!(shown, expected);
}

/// Found as it is now, in whichever import its changes came.
pub async fn a_search_finds_what_was_imported(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    let target = store(&world, says("c0", "black coffee")).await.id;
    let drafts = vec![
        says("c1", "green tea"),
        says("c2", "black tea"),
        by_ann("e1", edit(hot_id(3), "herbal infusion")),
        by_ann("e2", edit(target, "white tea")),
    ];
    world.take(2, drafts).await;
    let found = async |text: &str| {
        harness.settle().await;
        let page = world.node.search.search(SearchQuery::new(user("bob"), text)).await.unwrap();
        page.messages.into_iter().map(|message| message.position.id).collect::<Vec<_>>()
    };
    assert_eq!(found("tea").await, [hot_id(2), target]);
    assert_eq!(found("infusion").await, [hot_id(3)]);
    assert_eq!(found("coffee").await, []);
    world.take(6, vec![by_ann("d", Content::Delete { target: hot_id(2) })]).await;
    assert_eq!(found("tea").await, [target]);
}

//! A user's list of rooms.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    Authority, Body, Content, MemberChange, NewRoom, ReactionOp, Role, RoomChange, StoredMessage,
    rooms::{ActivityCursor, Metadata, RoomSummary, RoomsPage},
    testkit::{
        LogHarness, LogNode,
        fixtures::{about, create_room, draft, fill, reaction, room, store, user},
    },
};

async fn page(node: &LogNode, name: &str, after: Option<&ActivityCursor>, limit: usize) -> RoomsPage {
    node.rooms.rooms_of(&user(name), after, limit).await.unwrap()
}

async fn listed(node: &LogNode, name: &str) -> Vec<String> {
    page(node, name, None, 200).await.rooms.into_iter().map(|summary| summary.room.id.to_string()).collect()
}

async fn summary(node: &LogNode, name: &str, of: &str) -> RoomSummary {
    let rooms = page(node, name, None, 200).await.rooms;
    rooms.into_iter().find(|summary| summary.room.id == room(of)).unwrap()
}

async fn preview(node: &LogNode) -> Option<StoredMessage> {
    summary(node, "ann", "r").await.preview
}

/// Lets the store's clock go on, so that what follows is later.
async fn later() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Also as seen by those who did not write it.
pub async fn the_room_with_the_latest_entry_comes_first(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    for name in ["a", "b", "c"] {
        create_room(&nodes[0], name, &["ann", "bob"]).await;
    }
    for (number, name) in ["b", "a", "c", "a", "b"].into_iter().enumerate() {
        later().await;
        store(&nodes[0], draft(name, "ann", &format!("c{number}"), "hello")).await;
        assert_eq!(listed(&nodes[1], "bob").await[0], name);
    }
    assert_eq!(listed(&nodes[1], "ann").await, ["b", "a", "c"]);
}

/// A room just joined comes first, with the time of joining.
pub async fn joining_counts_as_activity_where_nothing_was_said_since(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "quiet", &["ann"]).await;
    create_room(node, "busy", &["ann", "bob"]).await;
    later().await;
    let said = store(node, draft("busy", "ann", "c1", "hello")).await;
    later().await;
    node.rooms.change_member(&room("quiet"), MemberChange::add(user("bob"), Role::Member)).await.unwrap();
    assert_eq!(listed(node, "bob").await, ["quiet", "busy"]);
    let quiet = summary(node, "bob", "quiet").await;
    assert_eq!(quiet.activity, quiet.member.joined_at);
    assert_eq!(summary(node, "bob", "busy").await.activity, said.created_at);
    assert_eq!(listed(node, "ann").await, ["busy", "quiet"]);
}

/// A reaction to something old brings no room to the top.
pub async fn only_what_stands_in_the_timeline_is_activity(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    for name in ["a", "b"] {
        create_room(node, name, &["ann"]).await;
    }
    later().await;
    let old = store(node, draft("a", "ann", "c1", "old")).await;
    later().await;
    store(node, draft("b", "ann", "c1", "new")).await;
    later().await;
    store(node, about("a", "ann", "on", reaction(old.id, "+1", ReactionOp::Add))).await;
    store(node, about("a", "ann", "e", Content::Edit { target: old.id, body: Body::text("edited") })).await;
    assert_eq!(listed(node, "ann").await, ["b", "a"]);
    assert_eq!(summary(node, "ann", "a").await.activity, old.created_at);
    store(
        node,
        about("a", "ann", "j", Content::Join { user: user("ann") }).with_authority(Authority::System),
    )
    .await;
    assert_eq!(listed(node, "ann").await, ["a", "b"]);
}

/// Chat, joins and leaves; not what changes another entry.
pub async fn the_preview_is_the_newest_timeline_entry(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let first = store(&nodes[0], draft("r", "ann", "c1", "first")).await;
    assert_eq!(preview(&nodes[1]).await.unwrap().position, first);
    let second = store(&nodes[0], draft("r", "ann", "c2", "second")).await;
    store(&nodes[0], about("r", "ann", "on", reaction(first.id, "+1", ReactionOp::Add))).await;
    store(&nodes[0], about("r", "ann", "e", Content::Edit { target: first.id, body: Body::text("1st") }))
        .await;
    store(&nodes[0], about("r", "ann", "d", Content::Delete { target: first.id })).await;
    assert_eq!(preview(&nodes[1]).await.unwrap().position, second);
    let left = store(&nodes[0], about("r", "ann", "l", Content::Leave { user: user("cy") })).await;
    let newest = preview(&nodes[1]).await.unwrap();
    assert_eq!((newest.position, newest.content), (left, Content::Leave { user: user("cy") }));
}

/// Edited, reacted to, deleted: a deleted one keeps its place, without its body.
pub async fn the_preview_is_as_the_entry_is_now(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    store(&nodes[0], draft("r", "ann", "c0", "before")).await;
    let at = store(&nodes[0], draft("r", "ann", "c1", "first")).await;
    let edit = Content::Edit { target: at.id, body: Body::text("edited") };
    let edited = store(&nodes[0], about("r", "ann", "e", edit)).await;
    store(&nodes[0], about("r", "ann", "on", reaction(at.id, "+1", ReactionOp::Add))).await;
    let now = preview(&nodes[1]).await.unwrap();
    assert_eq!((&now.position, &now.content), (&at, &Content::text("edited")));
    assert_eq!(now.state.edited.map(|edit| edit.seq), Some(edited.cursor.seq));
    assert_eq!(now.state.reactions.iter().map(|on| on.count).collect::<Vec<_>>(), [1]);
    let deleted = store(&nodes[0], about("r", "ann", "d", Content::Delete { target: at.id })).await;
    let now = preview(&nodes[1]).await.unwrap();
    assert_eq!((&now.position, &now.content), (&at, &Content::Chat { body: Body::Removed }));
    assert_eq!(now.state.deleted, Some(deleted.cursor.seq));
}

/// Its head is before the first entry.
pub async fn a_room_without_entries_has_no_preview(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let empty = summary(node, "ann", "r").await;
    assert_eq!((empty.preview, empty.unread, empty.head.seq.get()), (None, 0, 0));
    assert_eq!(empty.activity, empty.member.joined_at);
}

/// Writers on two nodes at once: the last position is what shows, not the last to finish.
pub async fn the_preview_is_never_older_than_a_stored_entry(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann", "bob"]).await;
    let calls: Vec<_> = nodes
        .iter()
        .cloned()
        .zip(["ann", "bob"])
        .map(|(node, writer)| {
            tokio::spawn(async move {
                for number in 0..40 {
                    let at = store(&node, draft("r", writer, &format!("{writer}{number}"), "hello")).await;
                    let shown = summary(&node, "ann", "r").await;
                    assert!(shown.preview.unwrap().seq() >= at.cursor.seq);
                    assert!(shown.head.seq >= at.cursor.seq);
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(preview(&nodes[1]).await.unwrap().seq().get(), 80);
}

/// Everything that a list shows, as the other calls answer it.
pub async fn a_summary_holds_room_membership_head_marker_and_unread(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let at = fill(&nodes[0], "r", "ann", 3).await;
    nodes[0].rooms.change_member(&room("r"), MemberChange::add(user("bob"), Role::Moderator)).await.unwrap();
    let more = store(&nodes[0], draft("r", "ann", "more", "more")).await;
    let last = store(&nodes[0], about("r", "ann", "on", reaction(at[0].id, "+1", ReactionOp::Add))).await;
    let mut metadata = Metadata::new();
    metadata.insert("name".to_owned(), "Tea".into());
    let change = RoomChange { metadata: Some(metadata), ..RoomChange::default() };
    let changed = nodes[0].rooms.update(&room("r"), change).await.unwrap();
    let bob = summary(&nodes[1], "bob", "r").await;
    assert_eq!(bob.room, changed);
    assert_eq!(Some(&bob.member), nodes[1].rooms.member(&room("r"), &user("bob")).await.unwrap().as_ref());
    assert_eq!((&bob.head, &bob.read, bob.unread), (&last.cursor, &at[2].cursor, 1));
    nodes[0].rooms.mark_read(&room("r"), &user("bob"), &more.cursor).await.unwrap();
    let bob = summary(&nodes[1], "bob", "r").await;
    assert_eq!((&bob.read, bob.unread), (&more.cursor, 0));
}

/// Until the user comes back.
pub async fn rooms_that_were_left_are_not_listed(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    for name in ["a", "b"] {
        create_room(&nodes[0], name, &["ann"]).await;
    }
    create_room(&nodes[0], "foreign", &["bob"]).await;
    nodes[0].rooms.change_member(&room("a"), MemberChange::remove(user("ann"))).await.unwrap();
    assert_eq!(listed(&nodes[1], "ann").await, ["b"]);
    later().await;
    nodes[0].rooms.change_member(&room("a"), MemberChange::add(user("ann"), Role::Member)).await.unwrap();
    assert_eq!(listed(&nodes[1], "ann").await, ["a", "b"]);
    assert_eq!(listed(&nodes[1], "nobody").await, Vec::<String>::new());
}

/// Rooms `a` to `l`, some of them with activity in the same millisecond.
async fn many_rooms(node: &LogNode) -> BTreeSet<String> {
    let names: Vec<String> = ('a'..='l').map(String::from).collect();
    for name in &names {
        create_room(node, name, &["ann"]).await;
    }
    let drafts: Vec<_> = names[..6].iter().map(|name| draft(name, "ann", "c1", "at once")).collect();
    node.log.append(&drafts).await.unwrap();
    names.into_iter().collect()
}

async fn all_pages(node: &LogNode, limit: usize) -> Vec<RoomSummary> {
    let (mut seen, mut after): (Vec<RoomSummary>, _) = (Vec::new(), None);
    loop {
        let page = page(node, "ann", after.as_ref(), limit).await;
        assert!(page.rooms.len() <= limit);
        seen.extend(page.rooms);
        match page.next {
            Some(next) => {
                assert_eq!(Some(&next), seen.last().map(RoomSummary::cursor).as_ref());
                after = Some(next);
            }
            None => return seen,
        }
    }
}

/// Whatever the size of a page, in the order of the whole list, also where activity is equal.
pub async fn pages_join_up_without_repeat_or_gap(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    let names = many_rooms(node).await;
    let whole = page(node, "ann", None, 200).await;
    assert_eq!(whole.next, None);
    assert_eq!(whole.rooms.iter().map(|summary| summary.room.id.to_string()).collect::<BTreeSet<_>>(), names);
    assert!(whole.rooms.is_sorted_by(|a, b| a.cursor() > b.cursor()), "latest first, then the greatest id");
    for limit in [1, 2, 5, 11, 12, 13] {
        assert_eq!(all_pages(node, limit).await, whole.rooms, "{limit} at a time");
    }
}

/// A room that moves to the top may be missed on this walk; every other one is seen once.
pub async fn activity_between_two_pages_hides_no_other_room(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    many_rooms(node).await;
    let whole = listed(node, "ann").await;
    let first = page(node, "ann", None, 4).await;
    later().await;
    // One that was seen, and one that was not.
    let (seen, ahead) = (whole[1].clone(), whole[7].clone());
    for name in [&seen, &ahead] {
        store(node, draft(name, "ann", "now", "moves")).await;
    }
    let rest = page(node, "ann", first.next.as_ref(), 200).await.rooms;
    let rest: Vec<String> = rest.into_iter().map(|summary| summary.room.id.to_string()).collect();
    let expected: Vec<String> = whole[4..].iter().filter(|name| **name != ahead).cloned().collect();
    assert_eq!(rest, expected);
}

/// A client keeps it as a text and hands it back.
pub async fn a_place_in_the_list_reads_back_from_its_text(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    for name in ["shop:42.buyer-7", "a.b.c", "plain"] {
        create_room(node, name, &["ann"]).await;
        later().await;
    }
    let mut seen = Vec::new();
    let mut after: Option<ActivityCursor> = None;
    loop {
        let page = page(node, "ann", after.as_ref(), 1).await;
        seen.extend(page.rooms.iter().map(|summary| summary.room.id.to_string()));
        let Some(next) = page.next else { break };
        let read: ActivityCursor = next.to_string().parse().unwrap();
        assert_eq!(read, next);
        after = Some(read);
    }
    assert_eq!(seen, ["plain", "a.b.c", "shop:42.buyer-7"]);
}

/// A store's language must not have a say in it, or pages would not join up.
pub async fn equal_activity_goes_by_room_id_in_bytes(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    let names = ["b", "B", "a-b", "a_b", "A", "ab", "a", "a.b"];
    for name in names {
        create_room(node, name, &["ann"]).await;
    }
    let drafts: Vec<_> = names.iter().map(|name| draft(name, "ann", "c1", "at once")).collect();
    node.log.append(&drafts).await.unwrap();
    let whole = page(node, "ann", None, 200).await.rooms;
    assert!(whole.is_sorted_by(|a, b| a.cursor() > b.cursor()), "latest first, then the greatest id");
    for limit in [1, 3] {
        assert_eq!(all_pages(node, limit).await, whole, "{limit} at a time");
    }
}

/// Limits beyond the bounds are taken as the bound.
pub async fn a_page_of_rooms_has_at_least_one_and_at_most_two_hundred(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    for number in 0..201 {
        let new = NewRoom::new(room(&format!("r{number}"))).with_owner(user("ann"));
        node.rooms.create(new).await.unwrap();
    }
    assert_eq!(page(node, "ann", None, 0).await.rooms.len(), 1);
    let most = page(node, "ann", None, usize::MAX).await;
    assert_eq!(most.rooms.len(), 200);
    assert_eq!(page(node, "ann", most.next.as_ref(), usize::MAX).await.rooms.len(), 1);
}

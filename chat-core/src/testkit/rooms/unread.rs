//! How much is unread.

mod story;

use crate::{
    Authority, Body, Content, CustomKind, MemberChange, ReactionOp, ReadQuery, Retention, Role, UserId,
    testkit::{
        LogHarness, LogNode,
        fixtures::{about, create_room, draft, fill, reaction, room, store, user},
    },
};

async fn unread(node: &LogNode, name: &str) -> u64 {
    node.rooms.unread(&user(name), &[room("r")]).await.unwrap().remove(0)
}

/// The number counted one by one from the log and the marker.
async fn recount(node: &LogNode, name: &str) -> u64 {
    let markers = node.rooms.read_markers(&room("r"), None, 1_000).await.unwrap();
    let Some(marker) = markers.into_iter().find(|marker| marker.user == user(name)) else { return 0 };
    let head = node.log.heads(&[room("r")]).await.unwrap().remove(0).unwrap();
    let mut at = marker.cursor;
    at.seq = at.seq.max(head.oldest.previous());
    let mut count = 0;
    loop {
        let page = node.log.read(&room("r"), ReadQuery::after(at.clone()).with_limit(500)).await.unwrap();
        let counts = |entry: &&crate::StoredMessage| {
            entry.is_countable() && entry.state.deleted.is_none() && entry.sender != user(name)
        };
        count += page.entries.iter().filter(counts).count() as u64;
        match page.entries.last() {
            Some(last) if !page.reaches_head => at = last.position.cursor.clone(),
            _ => return count,
        }
    }
}

/// One by one, on every node.
pub async fn what_others_say_is_unread_until_it_is_marked(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann", "bob"]).await;
    assert_eq!(unread(&nodes[1], "bob").await, 0);
    let at = fill(&nodes[0], "r", "ann", 5).await;
    for (index, position) in at.iter().enumerate() {
        assert_eq!(unread(&nodes[index % 2], "bob").await, 5 - index as u64);
        nodes[0].rooms.mark_read(&room("r"), &user("bob"), &position.cursor).await.unwrap();
    }
    for node in &nodes {
        assert_eq!(unread(node, "bob").await, 0);
        let listed = node.rooms.rooms_of(&user("bob"), None, 10).await.unwrap().rooms;
        assert_eq!(listed[0].unread, 0);
    }
}

/// Between those of others.
pub async fn own_entries_are_not_unread(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    for (number, sender) in ["bob", "ann", "bob", "bob", "ann"].into_iter().enumerate() {
        store(node, draft("r", sender, &format!("c{number}"), "hello")).await;
    }
    assert_eq!((unread(node, "ann").await, unread(node, "bob").await), (3, 2));
}

/// Whatever it says.
pub async fn what_the_system_notes_is_not_unread(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    store(node, draft("r", "ann", "c1", "the room was renamed").with_authority(Authority::System)).await;
    store(node, draft("r", "robot", "c2", "nobody is here").with_authority(Authority::System)).await;
    assert_eq!((unread(node, "ann").await, unread(node, "bob").await), (0, 0));
    store(node, draft("r", "ann", "c3", "as moderator").with_authority(Authority::Moderator)).await;
    assert_eq!(unread(node, "bob").await, 1);
}

/// Although they stand in the timeline.
pub async fn joins_and_leaves_are_not_unread(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    store(node, about("r", "ann", "c1", Content::Join { user: user("ann") })).await;
    store(node, about("r", "ann", "c2", Content::Leave { user: user("cy") })).await;
    assert_eq!(unread(node, "bob").await, 0);
}

/// They say something about what is counted already.
pub async fn edits_deletes_and_reactions_are_not_unread(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    let at = fill(node, "r", "ann", 3).await;
    store(node, about("r", "ann", "e", Content::Edit { target: at[0].id, body: Body::text("new") })).await;
    store(node, about("r", "ann", "on", reaction(at[1].id, "+1", ReactionOp::Add))).await;
    store(node, about("r", "ann", "off", reaction(at[1].id, "+1", ReactionOp::Remove))).await;
    assert_eq!(unread(node, "bob").await, 3);
    store(node, about("r", "ann", "d", Content::Delete { target: at[2].id })).await;
    assert_eq!(unread(node, "bob").await, 2);
}

/// Like chat.
pub async fn an_applications_own_entries_are_unread(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    let content = Content::Custom { name: CustomKind::new("poll").unwrap(), body: Body::text("which?") };
    let poll = store(node, about("r", "ann", "c1", content)).await;
    assert_eq!(unread(node, "bob").await, 1);
    store(node, about("r", "ann", "c2", Content::Delete { target: poll.id })).await;
    assert_eq!(unread(node, "bob").await, 0);
}

/// For everybody who had not read it, and once.
pub async fn deleting_what_is_unread_lowers_the_number(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann", "bob", "cy"]).await;
    let at = fill(&nodes[0], "r", "ann", 4).await;
    nodes[0].rooms.mark_read(&room("r"), &user("cy"), &at[1].cursor).await.unwrap();
    store(&nodes[1], about("r", "ann", "d1", Content::Delete { target: at[2].id })).await;
    assert_eq!((unread(&nodes[0], "bob").await, unread(&nodes[0], "cy").await), (3, 1));
    // The message is gone already, so this is not stored.
    nodes[1].log.append(&[about("r", "ann", "d2", Content::Delete { target: at[2].id })]).await.unwrap();
    assert_eq!((unread(&nodes[0], "bob").await, unread(&nodes[0], "cy").await), (3, 1));
}

/// It was not in the number.
pub async fn deleting_what_was_read_does_not_lower_the_number(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    let at = fill(node, "r", "ann", 4).await;
    node.rooms.mark_read(&room("r"), &user("bob"), &at[1].cursor).await.unwrap();
    for (number, position) in at[..2].iter().enumerate() {
        store(node, about("r", "ann", &format!("d{number}"), Content::Delete { target: position.id })).await;
        assert_eq!(unread(node, "bob").await, 2);
    }
}

/// It was not in the number either.
pub async fn deleting_ones_own_message_does_not_lower_ones_own_number(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    fill(node, "r", "ann", 2).await;
    let own = store(node, draft("r", "bob", "own", "mine")).await;
    store(node, about("r", "bob", "d", Content::Delete { target: own.id })).await;
    assert_eq!((unread(node, "bob").await, unread(node, "ann").await), (2, 0));
}

/// Nobody can read it any more.
pub async fn what_was_trimmed_is_not_unread(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    let at = fill(node, "r", "ann", 6).await;
    store(node, about("r", "ann", "d", Content::Delete { target: at[0].id })).await;
    for (keep, left) in [(6, 5), (4, 3), (1, 0), (0, 0)] {
        node.log.trim(&room("r"), Retention { max_entries: Some(keep), not_before: None }).await.unwrap();
        assert_eq!(unread(node, "bob").await, left, "{keep} kept");
    }
    store(node, draft("r", "ann", "after", "more")).await;
    assert_eq!(unread(node, "bob").await, 1);
}

/// Nor has somebody who never was a member.
pub async fn somebody_who_left_has_nothing_unread(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann", "bob"]).await;
    fill(&nodes[0], "r", "ann", 3).await;
    nodes[0].rooms.change_member(&room("r"), MemberChange::remove(user("bob"))).await.unwrap();
    assert_eq!((unread(&nodes[1], "bob").await, unread(&nodes[1], "stranger").await), (0, 0));
}

/// What was unread when they left, and what was said meanwhile, is not counted.
pub async fn coming_back_begins_at_zero(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    fill(node, "r", "ann", 3).await;
    node.rooms.change_member(&room("r"), MemberChange::remove(user("bob"))).await.unwrap();
    store(node, draft("r", "ann", "away", "more")).await;
    node.rooms.change_member(&room("r"), MemberChange::add(user("bob"), Role::Member)).await.unwrap();
    assert_eq!(unread(node, "bob").await, 0);
    store(node, draft("r", "ann", "back", "more")).await;
    assert_eq!(unread(node, "bob").await, 1);
}

/// Zero for those that are not there or not the user's.
pub async fn many_rooms_are_answered_in_their_order(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    for (name, count) in [("a", 1), ("b", 2), ("c", 3)] {
        create_room(node, name, &["ann", "bob"]).await;
        fill(node, name, "ann", count).await;
    }
    create_room(node, "foreign", &["ann"]).await;
    fill(node, "foreign", "ann", 4).await;
    let asked = ["c", "missing", "a", "foreign", "b", "c"].map(room);
    assert_eq!(node.rooms.unread(&user("bob"), &asked).await.unwrap(), [3, 0, 1, 0, 2, 3]);
    assert_eq!(node.rooms.unread(&user("bob"), &[]).await.unwrap(), [0u64; 0]);
}

/// A mark that came late takes nothing away.
pub async fn a_marker_that_does_not_move_changes_no_number(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    let at = fill(node, "r", "ann", 5).await;
    for (index, left) in [(2, 2), (0, 2), (2, 2), (3, 1), (1, 1)] {
        node.rooms.mark_read(&room("r"), &user("bob"), &at[index].cursor).await.unwrap();
        assert_eq!(unread(node, "bob").await, left);
    }
}

/// Two writers, two readers who mark what they see, and deletes, all at once.
pub async fn appends_and_marks_at_once_end_exact(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann", "bob", "cy", "dee"]).await;
    let mut calls = Vec::new();
    for (node, writer) in nodes.iter().cloned().zip(["ann", "bob"]) {
        calls.push(tokio::spawn(async move {
            for number in 0..60 {
                let position = store(&node, draft("r", writer, &format!("{writer}{number}"), "hello")).await;
                if number % 3 == 0 {
                    let delete = Content::Delete { target: position.id };
                    store(&node, about("r", writer, &format!("{writer}-d{number}"), delete)).await;
                }
            }
        }));
    }
    for (node, reader) in nodes.iter().cloned().zip(["cy", "dee"]) {
        calls.push(tokio::spawn(async move {
            for _ in 0..40 {
                let head = node.log.heads(&[room("r")]).await.unwrap().remove(0).unwrap();
                node.rooms.mark_read(&room("r"), &user(reader), &head.cursor).await.unwrap();
                tokio::task::yield_now().await;
            }
        }));
    }
    for call in calls {
        call.await.unwrap();
    }
    for name in ["ann", "bob", "cy", "dee"] {
        for node in &nodes {
            assert_eq!(unread(node, name).await, recount(node, name).await, "{name}");
        }
    }
}

/// A counter that is set to zero by a mark loses what was stored meanwhile; a derived number does not.
pub async fn a_mark_takes_nothing_away_that_was_stored_after_it(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann", "bob"]).await;
    for round in 0..30 {
        let first = store(&nodes[0], draft("r", "ann", &format!("a{round}"), "seen")).await;
        let (writer, reader) = (nodes[0].clone(), nodes[1].clone());
        let writing =
            tokio::spawn(
                async move { store(&writer, draft("r", "ann", &format!("b{round}"), "not seen")).await },
            );
        let marking = tokio::spawn(async move {
            let bob: UserId = user("bob");
            reader.rooms.mark_read(&room("r"), &bob, &first.cursor).await.unwrap();
        });
        writing.await.unwrap();
        marking.await.unwrap();
        assert_eq!((unread(&nodes[0], "bob").await, unread(&nodes[1], "bob").await), (1, 1), "round {round}");
    }
}

/// After each step of a random story, the number is what counting again gives.
pub async fn a_random_story_always_gives_what_a_recount_gives(harness: &dyn LogHarness) {
    story::tell(harness).await;
}

//! How far each member has read.

use std::time::Duration;

use crate::{
    Cursor, Error, MemberChange, Position, ReadMarker, Retention, Role, Seq, UserId,
    testkit::{
        LogHarness, LogNode,
        fixtures::{create_room, draft, fill, foreign_epoch, room, seq, store, user},
    },
};

async fn mark(node: &LogNode, name: &str, at: &Position) -> ReadMarker {
    node.rooms.mark_read(&room("r"), &user(name), &at.cursor).await.unwrap()
}

async fn markers(node: &LogNode) -> Vec<ReadMarker> {
    node.rooms.read_markers(&room("r"), None, 1_000).await.unwrap()
}

async fn marker(node: &LogNode, name: &str) -> ReadMarker {
    markers(node).await.into_iter().find(|marker| marker.user == user(name)).unwrap()
}

/// The room `r` with ann, who wrote `count` entries, and bob, who read none.
async fn written(nodes: &[LogNode], count: u64) -> Vec<Position> {
    create_room(&nodes[0], "r", &["ann", "bob"]).await;
    fill(&nodes[0], "r", "ann", count).await
}

/// The answer, the list of markers and the user's own list agree.
pub async fn a_marker_moves_forward_and_shows_on_every_node(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    let at = written(&nodes, 5).await;
    for position in &at[1..=3] {
        let answer = mark(&nodes[0], "bob", position).await;
        assert_eq!((answer.user.clone(), answer.cursor.clone()), (user("bob"), position.cursor.clone()));
        assert_eq!(marker(&nodes[1], "bob").await, answer);
        let listed = nodes[1].rooms.rooms_of(&user("bob"), None, 10).await.unwrap().rooms.remove(0);
        assert_eq!(listed.read, position.cursor);
    }
}

/// The answer says where it stays.
pub async fn a_marker_never_moves_back(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    let at = written(&nodes, 5).await;
    let furthest = mark(&nodes[0], "bob", &at[3]).await;
    for position in [&at[0], &at[3], &at[2]] {
        assert_eq!(mark(&nodes[1], "bob", position).await, furthest);
        assert_eq!(marker(&nodes[0], "bob").await, furthest);
    }
    let start = Cursor::new(at[0].cursor.epoch.clone(), Seq::ZERO);
    assert_eq!(nodes[1].rooms.mark_read(&room("r"), &user("bob"), &start).await.unwrap(), furthest);
}

/// Nobody has read what is not there; the answer says where the head is.
pub async fn a_marker_beyond_the_head_is_refused(harness: &dyn LogHarness) {
    let nodes = harness.nodes(1).await;
    let at = written(&nodes, 2).await;
    let before = marker(&nodes[0], "bob").await;
    let beyond = Cursor::new(at[1].cursor.epoch.clone(), seq(3));
    match nodes[0].rooms.mark_read(&room("r"), &user("bob"), &beyond).await {
        Err(Error::CursorReset { room: of, current }) => {
            assert_eq!((of, current), (room("r"), at[1].cursor.clone()))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(marker(&nodes[0], "bob").await, before);
}

/// Also at a position that this epoch has, too.
pub async fn a_marker_of_another_epoch_is_refused(harness: &dyn LogHarness) {
    let nodes = harness.nodes(1).await;
    let at = written(&nodes, 2).await;
    let before = marker(&nodes[0], "bob").await;
    let epoch = foreign_epoch();
    for number in [0, 1, 2, 3] {
        let cursor = Cursor::new(epoch.clone(), seq(number));
        match nodes[0].rooms.mark_read(&room("r"), &user("bob"), &cursor).await {
            Err(Error::CursorReset { current, .. }) => assert_eq!(current, at[1].cursor),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(marker(&nodes[0], "bob").await, before);
}

/// Neither strangers nor those who left.
pub async fn only_members_mark(harness: &dyn LogHarness) {
    let nodes = harness.nodes(1).await;
    let at = written(&nodes, 2).await;
    nodes[0].rooms.change_member(&room("r"), MemberChange::remove(user("bob"))).await.unwrap();
    for name in ["bob", "stranger"] {
        match nodes[0].rooms.mark_read(&room("r"), &user(name), &at[1].cursor).await {
            Err(Error::NotAMember { room: of, user: who }) => assert_eq!((of, who), (room("r"), user(name))),
            other => panic!("{other:?}"),
        }
    }
    let listed: Vec<UserId> = markers(&nodes[0]).await.into_iter().map(|marker| marker.user).collect();
    assert_eq!(listed, [user("ann")]);
}

/// What was said before they came is not unread; before the first entry that is zero.
pub async fn a_new_members_marker_stands_at_the_head(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    let at = written(&nodes, 3).await;
    let epoch = at[0].cursor.epoch.clone();
    let bob = marker(&nodes[0], "bob").await;
    assert_eq!((bob.cursor, bob.at), (Cursor::new(epoch, Seq::ZERO), None));
    nodes[1].rooms.change_member(&room("r"), MemberChange::add(user("cy"), Role::Member)).await.unwrap();
    let cy = marker(&nodes[0], "cy").await;
    assert_eq!((cy.cursor, cy.at), (at[2].cursor.clone(), None));
}

/// What is stored after the marker is unread, and all of it.
pub async fn the_marker_of_a_member_added_while_others_write_misses_nothing_after_it(
    harness: &dyn LogHarness,
) {
    let nodes = harness.nodes(2).await;
    written(&nodes, 1).await;
    let writer = nodes[0].clone();
    let writing = tokio::spawn(async move {
        for number in 0..60 {
            store(&writer, draft("r", "ann", &format!("w{number}"), "more")).await;
        }
    });
    for number in 0..20 {
        let add = MemberChange::add(user(&format!("u{number}")), Role::Member);
        nodes[1].rooms.change_member(&room("r"), add).await.unwrap();
    }
    writing.await.unwrap();
    for marker in markers(&nodes[1]).await.iter().filter(|marker| marker.user.as_str().starts_with('u')) {
        let unread = nodes[0].rooms.unread(&marker.user, &[room("r")]).await.unwrap();
        assert_eq!(unread, [seq(61).since(marker.cursor.seq)]);
    }
}

/// Whether they had read everything or nothing.
pub async fn coming_back_moves_the_marker_to_the_head_and_never_back(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    let mut at = written(&nodes, 3).await;
    mark(&nodes[0], "bob", &at[2]).await;
    for number in 0..3 {
        nodes[0].rooms.change_member(&room("r"), MemberChange::remove(user("bob"))).await.unwrap();
        if number > 0 {
            at.push(store(&nodes[0], draft("r", "ann", &format!("away{number}"), "more")).await);
        }
        nodes[1].rooms.change_member(&room("r"), MemberChange::add(user("bob"), Role::Member)).await.unwrap();
        assert_eq!(Some(&marker(&nodes[0], "bob").await.cursor), at.last().map(|position| &position.cursor));
        assert_eq!(mark(&nodes[1], "bob", &at[0]).await.cursor, at.last().unwrap().cursor);
    }
}

/// Only joining moves it.
pub async fn a_new_role_leaves_the_marker(harness: &dyn LogHarness) {
    let nodes = harness.nodes(1).await;
    let at = written(&nodes, 4).await;
    let before = mark(&nodes[0], "bob", &at[1]).await;
    for role in [Role::Owner, Role::Reader, Role::Reader] {
        nodes[0].rooms.change_member(&room("r"), MemberChange::add(user("bob"), role)).await.unwrap();
        assert_eq!(marker(&nodes[0], "bob").await, before);
    }
}

/// A mark that moves nothing leaves it.
pub async fn the_time_of_a_marker_is_when_it_last_moved(harness: &dyn LogHarness) {
    let nodes = harness.nodes(1).await;
    let at = written(&nodes, 3).await;
    let first = mark(&nodes[0], "bob", &at[1]).await;
    assert!(first.at.is_some_and(|time| time >= at[0].created_at));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(mark(&nodes[0], "bob", &at[1]).await.at, first.at);
    assert_eq!(mark(&nodes[0], "bob", &at[0]).await.at, first.at);
    assert!(mark(&nodes[0], "bob", &at[2]).await.at > first.at);
}

/// Current members only, each once.
pub async fn markers_come_by_user_id_page_by_page(harness: &dyn LogHarness) {
    let nodes = harness.nodes(1).await;
    let at = written(&nodes, 2).await;
    for name in ["cy", "Dee", "eve", "10", "2"] {
        nodes[0].rooms.change_member(&room("r"), MemberChange::add(user(name), Role::Member)).await.unwrap();
    }
    nodes[0].rooms.change_member(&room("r"), MemberChange::remove(user("cy"))).await.unwrap();
    mark(&nodes[0], "bob", &at[0]).await;
    let expected = ["10", "2", "Dee", "ann", "bob", "eve"];
    for limit in [1, 2, 5, 6, 7] {
        let mut seen: Vec<ReadMarker> = Vec::new();
        loop {
            let after = seen.last().map(|marker| marker.user.clone());
            let page = nodes[0].rooms.read_markers(&room("r"), after.as_ref(), limit).await.unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        assert_eq!(seen.iter().map(|marker| marker.user.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(seen, markers(&nodes[0]).await);
    }
}

/// Nobody's answer goes back.
pub async fn marks_at_once_end_at_the_greatest(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    let mut at = written(&nodes, 40).await;
    let greatest = at[39].cursor.clone();
    fastrand::Rng::with_seed(5).shuffle(&mut at);
    let calls: Vec<_> = at
        .into_iter()
        .zip(nodes.iter().cycle().cloned())
        .map(|(position, node)| {
            tokio::spawn(async move {
                let answer = mark(&node, "bob", &position).await;
                assert!(answer.cursor.seq >= position.cursor.seq);
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(marker(&nodes[0], "bob").await.cursor, greatest);
}

/// And can be moved on from there.
pub async fn a_marker_stays_where_entries_were_trimmed(harness: &dyn LogHarness) {
    let nodes = harness.nodes(1).await;
    let at = written(&nodes, 5).await;
    mark(&nodes[0], "bob", &at[1]).await;
    nodes[0].log.trim(&room("r"), Retention { max_entries: Some(1), not_before: None }).await.unwrap();
    assert_eq!(marker(&nodes[0], "bob").await.cursor, at[1].cursor);
    assert_eq!(mark(&nodes[0], "bob", &at[2]).await.cursor, at[2].cursor);
    nodes[0].log.trim(&room("r"), Retention { max_entries: Some(0), not_before: None }).await.unwrap();
    assert_eq!(mark(&nodes[0], "bob", &at[4]).await.cursor, at[4].cursor);
}

/// Marking here moves nothing there.
pub async fn markers_of_rooms_and_users_are_separate(harness: &dyn LogHarness) {
    let nodes = harness.nodes(1).await;
    let at = written(&nodes, 2).await;
    create_room(&nodes[0], "s", &["ann", "bob"]).await;
    fill(&nodes[0], "s", "ann", 2).await;
    mark(&nodes[0], "bob", &at[1]).await;
    assert_eq!(marker(&nodes[0], "ann").await.cursor.seq, Seq::ZERO);
    let other = nodes[0].rooms.read_markers(&room("s"), None, 10).await.unwrap();
    assert!(other.iter().all(|marker| marker.cursor.seq == Seq::ZERO), "{other:?}");
}

//! Creating, finding and changing rooms.

use std::collections::BTreeSet;

use crate::{
    AppendOutcome, Cursor, Error, InvalidBody, MAX_BODY_CHARS, MemberChange, NewRoom, ReadQuery, Refusal,
    Role, Room, RoomChange, RoomId, RoomKey, Seq,
    rooms::{MAX_METADATA_BYTES, Metadata},
    testkit::{
        LogHarness, LogNode,
        fixtures::{append, create_room, draft, foreign_epoch, room, store, user},
    },
};

/// How many calls at once the cases about concurrency make.
const AT_ONCE: usize = 16;

fn key(text: &str) -> RoomKey {
    RoomKey::new(text).unwrap()
}

fn named(name: &str) -> Metadata {
    [("name".to_owned(), name.into())].into_iter().collect()
}

/// Metadata whose JSON has exactly this many bytes.
fn metadata_of(bytes: usize) -> Metadata {
    named(&"x".repeat(bytes - r#"{"name":""}"#.len()))
}

/// Creates all of these at once, each by the next node, and answers what each call said.
async fn create_at_once(nodes: &[LogNode], new: Vec<NewRoom>) -> Vec<(Room, bool)> {
    let calls: Vec<_> = new
        .into_iter()
        .zip(nodes.iter().cycle().cloned())
        .map(|(new, node)| tokio::spawn(async move { node.rooms.create(new).await.unwrap() }))
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    answers
}

/// What was asked for is what is there, on every node.
pub async fn a_new_room_is_as_it_was_described(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    let new = NewRoom::new(room("r")).with_key(key("k")).with_metadata(named("Tea")).with_max_body_chars(77);
    let (made, created) = nodes[0].rooms.create(new).await.unwrap();
    assert!(created);
    assert_eq!((made.id.clone(), made.key.clone(), made.max_body_chars), (room("r"), Some(key("k")), 77));
    assert!(made.active);
    assert_eq!(made.metadata, named("Tea"));
    for node in &nodes {
        assert_eq!(node.rooms.room(&room("r")).await.unwrap(), made);
        assert_eq!(node.rooms.room_by_key(&key("k")).await.unwrap(), Some(made.clone()));
    }
}

/// The second creation changes nothing and says so.
pub async fn creating_an_id_again_answers_the_room_that_is_there(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    let (first, _) =
        nodes[0].rooms.create(NewRoom::new(room("r")).with_metadata(named("first"))).await.unwrap();
    let again = NewRoom::new(room("r")).with_metadata(named("second")).with_max_body_chars(5);
    assert_eq!(nodes[1].rooms.create(again).await.unwrap(), (first.clone(), false));
    assert_eq!(nodes[0].rooms.room(&room("r")).await.unwrap(), first);
}

/// The key names the room; the id of the second creation names nothing.
pub async fn creating_a_key_again_answers_its_room_whatever_the_id(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    let (first, _) = nodes[0].rooms.create(NewRoom::new(room("a")).with_key(key("k"))).await.unwrap();
    let again = NewRoom::new(room("b")).with_key(key("k")).with_metadata(named("second"));
    assert_eq!(nodes[1].rooms.create(again).await.unwrap(), (first, false));
    assert!(matches!(nodes[0].rooms.room(&room("b")).await, Err(Error::RoomNotFound { .. })));
}

/// Nobody is given a room of another key.
pub async fn an_id_taken_by_a_room_with_another_key_is_refused(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    let (first, _) = node.rooms.create(NewRoom::new(room("r")).with_key(key("k1"))).await.unwrap();
    let error = node.rooms.create(NewRoom::new(room("r")).with_key(key("k2"))).await.unwrap_err();
    assert!(matches!(&error, Error::RoomExists { room: taken } if *taken == room("r")), "{error}");
    assert_eq!(node.rooms.room_by_key(&key("k2")).await.unwrap(), None);
    assert_eq!(node.rooms.room(&room("r")).await.unwrap(), first);
}

/// A room without a key has another key than any.
pub async fn a_key_does_not_take_over_a_room_without_one(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    node.rooms.create(NewRoom::new(room("r"))).await.unwrap();
    let error = node.rooms.create(NewRoom::new(room("r")).with_key(key("k"))).await.unwrap_err();
    assert!(matches!(error, Error::RoomExists { .. }), "{error}");
    assert_eq!(node.rooms.room_by_key(&key("k")).await.unwrap(), None);
}

/// One call creates it, all answer it, and no second room is left behind.
pub async fn many_creations_of_one_key_at_once_make_one_room(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    for round in 0..4 {
        let new: Vec<_> = (0..AT_ONCE).map(|_| NewRoom::for_key(key(&format!("k{round}")))).collect();
        let asked: Vec<RoomId> = new.iter().map(|new| new.id.clone()).collect();
        let answers = create_at_once(&nodes, new).await;
        let ids: BTreeSet<_> = answers.iter().map(|(room, _)| room.id.clone()).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(answers.iter().filter(|(_, created)| *created).count(), 1);
        for (id, (_, created)) in asked.iter().zip(&answers) {
            assert_eq!(nodes[0].rooms.room(id).await.is_ok(), *created, "only the winner's id is a room");
        }
    }
}

/// One call creates it, all answer it as that call described it.
pub async fn many_creations_of_one_id_at_once_make_one_room(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    let new = |n: usize| NewRoom::new(room("r")).with_metadata(named(&format!("by {n}")));
    let answers = create_at_once(&nodes, (0..AT_ONCE).map(new).collect()).await;
    let winners: Vec<_> = answers.iter().filter(|(_, created)| *created).collect();
    assert_eq!(winners.len(), 1);
    assert!(answers.iter().all(|(room, _)| *room == winners[0].0));
}

/// They may write at once, on any node.
pub async fn the_owner_is_a_member_as_soon_as_the_room_is_there(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    nodes[0].rooms.create(NewRoom::new(room("r")).with_owner(user("ann"))).await.unwrap();
    let member = nodes[1].rooms.member(&room("r"), &user("ann")).await.unwrap().unwrap();
    assert_eq!((member.role, member.is_current()), (Role::Owner, true));
    let listed = nodes[1].rooms.rooms_of(&user("ann"), None, 10).await.unwrap().rooms;
    assert_eq!(listed.iter().map(|summary| summary.room.id.clone()).collect::<Vec<_>>(), [room("r")]);
    store(&nodes[1], draft("r", "ann", "c1", "hello")).await;
}

/// Of many creations with different owners, only the winner's owner is a member.
pub async fn the_owner_of_a_creation_that_lost_becomes_no_member(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    let new = |n: usize| NewRoom::for_key(key("k")).with_owner(user(&format!("u{n}")));
    let answers = create_at_once(&nodes, (0..AT_ONCE).map(new).collect()).await;
    let winner = answers.iter().position(|(_, created)| *created).unwrap();
    let members = nodes[1].rooms.members(&answers[winner].0.id, None, 100).await.unwrap().members;
    assert_eq!(members.len(), 1);
    assert_eq!((members[0].user.clone(), members[0].role), (user(&format!("u{winner}")), Role::Owner));
}

/// Neither as a new member nor as one with a new role.
pub async fn naming_an_owner_has_no_effect_on_a_room_that_is_there(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    for owner in ["ann", "bob"] {
        let again = NewRoom::new(room("r")).with_owner(user(owner));
        assert!(!node.rooms.create(again).await.unwrap().1);
    }
    let ann = node.rooms.member(&room("r"), &user("ann")).await.unwrap().unwrap();
    assert_eq!(ann.role, Role::Member);
    assert_eq!(node.rooms.member(&room("r"), &user("bob")).await.unwrap(), None);
}

/// The greatest is kept whole, and one byte more makes no room.
pub async fn metadata_is_bounded_when_a_room_is_created(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    let greatest = metadata_of(MAX_METADATA_BYTES);
    node.rooms.create(NewRoom::new(room("fits")).with_metadata(greatest.clone())).await.unwrap();
    assert_eq!(node.rooms.room(&room("fits")).await.unwrap().metadata, greatest);
    let over = NewRoom::new(room("over")).with_metadata(metadata_of(MAX_METADATA_BYTES + 1));
    assert!(matches!(node.rooms.create(over).await, Err(Error::LimitExceeded { .. })));
    assert!(matches!(node.rooms.room(&room("over")).await, Err(Error::RoomNotFound { .. })));
}

/// From 1 to the library's own limit.
pub async fn the_body_limit_is_bounded_when_a_room_is_created(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    for (name, chars) in [("least", 1), ("most", MAX_BODY_CHARS)] {
        node.rooms.create(NewRoom::new(room(name)).with_max_body_chars(chars)).await.unwrap();
        assert_eq!(node.rooms.room(&room(name)).await.unwrap().max_body_chars, chars);
    }
    for (name, chars) in [("none", 0), ("over", MAX_BODY_CHARS + 1)] {
        let answer = node.rooms.create(NewRoom::new(room(name)).with_max_body_chars(chars)).await;
        assert!(matches!(answer, Err(Error::LimitExceeded { .. })), "{chars}");
        assert!(matches!(node.rooms.room(&room(name)).await, Err(Error::RoomNotFound { .. })));
    }
}

/// What is `None` stays.
pub async fn a_change_leaves_the_rest_as_it_was_and_shows_on_every_node(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    let new = NewRoom::new(room("r")).with_key(key("k")).with_metadata(named("old"));
    let (mut expected, _) = nodes[0].rooms.create(new).await.unwrap();
    let nothing = RoomChange::default();
    let metadata = RoomChange { metadata: Some(named("new")), ..RoomChange::default() };
    let limit = RoomChange { max_body_chars: Some(9), ..RoomChange::default() };
    let closed = RoomChange { active: Some(false), ..RoomChange::default() };
    for change in [nothing, metadata, limit, closed] {
        expected.metadata = change.metadata.clone().unwrap_or(expected.metadata);
        expected.max_body_chars = change.max_body_chars.unwrap_or(expected.max_body_chars);
        expected.active = change.active.unwrap_or(expected.active);
        assert_eq!(nodes[0].rooms.update(&room("r"), change).await.unwrap(), expected);
        assert_eq!(nodes[1].rooms.room(&room("r")).await.unwrap(), expected);
        assert_eq!(nodes[1].rooms.room_by_key(&key("k")).await.unwrap(), Some(expected.clone()));
    }
}

/// Also not the part of it that would have been in bounds.
pub async fn a_change_out_of_bounds_changes_nothing(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    let (before, _) = node.rooms.create(NewRoom::new(room("r"))).await.unwrap();
    let too_big = RoomChange {
        metadata: Some(metadata_of(MAX_METADATA_BYTES + 1)),
        active: Some(false),
        max_body_chars: Some(5),
    };
    let no_limit = RoomChange { metadata: Some(named("new")), active: Some(false), max_body_chars: Some(0) };
    let over = RoomChange { max_body_chars: Some(MAX_BODY_CHARS + 1), ..RoomChange::default() };
    for change in [too_big, no_limit, over] {
        let answer = node.rooms.update(&room("r"), change).await;
        assert!(matches!(answer, Err(Error::LimitExceeded { .. })), "{answer:?}");
        assert_eq!(node.rooms.room(&room("r")).await.unwrap(), before);
    }
}

/// Until it is active again.
pub async fn an_inactive_room_is_read_and_takes_nothing_new(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    store(&nodes[0], draft("r", "ann", "c1", "one")).await;
    let active = |active| RoomChange { active: Some(active), ..RoomChange::default() };
    nodes[0].rooms.update(&room("r"), active(false)).await.unwrap();
    let refused = append(&nodes[1], draft("r", "ann", "c2", "two")).await;
    assert_eq!(refused, AppendOutcome::Refused(Refusal::RoomInactive));
    let page = nodes[1].log.read(&room("r"), ReadQuery::newest()).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    nodes[1].rooms.update(&room("r"), active(true)).await.unwrap();
    store(&nodes[0], draft("r", "ann", "c2", "two")).await;
}

/// On every node.
pub async fn a_new_body_limit_holds_for_the_next_append(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let limit = RoomChange { max_body_chars: Some(3), ..RoomChange::default() };
    nodes[0].rooms.update(&room("r"), limit).await.unwrap();
    let refused = append(&nodes[1], draft("r", "ann", "c1", "four")).await;
    let too_long = Refusal::Body(InvalidBody::TooLong { max_chars: 3 });
    assert_eq!(refused, AppendOutcome::Refused(too_long));
    store(&nodes[1], draft("r", "ann", "c2", "茶茶茶")).await;
}

/// A key that nobody used, and one that differs in case.
pub async fn an_unknown_key_has_no_room(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    node.rooms.create(NewRoom::new(room("r")).with_key(key("Key"))).await.unwrap();
    assert_eq!(node.rooms.room_by_key(&key("other")).await.unwrap(), None);
    assert_eq!(node.rooms.room_by_key(&key("key")).await.unwrap(), None);
}

/// Every call that needs it says so; the ones about a user answer that there is nothing.
pub async fn a_room_that_is_not_there_is_not_found(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    let (rooms, missing, ann) = (&node.rooms, room("missing"), user("ann"));
    let not_found =
        |error: Error| assert!(matches!(error, Error::RoomNotFound { room } if room.as_str() == "missing"));
    not_found(rooms.room(&missing).await.unwrap_err());
    not_found(rooms.update(&missing, RoomChange::default()).await.unwrap_err());
    not_found(rooms.change_member(&missing, MemberChange::add(ann.clone(), Role::Member)).await.unwrap_err());
    not_found(rooms.change_member(&missing, MemberChange::remove(ann.clone())).await.unwrap_err());
    not_found(rooms.members(&missing, None, 10).await.unwrap_err());
    not_found(rooms.read_markers(&missing, None, 10).await.unwrap_err());
    let cursor = Cursor::new(foreign_epoch(), Seq::ZERO);
    not_found(rooms.mark_read(&missing, &ann, &cursor).await.unwrap_err());
    assert_eq!(rooms.member(&missing, &ann).await.unwrap(), None);
    assert_eq!(rooms.memberships(&ann, std::slice::from_ref(&missing)).await.unwrap(), [None]);
    assert_eq!(rooms.unread(&ann, std::slice::from_ref(&missing)).await.unwrap(), [0]);
    assert_eq!(rooms.rooms_of(&ann, None, 10).await.unwrap().rooms, []);
}

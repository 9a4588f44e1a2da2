//! Room, member and body are checked in the step that stores the entry.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use super::reading::{assert_head, log, refusal, text as text_of};
use crate::{
    AppendOutcome, Authority, Body, Content, CustomKind, Draft, InvalidBody, JsonText, MAX_BODY_CHARS,
    MemberChange, MessageId, NewRoom, Refusal, Role, RoomChange,
    testkit::{
        LogHarness, LogNode,
        fixtures::{about, append, create_room, draft, room, store, user},
    },
};

async fn close(node: &LogNode, name: &str) {
    let change = RoomChange { active: Some(false), ..RoomChange::default() };
    node.rooms.update(&room(name), change).await.unwrap();
}

async fn set_limit(node: &LogNode, name: &str, chars: u32) {
    let change = RoomChange { max_body_chars: Some(chars), ..RoomChange::default() };
    node.rooms.update(&room(name), change).await.unwrap();
}

async fn refused(node: &LogNode, draft: Draft) -> Refusal {
    refusal(append(node, draft).await)
}

/// A room is not made by writing to it, not even by the service.
pub async fn a_missing_room_takes_nothing(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    for authority in [Authority::Member, Authority::Moderator, Authority::System] {
        let outcome = refused(node, draft("r", "ann", "c1", "hello").with_authority(authority)).await;
        assert_eq!(outcome, Refusal::RoomMissing);
    }
    assert_eq!(node.log.heads(&[room("r")]).await.unwrap(), [None]);
}

/// An inactive room takes nothing from anybody until it is opened again.
pub async fn a_closed_room_takes_nothing(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    store(&nodes[1], draft("r", "ann", "c1", "hello")).await;
    close(&nodes[0], "r").await;
    for authority in [Authority::Member, Authority::Moderator, Authority::System] {
        let late = draft("r", "ann", "c2", "late").with_authority(authority);
        assert_eq!(refused(&nodes[1], late).await, Refusal::RoomInactive);
    }
    assert_head(&nodes[0], "r", 1).await;
    let open = RoomChange { active: Some(true), ..RoomChange::default() };
    nodes[0].rooms.update(&room("r"), open).await.unwrap();
    assert_eq!(store(&nodes[1], draft("r", "ann", "c2", "late")).await.cursor.seq.get(), 2);
}

/// Who was never a member is none, also if a member elsewhere, also as a moderator.
pub async fn a_stranger_is_refused(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    create_room(node, "s", &["bob"]).await;
    for authority in [Authority::Member, Authority::Moderator] {
        let outcome = refused(node, draft("r", "bob", "c1", "hello").with_authority(authority)).await;
        assert_eq!(outcome, Refusal::NotAMember);
    }
    assert_head(node, "r", 0).await;
}

/// A removal holds on every node as soon as it was answered.
pub async fn a_removed_member_is_refused_on_every_node(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    for (n, node) in nodes.iter().enumerate() {
        store(node, draft("r", "ann", &format!("c{n}"), "hello")).await;
    }
    nodes[0].rooms.change_member(&room("r"), MemberChange::remove(user("ann"))).await.unwrap();
    for node in &nodes {
        assert_eq!(refused(node, draft("r", "ann", "late", "late")).await, Refusal::NotAMember);
    }
    assert_head(&nodes[0], "r", 2).await;
}

/// Who came back writes again.
pub async fn a_member_who_came_back_is_taken(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    nodes[0].rooms.change_member(&room("r"), MemberChange::remove(user("ann"))).await.unwrap();
    assert_eq!(refused(&nodes[1], draft("r", "ann", "c1", "hello")).await, Refusal::NotAMember);
    nodes[0].rooms.change_member(&room("r"), MemberChange::add(user("ann"), Role::Member)).await.unwrap();
    store(&nodes[1], draft("r", "ann", "c1", "hello")).await;
}

/// The service writes in any room without being a member.
pub async fn the_service_needs_no_membership(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &[]).await;
    store(node, draft("r", "service", "c1", "hello").with_authority(Authority::System)).await;
    assert_eq!(node.rooms.member(&room("r"), &user("service")).await.unwrap(), None);
    assert_eq!(refused(node, draft("r", "service", "c2", "hello")).await, Refusal::NotAMember);
}

/// What a role may do is decided before the log: to it, a member is a member.
pub async fn every_role_is_a_member_to_the_log(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    node.rooms.create(NewRoom::new(room("r")).with_owner(user("owner"))).await.unwrap();
    store(node, draft("r", "owner", "c1", "hello")).await;
    for role in [Role::Reader, Role::Member, Role::Moderator, Role::Owner] {
        node.rooms.change_member(&room("r"), MemberChange::add(user("ann"), role)).await.unwrap();
        store(node, draft("r", "ann", &format!("{role:?}"), "hello")).await;
    }
    assert_head(node, "r", 5).await;
}

/// The limit is the room's, in characters, and it holds from the moment it was changed.
pub async fn a_body_is_counted_in_characters(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    create_room(&nodes[0], "s", &["ann"]).await;
    set_limit(&nodes[0], "r", 4).await;
    let too_long = Refusal::Body(InvalidBody::TooLong { max_chars: 4 });
    store(&nodes[1], draft("r", "ann", "c1", "éé👍\u{20ac}")).await;
    assert_eq!(refused(&nodes[1], draft("r", "ann", "c2", "12345")).await, too_long);
    store(&nodes[1], draft("s", "ann", "c1", &"é".repeat(1_000))).await;
    let too_long = Refusal::Body(InvalidBody::TooLong { max_chars: 1_000 });
    assert_eq!(refused(&nodes[1], draft("s", "ann", "c2", &"e".repeat(1_001))).await, too_long);
    set_limit(&nodes[0], "r", 5).await;
    store(&nodes[1], draft("r", "ann", "c2", "12345")).await;
}

/// The greatest body that any room takes is stored whole.
pub async fn the_greatest_body_is_stored_whole(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    set_limit(node, "r", MAX_BODY_CHARS).await;
    let text = "👍".repeat(MAX_BODY_CHARS as usize);
    store(node, draft("r", "ann", "c1", &text)).await;
    assert_eq!(text_of(&log(node, "r").await[0]), Some(text.as_str()));
}

/// Nothing but white space is no text.
pub async fn a_blank_text_is_refused(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    for blank in ["", " ", "\n\t", "\u{3000}\u{a0}"] {
        let outcome = refused(node, draft("r", "ann", "c1", blank)).await;
        assert_eq!(outcome, Refusal::Body(InvalidBody::Blank), "{blank:?}");
    }
    store(node, draft("r", "ann", "c1", " . ")).await;
}

/// JSON counts by the characters of its text.
pub async fn json_is_counted_by_its_text(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    set_limit(node, "r", 8).await;
    let json = |text: &str| Content::Chat { body: Body::Json(JsonText::new(text).unwrap()) };
    store(node, about("r", "ann", "c1", json("{\"é\": 1}"))).await;
    let outcome = refused(node, about("r", "ann", "c2", json("{\"é\":  1}"))).await;
    assert_eq!(outcome, Refusal::Body(InvalidBody::TooLong { max_chars: 8 }));
    store(node, about("r", "ann", "c3", json("\"\""))).await;
}

/// The bodies of edits and of the application's own kinds keep to the same limit.
pub async fn every_kind_of_body_keeps_to_the_limit(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    set_limit(node, "r", 4).await;
    let target = store(node, draft("r", "ann", "c1", "1234")).await.id;
    let kinds = |body: Body| {
        let name = CustomKind::new("offer").unwrap();
        [
            Content::Chat { body: body.clone() },
            Content::Edit { target, body: body.clone() },
            Content::Custom { name, body },
        ]
    };
    let bodies = [
        (Body::text("12345"), InvalidBody::TooLong { max_chars: 4 }),
        (Body::text(" "), InvalidBody::Blank),
        (Body::Removed, InvalidBody::Removed),
    ];
    for (body, why) in bodies {
        for content in kinds(body) {
            for authority in [Authority::Member, Authority::System] {
                let sent = about("r", "ann", "c2", content.clone()).with_authority(authority);
                assert_eq!(refused(node, sent).await, Refusal::Body(why.clone()), "{content:?}");
            }
        }
    }
    assert_head(node, "r", 1).await;
}

/// The room, then the repeat, then whether the room is active, the member, the body, the target: the first answer counts.
pub async fn checks_are_made_in_one_order(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let first = store(node, draft("r", "ann", "c1", "hello")).await;
    let nothing = MessageId::from_u128(7);
    let edit = |sender: &str, client: &str, text: &str| {
        about("r", sender, client, Content::Edit { target: nothing, body: Body::text(text) })
    };
    assert_eq!(refused(node, edit("ann", "c2", "fits")).await, Refusal::TargetMissing);
    assert_eq!(refused(node, edit("ann", "c2", " ")).await, Refusal::Body(InvalidBody::Blank));
    assert_eq!(refused(node, edit("bob", "c2", " ")).await, Refusal::NotAMember);
    close(node, "r").await;
    assert_eq!(refused(node, edit("bob", "c2", " ")).await, Refusal::RoomInactive);
    assert_eq!(append(node, edit("ann", "c1", " ")).await, AppendOutcome::Conflict(first));
}

/// Each draft of a batch is judged by itself, in the order of the batch.
pub async fn a_batch_is_checked_draft_by_draft(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let target = store(node, draft("r", "ann", "c1", "hello")).await.id;
    let batch = [
        about("r", "ann", "c2", Content::Edit { target, body: Body::text("hello!") }),
        about("r", "ann", "c3", Content::Delete { target }),
        about("r", "ann", "c4", Content::Edit { target, body: Body::text("late") }),
        draft("r", "ann", "c5", "next"),
    ];
    let outcomes = node.log.append(&batch).await.unwrap();
    assert!(matches!(outcomes[0], AppendOutcome::New(_)), "{outcomes:?}");
    assert!(matches!(outcomes[1], AppendOutcome::New(_)), "{outcomes:?}");
    assert_eq!(outcomes[2], AppendOutcome::Refused(Refusal::TargetMissing));
    assert!(matches!(outcomes[3], AppendOutcome::New(_)), "{outcomes:?}");
}

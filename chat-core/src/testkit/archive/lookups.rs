//! What a hot log's nodes ask the archive.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use super::world::{by_ann, hot_id, life, living, says, texts, world};
use crate::{
    Body, Content, Error, MemberChange, NewRoom, ReactionOp, Retention, Role, RoomChange,
    testkit::{
        ArchiveHarness,
        fixtures::{client_id, create_room, draft, reaction, room, seq, store, user},
    },
    tiered::{Admission, ArchivedTarget, Import, ImportOutcome},
};

/// Who may write where, in the order asked for.
pub async fn admissions_say_who_may_write(harness: &dyn ArchiveHarness) {
    let world = world(harness).await;
    world.rooms.create(NewRoom::new(room("s")).with_max_body_chars(77)).await.unwrap();
    for name in ["ann", "gone"] {
        world.rooms.change_member(&room("s"), MemberChange::add(user(name), Role::Reader)).await.unwrap();
    }
    world.rooms.change_member(&room("s"), MemberChange::remove(user("gone"))).await.unwrap();
    create_room(&world, "closed", &["ann"]).await;
    let closed = RoomChange { active: Some(false), ..RoomChange::default() };
    world.rooms.update(&room("closed"), closed).await.unwrap();
    let pairs =
        [("s", "gone"), ("missing", "ann"), ("s", "ann"), ("closed", "ann"), ("closed", "x"), ("s", "ann")];
    let writers: Vec<_> = pairs.iter().map(|(name, who)| (room(name), user(who))).collect();
    let usual = crate::DEFAULT_MAX_BODY_CHARS;
    let says =
        |active: bool, max_body_chars: u32, member: bool| Some(Admission { active, max_body_chars, member });
    let expected = [
        says(true, 77, false),
        None,
        says(true, 77, true),
        says(false, usual, true),
        says(false, usual, false),
        says(true, 77, true),
    ];
    assert_eq!(world.node.archive.admissions(&writers).await.unwrap(), expected);
    assert_eq!(world.node.archive.admissions(&[]).await.unwrap(), []);
    world.rooms.change_member(&room("s"), MemberChange::add(user("gone"), Role::Member)).await.unwrap();
    let again = world.node.archive.admissions(&writers[..1]).await.unwrap();
    assert_eq!(again, [says(true, 77, true)]);
}

/// Where what was sent under a name is, with the digest of what was sent.
pub async fn copies_are_found_by_their_names(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    create_room(&world, "s", &["ann"]).await;
    let appended = store(&world, says("x1", "appended")).await;
    let mut rewritten = says("c2", "as it was sent");
    rewritten.rewrite(Content::text("as it was let through"));
    world.take(2, vec![rewritten, says("c3", "three")]).await;
    world.take(4, vec![by_ann("d", Content::Delete { target: hot_id(3) })]).await;
    let names = [
        ("r", "ann", "c3"),
        ("r", "ann", "c9"),
        ("s", "ann", "c3"),
        ("r", "bob", "c3"),
        ("missing", "ann", "c3"),
        ("r", "ann", "x1"),
        ("r", "ann", "c2"),
        ("r", "ann", "C3"),
    ];
    let names: Vec<_> =
        names.into_iter().map(|(name, who, sent)| (room(name), user(who), client_id(sent))).collect();
    let copies = world.node.archive.copies(&names).await.unwrap();
    let stored = world.all().await;
    let expected = [
        Some((stored[2].position.clone(), says("c3", "three").fingerprint())),
        None,
        None,
        None,
        None,
        Some((appended, says("x1", "appended").fingerprint())),
        Some((stored[1].position.clone(), says("c2", "as it was sent").fingerprint())),
        None,
    ];
    assert_eq!(copies, expected);
    assert_eq!(world.node.archive.copies(&[]).await.unwrap(), []);
    let keep = Retention { max_entries: Some(1), not_before: None };
    world.log.log.trim(&room("r"), keep).await.unwrap();
    assert_eq!(world.copy("r", "ann", "c3").await, None);
    assert!(world.copy("r", "ann", "d").await.is_some());
}

/// What may be changed, and by whom.
pub async fn targets_say_what_can_be_changed(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    create_room(&world, "s", &["ann"]).await;
    let trimmed = store(&world, says("x1", "trimmed")).await.id;
    let appended = store(&world, draft("r", "bob", "x2", "appended")).await.id;
    let drafts = vec![
        says("c3", "open"),
        says("c4", "deleted"),
        by_ann("d", Content::Delete { target: hot_id(4) }),
        by_ann("e", Content::Edit { target: hot_id(3), body: Body::text("still open") }),
        by_ann("on", reaction(hot_id(3), "+1", ReactionOp::Add)),
        by_ann("j", Content::Join { user: user("ann") }),
    ];
    world.take(3, drafts).await;
    let keep = Retention { max_entries: Some(7), not_before: None };
    world.log.log.trim(&room("r"), keep).await.unwrap();
    let target = |number: u64, sender: &str, open: bool| {
        Some(ArchivedTarget { seq: seq(number), sender: user(sender), open })
    };
    let cases = [
        ("r", hot_id(3), target(3, "ann", true)),
        ("r", hot_id(77), None),
        ("r", appended, target(2, "bob", true)),
        ("r", hot_id(4), target(4, "ann", false)),
        ("s", hot_id(3), None),
        ("missing", hot_id(3), None),
        ("r", hot_id(5), target(5, "ann", false)),
        ("r", hot_id(6), target(6, "ann", false)),
        ("r", hot_id(7), target(7, "ann", false)),
        ("r", hot_id(8), target(8, "ann", false)),
        ("r", trimmed, None),
        ("r", hot_id(3), target(3, "ann", true)),
    ];
    let targets: Vec<_> = cases.iter().map(|(name, id, _)| (room(name), *id)).collect();
    let expected: Vec<_> = cases.into_iter().map(|(_, _, expected)| expected).collect();
    assert_eq!(world.node.archive.targets(&targets).await.unwrap(), expected);
    assert_eq!(world.node.archive.targets(&[]).await.unwrap(), []);
}

/// Page by page, in the order of positions, appended or imported, whatever kind.
pub async fn names_are_read_page_by_page(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    create_room(&world, "s", &["ann"]).await;
    world.append("x1").await;
    store(&world, draft("s", "ann", "elsewhere", "hello")).await;
    let on = by_ann("on", reaction(hot_id(2), "+1", ReactionOp::Add));
    world.take(2, vec![draft("r", "bob", "c2", "two"), on, says("c4", "four")]).await;
    let names = async |after: u64, limit: usize| {
        let page = world.node.archive.names(&room("r"), seq(after), limit).await.unwrap();
        page.into_iter()
            .map(|(seq, sender, sent)| (seq.get(), sender.as_str().to_owned(), sent.as_str().to_owned()))
            .collect::<Vec<_>>()
    };
    let name = |number: u64, sender: &str, sent: &str| (number, sender.to_owned(), sent.to_owned());
    assert_eq!(names(0, 2).await, [name(1, "ann", "x1"), name(2, "bob", "c2")]);
    assert_eq!(names(2, 2).await, [name(3, "ann", "on"), name(4, "ann", "c4")]);
    assert_eq!(names(3, 10).await, [name(4, "ann", "c4")]);
    assert_eq!(names(4, 10).await, []);
    assert_eq!(names(99, 10).await, []);
    let keep = Retention { max_entries: Some(2), not_before: None };
    world.log.log.trim(&room("r"), keep).await.unwrap();
    assert_eq!(names(0, 1).await, [name(3, "ann", "on")]);
}

/// A room that does not exist has no names, and that is an error.
pub async fn a_missing_room_has_no_names(harness: &dyn ArchiveHarness) {
    let world = world(harness).await;
    let error = world.node.archive.names(&room("missing"), seq(0), 10).await.unwrap_err();
    assert!(matches!(&error, Error::RoomNotFound { room: named } if *named == room("missing")), "{error:?}");
}

/// Hundreds of questions in one call.
pub async fn long_lists_are_answered_whole(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    let import = Import { room: room("r"), life: life("a"), entries: texts("r", 1, 700) };
    let outcomes = world.node.archive.import(&[import]).await.unwrap();
    assert_eq!(outcomes, [ImportOutcome::Stored(seq(700))]);
    let names: Vec<_> = (1..=1_400).map(|n| (room("r"), user("ann"), client_id(&format!("c{n}")))).collect();
    let copies = world.node.archive.copies(&names).await.unwrap();
    let found: Vec<_> = copies.iter().flatten().map(|(position, _)| position.cursor.seq.get()).collect();
    assert_eq!((copies.len(), found), (1_400, (1..=700).collect()));
    let ids: Vec<_> = (1..=1_400).map(|n| (room("r"), hot_id(n))).collect();
    let targets = world.node.archive.targets(&ids).await.unwrap();
    let found: Vec<_> = targets.iter().flatten().map(|target| target.seq.get()).collect();
    assert_eq!((targets.len(), found), (1_400, (1..=700).collect()));
    let writers: Vec<_> = (0..1_400).map(|n| (room("r"), user(["ann", "stranger"][n % 2]))).collect();
    let admissions = world.node.archive.admissions(&writers).await.unwrap();
    assert_eq!(admissions.iter().flatten().filter(|admission| admission.member).count(), 700);
    assert_eq!(world.node.archive.names(&room("r"), seq(0), 1_000).await.unwrap().len(), 700);
}

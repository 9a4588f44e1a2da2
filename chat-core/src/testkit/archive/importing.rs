//! Entries that have their positions come in as they are, once, in order, and without gaps.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use super::world::{entries, hot_id, life, living, of_life, says, texts, world, worlds};
use crate::{
    AppendOutcome, Authority, Body, Content, CustomKind, JsonText, MemberChange, MessageId, Retention,
    RoomChange, Timestamp,
    testkit::{
        ArchiveHarness,
        fixtures::{about, create_room, draft, room, seq, store, user},
        message_log::reading::seqs,
    },
    tiered::{Import, ImportEntry, ImportOutcome},
};

/// Read back, an entry is what was imported: place, identity, time, sender, name, right and content.
pub async fn an_imported_entry_is_read_as_it_was_given(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    let json = Body::Json(JsonText::new("{\"price\":  10}").unwrap());
    let drafts = vec![
        says("c1", "hello"),
        about("r", "bob", "c1", Content::Custom { name: CustomKind::new("offer").unwrap(), body: json }),
        about("r", "service", "j", Content::Join { user: user("ann") }).with_authority(Authority::System),
        about("r", "service", "l", Content::Leave { user: user("bob") }).with_authority(Authority::System),
        says("c2", "in another right").with_authority(Authority::Moderator),
    ];
    world.take(1, drafts.clone()).await;
    let stored = world.all().await;
    assert_eq!(stored.len(), drafts.len());
    for (number, (entry, sent)) in (1..).zip(stored.iter().zip(drafts)) {
        assert_eq!(entry.seq(), seq(number));
        assert_eq!(entry.position.id, hot_id(number));
        assert_eq!(entry.position.created_at, hot_id(number).timestamp());
        assert_eq!(
            (&entry.room, &entry.sender, &entry.client_id),
            (&sent.room, &sent.sender, &sent.client_id)
        );
        assert_eq!((entry.authority, &entry.content), (sent.authority, &sent.content));
    }
    assert_eq!(world.head("r").await.cursor, stored.last().unwrap().position.cursor);
}

/// What came in late keeps the time at which it was sent.
pub async fn an_imported_entry_keeps_a_time_long_past(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    let id = MessageId::next(None, Timestamp::from_millis(1_234_567_890_123), 42);
    let entry = ImportEntry { seq: seq(1), id, draft: says("c1", "hello") };
    assert_eq!(world.import("r", "a", vec![entry]).await, ImportOutcome::Stored(seq(1)));
    let position = world.entry(id).await.position;
    assert_eq!((position.id, position.created_at), (id, Timestamp::from_millis(1_234_567_890_123)));
}

/// Every server reads what one imported.
pub async fn an_import_on_one_node_is_read_on_another(harness: &dyn ArchiveHarness) {
    let worlds = worlds(harness, 2).await;
    worlds[0].begin("r", "a", 0).await;
    worlds[0].take(1, vec![says("c1", "hello")]).await;
    assert_eq!(worlds[1].all().await, worlds[0].all().await);
    worlds[1].take(2, vec![says("c2", "again")]).await;
    assert_eq!(worlds[0].all().await.len(), 2);
}

/// An archiver that never got its answer asks again.
pub async fn the_same_import_twice_is_stored_once(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    for _ in 0..3 {
        assert_eq!(world.import("r", "a", texts("r", 1, 3)).await, ImportOutcome::Stored(seq(3)));
    }
    assert_eq!(seqs(&world.all().await), [1, 2, 3]);
    assert_eq!(world.unread("bob").await, 3);
}

/// Of entries that overlap what is archived only the rest is stored; the answer is the head, however far ahead that is.
pub async fn entries_up_to_the_head_are_passed_over(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    assert_eq!(world.import("r", "a", texts("r", 1, 3)).await, ImportOutcome::Stored(seq(3)));
    assert_eq!(world.import("r", "a", texts("r", 2, 5)).await, ImportOutcome::Stored(seq(5)));
    assert_eq!(world.import("r", "a", texts("r", 5, 5)).await, ImportOutcome::Stored(seq(5)));
    assert_eq!(world.import("r", "a", texts("r", 1, 2)).await, ImportOutcome::Stored(seq(5)));
    assert_eq!(world.import("r", "a", texts("r", 1, 6)).await, ImportOutcome::Stored(seq(6)));
    assert_eq!(seqs(&world.all().await), [1, 2, 3, 4, 5, 6]);
    assert_eq!(world.unread("bob").await, 6);
}

/// What was trimmed meanwhile cannot be compared, and was stored before.
pub async fn entries_trimmed_since_are_passed_over(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    assert_eq!(world.import("r", "a", texts("r", 1, 4)).await, ImportOutcome::Stored(seq(4)));
    let keep = Retention { max_entries: Some(1), not_before: None };
    world.log.log.trim(&room("r"), keep).await.unwrap();
    assert_eq!(world.import("r", "a", texts("r", 1, 4)).await, ImportOutcome::Stored(seq(4)));
    assert_eq!(world.import("r", "a", texts("r", 2, 5)).await, ImportOutcome::Stored(seq(5)));
    let head = world.head("r").await;
    assert_eq!((head.oldest, head.cursor.seq), (seq(4), seq(5)));
}

/// Nothing is stored behind a gap, and the head says where to go on.
pub async fn an_import_behind_a_gap_stores_nothing(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    assert_eq!(world.import("r", "a", texts("r", 2, 3)).await, ImportOutcome::Gap(seq(0)));
    assert_eq!(world.import("r", "a", texts("r", 1, 2)).await, ImportOutcome::Stored(seq(2)));
    assert_eq!(world.import("r", "a", texts("r", 4, 4)).await, ImportOutcome::Gap(seq(2)));
    assert_eq!(seqs(&world.all().await), [1, 2]);
}

/// Where others stand at these positions, imported or appended, they stay, and nothing is stored.
pub async fn other_entries_at_these_positions_stay(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    world.take(1, vec![says("x1", "one")]).await;
    world.append("x2").await;
    let before = world.all().await;
    let mut entries = texts("r", 1, 4);
    assert_eq!(entries[1].seq, seq(2));
    // The first is the same one by its identity; the second is not.
    entries[0] = super::world::entries(1, vec![says("x1", "one")]).remove(0);
    assert_eq!(world.import("r", "a", entries.clone()).await, ImportOutcome::Superseded);
    assert_eq!(world.import("r", "a", entries.split_off(1)).await, ImportOutcome::Superseded);
    let mut other = texts("r", 1, 1);
    other[0].id = hot_id(99);
    assert_eq!(world.import("r", "a", other).await, ImportOutcome::Superseded);
    assert_eq!(world.all().await, before);
    assert_eq!(world.import("r", "a", texts("r", 3, 3)).await, ImportOutcome::Stored(seq(3)));
}

/// There is nothing to put entries into.
pub async fn a_missing_room_takes_no_import(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    assert_eq!(world.import("missing", "a", texts("missing", 1, 2)).await, ImportOutcome::RoomMissing);
    assert_eq!(world.node.archive.import(&[]).await.unwrap(), []);
}

/// Each room has its own outcome, in the order of the call; what is good is stored beside what is not.
pub async fn rooms_of_one_call_have_outcomes_of_their_own(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    for name in ["gap", "other", "dead", "s"] {
        create_room(&world, name, &["ann"]).await;
    }
    for name in ["gap", "other", "s"] {
        world.begin(name, "a", 0).await;
    }
    store(&world, draft("other", "ann", "x", "appended")).await;
    let calls = |first: u64, last: u64| -> Vec<Import> {
        let usual = |name: &str| of_life(name, "a", texts(name, first, last));
        let late = of_life("gap", "a", texts("gap", 7, 8));
        vec![usual("s"), late, usual("missing"), usual("other"), usual("dead"), usual("r")]
    };
    let expected = |head: u64| {
        [
            ImportOutcome::Stored(seq(head)),
            ImportOutcome::Gap(seq(0)),
            ImportOutcome::RoomMissing,
            ImportOutcome::Superseded,
            ImportOutcome::Superseded,
            ImportOutcome::Stored(seq(head)),
        ]
    };
    assert_eq!(world.node.archive.import(&calls(1, 2)).await.unwrap(), expected(2));
    assert_eq!(world.node.archive.import(&calls(1, 3)).await.unwrap(), expected(3));
    for (name, head) in [("s", 3), ("gap", 0), ("other", 1), ("dead", 0), ("r", 3)] {
        assert_eq!(world.head(name).await.cursor.seq, seq(head), "entries in {name}");
    }
}

/// Whoever gave out the position looked: by now its sender may have left, and the room may be closed.
pub async fn what_was_checked_before_is_not_checked_again(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    world.rooms.change_member(&room("r"), MemberChange::remove(user("ann"))).await.unwrap();
    world.take(1, vec![says("c1", "from somebody who left")]).await;
    let closed = RoomChange { active: Some(false), ..RoomChange::default() };
    world.rooms.update(&room("r"), closed).await.unwrap();
    world.take(2, vec![draft("r", "bob", "c2", "too late"), draft("r", "stranger", "c3", "hello")]).await;
    assert_eq!(seqs(&world.all().await), [1, 2, 3]);
    assert_eq!(world.unread("bob").await, 2);
}

/// A name that was imported is taken: its repeat is answered the imported place, and another payload conflicts.
pub async fn the_name_of_an_imported_entry_is_taken(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    let mut rewritten = says("c2", "as it was sent");
    rewritten.rewrite(Content::text("as it was let through"));
    world.take(1, vec![says("c1", "hello"), rewritten]).await;
    let stored = world.all().await;
    assert_eq!(stored[1].content, Content::text("as it was let through"));
    let places: Vec<_> = stored.into_iter().map(|entry| entry.position).collect();
    assert_eq!(world.send(says("c1", "hello")).await, AppendOutcome::Duplicate(places[0].clone()));
    assert_eq!(world.send(says("c1", "other")).await, AppendOutcome::Conflict(places[0].clone()));
    assert_eq!(world.send(says("c2", "as it was sent")).await, AppendOutcome::Duplicate(places[1].clone()));
    let other = world.send(says("c2", "as it was let through")).await;
    assert_eq!(other, AppendOutcome::Conflict(places[1].clone()));
    assert_eq!(world.all().await.len(), 2);
}

/// A direct append goes on after the import, with a greater id although its clock is far behind.
pub async fn an_append_follows_what_was_imported(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    world.append("x1").await;
    world.take(2, vec![says("c2", "two"), says("c3", "three")]).await;
    let appended = world.append("x4").await;
    assert_eq!(appended.cursor.seq, seq(4));
    assert!(appended.id > hot_id(3), "{:?} does not follow {:?}", appended.id, hot_id(3));
    // Gapless, and with ids that grow.
    assert_eq!(world.all().await.len(), 4);
    let next = entries(5, vec![says("c5", "five")]);
    assert_eq!(world.import("r", "a", next).await, ImportOutcome::Stored(seq(5)));
    assert_eq!(world.all().await.len(), 5);
}

/// Thousands of entries in one call.
pub async fn a_long_import_is_stored_whole(harness: &dyn ArchiveHarness) {
    let world = world(harness).await;
    create_room(&world, "s", &["ann"]).await;
    for name in ["r", "s"] {
        world.begin(name, "a", 0).await;
    }
    let imports =
        ["r", "s"].map(|name| Import { room: room(name), life: life("a"), entries: texts(name, 1, 1_500) });
    for _ in 0..2 {
        let outcomes = world.node.archive.import(&imports).await.unwrap();
        assert_eq!(outcomes, [ImportOutcome::Stored(seq(1_500)); 2]);
    }
    let all = world.all().await;
    assert_eq!(all.len(), 1_500);
    assert_eq!(all[1_499].content, Content::text("message 1500"));
    assert_eq!(world.unread("bob").await, 1_500);
}

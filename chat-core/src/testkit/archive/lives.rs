//! A room takes entries of its present life alone, and of earlier ones what no later one gives out itself.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use super::world::{hot_id, life, living, says, texts, world, worlds};
use crate::{
    Retention,
    testkit::{
        ArchiveHarness,
        fixtures::{create_room, foreign_epoch, room, seq},
        message_log::reading::seqs,
    },
    tiered::{ArchivedRoom, ImportOutcome, Life, LifeOutcome},
};

/// What is archived: the ends, the last id, the lives.
pub async fn a_room_is_answered_as_it_is(harness: &dyn ArchiveHarness) {
    let worlds = worlds(harness, 2).await;
    let world = &worlds[0];
    let fresh = world.archived("r").await;
    assert_eq!((&fresh.head, fresh.last_id, &fresh.lives), (&world.head("r").await, None, &Vec::new()));
    assert_eq!(fresh.life(), None);
    let appended = world.append("x1").await;
    let known = world.archived("r").await;
    assert_eq!((known.head.cursor, known.last_id), (appended.cursor, Some(appended.id)));
    world.begin("r", "a", 1).await;
    world.take(2, vec![says("c2", "two"), says("c3", "three")]).await;
    world.begin("r", "b", 3).await;
    for world in &worlds {
        let known = world.archived("r").await;
        assert_eq!((&known.head, known.last_id), (&world.head("r").await, Some(hot_id(3))));
        let lives = [("a", 1), ("b", 3)].map(|(name, base)| Life { epoch: life(name), base: seq(base) });
        assert_eq!(known.lives, lives);
        assert_eq!(known.life(), Some(&lives[1]));
    }
}

/// One answer for each, in the order asked for; a life is of one room.
pub async fn rooms_are_answered_in_the_order_asked_for(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    create_room(&world, "s", &["ann"]).await;
    let names = ["s", "missing", "r", "s"].map(room);
    let known = world.node.archive.rooms(&names).await.unwrap();
    let lives: Vec<_> = known.iter().map(|room| room.as_ref().map(|room| room.lives.len())).collect();
    assert_eq!(lives, [Some(0), None, Some(1), Some(0)]);
    assert_eq!(world.node.archive.rooms(&[]).await.unwrap(), []);
}

/// Ids grow across a trim of everything, so the last one is known after it.
pub async fn the_last_id_outlives_its_entry(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    world.take(1, vec![says("c1", "one"), says("c2", "two")]).await;
    let keep = Retention { max_entries: Some(0), not_before: None };
    world.log.log.trim(&room("r"), keep).await.unwrap();
    let known = world.archived("r").await;
    assert_eq!((known.head.oldest, known.head.cursor.seq), (seq(3), seq(2)));
    assert!(known.last_id >= Some(hot_id(2)), "{:?}", known.last_id);
}

/// No hot log has stood in front of it.
pub async fn a_room_without_a_life_takes_no_import(harness: &dyn ArchiveHarness) {
    let world = world(harness).await;
    assert_eq!(world.import("r", "a", texts("r", 1, 1)).await, ImportOutcome::Superseded);
    assert!(world.all().await.is_empty());
    // Neither under the epoch of the store itself.
    let own = world.head("r").await.cursor.epoch;
    assert_eq!(world.import("r", own.as_str(), texts("r", 1, 1)).await, ImportOutcome::Superseded);
}

/// It may be of another room, of another archive, or from before a restore.
pub async fn an_unknown_life_takes_no_import(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    create_room(&world, "s", &["ann"]).await;
    world.begin("s", "of-s", 0).await;
    for name in ["unknown", "of-s", "A"] {
        assert_eq!(world.import("r", name, texts("r", 1, 2)).await, ImportOutcome::Superseded, "{name}");
    }
    assert_eq!(world.import("r", "a", texts("r", 1, 2)).await, ImportOutcome::Stored(seq(2)));
    assert_eq!(world.import("r", "unknown", texts("r", 3, 3)).await, ImportOutcome::Superseded);
}

/// A later life gives out these positions itself.
pub async fn what_lies_behind_a_later_base_is_superseded(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    assert_eq!(world.import("r", "a", texts("r", 1, 3)).await, ImportOutcome::Stored(seq(3)));
    world.begin("r", "b", 3).await;
    assert_eq!(world.import("r", "a", texts("r", 4, 4)).await, ImportOutcome::Superseded);
    assert_eq!(world.import("r", "a", texts("r", 2, 5)).await, ImportOutcome::Superseded);
    assert_eq!(seqs(&world.all().await), [1, 2, 3]);
    assert_eq!(world.import("r", "b", texts("r", 4, 5)).await, ImportOutcome::Stored(seq(5)));
    assert_eq!(seqs(&world.all().await), [1, 2, 3, 4, 5]);
}

/// What an archiver read before the life changed is taken as long as no later life gives out these positions.
pub async fn an_earlier_life_is_taken_up_to_every_later_base(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    world.take(1, vec![says("c1", "one")]).await;
    // The hot log went on with what was left of it: six entries.
    world.begin("r", "b", 6).await;
    assert_eq!(world.import("r", "a", texts("r", 2, 7)).await, ImportOutcome::Superseded);
    assert_eq!(world.import("r", "a", texts("r", 2, 3)).await, ImportOutcome::Stored(seq(3)));
    // It lost some: the next life begins earlier.
    world.begin("r", "c", 4).await;
    assert_eq!(world.import("r", "a", texts("r", 4, 5)).await, ImportOutcome::Superseded);
    assert_eq!(world.import("r", "b", texts("r", 4, 6)).await, ImportOutcome::Superseded);
    assert_eq!(world.import("r", "a", texts("r", 3, 4)).await, ImportOutcome::Stored(seq(4)));
    assert_eq!(world.import("r", "b", texts("r", 4, 4)).await, ImportOutcome::Stored(seq(4)));
    // A later life with a greater base does not bring the positions back.
    assert_eq!(world.import("r", "c", texts("r", 5, 9)).await, ImportOutcome::Stored(seq(9)));
    world.begin("r", "d", 9).await;
    assert_eq!(world.import("r", "b", texts("r", 5, 6)).await, ImportOutcome::Superseded);
    assert_eq!(world.import("r", "c", texts("r", 8, 9)).await, ImportOutcome::Stored(seq(9)));
    assert_eq!(world.import("r", "d", texts("r", 10, 10)).await, ImportOutcome::Stored(seq(10)));
    assert_eq!(world.all().await.len(), 10);
}

/// A present life imports what an earlier one left, too: it went on with it.
pub async fn a_life_takes_what_is_left_before_its_base(harness: &dyn ArchiveHarness) {
    let world = living(harness).await;
    world.take(1, vec![says("c1", "one")]).await;
    world.begin("r", "b", 3).await;
    assert_eq!(world.import("r", "b", texts("r", 2, 4)).await, ImportOutcome::Stored(seq(4)));
    assert_eq!(world.all().await.len(), 4);
}

/// Whoever saw the room before anything changed in it must look again.
pub async fn a_life_begins_only_where_nothing_changed(harness: &dyn ArchiveHarness) {
    let worlds = worlds(harness, 2).await;
    let world = &worlds[0];
    let before_append = world.archived("r").await;
    world.append("x1").await;
    assert_eq!(world.try_begin("r", &before_append, "b", 0).await, LifeOutcome::Changed);
    let before_life = world.archived("r").await;
    assert_eq!(worlds[1].try_begin("r", &before_life, "a", 1).await, LifeOutcome::Begun);
    assert_eq!(world.try_begin("r", &before_life, "b", 1).await, LifeOutcome::Changed);
    // Also where it is the very same call again.
    assert_eq!(worlds[1].try_begin("r", &before_life, "a", 1).await, LifeOutcome::Changed);
    let before_import = world.archived("r").await;
    world.take(2, vec![says("c2", "two")]).await;
    assert_eq!(world.try_begin("r", &before_import, "b", 1).await, LifeOutcome::Changed);
    let now = world.archived("r").await;
    let mut foreign = now.clone();
    foreign.head.cursor.epoch = foreign_epoch();
    assert_eq!(world.try_begin("r", &foreign, "b", 2).await, LifeOutcome::Changed);
    assert_eq!(world.archived("r").await, now);
    assert_eq!(world.try_begin("r", &now, "b", 2).await, LifeOutcome::Begun);
    assert_eq!(world.archived("r").await.lives.len(), 2);
}

/// There is nothing that could live.
pub async fn a_missing_room_begins_no_life(harness: &dyn ArchiveHarness) {
    let world = world(harness).await;
    let seen = world.archived("r").await;
    assert_eq!(world.try_begin("missing", &seen, "a", 0).await, LifeOutcome::RoomMissing);
    assert_eq!(world.node.archive.rooms(&[room("missing")]).await.unwrap(), [None]);
}

/// The newest lives are remembered, oldest first; one that is not is unknown.
pub async fn the_last_lives_are_remembered(harness: &dyn ArchiveHarness) {
    let world = world(harness).await;
    let total = ArchivedRoom::MAX_LIVES + 3;
    let names: Vec<_> = (0..total).map(|n| format!("life-{n}")).collect();
    for (number, name) in names.iter().enumerate() {
        world.begin("r", name, 2).await;
        let lives = world.archived("r").await.lives;
        let first = (number + 1).saturating_sub(ArchivedRoom::MAX_LIVES);
        let expected: Vec<_> =
            names[first..=number].iter().map(|name| Life { epoch: life(name), base: seq(2) }).collect();
        assert_eq!(lives, expected);
    }
    assert_eq!(world.import("r", "life-2", texts("r", 1, 1)).await, ImportOutcome::Superseded);
    assert_eq!(world.import("r", "life-3", texts("r", 1, 1)).await, ImportOutcome::Stored(seq(1)));
    let last = names.last().unwrap();
    assert_eq!(world.import("r", last, texts("r", 2, 3)).await, ImportOutcome::Stored(seq(3)));
}

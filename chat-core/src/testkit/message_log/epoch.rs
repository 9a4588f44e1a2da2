//! A store that was put back to an older copy does not pass for the one that was.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use super::reading::{assert_gapless, head, log, read, read_error, text};
use crate::{
    AppendOutcome, Cursor, Error, ReadQuery,
    testkit::{
        LogNode, RestoreHarness,
        fixtures::{append, create_room, draft, fill, foreign_epoch, room, seq, store, user},
    },
};

/// Neither direction of reading takes the cursor.
async fn assert_reset(node: &LogNode, cursor: &Cursor) {
    let now = head(node, "r").await.cursor;
    for query in [ReadQuery::after(cursor.clone()), ReadQuery::before(cursor.clone())] {
        let error = read_error(node, "r", query).await;
        assert!(matches!(error, Error::CursorReset { ref current, .. } if *current == now), "{error:?}");
    }
}

/// While the storage stays the same, so does its epoch.
pub async fn an_epoch_stays_while_the_storage_does(harness: &dyn RestoreHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let epoch = head(&nodes[0], "r").await.cursor.epoch;
    for position in fill(&nodes[0], "r", "ann", 3).await {
        assert_eq!(position.cursor.epoch, epoch);
    }
    assert_eq!(head(&nodes[1], "r").await.cursor, Cursor::new(epoch, seq(3)));
}

/// Two stores have two epochs.
pub async fn every_store_has_its_own_epoch(harness: &dyn RestoreHarness) {
    let stores = [harness.nodes(1).await.remove(0), harness.nodes(1).await.remove(0)];
    for store in &stores {
        create_room(store, "r", &["ann"]).await;
        fill(store, "r", "ann", 3).await;
    }
    assert_reset(&stores[0], &head(&stores[1], "r").await.cursor).await;
}

/// The copy has the room as it was, under another epoch.
pub async fn a_restored_store_has_a_new_epoch(harness: &dyn RestoreHarness) {
    let (node, mut backup) = harness.node_with_backup().await;
    create_room(&node, "r", &["ann"]).await;
    let copied = fill(&node, "r", "ann", 3).await;
    backup.backup().await;
    store(&node, draft("r", "ann", "lost", "lost")).await;
    let node = backup.restore().await;
    let first = head(&node, "r").await.cursor;
    assert_ne!(first.epoch, copied[0].cursor.epoch);
    assert_eq!(first.seq, seq(3));
    for (entry, copy) in log(&node, "r").await.iter().zip(&copied) {
        let expected = Cursor::new(first.epoch.clone(), copy.cursor.seq);
        assert_eq!((&entry.position.cursor, entry.position.id), (&expected, copy.id));
    }
    let node = backup.restore().await;
    let second = head(&node, "r").await.cursor.epoch;
    assert!(second != first.epoch && second != copied[0].cursor.epoch, "an epoch came back");
}

/// Also one whose position exists again: what is there may be another entry.
pub async fn a_cursor_from_before_a_restore_is_reset(harness: &dyn RestoreHarness) {
    let (node, mut backup) = harness.node_with_backup().await;
    create_room(&node, "r", &["ann"]).await;
    let copied = fill(&node, "r", "ann", 3).await;
    backup.backup().await;
    let lost = store(&node, draft("r", "ann", "lost", "lost")).await;
    let node = backup.restore().await;
    for cursor in [&copied[0].cursor, &copied[2].cursor, &lost.cursor] {
        assert_reset(&node, cursor).await;
    }
    let taken = store(&node, draft("r", "ann", "other", "another")).await;
    assert_eq!(taken.cursor.seq, lost.cursor.seq);
    store(&node, draft("r", "ann", "more", "more")).await;
    assert_reset(&node, &lost.cursor).await;
    assert_reset(&node, &Cursor::new(lost.cursor.epoch, seq(0))).await;
}

/// A read marker is moved by cursors of the present epoch only.
pub async fn a_read_marker_is_not_moved_by_a_cursor_from_before(harness: &dyn RestoreHarness) {
    let (node, mut backup) = harness.node_with_backup().await;
    create_room(&node, "r", &["ann", "bob"]).await;
    fill(&node, "r", "ann", 3).await;
    backup.backup().await;
    let lost = store(&node, draft("r", "ann", "lost", "lost")).await;
    let node = backup.restore().await;
    let present = head(&node, "r").await.cursor;
    let refused = [
        lost.cursor.clone(),
        Cursor::new(lost.cursor.epoch, seq(1)),
        Cursor::new(foreign_epoch(), seq(1)),
        Cursor::new(present.epoch.clone(), seq(4)),
    ];
    for cursor in refused {
        let error = node.rooms.mark_read(&room("r"), &user("bob"), &cursor).await.unwrap_err();
        assert!(matches!(error, Error::CursorReset { ref current, .. } if *current == present), "{error:?}");
    }
    let marker = node.rooms.mark_read(&room("r"), &user("bob"), &present).await.unwrap();
    assert_eq!(marker.cursor, present);
}

/// A cursor that no life of this store gave out is reset as well.
pub async fn a_foreign_cursor_is_reset_after_a_restore(harness: &dyn RestoreHarness) {
    let (node, mut backup) = harness.node_with_backup().await;
    create_room(&node, "r", &["ann"]).await;
    fill(&node, "r", "ann", 3).await;
    backup.backup().await;
    let node = backup.restore().await;
    assert_reset(&node, &Cursor::new(foreign_epoch(), seq(2))).await;
    let present = head(&node, "r").await.cursor;
    assert_reset(&node, &Cursor::new(present.epoch.clone(), seq(4))).await;
    assert!(read(&node, "r", ReadQuery::after(present)).await.entries.is_empty());
}

/// The copy is written on like any store: no gap, no id that exists, and what was lost is stored when it is sent again.
pub async fn appends_go_on_after_a_restore(harness: &dyn RestoreHarness) {
    let (node, mut backup) = harness.node_with_backup().await;
    create_room(&node, "r", &["ann"]).await;
    let copied = fill(&node, "r", "ann", 3).await;
    backup.backup().await;
    store(&node, draft("r", "ann", "lost", "lost")).await;
    let node = backup.restore().await;
    let present = head(&node, "r").await.cursor;
    let repeated = append(&node, draft("r", "ann", "c2", "message 2")).await;
    let AppendOutcome::Duplicate(repeated) = repeated else { panic!("not a repeat: {repeated:?}") };
    assert_eq!((repeated.id, &repeated.cursor.epoch), (copied[1].id, &present.epoch));
    let again = store(&node, draft("r", "ann", "lost", "lost")).await;
    assert_eq!(again.cursor, Cursor::new(present.epoch.clone(), seq(4)));
    store(&node, draft("r", "ann", "next", "next")).await;
    assert_gapless(&log(&node, "r").await);
    let page = read(&node, "r", ReadQuery::after(present)).await;
    assert_eq!(page.entries.iter().filter_map(text).collect::<Vec<_>>(), ["lost", "next"]);
}

/// A room that was lost and is made again is not the room that was.
pub async fn a_room_made_again_after_a_restore_is_another(harness: &dyn RestoreHarness) {
    let (node, mut backup) = harness.node_with_backup().await;
    backup.backup().await;
    create_room(&node, "r", &["ann"]).await;
    let lost = fill(&node, "r", "ann", 3).await;
    let node = backup.restore().await;
    assert_eq!(node.log.heads(&[room("r")]).await.unwrap(), [None]);
    create_room(&node, "r", &["ann"]).await;
    fill(&node, "r", "ann", 5).await;
    assert_reset(&node, &lost[1].cursor).await;
}

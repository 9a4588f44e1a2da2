//! What was trimmed is gone, and said to be gone.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::time::Duration;

use super::reading::{after_id, before_id, entry, head, log, read, read_error, refusal, seqs, text};
use crate::{
    AppendOutcome, Authority, Body, Content, Cursor, Error, Head, ReactionOp, ReadQuery, Refusal, Retention,
    View,
    testkit::{
        LogHarness, LogNode,
        fixtures::{about, append, create_room, draft, fill, reaction, room, seq, store},
    },
};

async fn keep(node: &LogNode, max_entries: u64) -> Head {
    let retention = Retention { max_entries: Some(max_entries), not_before: None };
    node.log.trim(&room("r"), retention).await.unwrap()
}

/// The newest stay, on every node, and the answer says which.
pub async fn trimming_by_count_keeps_the_newest(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    fill(&nodes[0], "r", "ann", 10).await;
    let ends = keep(&nodes[0], 4).await;
    assert_eq!((ends.cursor.seq, ends.oldest), (seq(10), seq(7)));
    for node in &nodes {
        assert_eq!(head(node, "r").await, ends);
        let page = read(node, "r", ReadQuery::newest()).await;
        assert_eq!((seqs(&page.entries), page.reaches_start), (vec![7, 8, 9, 10], true));
        assert_eq!(page.head, ends);
    }
    assert_eq!(keep(&nodes[1], 4).await, ends);
    assert_eq!(keep(&nodes[1], 100).await, ends);
}

/// What was stored at or after the time stays.
pub async fn trimming_by_time_keeps_the_younger(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let old = fill(node, "r", "ann", 3).await.remove(2).created_at;
    let mut young = None;
    for n in 0.. {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let position = store(node, draft("r", "ann", &format!("young{n}"), "young")).await;
        if position.created_at > old {
            young = Some(position);
            break;
        }
    }
    let young = young.unwrap();
    let by_time = |time| Retention { max_entries: None, not_before: Some(time) };
    let ends = node.log.trim(&room("r"), by_time(young.created_at)).await.unwrap();
    assert_eq!((ends.oldest, &ends.cursor), (young.cursor.seq, &young.cursor));
    let later = young.created_at.after(Duration::from_secs(1));
    let ends = node.log.trim(&room("r"), by_time(later)).await.unwrap();
    assert_eq!(ends.oldest, young.cursor.seq.next());
    assert_eq!(log(node, "r").await, []);
}

/// An entry goes as soon as one of the rules says so; without rules nothing goes.
pub async fn the_stricter_rule_holds(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let first = fill(node, "r", "ann", 5).await.remove(0);
    let ends = node.log.trim(&room("r"), Retention::default()).await.unwrap();
    assert_eq!(ends.oldest, seq(1));
    let both = Retention { max_entries: Some(2), not_before: Some(first.created_at) };
    assert_eq!(node.log.trim(&room("r"), both).await.unwrap().oldest, seq(4));
    let long_after = first.created_at.after(Duration::from_secs(3_600));
    let both = Retention { max_entries: Some(2), not_before: Some(long_after) };
    assert_eq!(node.log.trim(&room("r"), both).await.unwrap().oldest, seq(6));
}

/// A position is given out once, whatever becomes of its entry.
pub async fn positions_are_not_given_out_again(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let last = fill(&nodes[0], "r", "ann", 3).await.remove(2);
    let ends = keep(&nodes[0], 0).await;
    assert_eq!((&ends.cursor, ends.oldest), (&last.cursor, seq(4)));
    assert_eq!(log(&nodes[1], "r").await, []);
    let next = store(&nodes[1], draft("r", "ann", "next", "next")).await;
    assert_eq!(next.cursor, Cursor::new(last.cursor.epoch, seq(4)));
    assert!(next.id > last.id, "ids grow across a trim");
    assert_eq!(head(&nodes[0], "r").await.oldest, seq(4));
}

/// A reader who would miss entries is told so instead of being given what is left.
pub async fn a_cursor_before_what_is_kept_is_expired(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let positions = fill(&nodes[0], "r", "ann", 6).await;
    keep(&nodes[0], 2).await;
    let zero = Cursor::new(positions[0].cursor.epoch.clone(), seq(0));
    for cursor in [&zero, &positions[0].cursor, &positions[2].cursor] {
        for view in [View::Log, View::Timeline] {
            let query = ReadQuery::after(cursor.clone()).with_view(view);
            let error = read_error(&nodes[1], "r", query).await;
            let expired = matches!(error, Error::CursorExpired { room: ref r, oldest } if *r == room("r") && oldest == seq(5));
            assert!(expired, "{error:?}");
        }
    }
    keep(&nodes[0], 0).await;
    let error = read_error(&nodes[1], "r", ReadQuery::after(positions[4].cursor.clone())).await;
    assert!(matches!(error, Error::CursorExpired { oldest, .. } if oldest == seq(7)), "{error:?}");
}

/// Everything that follows it is still kept, so nothing is missed.
pub async fn the_cursor_just_before_what_is_kept_is_honoured(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let positions = fill(node, "r", "ann", 6).await;
    keep(node, 2).await;
    let page = read(node, "r", ReadQuery::after(positions[3].cursor.clone())).await;
    assert_eq!((seqs(&page.entries), page.reaches_start, page.reaches_head), (vec![5, 6], true, true));
    keep(node, 0).await;
    let page = read(node, "r", ReadQuery::after(positions[5].cursor.clone())).await;
    assert_eq!((page.entries, page.reaches_head), (vec![], true));
}

/// Nothing that is kept precedes a trimmed place: that is an answer, not an error.
pub async fn before_a_trimmed_place_is_an_empty_page(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let positions = fill(node, "r", "ann", 6).await;
    keep(node, 2).await;
    for position in &positions[..=4] {
        let page = read(node, "r", ReadQuery::before(position.cursor.clone())).await;
        assert_eq!((page.entries, page.reaches_start), (vec![], true));
    }
    let page = read(node, "r", ReadQuery::before(positions[5].cursor.clone())).await;
    assert_eq!((seqs(&page.entries), page.reaches_start), (vec![5], true));
}

/// An id that is no longer kept names nothing.
pub async fn the_id_of_a_trimmed_entry_is_not_found(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let positions = fill(node, "r", "ann", 6).await;
    keep(node, 2).await;
    for query in [after_id(positions[3].id), before_id(positions[3].id)] {
        let error = read_error(node, "r", query).await;
        assert!(matches!(error, Error::MessageNotFound { .. }), "{error:?}");
    }
    assert_eq!(seqs(&read(node, "r", after_id(positions[4].id)).await.entries), [6]);
}

/// A client id is remembered for as long as its entry is kept, and no longer.
pub async fn the_client_id_of_a_trimmed_entry_is_free(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let kept = fill(node, "r", "ann", 3).await.remove(2);
    keep(node, 1).await;
    assert_eq!(append(node, draft("r", "ann", "c3", "message 3")).await, AppendOutcome::Duplicate(kept));
    let again = store(node, draft("r", "ann", "c1", "message 1")).await;
    assert_eq!(again.cursor.seq, seq(4));
    store(node, draft("r", "ann", "c2", "another text")).await;
    assert_eq!(append(node, draft("r", "ann", "c1", "message 1")).await, AppendOutcome::Duplicate(again));
}

/// What is gone cannot be changed.
pub async fn a_trimmed_target_is_refused(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let target = fill(node, "r", "ann", 3).await.remove(1).id;
    keep(node, 1).await;
    let changes = [
        Content::Edit { target, body: Body::text("changed") },
        Content::Delete { target },
        reaction(target, "a", ReactionOp::Add),
    ];
    for content in changes {
        for authority in [Authority::Member, Authority::System] {
            let sent = about("r", "ann", "late", content.clone()).with_authority(authority);
            assert_eq!(refusal(append(node, sent).await), Refusal::TargetMissing, "{content:?}");
        }
    }
}

/// Entries that are kept say the same whether or not those they are about, or those about them, were trimmed.
pub async fn what_is_kept_stays_as_it_was(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let gone = store(node, draft("r", "ann", "m1", "gone")).await.id;
    let kept = store(node, draft("r", "ann", "m2", "kept")).await.id;
    store(node, about("r", "ann", "e1", Content::Edit { target: gone, body: Body::text("gone!") })).await;
    store(node, about("r", "ann", "e2", Content::Edit { target: kept, body: Body::text("kept!") })).await;
    store(node, about("r", "ann", "r1", reaction(kept, "a", ReactionOp::Add))).await;
    let before = log(node, "r").await;
    keep(node, 4).await;
    assert_eq!(log(node, "r").await, before[1..]);
    let read = entry(node, "r", kept).await;
    assert_eq!((text(&read), read.state.reactions.len()), (Some("kept!"), 1));
    store(node, about("r", "ann", "r2", reaction(kept, "b", ReactionOp::Add))).await;
    assert_eq!(entry(node, "r", kept).await.state.reactions.len(), 2);
}

/// A timeline whose last message was trimmed ends where the log does.
pub async fn a_timeline_of_trimmed_messages_is_empty(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let target = store(node, draft("r", "ann", "m1", "gone")).await.id;
    store(node, about("r", "ann", "r1", reaction(target, "a", ReactionOp::Add))).await;
    keep(node, 1).await;
    let page = read(node, "r", ReadQuery::newest().with_view(View::Timeline)).await;
    assert_eq!((page.entries.len(), page.reaches_start, page.reaches_head), (0, true, true));
    assert_eq!(seqs(&log(node, "r").await), [2]);
}

/// One room's retention is no other's.
pub async fn trimming_one_room_leaves_the_others(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    for name in ["r", "s"] {
        create_room(node, name, &["ann"]).await;
        fill(node, name, "ann", 3).await;
    }
    keep(node, 0).await;
    assert_eq!(seqs(&log(node, "s").await), [1, 2, 3]);
}

/// There is nothing to trim, and nothing is made.
pub async fn trimming_a_missing_room_is_an_error(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    let error = node.log.trim(&room("missing"), Retention::default()).await.unwrap_err();
    assert!(matches!(error, Error::RoomNotFound { room: ref r } if *r == room("missing")), "{error:?}");
    assert_eq!(node.log.heads(&[room("missing")]).await.unwrap(), [None]);
}

//! Pages of a log, from any place and in both directions.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use super::reading::{after_id, all, assert_gapless, before_id, head, read, read_error, seqs, start};
use crate::{
    Body, Content, Cursor, CustomKind, Error, MessageId, Page, ReactionOp, ReadQuery, Retention, RoomChange,
    Seq, View,
    testkit::{
        LogHarness, LogNode,
        fixtures::{about, create_room, draft, fill, foreign_epoch, reaction, room, seq, store, user},
    },
};

/// A room whose messages 1, 4, 7 are each followed by two reactions.
async fn room_with_reactions(node: &LogNode) {
    create_room(node, "r", &["ann"]).await;
    for n in 0..3 {
        let target = store(node, draft("r", "ann", &format!("m{n}"), "hello")).await.id;
        for (key, op) in [("a", ReactionOp::Add), ("a", ReactionOp::Remove)] {
            let client = format!("r{n}{op:?}");
            store(node, about("r", "ann", &client, reaction(target, key, op))).await;
        }
    }
}

fn ends(page: &Page) -> (Vec<u64>, bool, bool) {
    (seqs(&page.entries), page.reaches_start, page.reaches_head)
}

/// The entries that follow a place, oldest first.
pub async fn reading_after_a_place_gives_what_follows(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let positions = fill(node, "r", "ann", 5).await;
    for query in [ReadQuery::after(positions[1].cursor.clone()), after_id(positions[1].id)] {
        let page = read(node, "r", query.clone().with_limit(2)).await;
        assert_eq!(ends(&page), (vec![3, 4], false, false));
        assert_eq!(page.head, head(node, "r").await);
        let page = read(node, "r", query.clone().with_limit(3)).await;
        assert_eq!(ends(&page), (vec![3, 4, 5], false, true));
        assert_eq!(ends(&read(node, "r", query).await), (vec![3, 4, 5], false, true));
    }
    let begin = ReadQuery::after(start(node, "r").await);
    assert_eq!(ends(&read(node, "r", begin.clone().with_limit(2)).await), (vec![1, 2], true, false));
    assert_eq!(ends(&read(node, "r", begin).await), (vec![1, 2, 3, 4, 5], true, true));
}

/// The newest of the entries that precede a place, oldest first.
pub async fn reading_before_a_place_gives_what_precedes(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let positions = fill(node, "r", "ann", 5).await;
    for query in [ReadQuery::before(positions[3].cursor.clone()), before_id(positions[3].id)] {
        let page = read(node, "r", query.clone().with_limit(2)).await;
        assert_eq!(ends(&page), (vec![2, 3], false, false));
        assert_eq!(page.head, head(node, "r").await);
        let page = read(node, "r", query.clone().with_limit(3)).await;
        assert_eq!(ends(&page), (vec![1, 2, 3], true, false));
        assert_eq!(ends(&read(node, "r", query).await), (vec![1, 2, 3], true, false));
    }
}

/// The newest entries, oldest of them first.
pub async fn reading_the_newest_gives_the_end(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    fill(node, "r", "ann", 5).await;
    let newest = ReadQuery::newest();
    assert_eq!(ends(&read(node, "r", newest.clone().with_limit(2)).await), (vec![4, 5], false, true));
    assert_eq!(ends(&read(node, "r", newest.with_limit(5)).await), (vec![1, 2, 3, 4, 5], true, true));
}

/// Nothing follows the head, so the page is empty and says so.
pub async fn after_the_head_is_an_empty_page(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let last = fill(node, "r", "ann", 3).await.remove(2);
    for query in [ReadQuery::after(last.cursor), after_id(last.id)] {
        assert_eq!(ends(&read(node, "r", query).await), (vec![], false, true));
    }
}

/// Nothing precedes the first entry, so the page is empty and says so.
pub async fn before_the_first_is_an_empty_page(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let first = fill(node, "r", "ann", 3).await.remove(0);
    let zero = start(node, "r").await;
    for query in [ReadQuery::before(first.cursor), before_id(first.id), ReadQuery::before(zero)] {
        assert_eq!(ends(&read(node, "r", query).await), (vec![], true, false));
    }
}

/// A room without entries has pages, too.
pub async fn pages_of_an_empty_room_are_empty_and_reach_both_ends(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let zero = start(node, "r").await;
    assert_eq!(zero.seq, seq(0));
    for query in [ReadQuery::newest(), ReadQuery::after(zero.clone()), ReadQuery::before(zero)] {
        let page = read(node, "r", query).await;
        assert_eq!(ends(&page), (vec![], true, true));
        assert_eq!((page.head.cursor.seq, page.head.oldest), (seq(0), seq(1)));
    }
}

/// The timeline leaves out what only changes other entries, and a page of it is full all the same.
pub async fn a_timeline_page_counts_only_what_it_shows(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    room_with_reactions(node).await;
    let timeline = |query: ReadQuery| query.with_view(View::Timeline).with_limit(2);
    assert_eq!(ends(&read(node, "r", timeline(ReadQuery::newest())).await), (vec![4, 7], false, true));
    let begin = ReadQuery::after(start(node, "r").await);
    assert_eq!(ends(&read(node, "r", timeline(begin)).await), (vec![1, 4], true, false));
    let last = ReadQuery::before(head(node, "r").await.cursor);
    assert_eq!(ends(&read(node, "r", timeline(last)).await), (vec![4, 7], false, true));
    assert_eq!(seqs(&all(node, "r", View::Log, 2).await), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

/// Places are places of the log, whichever entries a view shows.
pub async fn a_timeline_page_may_begin_at_an_entry_it_does_not_show(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    room_with_reactions(node).await;
    let entries = all(node, "r", View::Log, 9).await;
    for hidden in &entries[1..=2] {
        let (cursor, id) = (hidden.position.cursor.clone(), hidden.position.id);
        for query in [ReadQuery::after(cursor.clone()), after_id(id)] {
            let page = read(node, "r", query.with_view(View::Timeline)).await;
            assert_eq!(ends(&page), (vec![4, 7], false, true));
        }
        for query in [ReadQuery::before(cursor), before_id(id)] {
            let page = read(node, "r", query.with_view(View::Timeline)).await;
            assert_eq!(ends(&page), (vec![1], true, false));
        }
    }
}

/// Whether a page reaches the ends is about what its view shows.
pub async fn a_timeline_page_reaches_the_head_when_only_hidden_entries_follow(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    room_with_reactions(node).await;
    let entries = all(node, "r", View::Log, 9).await;
    let query = ReadQuery::after(entries[6].position.cursor.clone());
    let page = read(node, "r", query.clone().with_view(View::Timeline)).await;
    assert_eq!(ends(&page), (vec![], false, true));
    assert_eq!(page.head.cursor.seq, seq(9));
    assert_eq!(ends(&read(node, "r", query).await), (vec![8, 9], false, true));
}

/// Joins, leaves and the application's own kinds stand in the timeline.
pub async fn the_timeline_shows_what_stands_for_itself(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let target = store(node, draft("r", "ann", "c1", "hello")).await.id;
    let name = CustomKind::new("offer").unwrap();
    let body = Body::text("ten");
    let contents = [
        Content::Join { user: user("bob") },
        Content::Edit { target, body: body.clone() },
        Content::Leave { user: user("bob") },
        Content::Custom { name, body },
        Content::Delete { target },
    ];
    for (n, content) in contents.into_iter().enumerate() {
        store(node, about("r", "ann", &format!("d{n}"), content)).await;
    }
    assert_eq!(seqs(&all(node, "r", View::Timeline, 50).await), [1, 2, 4, 5]);
}

/// A deleted message keeps its place in the timeline.
pub async fn a_deleted_message_keeps_its_place(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let positions = fill(node, "r", "ann", 3).await;
    store(node, about("r", "ann", "d", Content::Delete { target: positions[1].id })).await;
    for view in [View::Timeline, View::Log] {
        assert_eq!(seqs(&all(node, "r", view, 50).await)[..3], [1, 2, 3]);
    }
    assert_eq!(ends(&read(node, "r", after_id(positions[1].id)).await), (vec![3, 4], false, true));
}

/// 50 entries unless told otherwise, never more than 1,000 and never less than one.
pub async fn limits_are_held_between_one_and_the_greatest(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    for batch in 0..11 {
        let drafts: Vec<_> = (0..100).map(|n| draft("r", "ann", &format!("c{batch}-{n}"), "hello")).collect();
        node.log.append(&drafts).await.unwrap();
    }
    let begin = start(node, "r").await;
    for query in
        [ReadQuery::newest(), ReadQuery::after(begin), ReadQuery::before(head(node, "r").await.cursor)]
    {
        assert_eq!(read(node, "r", query.clone()).await.entries.len(), ReadQuery::DEFAULT_LIMIT);
        for (limit, expected) in [(0, 1), (1, 1), (1_000, 1_000), (1_001, 1_000), (usize::MAX, 1_000)] {
            // Set past the check, as a caller may: the field is public.
            let mut query = query.clone();
            query.limit = limit;
            assert_eq!(read(node, "r", query).await.entries.len(), expected, "limit {limit}");
        }
    }
    assert_gapless(&all(node, "r", View::Log, 1_000).await);
}

/// Walking from either end gives every entry once, whatever the page's size.
pub async fn walking_the_pages_gives_every_entry_once(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    fill(node, "r", "ann", 23).await;
    for limit in [1, 2, 7, 22, 23, 24] {
        let forwards = all(node, "r", View::Log, limit).await;
        assert_gapless(&forwards);
        assert_eq!(forwards.len(), 23);
        let mut page = read(node, "r", ReadQuery::newest().with_limit(limit)).await;
        let mut backwards = page.entries.clone();
        while !page.reaches_start {
            let first = backwards[0].position.cursor.clone();
            page = read(node, "r", ReadQuery::before(first).with_limit(limit)).await;
            assert!(!page.entries.is_empty(), "an empty page that does not reach the start");
            backwards.splice(0..0, page.entries.clone());
        }
        assert_eq!(backwards, forwards);
    }
}

/// Entries that come between two pages are on neither page twice, and none is skipped.
pub async fn appends_between_pages_shift_nothing(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    fill(&nodes[0], "r", "ann", 9).await;
    let mut forwards = Vec::new();
    let mut backwards = Vec::new();
    let mut after = start(&nodes[0], "r").await;
    let mut before = head(&nodes[0], "r").await.cursor;
    for round in 0..40 {
        if round < 10 {
            store(&nodes[1], draft("r", "ann", &format!("late{round}"), "late")).await;
        }
        let page = read(&nodes[0], "r", ReadQuery::after(after.clone()).with_limit(3)).await;
        after = page.entries.last().map_or(after, |entry| entry.position.cursor.clone());
        forwards.extend(page.entries);
        let page = read(&nodes[0], "r", ReadQuery::before(before.clone()).with_limit(3)).await;
        before = page.entries.first().map_or(before, |entry| entry.position.cursor.clone());
        backwards.splice(0..0, page.entries);
    }
    assert_gapless(&forwards);
    assert_eq!(forwards.len(), 19);
    assert_eq!(seqs(&backwards), [1, 2, 3, 4, 5, 6, 7, 8]);
}

/// A place is found by any entry's id, and by no other.
pub async fn an_unknown_id_is_not_found(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    create_room(node, "s", &["ann"]).await;
    fill(node, "r", "ann", 3).await;
    let elsewhere = fill(node, "s", "ann", 1).await.remove(0).id;
    for id in [elsewhere, MessageId::from_u128(1), MessageId::from_u128(u128::MAX)] {
        for query in [after_id(id), before_id(id)] {
            let error = read_error(node, "r", query).await;
            assert!(matches!(error, Error::MessageNotFound { room: ref r } if *r == room("r")), "{error:?}");
        }
    }
}

/// Reading and trimming say which room there is not.
pub async fn a_missing_room_is_not_found(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let place = fill(node, "r", "ann", 1).await.remove(0);
    let (after, before) = (ReadQuery::after(place.cursor.clone()), ReadQuery::before(place.cursor));
    for query in [ReadQuery::newest(), after, before, after_id(place.id), before_id(place.id)] {
        let error = read_error(node, "missing", query).await;
        assert!(matches!(error, Error::RoomNotFound { room: ref r } if *r == room("missing")), "{error:?}");
    }
    let error = node.log.trim(&room("missing"), Retention::default()).await.unwrap_err();
    assert!(matches!(error, Error::RoomNotFound { .. }), "{error:?}");
}

/// A position that was never given out is not answered with an empty page.
pub async fn a_cursor_beyond_the_head_is_reset(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let last = fill(node, "r", "ann", 3).await.remove(2).cursor;
    for beyond in [seq(4), Seq::MAX] {
        let cursor = Cursor::new(last.epoch.clone(), beyond);
        for query in [ReadQuery::after(cursor.clone()), ReadQuery::before(cursor)] {
            let error = read_error(node, "r", query).await;
            assert!(
                matches!(error, Error::CursorReset { room: ref r, ref current } if *r == room("r") && *current == last),
                "{error:?}"
            );
        }
    }
}

/// A cursor that another store gave out says nothing about this one.
pub async fn a_cursor_of_a_foreign_epoch_is_reset(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let last = fill(node, "r", "ann", 3).await.remove(2).cursor;
    for number in 0..=3 {
        let cursor = Cursor::new(foreign_epoch(), seq(number));
        for query in [ReadQuery::after(cursor.clone()), ReadQuery::before(cursor)] {
            for view in [View::Log, View::Timeline] {
                let error = read_error(node, "r", query.clone().with_view(view)).await;
                assert!(
                    matches!(error, Error::CursorReset { ref current, .. } if *current == last),
                    "{error:?}"
                );
            }
        }
    }
}

/// The heads of many rooms, each in its room's place.
pub async fn heads_are_in_the_order_asked_for(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    for (name, count) in [("r", 3), ("s", 0), ("t", 1)] {
        create_room(node, name, &["ann"]).await;
        fill(node, name, "ann", count).await;
    }
    let names = ["t", "missing", "r", "s", "r", "t", "other"];
    let heads = node.log.heads(&names.map(room)).await.unwrap();
    let numbers: Vec<_> = heads.iter().map(|head| head.as_ref().map(|head| head.cursor.seq.get())).collect();
    assert_eq!(numbers, [Some(1), None, Some(3), Some(0), Some(3), Some(1), None]);
    assert!(heads.iter().flatten().all(|head| head.oldest == seq(1)), "{heads:?}");
    assert_eq!(node.log.heads(&[]).await.unwrap(), []);
}

/// A closed room and one without members can be read.
pub async fn a_closed_room_can_be_read(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    fill(node, "r", "ann", 2).await;
    let close = RoomChange { active: Some(false), ..RoomChange::default() };
    node.rooms.update(&room("r"), close).await.unwrap();
    assert_eq!(ends(&read(node, "r", ReadQuery::newest()).await), (vec![1, 2], true, true));
}

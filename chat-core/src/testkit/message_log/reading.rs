//! What the cases read, and how they look at it.
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use crate::{
    AppendOutcome, Body, Cursor, Error, Head, MessageId, Page, Place, ReadFrom, ReadQuery, Refusal, Seq,
    StoredMessage, View,
    testkit::{LogNode, fixtures::room},
};

/// Reads one page that must be there.
pub(in crate::testkit) async fn read(node: &LogNode, in_room: &str, query: ReadQuery) -> Page {
    node.log.read(&room(in_room), query).await.unwrap()
}

/// Reads one page that must not be there.
pub(in crate::testkit) async fn read_error(node: &LogNode, in_room: &str, query: ReadQuery) -> Error {
    node.log.read(&room(in_room), query).await.unwrap_err()
}

/// The ends of a room that exists.
pub(in crate::testkit) async fn head(node: &LogNode, in_room: &str) -> Head {
    node.log.heads(&[room(in_room)]).await.unwrap().remove(0).unwrap()
}

/// The place before the first entry that is kept.
pub(in crate::testkit) async fn start(node: &LogNode, in_room: &str) -> Cursor {
    let head = head(node, in_room).await;
    Cursor::new(head.cursor.epoch, head.oldest.previous())
}

/// All entries that are kept, read page by page after the start.
pub(in crate::testkit) async fn all(
    node: &LogNode,
    in_room: &str,
    view: View,
    limit: usize,
) -> Vec<StoredMessage> {
    let mut entries: Vec<StoredMessage> = Vec::new();
    let mut place = start(node, in_room).await;
    loop {
        let page =
            read(node, in_room, ReadQuery::after(place.clone()).with_view(view).with_limit(limit)).await;
        assert!(page.entries.len() <= limit, "a page is longer than its limit");
        assert!(page.reaches_head || !page.entries.is_empty(), "an empty page that does not reach the head");
        entries.extend(page.entries);
        if page.reaches_head {
            return entries;
        }
        place = entries.last().unwrap().position.cursor.clone();
    }
}

/// Every entry that is kept.
pub(in crate::testkit) async fn log(node: &LogNode, in_room: &str) -> Vec<StoredMessage> {
    all(node, in_room, View::Log, ReadQuery::MAX_LIMIT).await
}

/// The entry with this id, as each way of reading gives it out. The ways must agree.
pub(in crate::testkit) async fn entry(node: &LogNode, in_room: &str, id: MessageId) -> StoredMessage {
    let newest = ReadQuery::newest().with_limit(ReadQuery::MAX_LIMIT);
    let start = start(node, in_room).await;
    let found = |page: Page| page.entries.into_iter().find(|entry| entry.position.id == id);
    let first = found(read(node, in_room, newest.clone()).await).unwrap();
    let after = ReadQuery::after(start).with_limit(ReadQuery::MAX_LIMIT);
    let mut ways = vec![("after", found(read(node, in_room, after.clone()).await))];
    if first.content.kind().in_timeline() {
        ways.push(("timeline", found(read(node, in_room, newest.with_view(View::Timeline)).await)));
        let after = after.with_view(View::Timeline);
        ways.push(("after, timeline", found(read(node, in_room, after).await)));
    }
    let last = head(node, in_room).await.cursor;
    if first.position.cursor != last {
        let before = ReadQuery::before(last).with_limit(ReadQuery::MAX_LIMIT);
        ways.push(("before", found(read(node, in_room, before).await)));
    }
    for (way, other) in ways {
        assert_eq!(other.as_ref(), Some(&first), "reading {way} and reading the newest differ");
    }
    first
}

/// A query from an identity.
pub(in crate::testkit) const fn after_id(id: MessageId) -> ReadQuery {
    ReadQuery::new(ReadFrom::After(Place::Id(id)))
}

/// A query from an identity.
pub(in crate::testkit) const fn before_id(id: MessageId) -> ReadQuery {
    ReadQuery::new(ReadFrom::Before(Place::Id(id)))
}

/// The positions' numbers.
pub(in crate::testkit) fn seqs(entries: &[StoredMessage]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq().get()).collect()
}

/// The entry's text, if it has one.
pub(in crate::testkit) fn text(entry: &StoredMessage) -> Option<&str> {
    match entry.content.body() {
        Some(Body::Text(text)) => Some(text),
        _ => None,
    }
}

/// Checks that the entries are numbered 1, 2, 3 … and that their ids grow.
pub(in crate::testkit) fn assert_gapless(entries: &[StoredMessage]) {
    let expected: Vec<u64> = (1..=entries.len() as u64).collect();
    assert_eq!(seqs(entries), expected, "positions are not 1, 2, 3 …");
    let grows = entries.windows(2).all(|pair| pair[0].position.id < pair[1].position.id);
    assert!(grows, "ids do not grow with positions");
}

/// Why a draft was refused.
pub(in crate::testkit) fn refusal(outcome: AppendOutcome) -> Refusal {
    match outcome {
        AppendOutcome::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Checks that nothing was stored.
pub(in crate::testkit) async fn assert_head(node: &LogNode, in_room: &str, last: u64) {
    assert_eq!(head(node, in_room).await.cursor.seq, Seq::new(last).unwrap(), "entries in {in_room}");
}

use chat_backend_redis::HotLogConfig;
use chat_core::{
    MessageId, Seq, View,
    tiered::{HotDraft, HotFrom, HotPage, HotWindow},
};

use super::place::{Place, change, draft, names, new, seq, seqs, with};

impl Place {
    async fn page(&self, from: HotFrom, view: View, limit: usize) -> HotPage {
        self.log.page(&self.room, from, view, limit).await.unwrap()
    }

    async fn here(&self, from: HotFrom, view: View, limit: usize) -> HotWindow {
        match self.page(from, view, limit).await {
            HotPage::Here(window) => window,
            other => panic!("{from:?}: {other:?}"),
        }
    }

    async fn is_elsewhere(&self, from: HotFrom, view: View, limit: usize) -> bool {
        matches!(self.page(from, view, limit).await, HotPage::Elsewhere(room) if room == self.now().await)
    }
}

#[tokio::test]
async fn the_log_is_read_from_every_place() {
    let place = Place::open(HotLogConfig::new()).await;
    let ids: Vec<MessageId> = place.fill(names(1..=10)).await.into_iter().map(|(_, id)| id).collect();
    for (from, limit, start, wanted) in [
        (HotFrom::After(Seq::ZERO), 3, 0, vec![1, 2, 3]),
        (HotFrom::After(seq(8)), 5, 8, vec![9, 10]),
        (HotFrom::After(seq(10)), 5, 10, vec![]),
        (HotFrom::Before(seq(4)), 2, 4, vec![2, 3]),
        (HotFrom::Before(seq(3)), 5, 3, vec![1, 2]),
        (HotFrom::Before(seq(1)), 5, 1, vec![]),
        (HotFrom::Newest, 4, 11, vec![7, 8, 9, 10]),
        (HotFrom::AfterId(ids[7]), 9, 8, vec![9, 10]),
        (HotFrom::BeforeId(ids[2]), 9, 3, vec![1, 2]),
    ] {
        let page = place.here(from, View::Log, limit).await;
        assert_eq!((page.place.get(), seqs(&page.entries)), (start, wanted), "{from:?}");
        assert_eq!(page.room, place.now().await);
    }
    let page = place.here(HotFrom::After(seq(4)), View::Log, 1).await;
    assert_eq!((page.entries[0].id, &page.entries[0].payload[..]), (ids[4], &b"m5"[..]));
    let absent = MessageId::from_u128(ids[4].as_u128() ^ 1);
    assert!(place.is_elsewhere(HotFrom::AfterId(absent), View::Log, 5).await);
    assert!(place.is_elsewhere(HotFrom::BeforeId(absent), View::Timeline, 5).await);
    let closed = place.beside("closed").page(HotFrom::Newest, View::Log, 5).await;
    assert!(matches!(closed, HotPage::Closed));
}

/// The entries of the timeline are 1, 4, 7 …
async fn with_reactions(place: &Place, groups: u64) {
    for group in 0..groups {
        let id = new(&place.send_one(draft(&format!("m{group}"))).await).1;
        let reactions = ["a", "b"].map(|name| change(&format!("{name}{group}"), id));
        place.send(reactions.to_vec()).await;
    }
}

#[tokio::test]
async fn the_timeline_passes_over_what_does_not_stand_for_itself() {
    let place = Place::open(HotLogConfig::new()).await;
    with_reactions(&place, 4).await;
    for (from, limit, wanted, earlier, later) in [
        (HotFrom::Newest, 2, vec![4, 7, 10], true, false),
        (HotFrom::Newest, 4, vec![1, 4, 7, 10], true, false),
        (HotFrom::After(Seq::ZERO), 2, vec![1, 4, 7], false, true),
        (HotFrom::After(seq(5)), 2, vec![7, 10], true, true),
        (HotFrom::After(seq(10)), 2, vec![], true, true),
        (HotFrom::After(seq(11)), 2, vec![], true, false),
        (HotFrom::Before(seq(9)), 1, vec![4, 7], true, true),
        (HotFrom::Before(seq(2)), 1, vec![1], true, true),
        (HotFrom::Before(seq(1)), 1, vec![], true, true),
    ] {
        let page = place.here(from, View::Timeline, limit).await;
        assert_eq!(seqs(&page.entries), wanted, "{from:?}");
        assert_eq!((page.earlier, page.later), (earlier, later), "{from:?}");
    }
    let empty = Place::open(HotLogConfig::new()).await;
    let page = empty.here(HotFrom::Newest, View::Timeline, 5).await;
    assert!(page.entries.is_empty() && !page.earlier && !page.later);
}

#[tokio::test]
async fn a_page_brings_what_was_done_to_its_entries() {
    let place = Place::open(HotLogConfig::new()).await;
    with_reactions(&place, 3).await;
    let first = place.here(HotFrom::After(Seq::ZERO), View::Log, 1).await.entries[0].id;
    let edit = with(change("edit", first), |change| change.own_only = true);
    new(&place.send_one(edit).await);
    new(&place.send_one(with(change("gone", first), |change| change.deletes = true)).await);
    let page = place.here(HotFrom::After(Seq::ZERO), View::Timeline, 1).await;
    assert_eq!((seqs(&page.entries), seqs(&page.changes)), (vec![1, 4], vec![2, 3, 5, 6, 10, 11]));
    let page = place.here(HotFrom::After(seq(9)), View::Log, 1).await;
    assert_eq!(seqs(&page.entries), [10]);
    let changes = seqs(&page.changes);
    assert!([2, 3, 10, 11].iter().all(|seq| changes.contains(seq)), "of what it edits: {changes:?}");
    assert!(changes.is_sorted());
}

#[tokio::test]
async fn what_begins_before_the_window_is_elsewhere() {
    let place = Place::open(HotLogConfig::new().with_window(6)).await;
    with_reactions(&place, 4).await;
    place.archive(12).await;
    assert_eq!(place.now().await.first, seq(7));
    for (from, view, limit) in [
        (HotFrom::After(seq(5)), View::Log, 1),
        (HotFrom::Before(seq(9)), View::Log, 3),
        (HotFrom::Newest, View::Log, 7),
        (HotFrom::Newest, View::Timeline, 2),
        // Whether any precede it is not known here.
        (HotFrom::After(seq(6)), View::Timeline, 1),
    ] {
        assert!(place.is_elsewhere(from, view, limit).await, "{from:?} {view:?}");
    }
    assert_eq!(seqs(&place.here(HotFrom::After(seq(6)), View::Log, 1).await.entries), [7]);
    assert_eq!(seqs(&place.here(HotFrom::Newest, View::Log, 6).await.entries).len(), 6);
    assert_eq!(seqs(&place.here(HotFrom::Newest, View::Timeline, 1).await.entries), [7, 10]);
    assert_eq!(seqs(&place.here(HotFrom::After(seq(8)), View::Timeline, 1).await.entries), [10]);
    // Before it there is nothing any more.
    place.log.trim(&place.room, &place.now().await.life, seq(8)).await.unwrap();
    assert_eq!(place.now().await.first, seq(8));
    assert_eq!(seqs(&place.here(HotFrom::Newest, View::Timeline, 2).await.entries), [10]);
    assert_eq!(seqs(&place.here(HotFrom::Newest, View::Log, 9).await.entries), [8, 9, 10, 11, 12]);
}

#[tokio::test]
async fn a_search_for_the_timeline_ends() {
    let place = Place::open(HotLogConfig::new()).await;
    let hidden = |name: String| HotDraft { timeline: false, ..draft(&name) };
    place.fill(names(1..=1)).await;
    place.send(names(2..=5_000).map(hidden).collect()).await;
    assert!(place.is_elsewhere(HotFrom::Newest, View::Timeline, 1).await);
    assert_eq!(seqs(&place.here(HotFrom::After(Seq::ZERO), View::Log, 1).await.entries), [1]);
}

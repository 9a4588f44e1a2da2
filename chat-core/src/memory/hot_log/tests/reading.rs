use super::*;
use crate::{
    View,
    tiered::{HotFrom, HotPage, HotWindow},
};

fn page(world: &World, from: HotFrom, view: View, limit: usize) -> Option<HotWindow> {
    match now(world.hot.page(&room(), from, view, limit)) {
        HotPage::Here(window) => Some(window),
        HotPage::Elsewhere(known) => {
            assert_eq!(known, world.known());
            None
        }
        HotPage::Closed => panic!("closed"),
    }
}

/// The positions of the entries, if they are here.
fn numbers(world: &World, from: HotFrom, view: View, limit: usize) -> Option<Vec<u64>> {
    let window = page(world, from, view, limit)?;
    Some(window.entries.iter().map(|entry| entry.seq.get()).collect())
}

/// Positions 1 to 10, of which 4 to 10 are here; 6 and 9 change 5.
fn world() -> World {
    let world = World::open(7, 0);
    let ids = world.fill(1, 5);
    world.store(changes("6", ids[4], false));
    world.fill(7, 8);
    world.store(changes("9", ids[4], true));
    world.store(says("10"));
    world.archived("a", 9);
    assert_eq!(world.known().first, seq(4));
    world
}

#[test]
fn a_page_of_the_log_is_here_or_elsewhere() {
    let world = world();
    let log = |from, limit| numbers(&world, from, View::Log, limit);
    assert_eq!(log(HotFrom::After(seq(3)), 2), Some(vec![4, 5]));
    assert_eq!(log(HotFrom::After(seq(8)), 5), Some(vec![9, 10]));
    assert_eq!(log(HotFrom::After(seq(10)), 5), Some(vec![]));
    assert_eq!(log(HotFrom::After(seq(2)), 2), None);
    assert_eq!(log(HotFrom::Newest, 7), Some((4..=10).collect()));
    assert_eq!(log(HotFrom::Newest, 8), None);
    assert_eq!(log(HotFrom::Before(seq(6)), 2), Some(vec![4, 5]));
    assert_eq!(log(HotFrom::Before(seq(6)), 3), None);
    now(world.hot.trim(&room(), &life("a"), seq(5)));
    assert_eq!(log(HotFrom::Newest, 50), Some((5..=10).collect()));
    assert_eq!(log(HotFrom::After(seq(0)), 2), Some(vec![]));
}

#[test]
fn a_page_of_the_timeline_holds_one_more_than_asked_for() {
    let world = world();
    let timeline = |from, limit| numbers(&world, from, View::Timeline, limit);
    assert_eq!(timeline(HotFrom::Newest, 2), Some(vec![7, 8, 10]));
    assert_eq!(timeline(HotFrom::Newest, 4), Some(vec![4, 5, 7, 8, 10]));
    assert_eq!(timeline(HotFrom::Newest, 5), None);
    assert_eq!(timeline(HotFrom::Before(seq(8)), 2), Some(vec![4, 5, 7]));
    assert_eq!(timeline(HotFrom::Before(seq(8)), 3), None);
    assert_eq!(timeline(HotFrom::After(seq(4)), 2), Some(vec![5, 7, 8]));
    assert_eq!(timeline(HotFrom::After(seq(4)), 50), Some(vec![5, 7, 8, 10]));
    // Whether something precedes it is for the archive to say.
    assert_eq!(timeline(HotFrom::After(seq(3)), 2), None);
    let window = page(&world, HotFrom::Before(seq(10)), View::Timeline, 3).unwrap();
    assert_eq!((window.place, window.later), (seq(10), true));
    let window = page(&world, HotFrom::Newest, View::Timeline, 2).unwrap();
    assert_eq!((window.place, window.later), (seq(11), false));
    let window = page(&world, HotFrom::After(seq(10)), View::Timeline, 2).unwrap();
    assert_eq!((window.entries.len(), window.earlier), (0, true));
    now(world.hot.trim(&room(), &life("a"), seq(8)));
    assert_eq!(timeline(HotFrom::Newest, 50), Some(vec![8, 10]));
    let window = page(&world, HotFrom::After(seq(7)), View::Timeline, 2).unwrap();
    assert_eq!((window.entries.len(), window.earlier), (2, false));
}

#[test]
fn a_page_starts_from_a_message_that_is_here() {
    let world = World::open(3, 0);
    let ids = world.fill(1, 4);
    world.archived("a", 4);
    let log = |from| numbers(&world, from, View::Log, 1);
    assert_eq!(log(HotFrom::AfterId(ids[1])), Some(vec![3]));
    assert_eq!(log(HotFrom::BeforeId(ids[3])), Some(vec![3]));
    assert_eq!(log(HotFrom::AfterId(ids[0])), None);
    assert_eq!(log(HotFrom::BeforeId(MessageId::from_u128(1))), None);
}

#[test]
fn a_page_comes_with_what_was_done_to_its_entries() {
    let world = world();
    let changes = |from, limit| {
        let window = page(&world, from, View::Log, limit).unwrap();
        window.changes.iter().map(|entry| (entry.seq.get(), entry.target)).collect::<Vec<_>>()
    };
    let both = vec![(6, Some(seq(5))), (9, Some(seq(5)))];
    assert_eq!(changes(HotFrom::After(seq(4)), 1), both);
    // What an edit says goes with the message that it edits.
    assert_eq!(changes(HotFrom::After(seq(5)), 1), both);
    assert_eq!(changes(HotFrom::After(seq(6)), 2), []);
    // A deletion says nothing itself.
    assert_eq!(changes(HotFrom::After(seq(8)), 2), []);
}

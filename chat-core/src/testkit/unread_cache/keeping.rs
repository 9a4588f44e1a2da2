//! What is kept, and when it is not.

use crate::{
    Cursor, Epoch, Head, RoomId,
    testkit::{
        UnreadCacheHarness,
        fixtures::{room, seq, user},
    },
    unread::{KnownUnread, NewUnread, UnreadCache, UnreadCount, UnreadVersion},
};

/// So many holds no cache tells apart.
const MANY_HOLDS: usize = 300;
/// Of so many rooms no cache keeps counts of one user.
const MANY_ROOMS: usize = 5_000;

fn count(last: u64, unread: u64) -> UnreadCount {
    let cursor = Cursor::new(Epoch::new("Some_epoch-1").unwrap(), seq(last));
    UnreadCount { head: Head { cursor, oldest: seq(1) }, unread }
}

async fn recall(cache: &dyn UnreadCache, name: &str, of: &str) -> KnownUnread {
    let mut known = cache.recall(&user(name), &[room(of)]).await.unwrap();
    assert_eq!(known.len(), 1);
    known.remove(0)
}

async fn version(cache: &dyn UnreadCache, name: &str, of: &str) -> UnreadVersion {
    recall(cache, name, of).await.version.unwrap()
}

async fn remember(
    cache: &dyn UnreadCache,
    name: &str,
    of: &str,
    version: &UnreadVersion,
    count: UnreadCount,
) {
    let new = NewUnread { room: room(of), version: version.clone(), count };
    cache.remember(&user(name), &[new]).await.unwrap();
}

/// Remembers a count in the room `r`, under the version there is.
async fn keep(cache: &dyn UnreadCache, name: &str, last: u64, unread: u64) {
    let version = version(cache, name, "r").await;
    remember(cache, name, "r", &version, count(last, unread)).await;
    assert_eq!(recall(cache, name, "r").await.count, Some(count(last, unread)));
}

/// The same for everybody who asks.
pub async fn at_first_there_is_a_version_and_no_count(harness: &dyn UnreadCacheHarness) {
    let nodes = harness.nodes(2).await;
    let first = recall(&*nodes[0], "ann", "r").await;
    assert!(first.count.is_none() && first.version.is_some());
    assert_eq!(recall(&*nodes[1], "ann", "r").await, first);
}

/// And the version stays.
pub async fn what_is_remembered_is_recalled_on_every_node(harness: &dyn UnreadCacheHarness) {
    let nodes = harness.nodes(2).await;
    let version = version(&*nodes[0], "ann", "r").await;
    remember(&*nodes[0], "ann", "r", &version, count(7, 3)).await;
    for node in &nodes {
        let known = recall(&**node, "ann", "r").await;
        assert_eq!(known, KnownUnread { count: Some(count(7, 3)), version: Some(version.clone()) });
    }
}

/// The cache does not compare them: who asks does.
pub async fn a_count_of_other_ends_takes_the_place_of_the_one_before(harness: &dyn UnreadCacheHarness) {
    let cache = &*harness.nodes(1).await.remove(0);
    for (last, unread) in [(7, 3), (8, 4), (8, 0)] {
        keep(cache, "ann", last, unread).await;
    }
}

/// An empty room, the greatest numbers, every character of an epoch.
pub async fn ends_are_recalled_as_they_were(harness: &dyn UnreadCacheHarness) {
    let cache = &*harness.nodes(1).await.remove(0);
    let most = crate::Seq::MAX;
    for (epoch, last, oldest, unread) in [
        ("0", crate::Seq::ZERO, crate::Seq::FIRST, 0),
        ("-_aZ09", most, most, most.get()),
        (&"x".repeat(Epoch::MAX_BYTES), most, crate::Seq::FIRST, most.get()),
    ] {
        let cursor = Cursor::new(Epoch::new(epoch).unwrap(), last);
        let count = UnreadCount { head: Head { cursor, oldest }, unread };
        let version = version(cache, "ann", "r").await;
        remember(cache, "ann", "r", &version, count.clone()).await;
        assert_eq!(recall(cache, "ann", "r").await.count, Some(count));
    }
}

/// On whichever node it was begun.
pub async fn a_hold_ends_the_version_and_forgets_the_count(harness: &dyn UnreadCacheHarness) {
    let nodes = harness.nodes(2).await;
    keep(&*nodes[0], "ann", 7, 3).await;
    let before = version(&*nodes[0], "ann", "r").await;
    let hold = nodes[1].hold(&user("ann"), &room("r")).await.unwrap();
    nodes[1].release(&user("ann"), &room("r"), &hold).await.unwrap();
    let after = recall(&*nodes[0], "ann", "r").await;
    assert_eq!(after.count, None);
    assert!(after.version.is_some() && after.version != Some(before));
}

/// It was on its way meanwhile.
pub async fn a_count_of_before_a_hold_is_not_remembered_after_it(harness: &dyn UnreadCacheHarness) {
    let nodes = harness.nodes(2).await;
    for asked in [false, true] {
        let before = version(&*nodes[0], "ann", "r").await;
        let hold = nodes[1].hold(&user("ann"), &room("r")).await.unwrap();
        nodes[1].release(&user("ann"), &room("r"), &hold).await.unwrap();
        if asked {
            // There is another version by now.
            recall(&*nodes[1], "ann", "r").await;
        }
        remember(&*nodes[0], "ann", "r", &before, count(7, 3)).await;
        assert_eq!(recall(&*nodes[0], "ann", "r").await.count, None, "asked: {asked}");
    }
}

/// For this user in this room.
pub async fn while_it_is_held_there_is_neither_count_nor_version(harness: &dyn UnreadCacheHarness) {
    let nodes = harness.nodes(2).await;
    keep(&*nodes[0], "ann", 7, 3).await;
    let before = version(&*nodes[0], "ann", "r").await;
    let hold = nodes[0].hold(&user("ann"), &room("r")).await.unwrap();
    for node in &nodes {
        remember(&**node, "ann", "r", &before, count(7, 3)).await;
        assert_eq!(recall(&**node, "ann", "r").await, KnownUnread::default());
    }
    assert!(recall(&*nodes[1], "ann", "s").await.version.is_some());
    assert!(recall(&*nodes[1], "bob", "r").await.version.is_some());
    nodes[0].release(&user("ann"), &room("r"), &hold).await.unwrap();
    keep(&*nodes[1], "ann", 7, 2).await;
}

/// In whatever order that is.
pub async fn holds_at_once_last_until_each_is_released(harness: &dyn UnreadCacheHarness) {
    let nodes = harness.nodes(2).await;
    let cache = &*nodes[0];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        keep(cache, "ann", 7, 3).await;
        let mut holds = Vec::new();
        for number in 0..3 {
            holds.push(nodes[number % 2].hold(&user("ann"), &room("r")).await.unwrap());
        }
        for index in order {
            assert_eq!(recall(cache, "ann", "r").await, KnownUnread::default());
            nodes[1].release(&user("ann"), &room("r"), &holds[index]).await.unwrap();
        }
        assert!(recall(cache, "ann", "r").await.version.is_some());
    }
}

/// A repeat takes nothing from another one.
pub async fn a_hold_that_ended_is_released_again_without_effect(harness: &dyn UnreadCacheHarness) {
    let cache = &*harness.nodes(1).await.remove(0);
    let first = cache.hold(&user("ann"), &room("r")).await.unwrap();
    cache.release(&user("ann"), &room("r"), &first).await.unwrap();
    let second = cache.hold(&user("ann"), &room("r")).await.unwrap();
    assert_ne!(first, second);
    cache.release(&user("ann"), &room("r"), &first).await.unwrap();
    assert_eq!(recall(cache, "ann", "r").await, KnownUnread::default());
    cache.release(&user("ann"), &room("r"), &second).await.unwrap();
    keep(cache, "ann", 7, 3).await;
}

/// Where a hold had run out before the change was done, somebody may have counted in between.
pub async fn whoever_comes_after_a_release_finds_nothing(harness: &dyn UnreadCacheHarness) {
    let cache = &*harness.nodes(1).await.remove(0);
    let hold = cache.hold(&user("ann"), &room("r")).await.unwrap();
    cache.release(&user("ann"), &room("r"), &hold).await.unwrap();
    keep(cache, "ann", 7, 3).await;
    let before = version(cache, "ann", "r").await;
    cache.release(&user("ann"), &room("r"), &hold).await.unwrap();
    let after = recall(cache, "ann", "r").await;
    assert!(after.count.is_none() && after.version != Some(before));
}

/// Whatever their names are.
pub async fn users_and_rooms_are_separate(harness: &dyn UnreadCacheHarness) {
    let cache = &*harness.nodes(1).await.remove(0);
    let places = [("ann", "r"), ("ann", "r:1"), ("ann", "R"), ("Ann", "r"), ("ann:r", "1"), ("bob", "r")];
    for (number, (name, of)) in places.into_iter().enumerate() {
        let version = version(cache, name, of).await;
        remember(cache, name, of, &version, count(7, number as u64)).await;
    }
    let hold = cache.hold(&user("ann"), &room("r:1")).await.unwrap();
    cache.release(&user("ann"), &room("r:1"), &hold).await.unwrap();
    for (number, (name, of)) in places.into_iter().enumerate() {
        let kept = (number != 1).then(|| count(7, number as u64));
        assert_eq!(recall(cache, name, of).await.count, kept, "{name} in {of}");
    }
}

/// Also where one is asked for twice, held, or all are none.
pub async fn rooms_are_answered_in_the_order_that_was_asked_for(harness: &dyn UnreadCacheHarness) {
    let cache = &*harness.nodes(1).await.remove(0);
    let ann = user("ann");
    let mut new = Vec::new();
    for (number, of) in ["a", "b", "c"].into_iter().enumerate() {
        let version = version(cache, "ann", of).await;
        new.push(NewUnread { room: room(of), version, count: count(9, number as u64) });
    }
    cache.remember(&ann, &new).await.unwrap();
    let hold = cache.hold(&ann, &room("b")).await.unwrap();
    let asked = ["c", "b", "a", "new", "c"].map(room);
    let known = cache.recall(&ann, &asked).await.unwrap();
    let unread: Vec<_> = known.iter().map(|known| known.count.as_ref().map(|count| count.unread)).collect();
    assert_eq!(unread, [Some(2), None, Some(0), None, Some(2)]);
    let versions: Vec<_> = known.iter().map(|known| known.version.is_some()).collect();
    assert_eq!(versions, [true, false, true, true, true]);
    assert_eq!(cache.recall(&ann, &[]).await.unwrap(), []);
    cache.remember(&ann, &[]).await.unwrap();
    cache.release(&ann, &room("b"), &hold).await.unwrap();
}

/// Each of them still does.
pub async fn more_holds_than_can_be_told_apart_hold_all(harness: &dyn UnreadCacheHarness) {
    let cache = &*harness.nodes(1).await.remove(0);
    let ann = user("ann");
    keep(cache, "ann", 7, 3).await;
    keep(cache, "bob", 7, 3).await;
    let mut holds = Vec::new();
    for number in 0..MANY_HOLDS {
        let of = room(&format!("r{number}"));
        holds.push((cache.hold(&ann, &of).await.unwrap(), of));
    }
    for (_, of) in &holds {
        assert_eq!(recall(cache, "ann", of.as_str()).await, KnownUnread::default(), "{of}");
    }
    for (hold, of) in holds {
        cache.release(&ann, &of, &hold).await.unwrap();
    }
    assert_eq!(recall(cache, "bob", "r").await.count, Some(count(7, 3)));
}

/// Nobody fills it with rooms that are not there. What is kept stays.
pub async fn more_rooms_than_are_kept_have_no_version(harness: &dyn UnreadCacheHarness) {
    let cache = &*harness.nodes(1).await.remove(0);
    keep(cache, "ann", 7, 3).await;
    let rooms: Vec<RoomId> = (0..MANY_ROOMS).map(|number| room(&format!("r{number}"))).collect();
    let known = cache.recall(&user("ann"), &rooms).await.unwrap();
    let versions = known.iter().filter(|known| known.version.is_some()).count();
    assert!((100..MANY_ROOMS / 2).contains(&versions), "{versions}");
    assert_eq!(recall(cache, "ann", "r").await.count, Some(count(7, 3)));
}

use super::*;
use crate::tiered::{DeadLetter, Lag, Pending};

fn numbers(pending: &Pending) -> Vec<u64> {
    pending.entries.iter().map(|entry| entry.seq.get()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_room_is_taken_by_one_until_it_is_idle() {
    let world = World::open(10, 0);
    assert!(now(world.hot.take("one", EAGER)).is_empty());
    world.fill(1, 3);
    let first = now(world.hot.take("one", EAGER)).remove(0);
    assert_eq!((&first.life, numbers(&first)), (&Some(life("a")), vec![1, 2, 3]));
    for worker in ["one", "two"] {
        assert!(now(world.hot.take(worker, EAGER)).is_empty());
    }
    tokio::time::sleep(EAGER.idle).await;
    let second = now(world.hot.take("two", EAGER)).remove(0);
    assert_ne!(first.ticket, second.ticket);
    // Who comes late notes what it archived, and the room stays with the other one.
    let done = |upto: u64, ticket| Archived { room: room(), life: life("a"), upto: seq(upto), ticket };
    now(world.hot.archived(&[done(2, first.ticket)]));
    assert!(now(world.hot.take("one", EAGER)).is_empty());
    world.store(says("4"));
    now(world.hot.archived(&[done(3, second.ticket)]));
    assert_eq!(numbers(&now(world.hot.take("one", EAGER))[0]), [4]);
}

#[tokio::test(start_paused = true)]
async fn rooms_are_taken_when_enough_waits_or_long_enough() {
    let world = World::open(10, 0);
    let patient = Take { entries: 3, age: Duration::from_secs(2), ..EAGER };
    world.fill(1, 2);
    assert!(now(world.hot.take("one", patient)).is_empty());
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.store(says("3"));
    assert_eq!(now(world.hot.lag()), Lag { rooms: 1, entries: 3, age: Duration::from_secs(1) });
    let few = Take { max_entries: 2, ..patient };
    let taken = now(world.hot.take("one", few)).remove(0);
    assert_eq!(numbers(&taken), [1, 2]);
    let done = Archived { room: room(), life: life("a"), upto: seq(2), ticket: taken.ticket };
    now(world.hot.archived(&[done]));
    assert!(now(world.hot.take("one", patient)).is_empty());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(numbers(&now(world.hot.take("one", patient))[0]), [3]);
}

#[test]
fn what_waits_can_be_looked_at() {
    let world = World::open(10, 5);
    let other = RoomId::new("other").unwrap();
    assert!(now(world.hot.pending(&[room(), other.clone()], 10)).is_empty());
    world.store(HotDraft { not_archived: Some(seq(6)), ..says("1") });
    let pending = now(world.hot.pending(&[other, room()], 10));
    assert_eq!((pending.len(), numbers(&pending[0]), &pending[0].ticket), (1, vec![6], &None));
    assert_eq!(now(world.hot.pending_rooms()), [room()]);
    now(world.hot.close_room(&room(), &life("a")));
    let pending = now(world.hot.take("one", EAGER));
    assert_eq!((&pending[0].life, numbers(&pending[0])), (&None, vec![6]));
    world.archived("a", 6);
    assert_eq!(now(world.hot.pending_rooms()), []);
    assert_eq!(now(world.hot.lag()), Lag::default());
}

#[test]
fn what_was_buried_is_found() {
    let world = World::open(10, 0);
    world.fill(1, 2);
    let entry = now(world.hot.pending(&[room()], 10)).remove(0).entries.remove(1);
    let letter = DeadLetter { room: room(), life: life("a"), entry, reason: "unreadable".to_owned() };
    now(world.hot.bury(&[letter]));
    let buried = world.hot.buried();
    assert_eq!((buried.len(), buried[0].entry.seq, &*buried[0].reason), (1, seq(2), "unreadable"));
}

use super::*;

#[test]
fn a_closed_room_takes_nothing_until_somebody_opens_it() {
    let world = World::closed(MemoryHotLogSettings::default());
    assert_eq!(world.state(), HotState::Absent);
    assert_eq!(world.try_append(None, vec![says("1")]), HotAppended::Closed);
    let (token, left) = world.claim();
    assert_eq!(left, None);
    assert!(matches!(now(world.hot.claim(&room())), Claim::Wait(wait) if wait <= Duration::from_secs(5)));
    assert!(!now(world.hot.open(world.opening("x", 0, Bytes::from_static(b"another")))));
    assert!(now(world.hot.open(world.opening("a", 0, token.clone()))));
    assert!(!now(world.hot.open(world.opening("b", 0, token))));
    assert_eq!(now(world.hot.claim(&room())), Claim::Open(world.known()));
    world.store(says("1"));
}

#[tokio::test(start_paused = true)]
async fn a_claim_runs_out() {
    let world = World::closed(MemoryHotLogSettings::default());
    let (late, _) = world.claim();
    tokio::time::sleep(MemoryHotLogSettings::DEFAULT_CLAIM).await;
    assert!(!now(world.hot.open(world.opening("a", 0, late))));
    let (forgotten, _) = world.claim();
    world.hot.forget_claims();
    assert!(!now(world.hot.open(world.opening("a", 0, forgotten))));
    assert!(world.begin("a", 0, false));
}

#[test]
fn a_flush_leaves_nothing() {
    let world = World::open(10, 0);
    let gate = world.gate();
    world.fill(1, 3);
    world.hot.lose_everything();
    assert_eq!(world.state(), HotState::Absent);
    assert_eq!(now(world.hot.pending_rooms()), []);
    assert_eq!(world.claim().1, None);
    world.hot.forget_claims();
    assert!(world.begin("b", 1, false));
    assert_ne!(world.gate(), gate);
    assert!(world.hot.lost().is_empty());
}

#[test]
fn what_is_left_after_a_failover_goes_on_or_is_put_aside() {
    let world = World::open(2, 0);
    world.fill(1, 4);
    world.archived("a", 3);
    let (gate, behind) = (world.gate(), world.hot.snapshot());
    world.store(says("5"));
    for keep in [true, false] {
        world.hot.restore(&behind);
        assert_eq!(world.state(), HotState::Left);
        let (token, left) = world.claim();
        let left = left.unwrap();
        assert_eq!((left.life, left.first, left.head, left.archived), (life("a"), seq(3), seq(4), seq(3)));
        let base = if keep { 4 } else { 3 };
        let opening = Opening { archived: seq(3), keep, ..world.opening("b", base, token) };
        assert!(now(world.hot.open(opening)));
        assert_ne!(world.gate(), gate);
        let outcome = world.one(HotDraft { not_archived: Some(world.known().first), ..says("4") });
        assert_eq!(matches!(outcome, HotOutcome::Known { .. }), keep, "{outcome:?}");
        assert_eq!(world.known().head, seq(4));
        // Of an earlier life: it says nothing of this one.
        world.archived("a", 4);
        assert_eq!(world.known().archived, seq(3));
    }
    let lost = world.hot.lost();
    assert_eq!(lost.len(), 1);
    assert_eq!(
        (&lost[0].life, lost[0].entry.seq, &lost[0].entry.payload[..]),
        (&life("a"), seq(4), &b"4"[..])
    );
}

#[test]
fn what_ends_elsewhere_than_the_base_does_not_go_on() {
    let world = World::open(10, 0);
    world.fill(1, 3);
    now(world.hot.close_room(&room(), &life("other")));
    assert_eq!(world.known().head, seq(3));
    now(world.hot.close_room(&room(), &life("a")));
    assert_eq!(world.state(), HotState::Left);
    assert!(world.begin("b", 5, true));
    assert_eq!((world.known().first, world.known().head), (seq(6), seq(5)));
    let lost: Vec<_> = world.hot.lost().iter().map(|letter| letter.entry.seq.get()).collect();
    assert_eq!(lost, [1, 2, 3]);
}

#[test]
fn a_closed_room_whose_entries_are_all_archived_is_absent() {
    let world = World::open(10, 0);
    world.fill(1, 2);
    now(world.hot.close_room(&room(), &life("a")));
    assert_eq!(world.state(), HotState::Left);
    world.archived("a", 9);
    assert_eq!(world.state(), HotState::Absent);
    assert_eq!(world.claim().1.unwrap().archived, seq(2));
}

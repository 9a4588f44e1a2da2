use super::*;
use crate::tiered::{ArchivedTarget, Unlearned};

#[test]
fn positions_follow_the_base_and_ids_never_go_back() {
    let world = World::closed(MemoryHotLogSettings::default());
    let last = MessageId::next(None, Timestamp::from_secs(5_000), 0);
    let opening = world.opening("a", 7, world.claim().0);
    assert!(now(world.hot.open(Opening { last_id: Some(last), oldest: seq(8), ..opening })));
    let first = world.store(says("1"));
    assert!(first > last && first.timestamp() == last.timestamp());
    world.clock.set(Timestamp::from_secs(6_000));
    let second = world.store(says("2"));
    assert_eq!(second.timestamp(), Timestamp::from_secs(6_000));
    world.clock.set(Timestamp::from_secs(5));
    assert!(world.store(says("3")) > second);
    let known = world.known();
    assert_eq!((known.first, known.head, known.archived), (seq(8), seq(10), seq(7)));
}

#[test]
fn a_repeat_gets_its_first_answer_before_anything_else_is_looked_at() {
    let world = World::open(10, 0);
    let id = world.store(says("1"));
    let fingerprint = says("1").fingerprint;
    let known = HotOutcome::Known { seq: seq(1), id, fingerprint };
    assert_eq!(world.one(says("1")), known);
    assert_eq!(world.one(HotDraft { refused: true, ..says("1") }), known);
    assert_eq!(world.one(HotDraft { refused: true, ..says("2") }), HotOutcome::Refused);
    let outcomes = world.append(vec![says("3"), says("3"), says("4")]);
    assert!(matches!(outcomes[0], HotOutcome::New { seq: at, .. } if at == seq(2)), "{outcomes:?}");
    assert!(matches!(outcomes[1], HotOutcome::Known { seq: at, .. } if at == seq(2)), "{outcomes:?}");
    assert!(matches!(outcomes[2], HotOutcome::New { seq: at, .. } if at == seq(3)), "{outcomes:?}");
}

#[test]
fn the_archive_is_asked_for_names_as_long_as_they_are_not_learned() {
    let world = World::open(10, 200);
    let ask = HotOutcome::AskForCopy(seq(201));
    assert_eq!(now(world.hot.unlearned(&room())), Some(Unlearned { after: seq(0), upto: seq(200) }));
    let asked = |name: &str, first: u64| HotDraft { not_archived: Some(seq(first)), ..says(name) };
    assert_eq!(world.append(vec![says("1"), says("2")]), [ask.clone(), HotOutcome::NotReached]);
    assert_eq!(world.one(HotDraft { refused: true, ..says("1") }), ask);
    assert_eq!(world.one(asked("1", 200)), ask);
    world.store(asked("1", 201));
    now(world.hot.learn(&room(), &life("other"), seq(0), seq(200), &[]));
    now(world.hot.learn(&room(), &life("a"), seq(0), seq(100), &[key("7")]));
    assert_eq!(now(world.hot.unlearned(&room())), Some(Unlearned { after: seq(100), upto: seq(200) }));
    assert_eq!(world.one(says("2")), ask);
    now(world.hot.learn(&room(), &life("a"), seq(100), seq(200), &[key("8")]));
    assert_eq!(now(world.hot.unlearned(&room())), None);
    world.store(says("2"));
    for name in ["7", "8"] {
        assert_eq!(world.one(says(name)), ask);
    }
    world.store(asked("8", 201));
}

#[test]
fn names_that_left_the_window_are_asked_for() {
    let world = World::open(2, 0);
    world.fill(1, 5);
    assert_eq!(world.known().first, seq(1));
    world.archived("other", 5);
    assert_eq!((world.known().first, world.known().archived), (seq(1), seq(0)));
    world.archived("a", 4);
    assert_eq!((world.known().first, world.known().archived), (seq(4), seq(4)));
    assert_eq!(world.one(says("2")), HotOutcome::AskForCopy(seq(4)));
    assert!(matches!(world.one(says("4")), HotOutcome::Known { .. }));
    // An answer from before something left the window says nothing.
    assert_eq!(
        world.one(HotDraft { not_archived: Some(seq(3)), ..says("2") }),
        HotOutcome::AskForCopy(seq(4))
    );
    world.store(says("6"));
}

#[test]
fn the_name_of_what_was_trimmed_is_free() {
    let world = World::open(10, 0);
    world.fill(1, 4);
    world.archived("a", 3);
    now(world.hot.trim(&room(), &life("a"), seq(5)));
    let known = world.known();
    assert_eq!((known.first, known.oldest, known.archived), (seq(4), seq(5), seq(3)));
    world.store(says("2"));
    assert!(matches!(world.one(says("4")), HotOutcome::Known { .. }));
    world.archived("a", 4);
    assert_eq!(world.known().first, seq(5));
    world.store(says("4"));
}

#[test]
fn a_target_in_the_window_is_checked_here() {
    let world = World::open(10, 0);
    let own = world.store(says("1"));
    let foreign = world.store(HotDraft { sender: UserId::new("bob").unwrap(), ..says("2") });
    let join = world.store(HotDraft { changeable: false, ..says("3") });
    world.store(changes("e1", own, false));
    assert_eq!(world.one(changes("e2", foreign, false)), HotOutcome::TargetNotOwn);
    assert_eq!(world.one(changes("e3", join, false)), HotOutcome::TargetMissing);
    let mut reacts = changes("r", foreign, false);
    if let Some(change) = &mut reacts.change {
        change.own_only = false;
    }
    world.store(reacts);
    assert_eq!(world.one(HotDraft { refused: true, ..changes("e4", foreign, false) }), HotOutcome::Refused);
    let outcomes =
        world.append(vec![changes("d1", own, true), changes("d2", own, true), changes("e5", own, false)]);
    assert!(matches!(outcomes[0], HotOutcome::New { .. }));
    assert_eq!(outcomes[1..], [HotOutcome::TargetMissing, HotOutcome::TargetMissing]);
}

#[test]
fn a_target_in_the_archive_is_asked_for_and_stays_deleted() {
    let world = World::open(0, 0);
    let target = world.store(says("1"));
    world.store(says("2"));
    world.archived("a", 2);
    let known = |mut draft: HotDraft, sender: &str, open: bool| {
        let sender = UserId::new(sender).unwrap();
        if let Some(change) = &mut draft.change {
            change.known = Some(ArchivedTarget { seq: seq(1), sender, open });
        }
        draft
    };
    let outcomes = world.append(vec![changes("e1", target, false), says("3")]);
    assert_eq!(outcomes, [HotOutcome::AskForTarget, HotOutcome::NotReached]);
    let cases = [("bob", true, HotOutcome::TargetNotOwn), ("ann", false, HotOutcome::TargetMissing)];
    for (sender, open, expected) in cases {
        assert_eq!(world.one(known(changes("e1", target, false), sender, open)), expected);
    }
    world.store(known(changes("e1", target, false), "ann", true));
    world.store(known(changes("d1", target, true), "ann", true));
    // The archive does not know of it, or did not when it was asked.
    assert_eq!(world.one(known(changes("e2", target, false), "ann", true)), HotOutcome::TargetMissing);
    world.archived("a", 4);
    assert_eq!(world.one(known(changes("e2", target, false), "ann", true)), HotOutcome::TargetMissing);
}

#[test]
fn no_more_than_the_backlog_waits() {
    let world = World::closed(MemoryHotLogSettings::default().with_backlog(3));
    assert!(world.begin("a", 0, false));
    world.fill(1, 3);
    assert_eq!(world.try_append(Some(world.gate()), vec![says("4")]), HotAppended::Full);
    world.archived("a", 1);
    world.store(says("4"));
}

#[test]
fn a_gate_is_another_one_after_every_change() {
    let world = World::open(10, 0);
    let first = world.gate();
    assert_eq!(world.gate(), first);
    let state = |gate: Option<Gate>| match world.try_append(gate, vec![says("1")]) {
        HotAppended::Gate(state) => state,
        other => panic!("{other:?}"),
    };
    let (one, two) = (now(world.hot.hold(&room())), now(world.hot.hold(&room())));
    let held = state(Some(first.clone()));
    assert!(!held.settled && held.gate != first);
    now(world.hot.release(&room(), &one));
    let half = state(Some(held.gate.clone()));
    assert!(!half.settled && half.gate != held.gate);
    now(world.hot.release(&room(), &two));
    let free = state(Some(half.gate.clone()));
    assert!(free.settled && free.gate != half.gate);
    let done = world.try_append(Some(free.gate), vec![says("1")]);
    assert!(matches!(done, HotAppended::Done(of, _) if of == life("a")));
}

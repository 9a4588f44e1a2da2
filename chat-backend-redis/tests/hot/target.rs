use chat_backend_redis::HotLogConfig;
use chat_core::{
    MessageId, Seq,
    tiered::{ArchivedTarget, HotDraft, HotOutcome},
};

use super::place::{Base, Place, by, change, draft, names, new, seq, with};
use crate::live::user;

fn deletion(name: &str, target: MessageId) -> HotDraft {
    with(change(name, target), |change| change.deletes = true)
}

fn own(draft: HotDraft) -> HotDraft {
    with(draft, |change| change.own_only = true)
}

fn known(draft: HotDraft, seq: Seq, sender: &str, open: bool) -> HotDraft {
    with(draft, |change| change.known = Some(ArchivedTarget { seq, sender: user(sender), open }))
}

#[tokio::test]
async fn a_target_that_is_here_is_looked_at_here() {
    let place = Place::open(HotLogConfig::new()).await;
    let fixed = HotDraft { changeable: false, ..draft("fixed") };
    let outcomes = place.send(vec![draft("ann's"), by("bob", "bob's"), fixed]).await;
    let [anns, bobs, fixed] = [0, 1, 2].map(|index| new(&outcomes[index]).1);
    let absent = MessageId::from_u128(anns.as_u128() + 1);
    let outcomes = place
        .send(vec![
            change("reaction", bobs),
            own(change("edit", anns)),
            own(change("theft", bobs)),
            change("fixed-edit", fixed),
            change("nothing", absent),
            change("zero", MessageId::from_u128(0)),
            deletion("gone", anns),
            deletion("again", anns),
            own(change("late", anns)),
        ])
        .await;
    let [missing, not_own] = [HotOutcome::TargetMissing, HotOutcome::TargetNotOwn];
    assert_eq!(new(&outcomes[0]).0, seq(4));
    assert_eq!(new(&outcomes[1]).0, seq(5));
    assert_eq!(outcomes[2], not_own);
    assert_eq!([&outcomes[3], &outcomes[4], &outcomes[5]], [&missing; 3]);
    assert_eq!(new(&outcomes[6]).0, seq(6));
    assert_eq!([&outcomes[7], &outcomes[8]], [&missing; 2], "it is deleted");
    let again = place.send_one(deletion("gone", anns)).await;
    assert!(matches!(again, HotOutcome::Known { .. }), "a repeat, before its target is looked at");
    let pending = place.log.pending(std::slice::from_ref(&place.room), 100).await.unwrap();
    let targets: Vec<_> = pending[0].entries.iter().map(|entry| entry.target.map(Seq::get)).collect();
    assert_eq!(targets, [None, None, None, Some(2), Some(1), Some(1)]);
}

#[tokio::test]
async fn for_a_target_before_the_window_the_archive_is_asked() {
    let place = Place::open(HotLogConfig::new().with_window(0)).await;
    place.fill(names(1..=3)).await;
    place.archive(2).await;
    let target = MessageId::from_u128(99);
    let outcomes = place.send(vec![draft("a"), change("b", target), draft("c")]).await;
    assert_eq!(new(&outcomes[0]).0, seq(4));
    assert_eq!(outcomes[1..], [HotOutcome::AskForTarget, HotOutcome::NotReached]);
    for (draft, outcome) in [
        (known(change("c1", target), seq(1), "ann", false), HotOutcome::TargetMissing),
        (own(known(change("c2", target), seq(1), "bob", true)), HotOutcome::TargetNotOwn),
    ] {
        assert_eq!(place.send_one(draft).await, outcome);
    }
    assert_eq!(new(&place.send_one(own(known(change("c3", target), seq(1), "ann", true))).await).0, seq(5));
    new(&place.send_one(known(deletion("c4", target), seq(1), "ann", true)).await);
    let late = place.send_one(known(change("c5", target), seq(1), "ann", true)).await;
    assert_eq!(late, HotOutcome::TargetMissing, "the archive does not know of the deletion yet");
}

#[tokio::test]
async fn in_a_room_that_is_all_here_a_target_that_is_not_here_is_nowhere() {
    let place = Place::open(HotLogConfig::new()).await;
    let missing = place.send_one(change("a", MessageId::from_u128(99))).await;
    assert_eq!(missing, HotOutcome::TargetMissing);
    let other = place.beside("other");
    let life = other.begin(Base::at(5)).await;
    other.log.learn(&other.room, &life, seq(0), seq(5), &[]).await.unwrap();
    assert_eq!(other.send_one(change("a", MessageId::from_u128(99))).await, HotOutcome::AskForTarget);
}

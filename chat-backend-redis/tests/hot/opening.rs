use chat_backend_redis::HotLogConfig;
use chat_core::{
    Epoch,
    tiered::{Claim, HotAppended, HotOutcome, HotState, Unlearned},
};
use chat_test_services::Redis;

use super::place::{Base, Place, draft, key, names, new, seq, seqs};
use crate::live::{config, fresh};

#[tokio::test]
async fn one_opens_and_the_others_wait() {
    let place = Place::closed(&fresh(Redis::shared().await.unwrap()), HotLogConfig::new()).await;
    assert_eq!(place.state().await, HotState::Absent);
    assert_eq!(place.append(None, vec![draft("a")]).await, HotAppended::Closed);
    let (token, left) = place.claim().await;
    assert_eq!(left, None);
    match place.log.claim(&place.room).await.unwrap() {
        Claim::Wait(time) => assert!(time.as_millis() > 0 && time.as_secs() <= 10),
        other => panic!("{other:?}"),
    }
    let wrong = place.opening("wrong".into(), Base::at(0));
    assert!(!place.log.open(wrong).await.unwrap());
    let opening = place.opening(token, Base::at(0));
    assert!(place.log.open(opening.clone()).await.unwrap());
    assert!(!place.log.open(opening.clone()).await.unwrap(), "it is open");
    let room = place.now().await;
    assert_eq!((&room.life, room.head, room.first), (&opening.life, seq(0), seq(1)));
    assert_eq!(place.log.claim(&place.room).await.unwrap(), Claim::Open(room));
}

#[tokio::test]
async fn what_is_left_goes_on() {
    let place = Place::open(HotLogConfig::new()).await;
    let all = place.fill(names(1..=5)).await;
    place.archive(2).await;
    let before = place.now().await;
    place.log.close_room(&place.room, &Epoch::generate()).await.unwrap();
    assert!(matches!(place.state().await, HotState::Open(_)), "another life is none of its business");
    place.log.close_room(&place.room, &before.life).await.unwrap();
    assert_eq!(place.state().await, HotState::Left);
    assert_eq!(place.append(None, vec![draft("a")]).await, HotAppended::Closed);
    let pending = place.log.pending(std::slice::from_ref(&place.room), 10).await.unwrap();
    assert_eq!((pending.len(), &pending[0].life), (1, &None));
    let (token, left) = place.claim().await;
    assert_eq!(left.as_ref(), Some(&before));
    let opening = place.opening(token, Base::keeping(5, 3));
    let life = opening.life.clone();
    assert!(place.log.open(opening).await.unwrap());
    let room = place.now().await;
    assert_eq!((room.life, room.head, room.first, room.archived), (life.clone(), seq(5), seq(1), seq(3)));
    assert_eq!(place.log.unlearned(&place.room).await.unwrap(), None);
    assert_eq!(place.log.lag().await.unwrap().entries, 2);
    let pending = place.log.pending(std::slice::from_ref(&place.room), 10).await.unwrap();
    assert_eq!((&pending[0].life, seqs(&pending[0].entries)), (&Some(life), vec![4, 5]));
    let outcomes = place.send(vec![draft("m5"), draft("m6")]).await;
    assert!(matches!(outcomes[0], HotOutcome::Known { id, .. } if id == all[4].1));
    assert_eq!(new(&outcomes[1]).0, seq(6));
    assert!(new(&outcomes[1]).1 > all[4].1);
}

#[tokio::test]
async fn what_is_left_and_not_kept_is_found_among_the_dead_letters() {
    let server = Redis::private().await.unwrap();
    let place = Place::closed(&config(server.url()), HotLogConfig::new().with_partitions(1)).await;
    place.begin(Base::at(0)).await;
    place.fill(names(1..=5)).await;
    place.archive(2).await;
    let old = place.now().await.life;
    place.log.close_room(&place.room, &old).await.unwrap();
    let life = place.begin(Base::at(9)).await;
    let room = place.now().await;
    assert_eq!((room.head, room.first, room.archived), (seq(9), seq(10), seq(9)));
    assert_eq!(place.log.lag().await.unwrap().entries, 0);
    assert_eq!(
        place.log.unlearned(&place.room).await.unwrap(),
        Some(Unlearned { after: seq(0), upto: seq(9) })
    );
    let dead = server.ask("XRANGE {chat:hot:0}:dead - +").await.unwrap();
    let stream = format!("{{chat:hot:0}}:lost:tea:{old}");
    let wanted =
        ["room", "tea", "life", old.as_str(), "reason", "lost", "first", "3", "last", "5", "stream", &stream];
    assert_eq!(dead.lines().skip(1).collect::<Vec<_>>(), wanted);
    let aside = server.ask(&format!("XRANGE {stream} - +")).await.unwrap();
    assert_eq!(aside.lines().filter(|line| line.ends_with("-0")).collect::<Vec<_>>(), ["3-0", "4-0", "5-0"]);
    // Sent again, they are new ones: the archive says that it has none of them.
    place.log.learn(&place.room, &life, seq(0), seq(9), &[key("ann", "m1"), key("ann", "m2")]).await.unwrap();
    assert_eq!(new(&place.send_one(draft("m5")).await).0, seq(10));
}

#[tokio::test]
async fn until_the_names_of_the_archive_are_told_it_is_asked_for_each_draft() {
    let place = Place::closed(&fresh(Redis::shared().await.unwrap()), HotLogConfig::new()).await;
    let life = place.begin(Base::at(2_500)).await;
    let outcomes = place.send(vec![draft("a"), draft("b")]).await;
    assert_eq!(outcomes, [HotOutcome::AskForCopy(seq(2_501)), HotOutcome::NotReached]);
    let mut asked = draft("a");
    asked.not_archived = Some(seq(2_500));
    assert_eq!(place.send_one(asked.clone()).await, HotOutcome::AskForCopy(seq(2_501)), "of another time");
    asked.not_archived = Some(seq(2_501));
    assert_eq!(new(&place.send_one(asked).await).0, seq(2_501));
    let unlearned = async || place.log.unlearned(&place.room).await.unwrap();
    assert_eq!(unlearned().await, Some(Unlearned { after: seq(0), upto: seq(2_500) }));
    let keys: Vec<_> = names(1..=2_500).map(|name| key("bob", &name)).collect();
    place.log.learn(&place.room, &Epoch::generate(), seq(0), seq(2_500), &keys).await.unwrap();
    assert_eq!(unlearned().await, Some(Unlearned { after: seq(0), upto: seq(2_500) }), "of another life");
    place.log.learn(&place.room, &life, seq(0), seq(1_200), &keys[..1_200]).await.unwrap();
    assert_eq!(unlearned().await, Some(Unlearned { after: seq(1_200), upto: seq(2_500) }));
    place.log.learn(&place.room, &life, seq(1_200), seq(2_500), &keys[1_200..]).await.unwrap();
    assert_eq!(unlearned().await, None);
    let mut asked = 0;
    for name in names(1..=2_500) {
        let draft = super::place::by("bob", &name);
        let outcome = place.send_one(draft).await;
        assert_eq!(outcome, HotOutcome::AskForCopy(seq(2_501)), "none is missed");
    }
    for name in names(1..=300) {
        asked += u64::from(matches!(place.send_one(draft(&name)).await, HotOutcome::AskForCopy(_)));
    }
    assert!(asked <= 15, "{asked} of 300 new ones are asked for");
}

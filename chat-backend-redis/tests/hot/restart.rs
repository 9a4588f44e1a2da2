use chat_backend_redis::HotLogConfig;
use chat_core::tiered::{Claim, HotAppended, HotOutcome, HotState};
use chat_test_services::Redis;

use super::place::{Base, Place, all, draft, names, new, seq, seqs};
use crate::live::{config, fresh, until};

#[tokio::test]
async fn after_a_flush_every_room_is_closed_and_every_gate_another_one() {
    let server = Redis::private().await.unwrap();
    let place = Place::closed(&config(server.url()), HotLogConfig::new()).await;
    place.begin(Base::at(0)).await;
    place.fill(names(1..=3)).await;
    let gate = place.gate().await;
    let (token, _) = place.beside("other").claim().await;
    server.ask("FLUSHALL").await.unwrap();
    assert_eq!(place.append(Some(gate.clone()), vec![draft("m1")]).await, HotAppended::Closed);
    assert_eq!(place.state().await, HotState::Absent);
    assert!(place.log.take("w", all()).await.unwrap().is_empty());
    let opening = place.beside("other").opening(token, Base::at(0));
    assert!(!place.log.open(opening).await.unwrap(), "the claim is gone");
    let life = place.begin(Base::at(0)).await;
    let answer = place.append(Some(gate), vec![draft("m1")]).await;
    assert!(matches!(answer, HotAppended::Gate(_)), "{answer:?}");
    assert_eq!(new(&place.send_one(draft("m1")).await).0, seq(1));
    assert_eq!(place.now().await.life, life);
}

#[tokio::test]
async fn after_a_restart_rooms_are_closed_and_keep_what_is_left() {
    let server = Redis::private_with(&["appendonly yes", "appendfsync always"]).await.unwrap();
    let place = Place::closed(&config(server.url()), HotLogConfig::new()).await;
    let life = place.begin(Base::at(0)).await;
    place.fill(names(1..=5)).await;
    place.archive(2).await;
    let gate = place.gate().await;
    let taken = place.log.take("dead", all()).await.unwrap();
    assert_eq!(seqs(&taken[0].entries), [3, 4, 5]);
    server.kill().await.unwrap();
    server.start().await.unwrap();
    until("it is reached again", async || place.log.health().await.is_ok()).await;
    assert_eq!(place.state().await, HotState::Left);
    assert_eq!(place.append(Some(gate.clone()), vec![draft("x")]).await, HotAppended::Closed);
    assert_eq!(place.log.pending_rooms().await.unwrap(), std::slice::from_ref(&place.room));
    let left = match place.log.claim(&place.room).await.unwrap() {
        Claim::Yours { token, left } => {
            assert!(place.log.open(place.opening(token, Base::keeping(5, 2))).await.unwrap());
            left.unwrap()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!((left.life, left.head, left.archived), (life, seq(5), seq(2)));
    let answer = place.append(Some(gate), vec![draft("x")]).await;
    assert!(matches!(answer, HotAppended::Gate(_)), "of another era: {answer:?}");
    let outcomes = place.send(vec![draft("m4"), draft("m6")]).await;
    assert!(matches!(outcomes[0], HotOutcome::Known { .. }));
    assert_eq!(new(&outcomes[1]).0, seq(6));
    let over = chat_core::tiered::Take { idle: std::time::Duration::ZERO, ..all() };
    let again = place.log.take("two", over).await.unwrap();
    assert_eq!(seqs(&again[0].entries), [3, 4, 5, 6], "the worker that had it is gone, too");
    assert_eq!(place.log.lag().await.unwrap().entries, 4);
}

#[tokio::test]
async fn another_number_of_partitions_is_an_error_and_no_other_room() {
    let config = fresh(Redis::shared().await.unwrap());
    let place = Place::closed(&config, HotLogConfig::new()).await;
    place.begin(Base::at(0)).await;
    for partitions in [4, 16, 64] {
        let log = HotLogConfig::new().with_partitions(partitions);
        let other = Place::closed(&config, log).await;
        for number in 0..20 {
            let error = other.beside(&format!("r{number}")).log.claim(&other.room).await.unwrap_err();
            assert!(!error.is_retryable(), "{error}");
        }
    }
    assert!(matches!(place.state().await, HotState::Open(_)));
}

use std::{collections::BTreeMap, sync::Arc};

use chat_backend_redis::HotLogConfig;
use chat_core::{
    MessageId, Timestamp,
    tiered::{HotAppended, HotBatch, HotDraft, HotOutcome, HotState},
};
use chat_test_services::Redis;

use super::place::{Base, Place, draft, names, new, seq};
use crate::live::{connect, fresh, room};

#[tokio::test]
async fn positions_and_ids_grow_in_the_order_of_the_batch() {
    let place = Place::open(HotLogConfig::new()).await;
    let mut all = place.fill(names(1..=5)).await;
    all.extend(place.fill(names(6..=9)).await);
    assert!(all.iter().map(|(seq, _)| seq.get()).eq(1..=9));
    assert!(all.windows(2).all(|pair| pair[0].1 < pair[1].1));
    assert_eq!(place.now().await.head, seq(9));
}

#[tokio::test]
async fn a_repeat_is_told_with_what_was_stored_then() {
    let place = Place::open(HotLogConfig::new()).await;
    let outcomes = place.send(vec![draft("a"), draft("b"), draft("a")]).await;
    let (first, id) = new(&outcomes[0]);
    let fingerprint = draft("a").fingerprint;
    assert_eq!(outcomes[2], HotOutcome::Known { seq: first, id, fingerprint }, "within one batch");
    let mut other = draft("b");
    other.fingerprint.0 = [9; 16];
    let (second, id) = new(&outcomes[1]);
    let known = HotOutcome::Known { seq: second, id, fingerprint: draft("b").fingerprint };
    assert_eq!(place.send_one(other).await, known, "the fingerprint is that of the first one");
    assert_eq!(place.now().await.head, seq(2));
}

#[tokio::test]
async fn what_is_refused_is_stored_neither_but_a_repeat_is_known() {
    let place = Place::open(HotLogConfig::new()).await;
    let refused = |name: &str| HotDraft { refused: true, ..draft(name) };
    place.fill(names(1..=1)).await;
    let outcomes = place.send(vec![refused("x"), refused("m1"), draft("y")]).await;
    assert_eq!(outcomes[0], HotOutcome::Refused);
    assert!(matches!(outcomes[1], HotOutcome::Known { .. }));
    assert_eq!(new(&outcomes[2]).0, seq(2));
    assert_eq!(new(&place.send_one(draft("x")).await).0, seq(3), "nothing was left of it");
}

#[tokio::test]
async fn a_room_takes_no_more_while_too_many_wait() {
    let place = Place::open(HotLogConfig::new().with_max_backlog(3)).await;
    place.fill(names(1..=4)).await;
    let gate = place.gate().await;
    assert_eq!(place.append(Some(gate.clone()), vec![draft("x")]).await, HotAppended::Full);
    place.archive(2).await;
    assert!(matches!(place.append(Some(gate), vec![draft("x")]).await, HotAppended::Done(..)));
}

#[tokio::test]
async fn rooms_of_one_call_are_answered_each_for_itself() {
    let place = Place::open(HotLogConfig::new()).await;
    let mut batches = Vec::new();
    for number in 0..40 {
        let other = place.beside(&format!("r{number}"));
        let mut gate = None;
        if number % 4 != 0 {
            other.begin(Base::at(0)).await;
            gate = (number % 4 != 1).then_some(other.gate().await);
        }
        let drafts = names(1..=number).map(|name| draft(&name)).collect();
        batches.push(HotBatch { room: other.room, gate, drafts });
    }
    let answers = place.log.append(&batches).await.unwrap();
    assert_eq!(answers.len(), 40);
    for (number, answer) in answers.iter().enumerate() {
        match (number % 4, answer) {
            (0, HotAppended::Closed) | (1, HotAppended::Gate(_)) => {}
            (2 | 3, HotAppended::Done(_, outcomes)) => assert_eq!(outcomes.len(), number),
            _ => panic!("{number}: {answer:?}"),
        }
    }
    let rooms: Vec<_> = batches.iter().map(|batch| batch.room.clone()).collect();
    for (number, state) in place.log.rooms(&rooms).await.unwrap().iter().enumerate() {
        match state {
            HotState::Absent => assert_eq!(number % 4, 0),
            HotState::Open(room) if number % 4 > 1 => assert_eq!(room.head.get(), number as u64),
            HotState::Open(room) => assert_eq!(room.head.get(), 0),
            HotState::Left => panic!("{number}"),
        }
    }
}

#[tokio::test]
async fn a_batch_of_any_size_is_one_step() {
    let place = Place::open(HotLogConfig::new()).await;
    let all = place.fill(names(1..=4_500)).await;
    assert!(all.iter().map(|(seq, _)| seq.get()).eq(1..=4_500));
    let again = place.send(names(1..=4_500).map(|name| draft(&name)).collect()).await;
    assert!(again.iter().all(|outcome| matches!(outcome, HotOutcome::Known { .. })));
}

#[tokio::test]
async fn ids_follow_the_last_one_of_the_archive_whatever_the_clock_says() {
    let place = Place::closed(&fresh(Redis::shared().await.unwrap()), HotLogConfig::new()).await;
    let last = MessageId::next(None, Timestamp::from_millis(9_000_000_000_000), u128::MAX);
    place.begin(Base { last_id: Some(last), ..Base::at(7) }).await;
    place.log.learn(&place.room, &place.now().await.life, seq(0), seq(7), &[]).await.unwrap();
    let all = place.fill(names(1..=3)).await;
    assert!(all.iter().map(|(seq, _)| seq.get()).eq(8..=10));
    assert!(last < all[0].1 && all[0].1 < all[1].1 && all[1].1 < all[2].1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_on_several_nodes_get_positions_without_gaps() {
    const WRITERS: u64 = 16;
    const BATCHES: u64 = 20;
    let config = fresh(Redis::shared().await.unwrap());
    let opener = Place::closed(&config, HotLogConfig::new()).await;
    opener.begin(Base::at(0)).await;
    let gate = opener.gate().await;
    let logs = [
        connect(&config).await.hot_log(HotLogConfig::new()),
        connect(&config).await.hot_log(HotLogConfig::new()),
    ];
    let writers = (0..WRITERS).map(|writer| {
        let (log, gate) = (Arc::clone(&logs[usize::from(!writer.is_multiple_of(2))]), gate.clone());
        tokio::spawn(async move {
            let mut mine = Vec::new();
            for batch in 0..BATCHES {
                let names = (0..=batch % 3).map(|number| format!("{writer}-{batch}-{number}"));
                let drafts = names.map(|name| draft(&name)).collect();
                let batch = HotBatch { room: room("tea"), gate: Some(gate.clone()), drafts };
                // Each is sent twice, as after an answer that was lost.
                let both = tokio::join!(log.append(std::slice::from_ref(&batch)), async {
                    log.append(std::slice::from_ref(&batch)).await
                });
                for answer in [both.0, both.1] {
                    match answer.unwrap().remove(0) {
                        HotAppended::Done(_, outcomes) => mine.extend(outcomes),
                        other => panic!("{other:?}"),
                    }
                }
            }
            mine
        })
    });
    let mut stored = BTreeMap::new();
    let mut repeats = 0;
    for mine in futures::future::join_all(writers).await {
        for outcome in mine.unwrap() {
            match outcome {
                HotOutcome::New { seq, id } => assert!(stored.insert(seq, id).is_none(), "{seq:?}"),
                HotOutcome::Known { .. } => repeats += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(stored.len(), repeats, "of each pair one is new");
    assert!(stored.keys().map(|seq| seq.get()).eq(1..=stored.len() as u64));
    let ids: Vec<_> = stored.values().collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
}

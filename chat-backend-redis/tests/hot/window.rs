use std::time::Duration;

use chat_backend_redis::HotLogConfig;
use chat_core::tiered::HotOutcome;
use chat_test_services::Redis;
use tokio::time::sleep;

use super::place::{Base, Place, all, by, draft, names, new, seq};
use crate::live::{config, until};

#[tokio::test]
async fn what_left_the_window_is_asked_for_and_nothing_else() {
    let place = Place::open(HotLogConfig::new().with_window(10)).await;
    for hundred in 0..20 {
        place.fill(names(hundred * 100 + 1..=hundred * 100 + 100)).await;
        place.archive(hundred * 100 + 100).await;
    }
    let room = place.now().await;
    assert_eq!((room.head, room.first, room.archived), (seq(2_000), seq(1_991), seq(2_000)));
    for name in names(1..=2_000) {
        match place.send_one(draft(&name)).await {
            HotOutcome::Known { seq, .. } => assert!(seq.get() > 1_990),
            outcome => assert_eq!(outcome, HotOutcome::AskForCopy(seq(1_991))),
        }
    }
    let mut asked = 0;
    for name in names(1..=300) {
        asked += u64::from(matches!(place.send_one(by("bob", &name)).await, HotOutcome::AskForCopy(_)));
    }
    assert!(asked <= 15, "{asked} of 300 new ones are asked for");
    let mut again = draft("m7");
    again.not_archived = Some(place.now().await.first);
    new(&place.send_one(again).await);
}

#[tokio::test]
async fn what_is_not_archived_stays() {
    let place = Place::open(HotLogConfig::new().with_window(0).with_window_age(Duration::ZERO)).await;
    place.fill(names(1..=9)).await;
    place.archive(4).await;
    let room = place.now().await;
    assert_eq!((room.first, room.archived), (seq(5), seq(4)));
    place.archive(2).await;
    assert_eq!(place.now().await, room, "it does not go back");
    place.log.trim(&place.room, &room.life, seq(8)).await.unwrap();
    let room = place.now().await;
    assert_eq!((room.first, room.oldest), (seq(5), seq(8)));
    place.archive(100).await;
    let room = place.now().await;
    assert_eq!((room.first, room.archived), (seq(10), seq(9)));
    assert_eq!(new(&place.send_one(draft("x")).await).0, seq(10));
}

#[tokio::test]
async fn old_entries_of_a_room_go_when_others_are_archived() {
    let place = Place::open(HotLogConfig::new().with_window_age(Duration::from_millis(300))).await;
    place.fill(names(1..=5)).await;
    place.archive(5).await;
    assert_eq!(place.now().await.first, seq(1));
    sleep(Duration::from_millis(350)).await;
    place.fill(names(6..=7)).await;
    place.archive(7).await;
    assert_eq!(place.now().await.first, seq(6));
}

#[tokio::test]
async fn a_room_that_nobody_writes_into_keeps_no_entries() {
    let server = Redis::private().await.unwrap();
    let log = HotLogConfig::new().with_partitions(1).with_window_age(Duration::from_millis(300));
    let place = Place::closed(&config(server.url()), log).await;
    let others: Vec<Place> = (0..10).map(|number| place.beside(&format!("r{number}"))).collect();
    for other in &others {
        other.begin(Base::at(0)).await;
        other.fill(names(1..=3)).await;
        other.archive(3).await;
    }
    until("they are empty", async || {
        assert!(place.log.take("w", all()).await.unwrap().is_empty());
        let mut gone = true;
        for other in &others {
            gone &= other.now().await.first == seq(4);
        }
        gone
    })
    .await;
    let keys = server.ask("KEYS *").await.unwrap();
    for kind in ["s", "k", "x", "d"] {
        assert!(!keys.contains(&format!(":{kind}:")), "{keys}");
    }
    assert!(matches!(others[0].send_one(draft("m1")).await, HotOutcome::AskForCopy(_)));
}

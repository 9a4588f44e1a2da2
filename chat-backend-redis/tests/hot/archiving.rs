use std::{collections::BTreeSet, time::Duration};

use chat_backend_redis::HotLogConfig;
use chat_core::{
    Epoch,
    tiered::{Archived, DeadLetter, HotState, Lag, Pending, Take},
};
use chat_test_services::Redis;
use tokio::time::sleep;

use super::place::{Base, Place, all, draft, names, seq, seqs};
use crate::live::config;

fn done(pending: &Pending) -> Archived {
    Archived {
        room: pending.room.clone(),
        life: pending.life.clone().unwrap(),
        upto: pending.entries.last().unwrap().seq,
        ticket: pending.ticket.clone(),
    }
}

impl Place {
    async fn take(&self, worker: &str, take: Take) -> Vec<Pending> {
        self.log.take(worker, take).await.unwrap()
    }
}

#[tokio::test]
async fn a_room_is_taken_by_one_and_again_when_more_waits() {
    let place = Place::open(HotLogConfig::new()).await;
    assert!(place.take("one", all()).await.is_empty());
    place.fill(names(1..=5)).await;
    let some = Take { max_entries: 3, ..all() };
    let taken = place.take("one", some).await;
    assert_eq!(taken.len(), 1);
    assert_eq!((&taken[0].room, &taken[0].life), (&place.room, &Some(place.now().await.life)));
    assert_eq!(seqs(&taken[0].entries), [1, 2, 3]);
    assert_eq!(taken[0].entries[1].payload, "m2");
    assert!(place.take("two", all()).await.is_empty());
    place.fill(names(6..=6)).await;
    assert!(place.take("two", all()).await.is_empty(), "new entries wait with the others");
    place.log.archived(&[done(&taken[0])]).await.unwrap();
    assert_eq!(place.now().await.archived, seq(3));
    let taken = place.take("two", all()).await;
    assert_eq!(seqs(&taken[0].entries), [4, 5, 6]);
    place.log.archived(&[done(&taken[0])]).await.unwrap();
    assert!(place.take("one", all()).await.is_empty());
    assert_eq!(place.log.lag().await.unwrap(), Lag::default());
    place.fill(names(7..=7)).await;
    assert_eq!(seqs(&place.take("one", all()).await[0].entries), [7]);
}

#[tokio::test]
async fn few_entries_wait_for_more_but_not_for_ever() {
    let place = Place::open(HotLogConfig::new()).await;
    place.fill(names(1..=5)).await;
    let many = Take { entries: 10, age: Duration::from_secs(600), ..all() };
    assert!(place.take("one", many).await.is_empty());
    let old = Take { age: Duration::from_millis(50), ..many };
    sleep(Duration::from_millis(60)).await;
    assert_eq!(place.take("one", old).await.len(), 1);
    let place = Place::open(HotLogConfig::new()).await;
    place.fill(names(1..=10)).await;
    assert_eq!(place.take("one", many).await.len(), 1);
}

#[tokio::test]
async fn what_a_worker_did_not_finish_is_taken_over() {
    let place = Place::open(HotLogConfig::new()).await;
    place.fill(names(1..=3)).await;
    let taken = place.take("dead", all()).await;
    let never = Take { entries: 1_000_000, age: Duration::from_secs(600), ..all() };
    assert!(place.take("two", never).await.is_empty());
    sleep(Duration::from_millis(60)).await;
    let over = Take { idle: Duration::from_millis(50), ..never };
    let again = place.take("two", over).await;
    assert_eq!(again[0].ticket, taken[0].ticket);
    assert_eq!(seqs(&again[0].entries), [1, 2, 3]);
    // The first one was only slow, and more was sent.
    place.log.archived(&[done(&taken[0])]).await.unwrap();
    place.fill(names(4..=4)).await;
    place.log.archived(&[done(&again[0])]).await.unwrap();
    assert_eq!(place.now().await.archived, seq(3));
    let rest = place.take("two", all()).await;
    assert_eq!(seqs(&rest[0].entries), [4]);
    assert!(place.take("two", all()).await.is_empty(), "there is one token for a room");
}

#[tokio::test]
async fn rooms_of_all_partitions_are_taken_each_once() {
    let place = Place::open(HotLogConfig::new().with_partitions(16)).await;
    let mut rooms = BTreeSet::new();
    for number in 0..50 {
        let other = place.beside(&format!("r{number}"));
        other.begin(Base::at(0)).await;
        other.fill(names(1..=2)).await;
        rooms.insert(other.room);
    }
    let waiting: BTreeSet<_> = place.log.pending_rooms().await.unwrap().into_iter().collect();
    assert_eq!(waiting, rooms);
    let lag = place.log.lag().await.unwrap();
    assert_eq!((lag.rooms, lag.entries), (50, 100));
    let mut taken = BTreeSet::new();
    for max_rooms in [1, 7, 20, 3, 40, 40, 40] {
        let some = place.take("one", Take { max_rooms, ..all() }).await;
        assert!(some.len() <= max_rooms);
        for pending in &some {
            assert!(taken.insert(pending.room.clone()), "{:?} twice", pending.room);
        }
        place.log.archived(&some.iter().map(done).collect::<Vec<_>>()).await.unwrap();
    }
    assert_eq!(taken, rooms);
    assert!(place.log.pending_rooms().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_archived_without_a_ticket_is_not_taken() {
    let place = Place::open(HotLogConfig::new()).await;
    place.fill(names(1..=3)).await;
    let pending = place.log.pending(std::slice::from_ref(&place.room), 2).await.unwrap();
    assert_eq!((seqs(&pending[0].entries), &pending[0].ticket), (vec![1, 2], &None));
    place.archive(3).await;
    assert!(place.take("one", all()).await.is_empty());
    assert!(place.log.pending(std::slice::from_ref(&place.room), 2).await.unwrap().is_empty());
    place.fill(names(4..=4)).await;
    assert_eq!(seqs(&place.take("one", all()).await[0].entries), [4]);
}

#[tokio::test]
async fn what_an_earlier_life_archived_does_not_count() {
    let place = Place::open(HotLogConfig::new()).await;
    place.fill(names(1..=3)).await;
    let taken = place.take("one", all()).await;
    let mut wrong = done(&taken[0]);
    wrong.life = Epoch::generate();
    place.log.archived(&[wrong]).await.unwrap();
    assert_eq!(place.now().await.archived, seq(0));
    assert_eq!(seqs(&place.take("two", all()).await[0].entries), [1, 2, 3], "its ticket is gone");
}

#[tokio::test]
async fn a_closed_room_with_entries_is_taken_without_them() {
    let place = Place::open(HotLogConfig::new()).await;
    place.fill(names(1..=3)).await;
    place.log.close_room(&place.room, &place.now().await.life).await.unwrap();
    assert_eq!(place.log.pending_rooms().await.unwrap(), std::slice::from_ref(&place.room));
    let taken = place.take("one", all()).await;
    assert_eq!((taken.len(), &taken[0].life), (1, &None));
    let life = place.begin(Base::keeping(3, 0)).await;
    let pending = place.log.pending(std::slice::from_ref(&place.room), 10).await.unwrap();
    let archived = Archived { ticket: taken[0].ticket.clone(), ..done(&pending[0]) };
    assert_eq!(archived.life, life);
    place.log.archived(&[archived]).await.unwrap();
    assert!(place.take("one", all()).await.is_empty());
    place.log.close_room(&place.room, &life).await.unwrap();
    assert_eq!(place.state().await, HotState::Absent, "the archive has all of it");
}

#[tokio::test]
async fn the_lag_is_how_long_the_first_entry_waits() {
    let place = Place::open(HotLogConfig::new()).await;
    place.fill(names(1..=3)).await;
    sleep(Duration::from_millis(100)).await;
    let lag = place.log.lag().await.unwrap();
    assert_eq!((lag.rooms, lag.entries), (1, 3));
    assert!((100..60_000).contains(&lag.age.as_millis()), "{lag:?}");
}

#[tokio::test]
async fn the_newest_dead_letters_are_kept() {
    let server = Redis::private().await.unwrap();
    let log = HotLogConfig::new().with_partitions(1).with_dead_letters(200);
    let place = Place::closed(&config(server.url()), log).await;
    let life = place.begin(Base::at(0)).await;
    place.fill(names(1..=1)).await;
    let pending = place.log.pending(std::slice::from_ref(&place.room), 1).await.unwrap();
    let letter = DeadLetter {
        room: place.room.clone(),
        life,
        entry: pending[0].entries[0].clone(),
        reason: "no such room".to_owned(),
    };
    place.log.bury(std::slice::from_ref(&letter)).await.unwrap();
    let dead = server.ask("XRANGE {chat:hot:0}:dead - +").await.unwrap();
    for text in ["tea", "m1", "no such room", &letter.entry.id.to_string()] {
        assert!(dead.lines().any(|line| line == text), "{text}: {dead}");
    }
    place.log.bury(&vec![letter; 1_000]).await.unwrap();
    let kept: u64 = server.ask("XLEN {chat:hot:0}:dead").await.unwrap().parse().unwrap();
    assert!((200..=400).contains(&kept), "{kept}");
    assert!(matches!(place.send_one(draft("x")).await, chat_core::tiered::HotOutcome::New { .. }));
}

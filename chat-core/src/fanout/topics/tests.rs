use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{FutureExt, StreamExt};

use super::*;
use crate::{Retry, RoomId, UserId};

fn topic(name: &str) -> Topic {
    Topic::Room(RoomId::new(name).unwrap())
}

/// An event that carries a number.
fn numbered(number: usize) -> Arc<FanoutEvent> {
    let (room, user) = (RoomId::new("r").unwrap(), UserId::new(&number.to_string()).unwrap());
    Arc::new(FanoutEvent::Typing { room, user, active: true })
}

/// The events' numbers, `m` for a loss, `e` for an error, `.` for the end.
fn waiting(subscription: &mut Subscription) -> String {
    let mut seen = Vec::new();
    while let Some(item) = subscription.next().now_or_never() {
        match item {
            Some(Ok(FanoutItem::Event(event))) => match &*event {
                FanoutEvent::Typing { user, .. } => seen.push(user.to_string()),
                other => panic!("{other:?}"),
            },
            Some(Ok(FanoutItem::Missed)) => seen.push("m".to_owned()),
            Some(Err(error)) => {
                assert_eq!(error.code(), "unavailable");
                seen.push("e".to_owned());
            }
            None => {
                seen.push(".".to_owned());
                break;
            }
        }
    }
    seen.join(" ")
}

fn gone() -> Error {
    Error::backend("test", "listen", Retry::Never, "closed")
}

#[test]
fn a_loss_is_told_once_between_what_came_before_and_after() {
    let topics = Topics::new(8);
    let (mut a, mut b) = (topics.subscribe(&topic("a")), topics.subscribe(&topic("b")));
    topics.deliver(&topic("a"), &numbered(1));
    topics.missed(&topic("a"));
    topics.missed_all();
    topics.deliver(&topic("a"), &numbered(2));
    topics.missed_all();
    assert_eq!(waiting(&mut a), "1 m 2 m");
    assert_eq!(waiting(&mut b), "m");
}

#[test]
fn marks_of_loss_do_not_fill_a_buffer_beyond_its_bound() {
    let topics = Topics::new(2);
    let mut a = topics.subscribe(&topic("a"));
    for number in 0..100 {
        topics.deliver(&topic("a"), &numbered(number));
        topics.missed_all();
    }
    assert_eq!(waiting(&mut a), "0 m");
    topics.deliver(&topic("a"), &numbered(100));
    assert_eq!(waiting(&mut a), "100");
}

#[test]
fn an_end_comes_after_what_waits_and_is_the_last_item_of_every_subscription() {
    let topics = Topics::new(8);
    let mut a = topics.subscribe(&topic("a"));
    topics.deliver(&topic("a"), &numbered(1));
    topics.end_all(gone());
    topics.end_all(gone());
    topics.deliver(&topic("a"), &numbered(2));
    topics.missed_all();
    assert_eq!(waiting(&mut a), "1 e .");
    let mut late = topics.subscribe(&topic("a"));
    topics.deliver(&topic("a"), &numbered(3));
    assert_eq!(waiting(&mut late), "e .");
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_a_loss_and_by_the_end() {
    let topics = Topics::new(8);
    let mut a = topics.subscribe(&topic("a"));
    let reader = tokio::spawn(async move { (a.next().await, a.next().await) });
    tokio::task::yield_now().await;
    topics.missed(&topic("a"));
    tokio::task::yield_now().await;
    topics.end_all(gone());
    let (first, second) = reader.await.unwrap();
    assert!(matches!((first, second), (Some(Ok(FanoutItem::Missed)), Some(Err(_)))));
}

#[test]
fn the_watch_is_told_of_the_first_subscriber_and_of_the_last_one() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let topics = Topics::watched(8, {
        let told = Arc::clone(&told);
        move |topic, interest| lock(&told).push((topic.clone(), interest))
    });
    let take = || std::mem::take(&mut *lock(&told));
    let first = topics.subscribe(&topic("a"));
    assert_eq!(take(), [(topic("a"), Interest::Begins)]);
    let second = topics.subscribe(&topic("a"));
    drop(first);
    assert_eq!(take(), []);
    assert!(topics.contains(&topic("a")));
    drop(second);
    assert_eq!(take(), [(topic("a"), Interest::Ends)]);
    assert!(topics.is_empty());
}

#[test]
fn the_watch_is_told_in_the_order_of_things_by_threads_at_once() {
    let wanted = Arc::new(AtomicUsize::new(0));
    let topics = Topics::watched(8, {
        let wanted = Arc::clone(&wanted);
        move |_, interest| match interest {
            Interest::Begins => assert_eq!(wanted.swap(1, Ordering::SeqCst), 0),
            Interest::Ends => assert_eq!(wanted.swap(0, Ordering::SeqCst), 1),
        }
    });
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let topics = topics.clone();
            std::thread::spawn(move || (0..500).for_each(|_| drop(topics.subscribe(&topic("a")))))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(wanted.load(Ordering::SeqCst), 0);
}

#[test]
fn a_buffer_gives_its_memory_back_once_it_was_read() {
    let topics = Topics::new(Topics::DEFAULT_BUFFER);
    let mut subscription = topics.subscribe(&topic("a"));
    let capacity = || {
        let table = lock(&topics.shared.table);
        let inbox = Arc::clone(table.subscribers[&topic("a")].values().next().unwrap());
        drop(table);
        lock(&inbox).items.capacity()
    };
    assert_eq!(capacity(), 0);
    for number in 0..500 {
        topics.deliver(&topic("a"), &numbered(number));
    }
    assert!(capacity() >= 500);
    assert_eq!(waiting(&mut subscription).split(' ').count(), 500);
    assert!(capacity() <= KEPT_CAPACITY);
}

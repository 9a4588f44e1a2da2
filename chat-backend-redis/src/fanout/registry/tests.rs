use std::{slice::from_ref, time::Duration};

use chat_core::RoomId;
use tokio::time::timeout;

use super::*;
use crate::RedisErrorKind;

fn topic(name: &str) -> Topic {
    Topic::Room(RoomId::new(name).unwrap())
}

fn one() -> ShardId {
    "one".to_owned()
}

fn two() -> ShardId {
    "two".to_owned()
}

fn registry() -> Registry {
    let registry = Registry::new(Channels::new("chat"));
    assert_eq!(registry.route(Routes::from([(0, Some(one()))])), [one()].into());
    registry
}

async fn waits(registry: &Registry, topic: &Topic) -> bool {
    timeout(Duration::from_millis(10), registry.in_force(topic)).await.is_err()
}

#[tokio::test]
async fn a_topic_is_carried_from_its_first_subscriber_until_it_is_idle() {
    let (registry, tea) = (registry(), topic("tea"));
    let changed = registry.changed(&one()).unwrap();
    registry.note(&tea, Interest::Begins);
    changed.notified().await;
    assert_eq!(registry.lacking(&one(), 10), from_ref(&tea));
    assert!(waits(&registry, &tea).await, "not yet in force");
    assert_eq!(
        registry.confirm(&one(), from_ref(&tea)),
        BTreeSet::new(),
        "nobody was there to miss anything"
    );
    registry.in_force(&tea).await.unwrap();
    assert_eq!((registry.lacking(&one(), 10), registry.take_idle(&one())), (vec![], vec![]));
    registry.note(&tea, Interest::Ends);
    registry.note(&tea, Interest::Begins);
    registry.in_force(&tea).await.unwrap();
    assert_eq!(registry.take_idle(&one()), [], "who leaves is followed by who comes");
    registry.note(&tea, Interest::Ends);
    assert_eq!(registry.take_idle(&one()), from_ref(&tea));
    registry.note(&tea, Interest::Begins);
    assert_eq!(registry.lacking(&one(), 10), [tea], "it was given up meanwhile");
}

#[tokio::test]
async fn who_gives_up_while_it_is_under_way_leaves_nothing_behind() {
    let (registry, tea, other) = (registry(), topic("tea"), topic("other"));
    for topic in [&tea, &other] {
        registry.note(topic, Interest::Begins);
    }
    registry.note(&other, Interest::Ends);
    assert_eq!(registry.lacking(&one(), 10), from_ref(&tea));
    registry.note(&tea, Interest::Ends);
    registry.confirm(&one(), from_ref(&tea));
    assert_eq!(registry.take_idle(&one()), [tea]);
    assert!(registry.state().topics.is_empty());
}

#[tokio::test]
async fn a_lost_shard_lacks_everything_and_what_is_carried_again_was_interrupted() {
    let (registry, tea, new) = (registry(), topic("tea"), topic("new"));
    registry.note(&tea, Interest::Begins);
    registry.confirm(&one(), from_ref(&tea));
    assert_eq!(registry.carried(&one()), [tea.clone()].into());
    assert!(registry.failure().is_none());
    registry.lost(&one(), RedisError::new(RedisErrorKind::Connection, "reset"));
    assert_eq!(registry.failure().map(|failure| failure.kind()), Some(RedisErrorKind::Connection));
    registry.note(&new, Interest::Begins);
    assert_eq!(registry.lacking(&one(), 1).len(), 1);
    let lacking = registry.lacking(&one(), 10);
    assert_eq!(lacking.len(), 2);
    assert_eq!(registry.confirm(&one(), &lacking), [tea].into(), "the other one is new");
    assert!(registry.failure().is_none());
}

#[tokio::test]
async fn a_slot_that_moves_takes_its_topics_to_the_other_shard() {
    let (registry, tea) = (registry(), topic("tea"));
    registry.note(&tea, Interest::Begins);
    registry.confirm(&one(), from_ref(&tea));
    let slot = registry.channels.slot(&tea);
    assert!(registry.carries(&one(), slot));
    let moved = Routes::from([(0, Some(one())), (slot, Some(two())), (slot + 1, Some(one()))]);
    assert_eq!(registry.route(moved), [one(), two()].into());
    assert!(registry.carries(&two(), slot) && !registry.carries(&one(), slot));
    assert_eq!((registry.lacking(&one(), 10), registry.lacking(&two(), 10)), (vec![], vec![tea.clone()]));
    assert_eq!(registry.confirm(&one(), from_ref(&tea)), BTreeSet::new(), "it is not this one's any more");
    assert!(waits(&registry, &tea).await);
    assert_eq!(registry.confirm(&two(), from_ref(&tea)), [tea.clone()].into());
    registry.in_force(&tea).await.unwrap();
    // And where nobody carries it, it waits until somebody does.
    registry.route(Routes::from([(0, Some(one())), (slot, None), (slot + 1, Some(one()))]));
    assert!(waits(&registry, &tea).await && registry.changed(&two()).is_none());
    registry.route(Routes::from([(0, Some(one()))]));
    assert_eq!(registry.lacking(&one(), 10), [tea]);
}

#[tokio::test]
async fn an_end_is_told_to_who_waits() {
    let (registry, tea) = (registry(), topic("tea"));
    registry.note(&tea, Interest::Begins);
    let (waited, ()) = tokio::join!(registry.in_force(&tea), async { registry.close() });
    assert_eq!(waited.unwrap_err().kind(), RedisErrorKind::Closed);
    assert_eq!(registry.failure().unwrap().kind(), RedisErrorKind::Closed);
}

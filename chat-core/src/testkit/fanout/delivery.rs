//! What is published reaches whoever subscribed.

use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt;

use super::{event, kinds, number_of, numbered, numbers, publication, topic};
use crate::{
    Content, MAX_BODY_CHARS,
    fanout::{FanoutEvent, FanoutItem, Publication, Topic},
    testkit::{
        FanoutHarness,
        fixtures::{room, user},
    },
};

/// In both directions.
pub async fn what_is_published_on_one_node_reaches_another(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut first = nodes[0].subscribe(&r).await.unwrap();
    let mut second = nodes[1].subscribe(&r).await.unwrap();
    for (number, from) in [(1, 0), (2, 1)] {
        nodes[from].publish(&[publication(&r, number)]).await.unwrap();
        for subscription in [&mut first, &mut second] {
            assert_eq!(*event(subscription).await, numbered("ann", number));
        }
    }
}

/// A node hears itself.
pub async fn what_is_published_here_reaches_subscribers_here(harness: &dyn FanoutHarness) {
    let node = &harness.nodes(1).await[0];
    for to in [topic("r"), Topic::User(user("ann"))] {
        let mut subscription = node.subscribe(&to).await.unwrap();
        node.publish(&[publication(&to, 1)]).await.unwrap();
        assert_eq!(*event(&mut subscription).await, numbered("ann", 1));
    }
}

/// On another node.
pub async fn events_of_one_call_arrive_in_order(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut subscription = nodes[1].subscribe(&r).await.unwrap();
    let events: Vec<_> = (0..100).map(|number| publication(&r, number)).collect();
    nodes[0].publish(&events).await.unwrap();
    assert_eq!(numbers(&mut subscription, 100).await, (0..100).collect::<Vec<_>>());
}

/// Single ones and small batches.
pub async fn events_of_calls_one_after_the_other_arrive_in_order(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut subscription = nodes[1].subscribe(&r).await.unwrap();
    let events: Vec<_> = (0..100).map(|number| publication(&r, number)).collect();
    let mut rest = events.as_slice();
    for size in [1, 3, 1, 5].into_iter().cycle() {
        let (batch, later) = rest.split_at(size.min(rest.len()));
        nodes[0].publish(batch).await.unwrap();
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(numbers(&mut subscription, 100).await, (0..100).collect::<Vec<_>>());
}

/// Nobody hears what goes to another room.
pub async fn topics_are_separate(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let topics = [topic("a"), topic("b"), topic("ab"), Topic::User(user("u")), Topic::User(user("v"))];
    let mut subscriptions = Vec::new();
    for to in &topics {
        subscriptions.push(nodes[1].subscribe(to).await.unwrap());
    }
    let events: Vec<_> = (0..50).map(|number| publication(&topics[number % 5], number)).collect();
    nodes[0].publish(&events).await.unwrap();
    for (first, subscription) in subscriptions.iter_mut().enumerate() {
        assert_eq!(numbers(subscription, 10).await, (first..50).step_by(5).collect::<Vec<_>>());
    }
}

/// Whichever of them is published to first.
pub async fn a_room_and_a_user_of_the_same_name_are_two_topics(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let (of_room, of_user) = (Topic::Room(room("same")), Topic::User(user("same")));
    let mut in_room = nodes[1].subscribe(&of_room).await.unwrap();
    let mut as_user = nodes[1].subscribe(&of_user).await.unwrap();
    let events = [(&of_room, 1), (&of_user, 2), (&of_user, 3), (&of_room, 4)];
    nodes[0].publish(&events.map(|(to, number)| publication(to, number))).await.unwrap();
    assert_eq!(numbers(&mut in_room, 2).await, [1, 4]);
    assert_eq!(numbers(&mut as_user, 2).await, [2, 3]);
}

/// A carrier's names are built from ours, and no two of them may meet.
pub async fn names_that_look_like_other_topics_are_their_own(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let rooms =
        ["a", "A", "user:a", "room:a", "a:b", "a.b", "a~b", "u:a"].map(|name| Topic::Room(room(name)));
    let users = ["a", "A", "room:a", "user:a", "a*", "a?", "{a}", "a/b", "ann@example.org", "'; --"]
        .map(|name| Topic::User(user(&name.replace(' ', "_"))));
    let long = [Topic::Room(room(&"x".repeat(128))), Topic::User(user(&"x".repeat(512)))];
    let topics: Vec<Topic> = rooms.into_iter().chain(users).chain(long).collect();
    let mut subscriptions = Vec::new();
    for to in &topics {
        subscriptions.push(nodes[1].subscribe(to).await.unwrap());
    }
    for round in 0..2 {
        let events: Vec<_> =
            topics.iter().enumerate().map(|(index, to)| publication(to, index + 100 * round)).collect();
        nodes[0].publish(&events).await.unwrap();
    }
    for (index, subscription) in subscriptions.iter_mut().enumerate() {
        assert_eq!(numbers(subscription, 2).await, [index, index + 100], "{:?}", topics[index]);
    }
}

/// Several on one node and several on another.
pub async fn every_subscriber_gets_every_event_once(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut subscriptions = Vec::new();
    for number in 0..6 {
        subscriptions.push(nodes[number % 2].subscribe(&r).await.unwrap());
    }
    nodes[0].publish(&(0..20).map(|number| publication(&r, number)).collect::<Vec<_>>()).await.unwrap();
    nodes[1].publish(&[publication(&r, 20)]).await.unwrap();
    for subscription in &mut subscriptions {
        let mut seen = numbers(subscription, 21).await;
        seen.sort_unstable();
        assert_eq!(seen, (0..21).collect::<Vec<_>>());
    }
}

/// Although another subscriber was there.
pub async fn nothing_from_before_the_subscription_arrives(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut early = nodes[1].subscribe(&r).await.unwrap();
    nodes[0].publish(&[publication(&r, 1)]).await.unwrap();
    // Once it has arrived there, it is on its way no longer.
    assert_eq!(numbers(&mut early, 1).await, [1]);
    let mut late = nodes[1].subscribe(&r).await.unwrap();
    nodes[0].publish(&[publication(&r, 2)]).await.unwrap();
    assert_eq!(numbers(&mut late, 1).await, [2]);
    assert_eq!(numbers(&mut early, 1).await, [2]);
}

/// Once the call has returned, the carrier knows of the subscription.
pub async fn an_event_published_right_after_subscribing_arrives(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    for number in 0..50 {
        let to = topic(&format!("r{number}"));
        let mut subscription = nodes[1].subscribe(&to).await.unwrap();
        nodes[0].publish(&[publication(&to, number)]).await.unwrap();
        assert_eq!(numbers(&mut subscription, 1).await, [number]);
    }
}

/// The others of its topic go on.
pub async fn a_dropped_subscription_disturbs_nobody(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut stays = nodes[1].subscribe(&r).await.unwrap();
    for number in 0..20 {
        let goes = nodes[1].subscribe(&r).await.unwrap();
        nodes[0].publish(&[publication(&r, 2 * number)]).await.unwrap();
        drop(goes);
        nodes[0].publish(&[publication(&r, 2 * number + 1)]).await.unwrap();
    }
    assert_eq!(numbers(&mut stays, 40).await, (0..40).collect::<Vec<_>>());
}

/// Nothing of an earlier subscription to the topic is left over.
pub async fn subscribing_again_gives_each_event_once(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    for round in 0..20 {
        let mut subscription = nodes[1].subscribe(&r).await.unwrap();
        let events = [publication(&r, 2 * round), publication(&r, 2 * round + 1)];
        nodes[0].publish(&events).await.unwrap();
        assert_eq!(numbers(&mut subscription, 2).await, [2 * round, 2 * round + 1]);
    }
}

/// The next subscription is like the first one.
pub async fn a_dropped_call_to_subscribe_leaves_nothing_behind(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    for _ in 0..10 {
        // Polled once, as a caller does who gives up right away.
        drop(nodes[1].subscribe(&r).now_or_never());
        tokio::task::yield_now().await;
    }
    let mut subscription = nodes[1].subscribe(&r).await.unwrap();
    nodes[0].publish(&[publication(&r, 1), publication(&r, 2)]).await.unwrap();
    assert_eq!(numbers(&mut subscription, 2).await, [1, 2]);
}

/// No call, no event, no subscriber.
pub async fn publishing_nothing_or_to_nobody_is_fine(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    nodes[0].publish(&[]).await.unwrap();
    nodes[0].publish(&[publication(&topic("nobody"), 1)]).await.unwrap();
    let r = topic("r");
    let mut subscription = nodes[1].subscribe(&r).await.unwrap();
    nodes[0].publish(&[publication(&topic("nobody"), 2), publication(&r, 3)]).await.unwrap();
    assert_eq!(numbers(&mut subscription, 1).await, [3]);
}

/// Down to the last character of a text and the last digit of a number.
pub async fn every_kind_of_event_arrives_as_it_was(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut here = nodes[0].subscribe(&r).await.unwrap();
    let mut there = nodes[1].subscribe(&r).await.unwrap();
    for expected in kinds::every_kind() {
        nodes[0].publish(&[Publication::new(r.clone(), expected.clone())]).await.unwrap();
        assert_eq!(*event(&mut there).await, expected);
        assert_eq!(*event(&mut here).await, expected);
    }
}

/// A carrier with a bound says at least how far the log has got, or that something was missed.
pub async fn a_message_of_the_greatest_size_arrives_whole_or_as_a_hint(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut subscription = nodes[1].subscribe(&r).await.unwrap();
    let sent = kinds::message(Content::text(&"🍵".repeat(MAX_BODY_CHARS as usize)));
    let events = [Publication::new(r.clone(), FanoutEvent::Message(sent.clone())), publication(&r, 1)];
    nodes[0].publish(&events).await.unwrap();
    match super::item(&mut subscription).await {
        FanoutItem::Missed => {}
        FanoutItem::Event(event) => match &*event {
            FanoutEvent::Message(message) => assert!(*message == sent, "another message arrived"),
            FanoutEvent::Head { room: of, cursor } => {
                assert_eq!((of, cursor), (&sent.room, &sent.position.cursor));
            }
            other => panic!("{other:?}"),
        },
    }
    assert_eq!(numbers(&mut subscription, 1).await, [1]);
}

/// Each topic in its order.
pub async fn a_big_batch_over_many_topics_arrives_whole(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let topics: Vec<Topic> = (0..8).map(|number| topic(&format!("r{number}"))).collect();
    let mut subscriptions = Vec::new();
    for to in &topics {
        subscriptions.push(nodes[1].subscribe(to).await.unwrap());
    }
    let events: Vec<_> = (0..800).map(|number| publication(&topics[number % 8], number)).collect();
    nodes[0].publish(&events).await.unwrap();
    for (first, subscription) in subscriptions.iter_mut().enumerate() {
        assert_eq!(numbers(subscription, 100).await, (first..800).step_by(8).collect::<Vec<_>>());
    }
}

/// Four publishers, four subscribers, on two nodes.
pub async fn publishers_at_once_lose_nothing_and_each_keeps_its_order(harness: &dyn FanoutHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut readers = Vec::new();
    for number in 0..4 {
        let mut subscription = nodes[number % 2].subscribe(&r).await.unwrap();
        readers.push(tokio::spawn(async move {
            let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for _ in 0..200 {
                let (publisher, number) = number_of(&*event(&mut subscription).await);
                seen.entry(publisher).or_default().push(number);
            }
            seen
        }));
    }
    let writers: Vec<_> = (0..4)
        .map(|publisher| {
            let (node, r) = (Arc::clone(&nodes[publisher % 2]), r.clone());
            tokio::spawn(async move {
                for number in 0..50 {
                    let event = numbered(&format!("p{publisher}"), number);
                    node.publish(&[Publication::new(r.clone(), event)]).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for reader in readers {
        let seen = reader.await.unwrap();
        assert_eq!(seen.len(), 4);
        assert!(seen.values().all(|numbers| numbers.is_sorted() && numbers.len() == 50), "{seen:?}");
    }
}

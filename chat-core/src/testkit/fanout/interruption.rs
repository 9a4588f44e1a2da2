//! A carrier that breaks is a loss that is told.

use std::time::Duration;

use super::{item, number_of, numbers, publication, topic};
use crate::{
    Fanout,
    fanout::{FanoutItem, Subscription, Topic},
    testkit::{FanoutInterruptionHarness, fixtures::user},
};

/// Reads up to the mark of the loss, and answers the numbers before it.
async fn until_missed(subscription: &mut Subscription) -> Vec<usize> {
    let mut before = Vec::new();
    loop {
        match item(subscription).await {
            FanoutItem::Missed => return before,
            FanoutItem::Event(event) => before.push(number_of(&event).1),
        }
    }
}

/// The publisher may find its way back later than the subscriber: until then it says that it cannot.
async fn can_publish(node: &dyn Fanout) {
    while let Err(error) = node.publish(&[publication(&topic("elsewhere"), 0)]).await {
        assert!(error.is_retryable(), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What is published after the mark arrives, or is covered by another one.
async fn is_live(node: &dyn Fanout, subscription: &mut Subscription, to: &Topic, from: usize) {
    can_publish(node).await;
    for number in from.. {
        node.publish(&[publication(to, number)]).await.unwrap();
        loop {
            match item(subscription).await {
                FanoutItem::Missed => break,
                FanoutItem::Event(event) if number_of(&event).1 == number => return,
                FanoutItem::Event(_) => {}
            }
        }
    }
}

/// For rooms and users alike: live, `Missed`, live again.
pub async fn a_subscription_outlives_an_interruption_and_tells_of_it(
    harness: &dyn FanoutInterruptionHarness,
) {
    let nodes = harness.nodes(2).await;
    let topics = [topic("r"), Topic::User(user("ann"))];
    let mut subscriptions = Vec::new();
    for to in &topics {
        subscriptions.push(nodes[1].subscribe(to).await.unwrap());
        nodes[0].publish(&[publication(to, 0)]).await.unwrap();
        assert_eq!(numbers(subscriptions.last_mut().unwrap(), 1).await, [0]);
    }
    for round in 1..=2 {
        harness.cut().await;
        for to in &topics {
            // May fail, and may be lost.
            drop(nodes[0].publish(&[publication(to, 100 * round)]).await);
        }
        harness.mend().await;
        for (to, subscription) in topics.iter().zip(&mut subscriptions) {
            until_missed(subscription).await;
            is_live(&*nodes[0], subscription, to, 100 * round + 1).await;
        }
    }
}

/// It cannot know that nothing was published meanwhile.
pub async fn a_quiet_subscription_is_told_of_the_interruption_too(harness: &dyn FanoutInterruptionHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut subscription = nodes[1].subscribe(&r).await.unwrap();
    harness.cut().await;
    harness.mend().await;
    assert_eq!(until_missed(&mut subscription).await, [0usize; 0]);
    is_live(&*nodes[0], &mut subscription, &r, 1).await;
}

/// Whoever reads the log at the mark has everything: after it comes nothing with a gap that is not marked.
pub async fn what_was_lost_to_the_interruption_lies_before_the_mark(harness: &dyn FanoutInterruptionHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut subscription = nodes[1].subscribe(&r).await.unwrap();
    nodes[0].publish(&(0..10).map(|number| publication(&r, number)).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(numbers(&mut subscription, 10).await, (0..10).collect::<Vec<_>>());
    harness.cut().await;
    drop(nodes[0].publish(&[publication(&r, 10)]).await);
    harness.mend().await;
    let before = until_missed(&mut subscription).await;
    assert!(before.is_empty() || before == [10], "{before:?}");
    can_publish(&*nodes[0]).await;
    nodes[0].publish(&(20..40).map(|number| publication(&r, number)).collect::<Vec<_>>()).await.unwrap();
    let (mut next, mut marked) = (20, false);
    while next < 40 {
        match item(&mut subscription).await {
            FanoutItem::Missed => marked = true,
            FanoutItem::Event(event) => {
                let number = number_of(&event).1;
                if number >= 20 {
                    assert!(number == next || (marked && number > next), "{number} where {next} was due");
                    (next, marked) = (number + 1, false);
                }
            }
        }
    }
}

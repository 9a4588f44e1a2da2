//! A subscriber that does not keep up is told what it missed.

use super::{item, number_of, numbers, publication, topic};
use crate::{
    Fanout,
    fanout::{FanoutItem, Subscription, Topic},
    testkit::FanoutOverflowHarness,
};

/// Publishes the numbers from `from` on, so many that nobody can buffer them.
async fn flood(node: &dyn Fanout, to: &Topic, from: usize, count: usize) {
    let events: Vec<_> = (from..from + count).map(|number| publication(to, number)).collect();
    for batch in events.chunks(100) {
        node.publish(batch).await.unwrap();
    }
}

/// Reads up to the number `last`, and answers the numbers with `None` for each mark of a loss. The last event may have
/// been lost itself, so more are published until one arrives after it.
async fn read_past(
    node: &dyn Fanout,
    subscription: &mut Subscription,
    to: &Topic,
    last: usize,
) -> Vec<Option<usize>> {
    let mut seen = Vec::new();
    let mut probe = last;
    loop {
        probe += 1;
        node.publish(&[publication(to, probe)]).await.unwrap();
        loop {
            match item(subscription).await {
                FanoutItem::Missed => {
                    seen.push(None);
                    // The probe may be among what was lost.
                    break;
                }
                FanoutItem::Event(event) => {
                    let number = number_of(&event).1;
                    seen.push(Some(number));
                    if number == probe {
                        return seen;
                    }
                }
            }
        }
    }
}

/// As [`flood`], and waits until all of it has reached the node of `watcher`, another subscription of the topic: what is
/// published may still be on its way. Answers the last number that was published.
async fn flood_through(
    node: &dyn Fanout,
    watcher: &mut Subscription,
    to: &Topic,
    from: usize,
    count: usize,
) -> usize {
    flood(node, to, from, count).await;
    let seen = read_past(node, watcher, to, from + count - 1).await;
    seen.into_iter().flatten().next_back().unwrap_or(from + count)
}

/// `Missed` stands between what was kept and what came later, and the subscription lives.
pub async fn a_subscriber_that_does_not_read_is_told_of_the_loss_and_goes_on(
    harness: &dyn FanoutOverflowHarness,
) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut subscription = nodes[1].subscribe(&r).await.unwrap();
    let mut watcher = nodes[1].subscribe(&r).await.unwrap();
    let last = flood_through(&*nodes[0], &mut watcher, &r, 0, harness.overflow()).await;
    let seen = read_past(&*nodes[0], &mut subscription, &r, last).await;
    assert!(seen.contains(&None), "nothing was said of the loss");
    assert!(matches!(seen.last(), Some(Some(_))), "live again");
}

/// Neither another subscriber nor the publisher.
pub async fn a_subscriber_that_does_not_read_holds_nobody_up(harness: &dyn FanoutOverflowHarness) {
    let nodes = harness.nodes(2).await;
    let (r, other) = (topic("r"), topic("other"));
    let stuck = nodes[1].subscribe(&r).await.unwrap();
    let mut reads = nodes[1].subscribe(&other).await.unwrap();
    let count = harness.overflow();
    for (index, from) in (0..count).step_by(50).enumerate() {
        flood(&*nodes[0], &r, from, 50.min(count - from)).await;
        nodes[0].publish(&[publication(&other, index)]).await.unwrap();
        assert_eq!(numbers(&mut reads, 1).await, [index]);
    }
    drop(stuck);
}

/// Over and over: where numbers are missing, a mark stands between them, and never does the order turn.
pub async fn every_gap_is_marked(harness: &dyn FanoutOverflowHarness) {
    let nodes = harness.nodes(2).await;
    let r = topic("r");
    let mut subscription = nodes[1].subscribe(&r).await.unwrap();
    let mut watcher = nodes[1].subscribe(&r).await.unwrap();
    let mut next = 0;
    for round in 0..3 {
        let last = flood_through(&*nodes[0], &mut watcher, &r, next, harness.overflow()).await;
        let seen = read_past(&*nodes[0], &mut subscription, &r, last).await;
        assert!(seen.contains(&None), "nothing was said of the loss in round {round}");
        let mut marked = false;
        for item in seen {
            match item {
                None => marked = true,
                Some(number) => {
                    assert!(number >= next, "{number} after {next}");
                    assert!(marked || number == next, "a gap without a mark before {number}");
                    (next, marked) = (number + 1, false);
                }
            }
        }
    }
}

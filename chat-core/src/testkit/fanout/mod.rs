//! Cases for [`Fanout`](crate::Fanout), a file per group.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

pub mod delivery;
pub mod interruption;
mod kinds;
pub mod overflow;

use std::{sync::Arc, time::Duration};

use futures::StreamExt;

use crate::{
    CustomKind, JsonText,
    fanout::{FanoutEvent, FanoutItem, Publication, Subscription, Topic},
    testkit::fixtures::{room, user},
};

/// An event that has not arrived by then was lost.
const PATIENCE: Duration = Duration::from_secs(10);

fn topic(name: &str) -> Topic {
    Topic::Room(room(name))
}

/// An event of a publisher that carries a number.
fn numbered(publisher: &str, number: usize) -> FanoutEvent {
    FanoutEvent::Signal {
        room: room("r"),
        user: user(publisher),
        name: CustomKind::new("tick").unwrap(),
        data: JsonText::new(&number.to_string()).unwrap(),
    }
}

fn publication(to: &Topic, number: usize) -> Publication {
    Publication::new(to.clone(), numbered("ann", number))
}

/// The publisher and the number of an event.
fn number_of(event: &FanoutEvent) -> (String, usize) {
    match event {
        FanoutEvent::Signal { user, data, .. } => (user.to_string(), data.as_str().parse().unwrap()),
        other => panic!("an event that nobody published: {other:?}"),
    }
}

/// The next item, whatever it is.
async fn item(subscription: &mut Subscription) -> FanoutItem {
    match tokio::time::timeout(PATIENCE, subscription.next()).await {
        Ok(Some(item)) => item.unwrap(),
        Ok(None) => panic!("the subscription ended"),
        Err(_) => panic!("nothing arrived within {PATIENCE:?}"),
    }
}

/// The next item, which must be an event.
async fn event(subscription: &mut Subscription) -> Arc<FanoutEvent> {
    match item(subscription).await {
        FanoutItem::Event(event) => event,
        FanoutItem::Missed => panic!("a loss was reported where nothing gets lost"),
    }
}

/// The numbers of the next `count` events of one publisher.
async fn numbers(subscription: &mut Subscription, count: usize) -> Vec<usize> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(number_of(&*event(subscription).await).1);
    }
    numbers
}

use chat_core::AppendOutcome;
use chat_core::{
    ClientMessageId, Content, Cursor, Draft, Epoch, MessageId, Position, Refusal, Seq, Timestamp, UserId,
    fanout::{FanoutItem, Subscription},
};
use futures::{FutureExt as _, StreamExt as _};
use rdkafka::message::{OwnedHeaders, OwnedMessage};

use super::*;
use crate::record::with_header;

fn draft() -> Draft {
    let name = ClientMessageId::new("m1").unwrap();
    Draft::new(RoomId::new("tea").unwrap(), UserId::new("ann").unwrap(), name, Content::text("hello"))
}

fn stored() -> Persisted {
    let cursor = Cursor::new(Epoch::new("e1").unwrap(), Seq::FIRST);
    let position = Position { cursor, id: MessageId::from_u128(7), created_at: Timestamp::from_millis(5) };
    Persisted::new(&draft(), AppendOutcome::New(position)).unwrap()
}

fn record(topic: &str, outcome: &str, value: Vec<u8>) -> OwnedMessage {
    let headers = with_header(OwnedHeaders::new(), OUTCOME, outcome);
    let none = rdkafka::Timestamp::NotAvailable;
    OwnedMessage::new(Some(value), Some(b"tea".to_vec()), topic.to_owned(), none, 0, 0, Some(headers))
}

/// What waits: an event's text, or nothing where it is a loss.
fn waiting(subscription: &mut Subscription) -> Vec<Option<String>> {
    let mut items = Vec::new();
    while let Some(Some(Ok(item))) = subscription.next().now_or_never() {
        items.push(match item {
            FanoutItem::Event(event) => serde_json::to_string(&*event).ok(),
            FanoutItem::Missed => None,
        });
    }
    items
}

#[test]
fn a_worker_s_record_goes_to_the_room_or_to_the_sender() {
    let topics = Topics::new(8);
    let mut room = topics.subscribe(&Topic::Room(draft().room));
    let mut sender = topics.subscribe(&Topic::User(draft().sender));
    let mut inlet = Inlet::new(topics, Some("done".to_owned()));
    inlet.record(&record("done", "stored", stored().encode().unwrap()));
    let refused = Persisted::new(&draft(), AppendOutcome::Refused(Refusal::NotAMember)).unwrap();
    inlet.record(&record("done", "refused", refused.encode().unwrap()));
    assert!(waiting(&mut room).is_empty(), "not before the burst is over");
    inlet.flush();
    assert!(matches!(&waiting(&mut room)[..], [Some(event)] if event.starts_with(r#"{"message":"#)));
    assert!(matches!(&waiting(&mut sender)[..], [Some(event)] if event.starts_with(r#"{"send_failed":"#)));
}

#[test]
fn what_a_worker_wrote_and_nobody_can_read_is_missed_in_its_room() {
    let topics = Topics::new(8);
    let mut room = topics.subscribe(&Topic::Room(draft().room));
    let mut other = topics.subscribe(&Topic::Room(RoomId::new("cake").unwrap()));
    let mut inlet = Inlet::new(topics, Some("done".to_owned()));
    inlet.record(&record("done", "stored", stored().encode().unwrap()));
    inlet.record(&record("done", "stored", br#"{"v":2}"#.to_vec()));
    inlet.record(&record("done", "waved", br#"{"v":1,"outcome":"waved"}"#.to_vec()));
    inlet.flush();
    assert!(matches!(&waiting(&mut room)[..], [Some(_), None]), "in the order of the records");
    assert!(waiting(&mut other).is_empty());
    inlet.missed();
    assert_eq!(waiting(&mut other), [None]);
}

#[test]
fn subscriptions_end_with_what_they_are_fed_by() {
    let topics = Topics::new(8);
    let mut room = topics.subscribe(&Topic::Room(draft().room));
    let why = KafkaError::new(crate::KafkaErrorKind::Fatal, "a bug");
    Inlet::new(topics.clone(), None).died(&why);
    let mut later = topics.subscribe(&Topic::Room(draft().room));
    for subscription in [&mut room, &mut later] {
        assert!(matches!(subscription.next().now_or_never(), Some(Some(Err(Error::Backend { .. })))));
    }
}

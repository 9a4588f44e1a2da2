use chat_core::{
    ClientMessageId, Content, Cursor, CustomKind, Draft, Epoch, JsonText, MessageId, Position, RoomId, Seq,
    StoredMessage, Timestamp, UserId, fanout::Publication,
};

use super::*;
use crate::fanout::pack::{Encoded, MAX_PAYLOAD, Packer};

fn topic(name: &str) -> Topic {
    Topic::Room(RoomId::new(name).unwrap())
}

fn signal(text: &str) -> FanoutEvent {
    FanoutEvent::Signal {
        room: RoomId::new("r").unwrap(),
        user: UserId::new("ann").unwrap(),
        name: CustomKind::new("note").unwrap(),
        data: JsonText::new(&format!("\n\"{text}\"")).unwrap(),
    }
}

fn encoded(to: &str, event: FanoutEvent) -> Encoded {
    Encoded::new(&Publication::new(topic(to), event)).unwrap()
}

fn event(to: &str, event: FanoutEvent) -> Said {
    Said::Event(topic(to), Arc::new(event))
}

fn unpack(unpacker: &mut Unpacker, payloads: &[(u8, String)]) -> Vec<Said> {
    payloads.iter().flat_map(|(bucket, payload)| unpacker.unpack(*bucket, payload, |_| true)).collect()
}

#[test]
fn small_events_of_a_topic_share_payloads_and_keep_their_order() {
    let mut packer = Packer::new(1);
    let count = 200;
    let payloads = packer.pack((0..count).map(|number| encoded("a", signal(&number.to_string()))));
    assert!(payloads.len() > 1 && payloads.len() < 10, "{}", payloads.len());
    assert!(payloads.iter().all(|(_, payload)| payload.len() <= MAX_PAYLOAD));
    let expected: Vec<_> = (0..count).map(|number| event("a", signal(&number.to_string()))).collect();
    assert_eq!(unpack(&mut Unpacker::default(), &payloads), expected);
}

#[test]
fn an_event_of_any_length_around_the_bound_arrives_whole() {
    let mut packer = Packer::new(1);
    let mut unpacker = Unpacker::default();
    for length in (7_600..8_000).chain([16_000, 24_001, 400_000]) {
        let long = signal(&"🍵".repeat(length / 4));
        let payloads = packer.pack([
            encoded("a", signal("before")),
            encoded("a", long.clone()),
            encoded("a", signal("after")),
        ]);
        assert!(payloads.iter().all(|(_, payload)| payload.len() <= MAX_PAYLOAD), "{length}");
        let expected = [event("a", signal("before")), event("a", long), event("a", signal("after"))];
        assert_eq!(unpack(&mut unpacker, &payloads), expected, "{length}");
    }
    assert_eq!(unpacker.partial, 0);
}

#[test]
fn a_long_message_goes_as_a_hint() {
    let cursor = Cursor::new(Epoch::new("e1").unwrap(), Seq::new(7).unwrap());
    let room = RoomId::new("r").unwrap();
    let draft = Draft::new(
        room.clone(),
        UserId::new("ann").unwrap(),
        ClientMessageId::new("c1").unwrap(),
        Content::text(&"a".repeat(8_000)),
    );
    let position =
        Position { cursor: cursor.clone(), id: MessageId::from_u128(1), created_at: Timestamp::from_secs(1) };
    let message = FanoutEvent::Message(StoredMessage::new(draft, position));
    let payloads = Packer::new(1).pack([encoded("r", message)]);
    assert_eq!(payloads.len(), 1);
    let expected = event("r", FanoutEvent::Head { room, cursor });
    assert_eq!(unpack(&mut Unpacker::default(), &payloads), [expected]);
}

#[test]
fn what_is_too_long_for_the_carrier_is_told_as_a_loss() {
    let payloads =
        Packer::new(1).pack([encoded("a", signal(&"x".repeat(MAX_EVENT))), encoded("a", signal("y"))]);
    let said = unpack(&mut Unpacker::default(), &payloads);
    assert_eq!(said, [Said::Missed(topic("a")), event("a", signal("y"))]);
}

#[test]
fn a_payload_that_comes_twice_counts_once_and_a_gap_is_noticed() {
    let mut packer = Packer::new(1);
    let mut unpacker = Unpacker::default();
    let payloads: Vec<_> =
        (0..4).flat_map(|number| packer.pack([encoded("a", signal(&number.to_string()))])).collect();
    let of = |number: usize| event("a", signal(&number.to_string()));
    assert_eq!(unpack(&mut unpacker, &payloads[..2]), [of(0), of(1)]);
    assert_eq!(unpack(&mut unpacker, &payloads[..2]), []);
    assert_eq!(unpack(&mut unpacker, &payloads[3..]), [Said::BucketMissed, of(3)]);
    // Another node's numbers are its own, and so are those of a channel that was left and taken up again.
    let mut other = Packer::new(2);
    drop(other.pack([encoded("a", signal("lost"))]));
    assert_eq!(unpack(&mut unpacker, &other.pack([encoded("a", signal("0"))])), [of(0)]);
    drop(packer.pack([encoded("a", signal("lost"))]));
    unpacker.forget(payloads[0].0);
    assert!(unpacker.seen.is_empty());
    assert_eq!(unpack(&mut unpacker, &packer.pack([encoded("a", signal("1"))])), [of(1)]);
}

#[test]
fn an_event_with_a_part_missing_is_a_loss_and_takes_no_memory() {
    let long = || encoded("a", signal(&"x".repeat(30_000)));
    for missing in 0..4 {
        let (mut packer, mut unpacker) = (Packer::new(1), Unpacker::default());
        assert_eq!(
            unpack(&mut unpacker, &packer.pack([encoded("a", signal("0"))])),
            [event("a", signal("0"))]
        );
        let mut payloads = packer.pack([long(), encoded("a", signal("1"))]);
        assert_eq!(payloads.len(), 5);
        payloads.remove(missing);
        let said = unpack(&mut unpacker, &payloads);
        assert_eq!(said.last(), Some(&event("a", signal("1"))));
        let losses = said.iter().filter(|said| **said == Said::BucketMissed).count();
        assert!((1..=4).contains(&losses) && said.len() == losses + 1, "{said:?}");
        assert_eq!(unpacker.partial, 0);
    }
}

#[test]
fn what_a_newer_release_added_is_passed_over() {
    let bucket = bucket_of(&topic("a"));
    let known = serde_json::to_string(&signal("1")).unwrap();
    let payload = format!(
        "{}\n[{},{},{},{},{}]",
        r#"{"v":1,"by":9,"n":1,"zone":"eu"}"#,
        r#"{"to":{"room":"a"},"event":{"waved":{"hand":"left"}}}"#,
        r#"{"to":{"room":"a"},"event":"sneezed"}"#,
        r#"{"to":{"planet":"a"},"event":{"waved":{}}}"#,
        format_args!(r#"{{"to":{{"room":"a"}},"event":{known},"hint":1}}"#),
        r#"{"to":{"room":"a"},"event":{"read":{"upside":"down"}}}"#,
    );
    let said = Unpacker::default().unpack(bucket, &payload, |_| true);
    // The last is of a kind that is known and says something that is not: that must not go unnoticed.
    assert_eq!(said, [event("a", signal("1")), Said::Missed(topic("a"))]);
}

#[test]
fn what_cannot_be_read_is_a_loss_and_never_fatal() {
    let mut unpacker = Unpacker::default();
    for payload in [
        "",
        "hello",
        "{}\n[]",
        "{\"v\":2,\"by\":1,\"n\":1}\n[]",
        "{\"v\":1,\"by\":1,\"n\":1}\nno list",
        "{\"v\":1,\"by\":2,\"n\":1,\"part\":{\"at\":1,\"of\":2}}\nx",
        "{\"v\":1,\"by\":3,\"n\":1,\"part\":{\"at\":0,\"of\":0}}\nx",
    ] {
        assert_eq!(unpacker.unpack(0, payload, |_| true), [Said::BucketMissed], "{payload}");
    }
    assert_eq!(unpacker.partial, 0);
}

#[test]
fn what_nobody_wants_here_is_not_read() {
    let payloads = Packer::new(1).pack([encoded("a", signal("1"))]);
    let mut unpacker = Unpacker::default();
    assert_eq!(unpacker.unpack(payloads[0].0, &payloads[0].1, |topic| *topic != self::topic("a")), []);
}

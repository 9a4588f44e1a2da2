use std::sync::Arc;

use chat_core::{
    Body, Content, CustomKind, Draft, Epoch, JsonText, MessageId, Position, ReactionKey, ReactionOp, Seq,
};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn cursor(seq: u64) -> Cursor {
    Cursor::new(Epoch::new("e").unwrap(), Seq::new(seq).unwrap())
}

fn room() -> RoomId {
    RoomId::new("r:1@x").unwrap()
}

fn stored(content: Content) -> StoredMessage {
    let (sender, client_id) = (UserId::new("a\"\\b").unwrap(), ClientMessageId::new("c\"").unwrap());
    let created_at = Timestamp::from_millis(1_736_433_000_123);
    let position = Position { cursor: cursor(7), id: MessageId::from_u128(7), created_at };
    StoredMessage::new(Draft::new(room(), sender, client_id, content), position)
}

fn parsed(frame: &Bytes, kind: &str) -> Value {
    let value: Value = serde_json::from_slice(frame).unwrap();
    assert_eq!(value["type"], kind);
    value
}

fn any_content() -> impl Strategy<Value = Content> {
    let body = prop_oneof![
        ".*".prop_map(|text| Body::text(&text)),
        ".*".prop_map(|text| Body::Json(JsonText::new(&serde_json::json!([text]).to_string()).unwrap())),
        Just(Body::Removed),
    ];
    let target = MessageId::from_u128(3);
    prop_oneof![
        body.clone().prop_map(|body| Content::Chat { body }),
        body.clone().prop_map(move |body| Content::Edit { target, body }),
        body.prop_map(|body| Content::Custom { name: CustomKind::new("poll").unwrap(), body }),
        Just(Content::Delete { target }),
        Just(Content::Join { user: UserId::new("\"'").unwrap() }),
        "[^\\s\\p{Cc}]{1,8}".prop_filter_map("too long", move |key| {
            let key = ReactionKey::new(&key).ok()?;
            Some(Content::Reaction { target, key, op: ReactionOp::Remove })
        }),
    ]
}

proptest! {
    #[test]
    fn every_entry_is_json_alone_and_in_a_page(contents in prop::collection::vec(any_content(), 0..4)) {
        let entries: Vec<_> =
            contents.into_iter().map(|content| Arc::new(Broadcast::new(stored(content)))).collect();
        let alone: Vec<Value> =
            entries.iter().map(|live| parsed(&entry(live), "entry")["entry"].take()).collect();
        for (live, json) in entries.iter().zip(&alone) {
            prop_assert_eq!(&json["kind"], live.value().content.kind().as_str());
            if let Some(Body::Text(text)) = live.value().content.body() {
                prop_assert_eq!(&json["text"], &**text);
            }
        }
        let values: Vec<StoredMessage> = entries.iter().map(|live| live.value().clone()).collect();
        let head = chat_core::Head { cursor: cursor(7), oldest: Seq::FIRST };
        let page = Page { entries: values, head, reaches_head: true, reaches_start: false };
        let listed = parsed(&history(Some(1), &page), "history");
        prop_assert_eq!(&listed["page"]["entries"], &Value::from(alone));
        prop_assert_eq!(&listed["page"]["cursor"], "e.7");
    }

    #[test]
    fn every_notice_and_error_is_json(text in ".*", name in "[a-z]{1,9}") {
        let (room, user) = (room(), UserId::new("ann").unwrap());
        let data = JsonText::new(&Value::from(text.as_str()).to_string()).unwrap();
        let name = CustomKind::new(&name).unwrap();
        let event = FanoutEvent::Signal { room: room.clone(), user, name, data };
        let frame = notice(&Broadcast::new(event)).unwrap();
        prop_assert_eq!(&parsed(&frame, "signal")["data"], &text);
        let frame = error(None, &Problem::invalid(text.as_str()), Some(&room), None);
        prop_assert_eq!(&parsed(&frame, "error")["message"], &text);
    }
}

#[test]
fn what_clients_are_not_told_has_no_frame() {
    let head = FanoutEvent::Head { room: room(), cursor: cursor(1) };
    assert_eq!(notice(&Broadcast::new(head)), None);
}

#[test]
fn a_resync_without_a_page_leads_to_the_end_of_its_hole() {
    let hole = Hole { after: cursor(1), before: cursor(9) };
    let frame = event(&Event::Resync { room: room(), hole: Box::new(hole), page: None }).unwrap();
    let frame = parsed(&frame, "resync");
    assert_eq!((&frame["hole"]["before"], &frame["cursor"]), (&"e.9".into(), &"e.8".into()));
    assert_eq!(frame.get("page"), None);
}

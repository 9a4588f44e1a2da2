//! The decoder, fed with anything.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use chat_gateway::json::{DecodeErrorKind, decode};
use proptest::prelude::*;

/// A frame of every command.
const FRAMES: &[&str] = &[
    r#"{"type":"connect","id":1,"token":"eyJhbGciOiJIUzI1NiJ9.e30.x"}"#,
    r#"{"type":"join","id":2,"room":"general","cursor":"01J00000000000000000000000.42","limit":50}"#,
    r#"{"type":"leave","id":3,"room":"general"}"#,
    r#"{"type":"send","id":4,"room":"general","clientId":"c-1","text":"h\u00e9llo \ud83d\ude00"}"#,
    r#"{"type":"send","id":5,"room":"general","clientId":"c-2","json":{"a":[1,2,{"b":null}]},"name":"poll"}"#,
    r#"{"type":"edit","id":6,"room":"general","clientId":"c-3","target":"01J00000000000000000000000","text":"x"}"#,
    r#"{"type":"delete","id":7,"room":"general","clientId":"c-4","target":"01J00000000000000000000000"}"#,
    r#"{"type":"react","id":8,"room":"r","clientId":"c","target":"01J00000000000000000000000","key":"👍","op":"add"}"#,
    r#"{"type":"typing","room":"general","active":false}"#,
    r#"{"type":"signal","room":"general","name":"ring","data":[true,1.5e3,"x"]}"#,
    r#"{"type":"read","id":11,"room":"general","cursor":"01J00000000000000000000000.7"}"#,
    r#"{"type":"history","id":12,"room":"general","before":"01J00000000000000000000000","limit":20,"view":"log"}"#,
    r#"{"type":"rooms","id":13,"after":"1700000000000.general","limit":20}"#,
    r#"{"type":"members","id":14,"room":"general","after":"ann","limit":20}"#,
    r#"{"type":"presence","id":15,"users":["ann","bob"]}"#,
    r#"{"type":"token","id":16,"token":"eyJ"}"#,
    r#"{"type":"ping","id":17}"#,
];

#[test]
fn every_command_is_read() {
    let names: Vec<&str> = FRAMES.iter().map(|frame| decode(frame).unwrap().action.name()).collect();
    let expected = [
        "connect", "join", "leave", "send", "send", "edit", "delete", "react", "typing", "signal", "read",
        "history", "rooms", "members", "presence", "token", "ping",
    ];
    assert_eq!(names, expected);
}

/// Whatever it is, the answer is a command or an error that says something.
fn is_answered(text: &str) {
    match decode(text) {
        Ok(command) => assert_ne!(command.id, Some(0)),
        Err(error) => {
            assert!(!error.message.is_empty() && error.message.len() < text.len() + 500, "{error}");
            let object = serde_json::from_str::<serde_json::Map<_, _>>(text).is_ok();
            assert!(object || error.kind == DecodeErrorKind::Malformed || text.trim_start().starts_with('{'));
        }
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map("[a-z]{1,8}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_answered(text in ".*") {
        is_answered(&text);
    }

    #[test]
    fn any_json_is_answered(json in any_json()) {
        is_answered(&json.to_string());
    }

    #[test]
    fn a_frame_with_any_value_in_any_field_is_answered(
        which in 0..FRAMES.len(),
        field in prop::sample::select(&[
            "type", "id", "token", "room", "cursor", "limit", "clientId", "text", "json", "data", "name", "target",
            "key", "op", "active", "before", "after", "view", "users",
        ][..]),
        value in any_json(),
    ) {
        let mut frame: serde_json::Value = serde_json::from_str(FRAMES[which]).unwrap();
        frame[field] = value;
        is_answered(&frame.to_string());
    }

    #[test]
    fn a_damaged_frame_is_answered(
        which in 0..FRAMES.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6),
    ) {
        let mut bytes = FRAMES[which].as_bytes().to_vec();
        for (place, byte, how) in damage {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(bytes.len());
            match how {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => drop(bytes.remove(place)),
            }
        }
        is_answered(&String::from_utf8_lossy(&bytes));
    }
}

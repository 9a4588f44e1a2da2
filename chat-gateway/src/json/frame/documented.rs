//! Every frame, made by the encoders that clients are served by, is what the AsyncAPI document says of it.

#[allow(dead_code, reason = "the tests of the commands use the rest")]
#[path = "../../../tests/asyncapi/document.rs"]
mod document;
mod samples;
mod seen;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jsonschema::Validator;
use serde_json::{Value, json};

use self::{
    document::{DOCUMENT, channel, fitting, messages, validators},
    seen::Seen,
};
use super::Frame;

macro_rules! documented {
    ($($variant:ident $message:literal)*) => {
        /// The message of every frame.
        const MESSAGES: &[&str] = &["entryFrame", $($message),*];

        /// This does not compile when there is a new frame: write its message into asyncapi.json
        /// (`components.messages`, `channels.chat.messages`, `operations`) and its row into PROTOCOL.md, name it below,
        /// and make it by its encoder in `samples`.
        fn message(frame: &Frame<'_>) -> &'static str {
            match frame {
                $(Frame::$variant { .. } => $message,)*
            }
        }
    };
}

documented! {
    Connected "connectedFrame"
    Joined "joinedFrame"
    Resync "resyncFrame"
    Reset "resetFrame"
    Left "leftFrame"
    Typing "typingFrame"
    Signal "signalFrame"
    Read "readFrame"
    Presence "presenceFrame"
    Room "roomFrame"
    Member "memberFrame"
    NoticesLost "noticesLostFrame"
    Heads "headsFrame"
    Expiring "expiringFrame"
    Closing "closingFrame"
    Sent "sentFrame"
    SendFailed "sendFailedFrame"
    History "historyFrame"
    Rooms "roomsFrame"
    Members "membersFrame"
    Ok "okFrame"
    Pong "pongFrame"
    Error "errorFrame"
}

#[test]
fn every_frame_is_in_the_document_and_every_documented_one_is_there() {
    let documented: BTreeSet<String> = messages("Frame").into_iter().collect();
    let there: BTreeSet<String> = MESSAGES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(documented, there, "write the missing message into asyncapi.json, or take it out");
    assert_eq!(message(&Frame::NoticesLost), "noticesLostFrame");
}

#[tokio::test]
async fn every_frame_is_of_its_own_message_and_of_no_other() {
    let (open, closed) = (validators("Frame", false), validators("Frame", true));
    let mut made = BTreeSet::new();
    for sample in samples::all().await {
        let frame: Value = serde_json::from_slice(&sample).unwrap();
        let name = format!("{}Frame", frame["type"].as_str().unwrap());
        let validator =
            closed.get(&name).unwrap_or_else(|| panic!("{name} is not in asyncapi.json: {frame}"));
        if let Err(error) = validator.validate(&frame) {
            let at = error.instance_path();
            panic!(
                "asyncapi.json says something else of this frame than its encoder; mend the wrong one: {error} at {at}: {frame}"
            );
        }
        assert_eq!(fitting(&open, &frame), [name.as_str()], "{frame}");
        made.insert(name);
    }
    let documented: BTreeSet<String> = messages("Frame").into_iter().collect();
    assert_eq!(made, documented, "`samples` makes no such frame");
}

#[tokio::test]
async fn the_event_stream_has_the_frames_that_sessions_are_told_and_no_answers() {
    let name = |sample: &Bytes| {
        let frame: Value = serde_json::from_slice(sample).unwrap();
        format!("{}Frame", frame["type"].as_str().unwrap())
    };
    let told: BTreeSet<String> = samples::streamed().await.iter().map(name).collect();
    assert_eq!(
        channel("events"),
        told.iter().map(String::as_str).collect(),
        "write the message into `channels.events` and `operations.streamEvents` of asyncapi.json, or take it out"
    );
}

/// Otherwise a field could stand in the document that is never sent, or one as optional that always is.
#[tokio::test]
async fn every_documented_field_and_value_is_sent_and_every_optional_field_is_left_out_too() {
    let mut seen = Seen::default();
    for sample in samples::all().await {
        let frame: Value = serde_json::from_slice(&sample).unwrap();
        let name = format!("{}Frame", frame["type"].as_str().unwrap());
        let payload = &DOCUMENT["components"]["messages"][&name]["payload"];
        seen.visit(&format!("/components/messages/{name}/payload"), payload, &frame);
    }
    let missing = seen.missing();
    assert!(
        missing.is_empty(),
        "never made by `samples`, or wrong in asyncapi.json:\n{}",
        missing.join("\n")
    );
}

/// Whether the schema takes the frame with this field of its entry put in or taken out.
fn takes(validator: &Validator, entry: &Value, field: &str, value: Option<&Value>) -> bool {
    let mut entry = entry.clone();
    let fields = entry.as_object_mut().unwrap();
    match value {
        Some(value) => drop(fields.insert(field.to_owned(), value.clone())),
        None => drop(fields.remove(field)),
    }
    validator.is_valid(&json!({ "type": "entry", "entry": entry }))
}

#[tokio::test]
async fn an_entry_has_the_fields_of_its_kind_and_no_others() {
    let validator = &validators("Frame", true)["entryFrame"];
    let frames = samples::all().await;
    let frames = frames.iter().map(|sample| serde_json::from_slice::<Value>(sample).unwrap());
    let entries: Vec<Value> = frames.filter_map(|frame| frame.get("entry").cloned()).collect();
    let fields: BTreeMap<&String, &Value> =
        entries.iter().flat_map(|entry| entry.as_object().unwrap()).collect();
    for entry in &entries {
        let changeable = ["chat", "custom"].iter().any(|kind| entry["kind"] == *kind);
        for (field, value) in &fields {
            let optional = match field.as_str() {
                "edited" | "reactions" => changeable,
                "system" => true,
                _ => false,
            };
            let is_there = entry.get(field.as_str()).is_some();
            let other = if is_there { None } else { Some(*value) };
            assert_eq!(takes(validator, entry, field, other), optional, "{field} in {entry}");
        }
    }
}

#[tokio::test]
async fn an_answer_to_a_join_has_the_fields_of_its_outcome_and_no_others() {
    let validator = &validators("Frame", true)["joinedFrame"];
    let frames = samples::all().await;
    let frames = frames.iter().map(|sample| serde_json::from_slice::<Value>(sample).unwrap());
    let joined: Vec<Value> = frames.filter(|frame| frame["type"] == "joined").collect();
    let limited = joined.iter().find(|frame| frame["outcome"] == "limited").unwrap();
    for frame in &joined {
        for field in ["page", "hole"] {
            let mut other = frame.clone();
            let fields = other.as_object_mut().unwrap();
            if fields.remove(field).is_none() {
                fields.insert(field.to_owned(), limited[field].clone());
            }
            assert!(!validator.is_valid(&other), "{other}");
        }
    }
}

//! The document is valid AsyncAPI 3.0, and its parts hang together.

use std::{collections::BTreeSet, io::Read};

use flate2::read::GzDecoder;
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::document::{DOCUMENT, messages, resolve};

/// The schema of the specification's authors; see the README beside it.
const SPECIFICATION: &[u8] = include_bytes!("specification/3.0.0.json.gz");

fn specification() -> Validator {
    let mut text = String::new();
    GzDecoder::new(SPECIFICATION).read_to_string(&mut text).unwrap();
    jsonschema::draft7::new(&serde_json::from_str(&text).unwrap()).unwrap()
}

#[test]
fn the_document_is_valid_asyncapi() {
    let specification = specification();
    let errors: Vec<String> = specification
        .iter_errors(&DOCUMENT)
        .map(|error| {
            format!("{}: {}", error.instance_path(), error.to_string().chars().take(300).collect::<String>())
        })
        .collect();
    assert!(errors.is_empty(), "asyncapi.json is no AsyncAPI 3.0:\n{}", errors.join("\n"));
}

/// Otherwise the test above could not fail.
#[test]
fn the_specification_refuses_what_is_wrong() {
    let specification = specification();
    for (place, wrong) in [
        ("/asyncapi", json!("2.6.0")),
        ("/channels", json!([])),
        ("/operations/sendEntry/action", json!("publish")),
        ("/operations/sendEntry/channel", json!("chat")),
        ("/operations/streamEvents/bindings/http/method", json!("FETCH")),
        ("/servers/gateway/protocol", json!(7)),
        ("/components/messages/entryFrame/payload/type", json!("record")),
        ("/components/messages/entryFrame/examples", json!({})),
        ("/components/schemas/Seq/minimum", json!("1")),
        ("/components/securitySchemes/accessToken/in", json!("body")),
    ] {
        let mut document = DOCUMENT.clone();
        *document.pointer_mut(place).unwrap_or_else(|| panic!("{place} is gone")) = wrong;
        assert!(!specification.is_valid(&document), "{place}");
    }
}

/// Every reference in a value, with the place it stands at.
fn references(place: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref") {
                // Beside a reference, draft 07 ignores everything else.
                assert_eq!(fields.len(), 1, "{place}");
                found.push((place.to_owned(), reference.as_str().unwrap().to_owned()));
            }
            for (name, value) in fields {
                references(&format!("{place}/{name}"), value, found);
            }
        }
        Value::Array(values) => {
            for (number, value) in values.iter().enumerate() {
                references(&format!("{place}/{number}"), value, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let mut found = Vec::new();
    references("", &DOCUMENT, &mut found);
    for (place, reference) in &found {
        let pointer =
            reference.strip_prefix('#').unwrap_or_else(|| panic!("{place} leads out of the document"));
        assert!(DOCUMENT.pointer(pointer).is_some(), "{place}: {reference} leads nowhere");
    }
    let used: BTreeSet<&str> = found.iter().map(|(_, reference)| reference.as_str()).collect();
    for (kind, components) in DOCUMENT["components"].as_object().unwrap() {
        for name in components.as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            // Named for whoever reads errors of HTTP and of the WebSocket alike; see `names`.
            let named_only = name == "HttpErrorCode";
            assert!(named_only || used.contains(reference.as_str()), "{reference} is used by nothing");
        }
    }
}

/// The names of the messages that a list refers to, each by way of the channel.
fn named<'a>(channel: &str, list: &'a Value) -> BTreeSet<&'a str> {
    let prefix = format!("#/channels/{channel}/messages/");
    let name = |message: &'a Value| message["$ref"].as_str().and_then(|name| name.strip_prefix(&prefix));
    list.as_array()
        .unwrap()
        .iter()
        .map(|message| name(message).unwrap_or_else(|| panic!("{message}")))
        .collect()
}

#[test]
fn every_message_of_a_channel_is_received_answered_or_sent_there() {
    let operations = DOCUMENT["operations"].as_object().unwrap();
    for (channel, described) in DOCUMENT["channels"].as_object().unwrap() {
        let here = json!({ "$ref": format!("#/channels/{channel}") });
        let (mut received, mut sent) = (BTreeSet::new(), BTreeSet::new());
        for operation in operations.values().filter(|operation| operation["channel"] == here) {
            let names = named(channel, &operation["messages"]);
            if operation["action"] == "receive" {
                received.extend(names);
                assert_eq!(operation["reply"]["channel"], here);
                sent.extend(named(channel, &operation["reply"]["messages"]));
            } else {
                sent.extend(names);
            }
        }
        let there = described["messages"].as_object().unwrap();
        for (name, message) in there {
            assert_eq!(message["$ref"], format!("#/components/messages/{name}"));
        }
        let side =
            |side: &str| there.keys().map(String::as_str).filter(|name| name.ends_with(side)).collect();
        assert_eq!(received, side("Command"), "{channel}");
        assert_eq!(sent, side("Frame"), "{channel}");
        assert_eq!(received.len() + sent.len(), there.len(), "{channel}");
    }
    let there = |channel: &str| DOCUMENT["channels"][channel]["messages"].as_object().unwrap();
    assert_eq!(there("chat").len(), messages("Command").len() + messages("Frame").len());
    assert!(there("events").keys().all(|name| name.ends_with("Frame")), "nobody speaks to an event stream");
}

#[test]
fn an_answer_can_be_matched_with_its_command() {
    let mut matched = 0;
    for operation in DOCUMENT["operations"].as_object().unwrap().values() {
        for (list, field) in [(&operation["messages"], "id"), (&operation["reply"]["messages"], "reply")] {
            for message in list.as_array().into_iter().flatten().filter(|_| operation["action"] == "receive")
            {
                let (_, message) = resolve("", resolve("", message).1);
                let location = &resolve("", &message["correlationId"]).1["location"];
                assert_eq!(*location, format!("$message.payload#/{field}"), "{message}");
                assert!(message["payload"]["properties"][field].is_object(), "{message}");
                matched += 1;
            }
        }
    }
    assert!(matched > 0);
}

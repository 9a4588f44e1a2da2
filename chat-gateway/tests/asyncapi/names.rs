//! Names and codes: those of the document are those of the code, both ways.

use std::collections::{BTreeMap, BTreeSet};

use chat_gateway::{
    CODES,
    json::{CLOSE_CODES, DecodeErrorKind},
};
use serde_json::{Map, Value};

use crate::document::{DOCUMENT, fitting, messages, schema, validators};

const PROTOCOL: &str = include_str!("../../PROTOCOL.md");

fn component(name: &str) -> &'static Value {
    &DOCUMENT["components"]["schemas"][name]
}

fn texts(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// What stands in backquotes in the first column of a section's tables that are headed so.
fn first_column<'a>(section: &str, head: &str) -> BTreeSet<&'a str> {
    let section = PROTOCOL.split("\n## ").find(|part| part.starts_with(section)).unwrap();
    let mut names = BTreeSet::new();
    let mut in_table = false;
    for line in section.lines() {
        let first = line.split('|').nth(1).unwrap_or_default().trim();
        in_table = line.starts_with('|') && (in_table || first == head);
        if in_table && first != head {
            names.extend(first.split('`').skip(1).step_by(2));
        }
    }
    assert!(!names.is_empty(), "{section}");
    names
}

#[test]
fn every_error_code_is_in_the_document_with_its_meaning() {
    let described = |name: &str| -> BTreeMap<String, String> {
        let schema = component(name);
        let meanings: Map<String, Value> = schema["x-enum-descriptions"].as_object().unwrap().clone();
        assert_eq!(texts(&schema["enum"]), meanings.keys().map(String::as_str).collect(), "{name}");
        meanings.into_iter().map(|(code, meaning)| (code, meaning.as_str().unwrap().to_owned())).collect()
    };
    let (socket, http) = (described("ErrorCode"), described("HttpErrorCode"));
    let there: BTreeMap<String, String> =
        CODES.iter().map(|(code, _, meaning)| ((*code).to_owned(), (*meaning).to_owned())).collect();
    let documented: BTreeMap<_, _> =
        socket.iter().chain(&http).map(|(a, b)| (a.clone(), b.clone())).collect();
    assert_eq!(documented.len(), socket.len() + http.len(), "a code stands in one of the two");
    assert_eq!(
        documented, there,
        "a code was added or changed: put it and its meaning into `ErrorCode` of asyncapi.json, or into \
         `HttpErrorCode` if no frame carries it"
    );
    // `connect` is refused with codes of closing too.
    let closing: BTreeSet<&str> = CLOSE_CODES.iter().map(|(code, _)| *code).collect();
    let specified = first_column("Errors", "`code`");
    let refusals = there.keys().map(String::as_str).filter(|code| closing.contains(code));
    let expected: BTreeSet<&str> = specified.into_iter().chain(refusals).collect();
    assert_eq!(socket.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    for kind in [DecodeErrorKind::Malformed, DecodeErrorKind::UnknownCommand, DecodeErrorKind::InvalidRequest]
    {
        assert!(socket.contains_key(kind.code()), "{kind:?}");
    }
}

#[test]
fn every_closing_code_is_in_the_document_with_its_number() {
    let schema = component("CloseCode");
    let documented: BTreeMap<&str, u64> = schema["x-websocket-codes"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(code, number)| (code.as_str(), number.as_u64().unwrap()))
        .collect();
    let there: BTreeMap<&str, u64> =
        CLOSE_CODES.iter().map(|(code, number)| (*code, u64::from(*number))).collect();
    assert_eq!(documented, there, "CLOSE_CODES and `CloseCode` of asyncapi.json say different things");
    assert_eq!(texts(&schema["enum"]), there.keys().copied().collect());
}

#[test]
fn a_message_is_named_for_its_type_and_stands_in_the_specification() {
    for (side, section, others) in
        [("Command", "Commands", &["connect"][..]), ("Frame", "Answers and events", &["connected"])]
    {
        let mut names = BTreeSet::new();
        for message in messages(side) {
            let described = &DOCUMENT["components"]["messages"][&message];
            let name = described["name"].as_str().unwrap();
            assert_eq!(message, format!("{name}{side}"));
            assert_eq!(described["payload"]["properties"]["type"]["const"], name);
            names.insert(name);
        }
        let specified: BTreeSet<&str> =
            first_column(section, "`type`").into_iter().chain(others.iter().copied()).collect();
        assert_eq!(names, specified, "{side}");
    }
}

#[test]
fn every_example_of_the_specification_is_what_the_document_says() {
    let (commands, frames) = (validators("Command", true), validators("Frame", true));
    let entry = schema("Entry");
    let blocks: Vec<&str> =
        PROTOCOL.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 3);
    for block in blocks {
        let example: Value = serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
        match example["type"].as_str() {
            Some(kind) => {
                let found = [fitting(&commands, &example), fitting(&frames, &example)].concat();
                assert!(
                    matches!(found[..], [one] if one == format!("{kind}Command") || one == format!("{kind}Frame")),
                    "{block} is one of {found:?}"
                );
            }
            None => entry.validate(&example).unwrap_or_else(|error| panic!("{error}: {block}")),
        }
    }
}

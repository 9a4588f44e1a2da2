//! Decoder and schema take and refuse the same commands.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use chat_core::{Content, MAX_BODY_CHARS};
use chat_gateway::json::{Action, decode};
use jsonschema::Validator;
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};

use crate::{
    document::{DOCUMENT, fitting, messages, validators},
    generate::{any_json, commands},
};

/// Bounds of the engine that are part of a command's form; `served` proves them on a real server.
pub(crate) const PRESENCE_USERS: usize = 200;
pub(crate) const SIGNAL_BYTES: usize = 4 * 1024;

/// The message of the document that describes this command. This does not compile when there is a new command: write
/// its message into asyncapi.json (`components.messages`, `channels.chat.messages`, `operations`), its row into
/// PROTOCOL.md, and name it here and in `COMMANDS`.
fn message(action: &Action) -> &'static str {
    match action {
        Action::Connect { .. } => "connectCommand",
        Action::Join { .. } => "joinCommand",
        Action::Leave { .. } => "leaveCommand",
        Action::Append { content, .. } => match content {
            Content::Chat { .. } | Content::Custom { .. } => "sendCommand",
            Content::Edit { .. } => "editCommand",
            Content::Delete { .. } => "deleteCommand",
            Content::Reaction { .. } => "reactCommand",
            Content::Join { .. } | Content::Leave { .. } => unreachable!("no client writes these"),
        },
        Action::Typing { .. } => "typingCommand",
        Action::Signal { .. } => "signalCommand",
        Action::Read { .. } => "readCommand",
        Action::History { .. } => "historyCommand",
        Action::Rooms { .. } => "roomsCommand",
        Action::Members { .. } => "membersCommand",
        Action::Presence { .. } => "presenceCommand",
        Action::Token { .. } => "tokenCommand",
        Action::Ping => "pingCommand",
    }
}

/// Every name that [`message`] answers.
const COMMANDS: [&str; 16] = [
    "connectCommand",
    "deleteCommand",
    "editCommand",
    "historyCommand",
    "joinCommand",
    "leaveCommand",
    "membersCommand",
    "pingCommand",
    "presenceCommand",
    "reactCommand",
    "readCommand",
    "roomsCommand",
    "sendCommand",
    "signalCommand",
    "tokenCommand",
    "typingCommand",
];

static SCHEMAS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| validators("Command", false));

/// Whether the server takes a command of this form: it is decoded and within the bounds that hold everywhere.
fn is_taken(text: &str) -> bool {
    let Ok(command) = decode(text) else { return false };
    match &command.action {
        Action::Append { content, .. } => {
            content.body().is_none_or(|body| body.check(MAX_BODY_CHARS).is_ok())
        }
        Action::Presence { users } => users.len() <= PRESENCE_USERS,
        Action::Signal { data, .. } => data.as_str().len() <= SIGNAL_BYTES,
        _ => true,
    }
}

#[test]
fn every_command_is_in_the_document_and_every_documented_one_is_there() {
    let documented: BTreeSet<String> = messages("Command").into_iter().collect();
    let there: BTreeSet<String> = COMMANDS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(documented, there, "write the missing message into asyncapi.json, or take it out");
}

#[test]
fn every_example_is_decoded_as_its_own_command() {
    let validators = validators("Command", true);
    for name in messages("Command") {
        let described = &DOCUMENT["components"]["messages"][&name];
        for example in described["examples"].as_array().unwrap() {
            let payload = &example["payload"];
            let command = decode(&payload.to_string()).unwrap_or_else(|error| panic!("{payload}: {error}"));
            assert_eq!(message(&command.action), name, "{payload}");
            assert_eq!(command.action.name(), described["name"], "{payload}");
            assert_eq!(command.id, payload["id"].as_u64());
            assert_eq!(fitting(&validators, payload), [name.as_str()], "{payload}");
        }
    }
}

/// Any number of commands, or those that the environment asks for.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

#[test]
fn decoder_and_schema_agree_on_whatever_the_document_suggests() {
    for (name, validator) in &*SCHEMAS {
        let (taken, refused) = (Cell::new(0_u32), Cell::new(0_u32));
        let config = Config { cases: cases(), source_file: Some(file!()), ..Config::default() };
        let result = TestRunner::new(config).run(&commands(name), |command| {
            let is_taken = is_taken(&command.to_string());
            let count = if is_taken { &taken } else { &refused };
            count.set(count.get() + 1);
            let verdict = validator.validate(&command);
            if is_taken == verdict.is_ok() {
                return Ok(());
            }
            let decoded = decode(&command.to_string());
            Err(TestCaseError::fail(format!("{command}\ndecoder: {decoded:?}\nschema: {verdict:?}")))
        });
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
        let (taken, refused) = (taken.get(), refused.get());
        assert!(
            taken.min(refused) * 20 > cases(),
            "{name}: {taken} taken and {refused} refused prove little"
        );
    }
}

/// What the generator cannot be trusted to hit, by hand: `true` where it is taken.
#[test]
fn decoder_and_schema_agree_at_the_bounds() {
    let send = |body: Value| {
        let mut command = json!({ "type": "send", "room": "r", "clientId": "c" });
        command.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        command
    };
    let history = |places: Value| {
        let mut command = json!({ "type": "history", "room": "r" });
        command.as_object_mut().unwrap().extend(places.as_object().unwrap().clone());
        command
    };
    let long = |text: &str, times| text.repeat(times);
    let message_id = "01JGZ5W3D8QJ4R7N2M6K9H5B0C";
    for (command, is_right) in [
        (json!({ "type": "ping", "id": u64::MAX }), true),
        (json!({ "type": "ping", "id": 0 }), false),
        (json!({ "type": "ping", "id": null }), true),
        (json!({ "type": "ping", "id": "1" }), false),
        (json!({ "type": "ping", "id": 1.5 }), false),
        (json!({ "type": "join", "room": long("x", 128) }), true),
        (json!({ "type": "join", "room": long("x", 129) }), false),
        (json!({ "type": "join", "room": null }), false),
        (json!({ "type": "join", "room": "r", "cursor": "e.9007199254740991", "limit": u64::MAX }), true),
        (json!({ "type": "join", "room": "r", "cursor": "e.9007199254740992" }), false),
        (json!({ "type": "join", "room": "r", "cursor": format!("{}.1", long("e", 64)) }), true),
        (json!({ "type": "join", "room": "r", "cursor": format!("{}.1", long("e", 65)) }), false),
        (json!({ "type": "join", "room": "r", "limit": 0 }), false),
        (json!({ "type": "join", "room": "r", "limit": -1 }), false),
        (send(json!({ "text": long("é", 65_536) })), true),
        (send(json!({ "text": long("é", 65_537) })), false),
        (send(json!({ "text": " \u{3000}\n" })), false),
        (send(json!({ "text": "a\0" })), false),
        (send(json!({ "text": "a", "json": null })), false),
        (send(json!({ "text": null, "json": null })), true),
        (send(json!({ "text": null })), false),
        (send(json!({ "json": long("x", 65_534) })), true),
        (send(json!({ "json": long("x", 65_535) })), false),
        (send(json!({ "json": {}, "name": long("n", 64) })), true),
        (send(json!({ "json": {}, "name": long("n", 65) })), false),
        (
            json!({ "type": "react", "room": "r", "clientId": "c", "target": message_id, "key": long("👍", 16), "op": "add" }),
            true,
        ),
        (
            json!({ "type": "react", "room": "r", "clientId": "c", "target": message_id, "key": long("👍", 17), "op": "add" }),
            false,
        ),
        (json!({ "type": "signal", "room": "r", "name": "n" }), true),
        (json!({ "type": "signal", "room": "r", "name": "n", "data": long("x", 4_094) }), true),
        (json!({ "type": "signal", "room": "r", "name": "n", "data": long("x", 4_095) }), false),
        (json!({ "type": "presence", "users": vec!["ann"; 200] }), true),
        (json!({ "type": "presence", "users": vec!["ann"; 201] }), false),
        (json!({ "type": "presence", "users": [] }), true),
        (json!({ "type": "members", "room": "r", "after": long("u", 512) }), true),
        (json!({ "type": "members", "room": "r", "after": long("u", 513) }), false),
        (json!({ "type": "rooms", "after": "18446744073709551615.r" }), true),
        (json!({ "type": "rooms", "after": "18446744073709551616.r" }), false),
        (json!({ "type": "rooms", "after": "+1.r" }), false),
        (history(json!({ "before": "e.1", "after": null })), true),
        (history(json!({ "before": "e.1", "after": "e.2" })), false),
        (history(json!({ "before": message_id, "view": null })), true),
        (history(json!({ "before": message_id.to_lowercase() })), true),
        (history(json!({ "before": "81JGZ5W3D8QJ4R7N2M6K9H5B0C" })), false),
        (history(json!({ "before": "no place" })), false),
        (history(json!({ "view": "page" })), false),
        (json!({ "type": "connect", "token": null }), true),
        (json!({ "type": "connect", "token": 1 }), false),
        (json!({ "type": "token", "token": null }), false),
        (json!({ "type": "typing", "room": "r", "active": null, "unknown": [] }), true),
        (json!({ "type": "typing", "room": "r", "active": "yes" }), false),
    ] {
        let name = format!("{}Command", command["type"].as_str().unwrap());
        let short: String = command.to_string().chars().take(160).collect();
        assert_eq!(is_taken(&command.to_string()), is_right, "the decoder: {short}");
        assert_eq!(SCHEMAS[&name].is_valid(&command), is_right, "the schema: {short}");
    }
}

proptest! {
    #[test]
    fn what_is_no_command_is_of_no_message(kind in prop_oneof!["[a-z]{1,8}".prop_map(Value::from), any_json()]) {
        let command = json!({ "type": kind });
        let fits = fitting(&SCHEMAS, &command);
        prop_assert_eq!(is_taken(&command.to_string()), !fits.is_empty(), "{}: {:?}", command, fits);
    }
}

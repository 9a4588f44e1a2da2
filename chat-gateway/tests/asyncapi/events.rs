//! A real event stream, held against its channel.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    Router,
    body::{Body, BodyDataStream},
    http::{Request, header},
};
use chat_core::{Chat, ClientMessageId, MemberChange, NewRoom, Role, RoomId, UserId};
use chat_gateway::{GatewayConfig, sse::StreamRequest};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::{
    document::{DOCUMENT, channel, fitting, resolve, schema_at, validators},
    served,
};

const QUERY: &str = "/operations/streamEvents/bindings/http/query";

/// A server whose room `general` has `ann` in it, and her token.
async fn server() -> (Chat, Router, String) {
    let (chat, token) = served::chat();
    let room = RoomId::new("general").unwrap();
    let system = chat.system(UserId::new("system").unwrap());
    system.create_room(NewRoom::new(room.clone())).await.unwrap();
    let ann = UserId::new("ann").unwrap();
    system.change_member(&room, MemberChange::add(ann, Role::Member)).await.unwrap();
    let address = DOCUMENT["servers"]["localEvents"]["pathname"].as_str().unwrap();
    let routes = Router::new().nest(address, chat_gateway::router(chat.clone(), GatewayConfig::new()));
    (chat, routes, token)
}

/// What the address of the document answers.
async fn ask(routes: &Router, query: &str, token: Option<&str>) -> axum::response::Response {
    let (path, address) =
        (&DOCUMENT["servers"]["localEvents"]["pathname"], &DOCUMENT["channels"]["events"]["address"]);
    let uri = format!("{}{}?{query}", path.as_str().unwrap(), address.as_str().unwrap());
    let mut request = Request::get(uri);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

/// Reads on until a frame of this type has come.
async fn read(body: &mut BodyDataStream, text: &mut String, kind: &str) {
    let (start, kind) = (text.len(), format!(r#"{{"type":"{kind}""#));
    while !text[start..].contains(&kind) {
        let chunk = timeout(Duration::from_secs(20), body.next()).await.expect("a frame in time");
        // A chunk holds whole events.
        text.push_str(std::str::from_utf8(&chunk.expect("not ended").unwrap()).unwrap());
    }
}

#[tokio::test]
async fn a_stream_has_the_frames_of_its_channel_and_none_is_an_answer() {
    let (chat, routes, token) = server().await;
    let response = ask(&routes, "rooms=general,elsewhere", Some(&token)).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let (mut body, mut text) = (response.into_body().into_data_stream(), String::new());
    let room = RoomId::new("general").unwrap();
    let system = chat.system(UserId::new("system").unwrap());
    read(&mut body, &mut text, "joined").await;
    system.send_text(&room, ClientMessageId::new("c-1").unwrap(), "hello\nall").await.unwrap();
    read(&mut body, &mut text, "entry").await;
    system.change_member(&room, MemberChange::remove(UserId::new("ann").unwrap())).await.unwrap();
    read(&mut body, &mut text, "left").await;
    let drain = chat.drain(Duration::ZERO, Duration::from_secs(5));
    tokio::join!(read(&mut body, &mut text, "closing"), drain);
    assert!(body.next().await.is_none(), "the end of the stream");
    let (frames, here) = (validators("Frame", true), channel("events"));
    let mut seen = Vec::new();
    for event in text.split("\n\n") {
        assert!(!event.contains("event:"), "{event}");
        let data: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        if data.is_empty() {
            continue;
        }
        let frame: Value = serde_json::from_str(&data.join("\n")).unwrap();
        let [name] = fitting(&frames, &frame)[..] else {
            panic!("asyncapi.json knows no such frame: {frame}")
        };
        assert!(here.contains(name) && frame.get("reply").is_none(), "{frame}");
        seen.push(name.to_owned());
    }
    let place = |name: &str| {
        seen.iter().position(|seen| seen == name).unwrap_or_else(|| panic!("no {name}: {seen:?}"))
    };
    assert_eq!((place("connectedFrame"), place("errorFrame"), place("closingFrame")), (0, 1, seen.len() - 1));
    let order = ["joinedFrame", "entryFrame", "leftFrame"].map(place);
    assert!(order.is_sorted(), "{seen:?}");
}

/// The names of the document's query; an example of each, if there is one.
fn query() -> Vec<(&'static str, Option<String>)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let properties = DOCUMENT.pointer(QUERY).unwrap()["properties"].as_object().unwrap();
    let example = |property: &Value| match &property["examples"][0] {
        Value::Null => None,
        Value::Array(values) => Some(text(&values[0])),
        value => Some(text(value)),
    };
    properties.iter().map(|(name, property)| (name.as_str(), example(property))).collect()
}

#[test]
fn the_examples_of_the_query_are_taken_together() {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    for (name, example) in query() {
        if let Some(example) = example {
            pairs.append_pair(name, &example);
        }
    }
    let text = pairs.finish();
    StreamRequest::parse(&text, None).unwrap_or_else(|problem| panic!("{text}: {}", problem.message));
}

/// Each of these is refused for what stands in it: so the name is one that is read.
#[test]
fn every_name_of_the_query_is_read() {
    let wrong = [
        ("access_token", "secret"),
        ("cursors", "no cursor"),
        ("last_event_id", "no id"),
        ("limit", "many"),
        ("room", "a b"),
        ("rooms", "a b"),
    ];
    let documented: BTreeSet<&str> = query().into_iter().map(|(name, _)| name).collect();
    assert_eq!(documented, wrong.iter().map(|(name, _)| *name).collect(), "say here what it refuses");
    for (name, value) in wrong {
        let text = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        match StreamRequest::parse(&text, None) {
            Ok(request) => assert!(name == "access_token" && request.token().is_some(), "{text} is taken"),
            Err(problem) => assert_eq!(problem.code, "invalid_request", "{text}"),
        }
    }
}

#[test]
fn query_and_schema_take_the_same_bounds() {
    let schema = schema_at(QUERY);
    let (long, longest) = ("r".repeat(129), "r".repeat(128));
    for (name, value, documented, is_right) in [
        ("limit", "1", json!(1), true),
        ("limit", "18446744073709551615", json!(u64::MAX), true),
        ("limit", "0", json!(0), true),
        ("limit", "-1", json!(-1), false),
        ("limit", "1.5", json!(1.5), false),
        ("limit", "many", json!("many"), false),
        ("room", "a,b", json!(["a,b"]), true),
        ("room", &longest, json!([&longest]), true),
        ("room", &long, json!([&long]), false),
        ("room", "", json!([""]), false),
        ("room", "a b", json!(["a b"]), false),
        ("unknown", "1", json!(1), true),
    ] {
        let text = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        assert_eq!(StreamRequest::parse(&text, None).is_ok(), is_right, "the request: {text}");
        assert_eq!(schema.is_valid(&json!({ name: documented })), is_right, "the schema: {text}");
    }
}

#[tokio::test]
async fn the_ways_to_show_the_token_are_those_of_the_document() {
    let (_, routes, token) = server().await;
    let schemes: Vec<&Value> = DOCUMENT["servers"]["localEvents"]["security"]
        .as_array()
        .unwrap()
        .iter()
        .map(|scheme| resolve("", scheme).1)
        .collect();
    let [header, in_query] = schemes[..] else { panic!("{schemes:?}") };
    assert_eq!((&header["type"], &header["scheme"]), (&json!("http"), &json!("bearer")));
    assert_eq!((&in_query["type"], &in_query["in"]), (&json!("httpApiKey"), &json!("query")));
    let query = format!("{}={token}", in_query["name"].as_str().unwrap());
    for (query, header, status) in [
        ("", None, 401),
        ("", Some(token.as_str()), 200),
        (query.as_str(), None, 200),
        (query.as_str(), Some(token.as_str()), 400),
    ] {
        assert_eq!(ask(&routes, query, header).await.status(), status, "{query} {header:?}");
    }
}

//! A real connection, held against the document: every operation answers as it says, within the bounds it names.

use std::{collections::BTreeMap, convert::Infallible};

use axum::{body::Body, http::Request};
use chat_core::{
    Chat, MAX_BODY_CHARS, MemberChange, NewRoom, Role, RoomId, UserId,
    auth::{JwtAuth, JwtClaims, JwtConfig, JwtSigner},
    rate_limit::{LocalRateLimiter, RateLimits},
};
use chat_gateway::{
    GatewayConfig, Limits,
    json::{self, ASYNCAPI, Incoming, Outgoing},
};
use futures::{SinkExt, StreamExt, channel::mpsc};
use jsonschema::Validator;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    commands::{PRESENCE_USERS, SIGNAL_BYTES},
    document::{DOCUMENT, fitting, resolve, validators},
};

/// A server without rooms or limits, and a token of `ann`.
pub(crate) fn chat() -> (Chat, String) {
    let signer = JwtSigner::hs256([7; 32]).unwrap();
    let jwt = JwtConfig::new([signer.key().unwrap()]).with_any_audience();
    let chat = Chat::builder()
        .memory()
        .auth(JwtAuth::new(jwt).unwrap())
        .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
        .build()
        .unwrap();
    let token = signer.sign(&JwtClaims::new(UserId::new("ann").unwrap())).unwrap();
    (chat, token)
}

/// One client of a server whose room `general` takes the longest bodies there are.
struct Client {
    token: String,
    outgoing: mpsc::Sender<Result<Incoming, Infallible>>,
    incoming: mpsc::Receiver<Outgoing>,
    frames: BTreeMap<String, Validator>,
    last_id: u64,
}

impl Client {
    async fn open() -> Self {
        let (chat, token) = chat();
        let (room, ann) = (RoomId::new("general").unwrap(), UserId::new("ann").unwrap());
        let system = chat.system(UserId::new("system").unwrap());
        let new = NewRoom::new(room.clone()).with_max_body_chars(MAX_BODY_CHARS);
        system.create_room(new).await.unwrap();
        system.change_member(&room, MemberChange::add(ann, Role::Owner)).await.unwrap();
        let (outgoing, from_client) = mpsc::channel(16);
        let (to_client, incoming) = mpsc::channel(16);
        let limits = Limits::new().with_frame_bytes(1024 * 1024);
        tokio::spawn(json::serve(chat, None, limits, from_client, to_client));
        Self { token, outgoing, incoming, frames: validators("Frame", true), last_id: 0 }
    }

    async fn send(&mut self, command: &Value) {
        self.outgoing.send(Ok(Incoming::Text(command.to_string()))).await.unwrap();
    }

    /// The next frame with its message's name. Whatever comes must be in the document.
    async fn next(&mut self) -> (String, Value) {
        let text = match self.incoming.next().await.unwrap() {
            Outgoing::Text(text) => text,
            other => panic!("{other:?}"),
        };
        let frame: Value = serde_json::from_slice(&text).unwrap();
        let [name] = fitting(&self.frames, &frame)[..] else {
            panic!("asyncapi.json knows no such frame: {frame}")
        };
        (name.to_owned(), frame)
    }

    async fn ask(&mut self, mut command: Value) -> (String, Value) {
        self.last_id += 1;
        command["id"] = self.last_id.into();
        self.send(&command).await;
        loop {
            let (name, frame) = self.next().await;
            if frame["reply"] == self.last_id {
                return (name, frame);
            }
        }
    }

    async fn connect(&mut self) {
        let (name, frame) = self.ask(json!({ "type": "connect", "token": self.token })).await;
        assert_eq!(name, "connectedFrame", "{frame}");
    }
}

/// The messages that answer an operation, the first of them for when it was done.
fn answers(operation: &Value) -> Vec<String> {
    let messages = operation["reply"]["messages"].as_array().unwrap();
    messages.iter().map(|message| resolve("", message).0.rsplit('/').next().unwrap().to_owned()).collect()
}

/// The example with values of this connection where it names some that exist elsewhere.
fn at_home(mut example: Value, token: &str, sent: Option<&Value>) -> Value {
    for (field, value) in example.as_object_mut().unwrap() {
        match (field.as_str(), sent) {
            ("token", _) => *value = token.into(),
            ("cursor" | "before", Some(sent)) => *value = sent["cursor"].clone(),
            ("target" | "after", Some(sent)) if value.as_str().is_some_and(|text| text.len() == 26) => {
                *value = sent["id"].clone();
            }
            _ => {}
        }
    }
    example
}

#[tokio::test]
async fn every_operation_is_answered_as_the_document_says() {
    let mut client = Client::open().await;
    let mut sent = None;
    // In an order in which each can be done.
    let order = [
        "connect", "join", "send", "edit", "react", "typing", "signal", "read", "history", "rooms",
        "members", "presence", "token", "ping", "delete", "leave",
    ];
    let operations = DOCUMENT["operations"].as_object().unwrap();
    let receiving = operations.values().filter(|operation| operation["action"] == "receive").count();
    assert_eq!(order.len(), receiving, "name the new operation in the order");
    for name in order {
        let key = format!("receive{}{}", name[..1].to_ascii_uppercase(), &name[1..]);
        let operation = &operations[&key];
        let (_, message) = resolve("", &operation["messages"][0]);
        let (_, message) = resolve("", message);
        let answers = answers(operation);
        assert_eq!(answers[1..], ["errorFrame"], "{key}");
        for example in message["examples"].as_array().unwrap() {
            let mut command = at_home(example["payload"].clone(), &client.token, sent.as_ref());
            if name == "connect" && command.get("token").is_none() {
                let (answer, frame) = client.ask(command).await;
                assert_eq!((answer.as_str(), &frame["code"]), ("errorFrame", &json!("already_connected")));
                continue;
            }
            if name == "join" && command.get("cursor").is_some() {
                let (_, page) = client.ask(json!({ "type": "history", "room": "general" })).await;
                command["cursor"] = page["page"]["cursor"].clone();
            }
            let (answer, frame) = client.ask(command.clone()).await;
            assert_eq!(answer, answers[0], "{command}: {frame}");
            if name == "send" {
                sent.get_or_insert(frame);
            }
        }
    }
}

#[tokio::test]
async fn the_bounds_of_the_document_are_those_of_the_server() {
    let mut client = Client::open().await;
    client.connect().await;
    client.ask(json!({ "type": "join", "room": "general", "limit": u64::MAX })).await;
    let users = |count| json!({ "type": "presence", "users": vec!["ann"; count] });
    let signal =
        |bytes| json!({ "type": "signal", "room": "general", "name": "n", "data": "x".repeat(bytes - 2) });
    let text = |text: &str| json!({ "type": "send", "room": "general", "clientId": text.len().to_string(), "text": text });
    let json_text = |chars| json!({ "type": "send", "room": "general", "clientId": format!("j{chars}"), "json": "é".repeat(chars - 2) });
    let most = usize::try_from(MAX_BODY_CHARS).unwrap();
    for (command, code) in [
        (users(PRESENCE_USERS), None),
        (users(PRESENCE_USERS + 1), Some("limit_exceeded")),
        (signal(SIGNAL_BYTES), None),
        (signal(SIGNAL_BYTES + 1), Some("limit_exceeded")),
        (text(&"é".repeat(most)), None),
        (text(&"é".repeat(most + 1)), Some("body_too_long")),
        (json_text(most), None),
        (json_text(most + 1), Some("body_too_long")),
        (text(" \u{2028}"), Some("body_blank")),
        (text("a\0"), Some("body_invalid")),
    ] {
        let short: String = command.to_string().chars().take(80).collect();
        let (_, frame) = client.ask(command).await;
        assert_eq!(frame["code"].as_str(), code, "{short}");
    }
}

#[tokio::test]
async fn the_websocket_closes_with_the_documented_number() {
    let mut client = Client::open().await;
    client.connect().await;
    client.outgoing.send(Ok(Incoming::Binary)).await.unwrap();
    let closing = loop {
        let (name, frame) = client.next().await;
        if name == "closingFrame" {
            break frame;
        }
    };
    let Some(Outgoing::Close { code, reason }) = client.incoming.next().await else { panic!("not closed") };
    let numbers = &DOCUMENT["components"]["schemas"]["CloseCode"]["x-websocket-codes"];
    assert_eq!((closing["code"].as_str(), numbers[reason].as_u64()), (Some(reason), Some(u64::from(code))));
}

#[tokio::test]
async fn the_document_is_served_to_whoever_asks() {
    let (chat, _) = chat();
    let routes = axum::Router::new().nest("/chat", chat_gateway::router(chat, GatewayConfig::new()));
    let request = Request::get("/chat/asyncapi.json").body(Body::empty()).unwrap();
    let response = routes.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    assert_eq!(body, ASYNCAPI);
}

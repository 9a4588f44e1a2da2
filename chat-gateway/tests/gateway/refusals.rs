//! What is refused, and what a refusal leaves as it was.

use std::time::Duration;

use chat_core::{
    Hooks, MemberChange, NewRoom, Role, RoomChange, RoomId, Storage as _, Verdict,
    auth::JwtClaims,
    rate_limit::{LocalRateLimiter, Quota, RateLimits},
};
use chat_gateway::{GatewayConfig, Limits};
use futures::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::world::{Server, room, settings, user};

#[tokio::test]
async fn every_refusal_has_its_code_and_the_connection_goes_on() {
    let server = Server::start().await;
    let system = server.chat.system(user("system"));
    for (id, role) in [("readers", Role::Reader), ("closed", Role::Member)] {
        let room = RoomId::new(id).unwrap();
        system.create_room(NewRoom::new(room.clone())).await.unwrap();
        system.change_member(&room, MemberChange::add(user("ann"), role)).await.unwrap();
    }
    let inactive = RoomChange { active: Some(false), ..RoomChange::default() };
    system.update_room(&RoomId::new("closed").unwrap(), inactive).await.unwrap();
    system.create_room(NewRoom::new(RoomId::new("others").unwrap())).await.unwrap();
    let mut ann = server.client("ann").await;
    let bobs = server.say("bob's").await;
    let epoch = bobs.split('.').next().unwrap().to_owned();
    let page = ann.ask(json!({"type": "history", "room": "general"})).await;
    let target = page["page"]["entries"][0]["id"].clone();
    let none = "01J00000000000000000000000";
    let send = |room: &str, client_id: &str, text: &str| json!({"type": "send", "room": room, "clientId": client_id, "text": text});
    ann.ask(send("general", "twice", "one")).await;
    let many: Vec<String> = (0..201).map(|n| format!("user-{n}")).collect();
    let unread = ann.ask(json!({"type": "send", "room": "general", "clientId": "c-9", "text": 1})).await;
    assert_eq!(
        (&unread["code"], &unread["room"], &unread["clientId"]),
        (&json!("invalid_request"), &json!("general"), &json!("c-9"))
    );
    for (frame, code) in [
        (json!({"type": "fly"}), "unknown_command"),
        (json!({"type": "join"}), "invalid_request"),
        (json!({"type": "connect", "token": "x"}), "already_connected"),
        (json!({"type": "typing", "room": "general"}), "not_joined"),
        (json!({"type": "signal", "room": "general", "name": "n"}), "not_joined"),
        (json!({"type": "leave", "room": "general"}), "not_joined"),
        (json!({"type": "join", "room": "others"}), "not_a_member"),
        (send("readers", "c", "no"), "forbidden"),
        (send("closed", "c", "no"), "room_inactive"),
        (send("general", "c", "  "), "body_blank"),
        (send("general", "c", &"x".repeat(1_001)), "body_too_long"),
        (send("general", "twice", "two"), "client_id_conflict"),
        (json!({"type": "delete", "room": "general", "clientId": "d", "target": none}), "target_not_found"),
        (
            json!({"type": "edit", "room": "general", "clientId": "e", "target": target, "text": "mine"}),
            "target_not_own",
        ),
        (json!({"type": "history", "room": "general", "before": none}), "message_not_found"),
        (json!({"type": "history", "room": "general", "after": "other.1"}), "cursor_reset"),
        (json!({"type": "read", "room": "general", "cursor": format!("{epoch}.99")}), "cursor_reset"),
        (json!({"type": "presence", "users": many}), "limit_exceeded"),
        (json!({"type": "token", "token": "rubbish"}), "unauthenticated"),
        (json!({"type": "token", "token": server.token("bob")}), "other_user"),
    ] {
        let shown = frame.to_string();
        assert_eq!(ann.refused(frame).await, code, "{shown}");
    }
    ann.send_text("not json").await;
    let error = ann.next_of("error").await;
    assert_eq!((&error["code"], error.get("reply")), (&json!("malformed"), None));
    let error = ann.ask(send("others", "c-9", "x")).await;
    assert_eq!((&error["clientId"], &error["room"]), (&json!("c-9"), &json!("others")));
    assert_eq!(ann.ask(json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test]
async fn a_trimmed_log_says_that_the_cursor_expired() {
    let server = Server::start().await;
    let first = server.say("one").await;
    for _ in 0..5 {
        server.say("more").await;
    }
    let retention = chat_core::Retention { max_entries: Some(2), not_before: None };
    server.store.message_log().trim(&room(), retention).await.unwrap();
    let mut ann = server.client("ann").await;
    let history = json!({"type": "history", "room": "general", "after": first});
    assert_eq!(ann.refused(history).await, "cursor_expired");
}

#[derive(Debug)]
struct NoSwearing;

#[async_trait::async_trait]
impl Hooks for NoSwearing {
    async fn before_append(&self, _: &chat_core::Draft) -> Verdict {
        Verdict::Reject("mind your language".to_owned())
    }
}

#[tokio::test]
async fn a_hooks_reason_reaches_the_sender() {
    let server = Server::build(settings(), GatewayConfig::new(), |builder| builder.hooks(NoSwearing)).await;
    let mut ann = server.client("ann").await;
    let error = ann.ask(json!({"type": "send", "room": "general", "clientId": "c", "text": "darn"})).await;
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("rejected"), &json!("rejected: mind your language"))
    );
}

#[tokio::test]
async fn too_many_sends_are_told_when_to_go_on() {
    let limits = RateLimits::unlimited().with_user_sends(Some(Quota::new(1, 2)));
    let server = Server::build(settings(), GatewayConfig::new(), |builder| {
        builder.limiter(LocalRateLimiter::new(&limits))
    })
    .await;
    let mut ann = server.client("ann").await;
    let mut last = json!(null);
    for n in 0..3 {
        let client_id = format!("c-{n}");
        last = ann.ask(json!({"type": "send", "room": "general", "clientId": client_id, "text": "x"})).await;
    }
    assert_eq!((&last["code"], &last["retryable"]), (&json!("rate_limited"), &json!(true)));
    let wait = last["retryAfterMs"].as_u64().unwrap();
    assert!((1..=1_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn too_many_commands_are_refused_and_then_read_more_slowly() {
    let server = Server::with(settings(), Limits::new().with_commands(100, 5)).await;
    let mut ann = server.client("ann").await;
    for id in 1..=60 {
        ann.send(json!({"type": "ping", "id": id})).await;
    }
    let (mut pongs, mut refused) = (0, 0);
    for id in 1..=60 {
        let frame = ann.next().await;
        assert_eq!(frame["reply"], id);
        match frame["type"].as_str().unwrap() {
            "pong" => pongs += 1,
            _ => {
                assert_eq!(frame["code"], "rate_limited");
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && refused < 40 && pongs >= 20, "{refused} refused, {pongs} answered");
}

#[tokio::test]
async fn a_connection_that_is_not_one_is_closed() {
    let limits = Limits::new().with_connect_timeout(Duration::from_millis(300)).with_frame_bytes(2_000);
    let server = Server::with(settings(), limits).await;
    let long = format!(r#"{{"type":"ping","x":"{}"}}"#, "x".repeat(4_000));
    for (first, code, number) in [
        (None, "connect_timeout", 4003),
        (Some(Message::text("rubbish")), "malformed", 4004),
        (Some(Message::text(r#"{"type":"fly"}"#)), "malformed", 4004),
        (Some(Message::text(r#"{"type":"connect","token":7}"#)), "malformed", 4004),
        (Some(Message::binary(vec![1, 2])), "binary_frame", 4004),
        (Some(Message::text(long.as_str())), "frame_too_large", 4004),
        (Some(Message::text(r#"{"type":"connect","id":1,"token":"x"}"#)), "unauthenticated", 4001),
        (Some(Message::text(r#"{"type":"connect","id":1}"#)), "unauthenticated", 4001),
    ] {
        let shown = format!("{first:?}");
        let mut client = server.open().await;
        if let Some(first) = first {
            client.socket.send(first).await.unwrap();
        }
        let (closing, websocket) = client.closing().await;
        assert_eq!((closing["code"].as_str().unwrap(), websocket), (code, number), "{shown}");
        if code == "frame_too_large" {
            assert_eq!(closing["message"], "a frame has at most 2000 bytes");
        }
    }
    // What is not `connect` is refused, and `connect` may still come.
    let mut client = server.open().await;
    assert_eq!(client.refused(json!({"type": "ping"})).await, "not_connected");
    assert_eq!(
        client.ask(json!({"type": "connect", "token": server.token("ann")})).await["type"],
        "connected"
    );
    // The same bounds hold afterwards.
    client.send_text(&long).await;
    assert_eq!(client.closing().await.1, 4004);
    let mut client = server.client("ann").await;
    client.socket.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(client.closing().await.0["code"], "binary_frame");
}

#[tokio::test]
async fn an_expired_token_is_refused_with_its_code() {
    let server = Server::start().await;
    let expired = JwtClaims::new(user("ann")).with_expiry(chat_core::Timestamp::from_secs(1_000));
    let mut client = server.open().await;
    let error = client.ask(json!({"type": "connect", "token": server.token_for(&expired)})).await;
    assert_eq!(error["code"], "token_expired");
    assert_eq!(client.closing().await.1, 4001);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let server = Server::start().await;
    let origin = |origin: String| {
        server.open_with(move |request| {
            request.headers_mut().insert("Origin", origin.parse().unwrap());
        })
    };
    let Err(tungstenite::Error::Http(response)) = origin("https://evil.example".to_owned()).await else {
        panic!()
    };
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(origin(format!("http://{}", server.address)).await.is_ok());
    let config = GatewayConfig::new().with_allowed_origins(["https://app.example/".to_owned()]);
    let server = Server::build(settings(), config, |builder| builder).await;
    let listed = server
        .open_with(|request| {
            request.headers_mut().insert("Origin", "https://app.example".parse().unwrap());
        })
        .await;
    assert!(listed.is_ok());
}

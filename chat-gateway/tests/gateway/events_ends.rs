//! Event streams: who is refused, and how they end.

use std::time::Duration;

use chat_core::{
    MemberChange, NewRoom, Role, RoomId, Timestamp, TokenId,
    auth::{JwtClaims, Revocation, RevocationScope},
};
use chat_gateway::{GatewayConfig, Limits};
use reqwest::{Client, Method, StatusCode};
use serde_json::json;

use crate::{
    failing::Broken,
    world::{Server, room, settings, user},
};

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come about");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_before_the_stream() {
    let mut settings = settings();
    settings.rooms_per_session = 2;
    let server = Server::with(settings, Limits::new()).await;
    let mut source = server.source("ann", "rooms=general", "").await;
    server.say("1").await;
    source.next_of("entry").await;
    let id = source.last_id.clone();
    drop(source);
    for (query, last_id, expected) in [
        ("rooms=general", "nonsense", (400, "invalid_request")),
        ("rooms=general", &*format!("{id}~"), (400, "invalid_request")),
        ("rooms=general,second", &*id, (400, "invalid_request")),
        ("rooms=general&last_event_id=nonsense", "", (400, "invalid_request")),
        ("rooms=a%20b", "", (400, "invalid_request")),
        ("rooms=a,b,c", "", (400, "limit_exceeded")),
        ("rooms=nowhere", "", (403, "not_a_member")),
    ] {
        let (status, code) = server.events("ann", query, last_id).await.refusal().await;
        assert_eq!((status, &*code), expected, "{query} {last_id}");
    }
    let (status, code) = server.events("eve", "rooms=general", "").await.refusal().await;
    assert_eq!((status, &*code), (403, "not_a_member"));
    until(|| server.chat.session_count() == 0).await;
}

#[tokio::test]
async fn a_token_stands_in_the_header_or_in_the_query() {
    let server = Server::start().await;
    let token = server.token("ann");
    let client = Client::new();
    let get = |query: String| client.get(server.url(&format!("/events?rooms=general{query}")));
    let expired = server.token_for(&JwtClaims::new(user("ann")).with_expiry(Timestamp::from_secs(1_000)));
    for (request, status) in [
        (get(String::new()), 401),
        (get("&access_token=".to_owned()), 401),
        (get("&access_token=nonsense".to_owned()), 401),
        (get(String::new()).bearer_auth("nonsense"), 401),
        (get(String::new()).bearer_auth(expired), 401),
        (get(String::new()).header("authorization", format!("Basic {token}")), 401),
        (get(format!("&access_token={token}")).bearer_auth(&token), 400),
        (get(format!("&access_token={token}")).header("origin", "https://evil.example"), 403),
        (get(format!("&access_token={token}")), 200),
        (get(String::new()).bearer_auth(&token), 200),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().contains_key("www-authenticate"), status == 401);
    }
}

#[tokio::test]
async fn asking_for_the_headers_opens_nothing_and_other_methods_are_refused() {
    let server = Server::start().await;
    let client = Client::new();
    let ask = |method: Method| client.request(method, server.url("/events?rooms=general"));
    let head = ask(Method::HEAD).bearer_auth(server.token("ann")).send().await.unwrap();
    assert_eq!(
        (head.status(), head.headers()["content-type"].to_str().unwrap()),
        (StatusCode::OK, "text/event-stream")
    );
    assert_eq!(server.chat.session_count(), 0);
    assert_eq!(ask(Method::HEAD).send().await.unwrap().status(), 401);
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let refused = ask(method).bearer_auth(server.token("ann")).send().await.unwrap();
        assert_eq!(refused.status(), 405);
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn presence_is_up_with_the_stream_and_down_with_its_end() {
    let server = Server::start().await;
    let bob = server.chat.system(user("bob"));
    let online = async || {
        let ann = bob.presence(&[user("ann")]).await.unwrap();
        (ann[0].online, ann[0].connections)
    };
    assert_eq!(online().await, (false, 0));
    let mut source = server.source("ann", "rooms=general", "").await;
    source.next_of("joined").await;
    assert_eq!(online().await, (true, 1));
    let gone = std::time::Instant::now();
    drop(source);
    until(|| server.chat.session_count() == 0).await;
    while online().await != (false, 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(gone.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_removed_member_is_told_and_the_other_rooms_go_on() {
    let server = Server::start().await;
    let second = RoomId::new("second").unwrap();
    let system = server.chat.system(user("system"));
    system.create_room(NewRoom::new(second.clone())).await.unwrap();
    system.change_member(&second, MemberChange::add(user("ann"), Role::Member)).await.unwrap();
    let mut source = server.source("ann", "rooms=general,second", "").await;
    source.next_of("joined").await;
    source.next_of("joined").await;
    server.say("1").await;
    source.next_of("entry").await;
    system.change_member(&second, MemberChange::remove(user("ann"))).await.unwrap();
    let left = source.next_of("left").await;
    assert_eq!((&left["room"], &left["reason"]), (&json!("second"), &json!("removed")));
    server.say("2").await;
    assert_eq!(source.next_of("entry").await["entry"]["seq"], 2);
    let id = source.last_id.clone();
    drop(source);
    // It comes back by itself with the same rooms: the one is refused within the stream, the other goes on.
    server.say("3").await;
    let mut source = server.source("ann", "rooms=general,second", &id).await;
    let error = source.next_of("error").await;
    assert_eq!((&error["room"], &error["code"]), (&json!("second"), &json!("not_a_member")));
    assert_eq!(source.next_of("joined").await["outcome"], "recovered");
    assert_eq!(source.next_of("entry").await["entry"]["seq"], 3);
    drop(source);
    // Where nothing is left to follow, it is told to stop.
    system.change_member(&room(), MemberChange::remove(user("ann"))).await.unwrap();
    let (status, code) = server.events("ann", "rooms=general,second", &id).await.refusal().await;
    assert_eq!((status, &*code), (403, "not_a_member"));
}

#[tokio::test]
async fn a_revoked_token_ends_the_stream_and_opens_none() {
    let server = Server::start().await;
    let id = TokenId::new("t-1").unwrap();
    let token = server.token_for(&JwtClaims::new(user("ann")).with_id(id.clone()));
    let open = async || {
        let request = Client::new().get(server.url("/events?rooms=general")).bearer_auth(&token);
        crate::source::Opened { response: request.send().await.unwrap() }
    };
    let mut source = open().await.source();
    source.next_of("joined").await;
    let until = Timestamp::from_secs(u64::from(u32::MAX));
    let revocation = Revocation { user: user("ann"), scope: RevocationScope::Token(id), until };
    server.chat.revoke(revocation).await.unwrap();
    assert_eq!(source.closing().await, "token_revoked");
    assert_eq!(open().await.refusal().await, (401, "token_revoked".to_owned()));
}

#[tokio::test]
async fn an_expiring_token_is_announced_and_ends_the_stream() {
    let server = Server::start().await;
    let claims = JwtClaims::new(user("ann")).with_lifetime(Duration::from_secs(2));
    let url = server.url(&format!("/events?rooms=general&access_token={}", server.token_for(&claims)));
    let open = async || crate::source::Opened { response: reqwest::get(&url).await.unwrap() };
    let mut source = open().await.source();
    let connected = source.next_of("connected").await;
    assert_eq!(source.next_of("expiring").await["expiresAt"], connected["expiresAt"]);
    assert_eq!(source.closing().await, "token_expired");
    assert_eq!(open().await.refusal().await, (401, "token_expired".to_owned()));
    until(|| server.chat.session_count() == 0).await;
}

#[tokio::test]
async fn a_replaced_stream_is_not_opened_again_by_itself() {
    let mut settings = settings();
    settings.sessions_per_user = 1;
    let server = Server::with(settings, Limits::new()).await;
    let mut first = server.source("ann", "rooms=general", "").await;
    server.say("1").await;
    first.next_of("entry").await;
    let mut second = server.source("ann", "rooms=general", "").await;
    second.next_of("joined").await;
    assert_eq!(first.closing().await, "replaced");
    // What a browser does by itself is answered so that it stops, and the other stream stays.
    let again = server.events("ann", "rooms=general", &first.last_id).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
    assert_eq!(server.chat.session_count(), 1);
    // A page that means it gets on from where it was.
    server.say("2").await;
    let mut third = server.source("ann", &format!("rooms=general&last_event_id={}", first.last_id), "").await;
    assert_eq!(third.next_of("joined").await["outcome"], "recovered");
    assert_eq!(third.next_of("entry").await["entry"]["seq"], 2);
    assert_eq!(second.closing().await, "replaced");
}

#[tokio::test]
async fn draining_asks_clients_to_come_back_elsewhere() {
    let server = Server::start().await;
    let mut source = server.source("ann", "rooms=general", "").await;
    source.next_of("joined").await;
    let chat = server.chat.clone();
    let drain = chat.drain(Duration::from_secs(5), Duration::from_secs(5));
    let (closing, ()) = tokio::join!(source.next_of("closing"), drain);
    assert_eq!(closing["code"], "draining");
    assert_eq!(closing["reconnectAfterMs"].as_u64(), source.retry);
    assert_eq!(source.next_or_end().await, None);
    assert_eq!(server.chat.session_count(), 0);
    // An EventSource gives up on any status but 200, and this one is to come back.
    let mut late = server.source("ann", "rooms=general", "").await;
    let error = late.next_of("error").await;
    assert_eq!((&error["code"], &error["retryable"]), (&json!("draining"), &json!(true)));
    assert_eq!(late.closing().await, "draining");
    assert!(late.retry.unwrap() >= 1_000);
}

#[tokio::test]
async fn a_failure_that_may_pass_is_told_within_a_stream_that_ends() {
    let server = Server::build(settings(), GatewayConfig::new(), |builder| builder.log(Broken)).await;
    let mut source = server.source("ann", "rooms=general&cursors=e.1", "").await;
    let error = source.next_of("error").await;
    assert_eq!(error["retryable"], true, "{error}");
    assert!(!error.to_string().contains("hunter2"));
    assert_eq!(source.next_or_end().await, None);
    assert!(source.last_id.ends_with("~e.1"), "where it stood it still stands: {}", source.last_id);
    until(|| server.chat.session_count() == 0).await;
}

//! How connections end.

use std::time::Duration;

use chat_core::{
    MemberChange, Timestamp, TokenId,
    auth::{JwtClaims, Revocation, RevocationScope},
};
use chat_gateway::Limits;
use futures::StreamExt;
use serde_json::json;

use crate::world::{Server, room, settings, user};

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
async fn a_token_is_renewed_and_the_last_one_ends_the_connection() {
    let server = Server::start().await;
    let short =
        |secs| server.token_for(&JwtClaims::new(user("ann")).with_lifetime(Duration::from_secs(secs)));
    let mut ann = server.open().await;
    let connected = ann.ask(json!({"type": "connect", "token": short(2)})).await;
    let expiring = ann.next_of("expiring").await;
    assert_eq!(expiring["expiresAt"], connected["expiresAt"]);
    let renewed = ann.ask(json!({"type": "token", "token": short(4)})).await;
    assert_eq!(renewed["type"], "ok");
    assert!(renewed["expiresAt"].as_str() > connected["expiresAt"].as_str(), "{renewed} {connected}");
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    assert_eq!(ann.ask(json!({"type": "ping"})).await["type"], "pong");
    let (closing, code) = ann.closing().await;
    assert_eq!((closing["code"].as_str().unwrap(), code), ("token_expired", 4001));
    until(|| server.chat.session_count() == 0).await;
}

#[tokio::test]
async fn a_revoked_token_ends_the_connection_and_opens_none() {
    let server = Server::start().await;
    let id = TokenId::new("t-1").unwrap();
    let token = server.token_for(&JwtClaims::new(user("ann")).with_id(id.clone()));
    let mut ann = server.open().await;
    ann.ask(json!({"type": "connect", "token": token})).await;
    let until = Timestamp::from_secs(u64::from(u32::MAX));
    let revocation = Revocation { user: user("ann"), scope: RevocationScope::Token(id), until };
    server.chat.revoke(revocation).await.unwrap();
    let (closing, code) = ann.closing().await;
    assert_eq!((closing["code"].as_str().unwrap(), code), ("token_revoked", 4001));
    let mut again = server.open().await;
    assert_eq!(again.ask(json!({"type": "connect", "token": token})).await["code"], "token_revoked");
    assert_eq!(again.closing().await.1, 4001);
}

#[tokio::test]
async fn the_oldest_of_too_many_connections_is_replaced() {
    let mut settings = settings();
    settings.sessions_per_user = 1;
    let server = Server::with(settings, Limits::new()).await;
    let mut first = server.client("ann").await;
    let _second = server.client("ann").await;
    let (closing, code) = first.closing().await;
    assert_eq!((closing["code"].as_str().unwrap(), code), ("replaced", 4002));
}

#[tokio::test]
async fn draining_asks_clients_to_come_back_elsewhere() {
    let server = Server::start().await;
    let mut ann = server.joined("ann").await;
    let drain = server.chat.drain(Duration::from_secs(5), Duration::from_secs(5));
    let ((closing, code), ()) = tokio::join!(ann.closing(), drain);
    assert_eq!((closing["code"].as_str().unwrap(), code), ("draining", 4000));
    assert!(closing["reconnectAfterMs"].as_u64().unwrap() <= 5_000);
    assert_eq!(server.chat.session_count(), 0);
    let mut late = server.open().await;
    assert_eq!(late.ask(json!({"type": "connect", "token": server.token("ann")})).await["code"], "draining");
    assert_eq!(late.closing().await.1, 4000);
}

#[tokio::test]
async fn a_removed_member_is_told_and_hears_no_more() {
    let server = Server::start().await;
    let mut ann = server.joined("ann").await;
    let system = server.chat.system(user("system"));
    system.change_member(&room(), MemberChange::remove(user("ann"))).await.unwrap();
    assert_eq!(ann.next_of("left").await, json!({"type": "left", "room": "general", "reason": "removed"}));
    assert_eq!(ann.refused(json!({"type": "join", "room": "general"})).await, "not_a_member");
}

#[tokio::test]
async fn a_client_that_goes_leaves_no_session_behind() {
    let server = Server::start().await;
    let dropped = server.joined("ann").await;
    let mut closed = server.joined("bob").await;
    assert_eq!(server.chat.session_count(), 2);
    closed.socket.close(None).await.unwrap();
    drop(dropped);
    until(|| server.chat.session_count() == 0).await;
    // The close was answered, so this side ends without an error.
    while let Some(frame) = closed.socket.next().await {
        frame.unwrap();
    }
}

#[tokio::test]
async fn a_silent_client_is_closed_and_one_that_answers_pings_is_not() {
    let mut settings = settings();
    settings.heartbeat_interval = Duration::from_millis(150);
    let limits = Limits::new().with_idle_slack(Duration::from_millis(100));
    let server = Server::with(settings, limits).await;
    let mut silent = server.client("ann").await;
    let mut listening = server.client("bob").await;
    // Reading answers the pings.
    for _ in 0..8 {
        listening.next_of("heads").await;
    }
    assert_eq!(listening.ask(json!({"type": "ping"})).await["type"], "pong");
    let (closing, code) = silent.closing().await;
    assert_eq!((closing["code"].as_str().unwrap(), code), ("idle", 4006));
}

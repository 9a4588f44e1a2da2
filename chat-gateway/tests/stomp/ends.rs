//! How connections begin and end.

use std::time::{Duration, SystemTime};

use chat_core::{Settings, auth::JwtClaims};
use chat_gateway::{
    Limits,
    stomp::{Command, Frame, FrameLimits, StompConfig},
};

use crate::{
    client::{Client, chat, frame},
    study::{Server, user},
};

#[tokio::test]
async fn the_newest_subprotocol_is_confirmed() {
    let server = Server::start().await;
    for path in ["/stomp", "/ws-chat", "/ws-chat/websocket"] {
        let mut client = Client::open(&server, path, "v10.stomp, v11.stomp, v12.stomp").await;
        assert!(client.subprotocol.as_deref().is_some_and(|name| name.ends_with(".stomp")), "{path}");
        let connected = client.ask_to_connect(&server.token(1)).await;
        assert_eq!(connected.header("version"), Some("1.2"));
        assert_eq!(connected.header("heart-beat"), Some("10000,10000"));
        client.subscribe("room", "/topic/chatroom/7", None).await;
        client.send(chat(7, 1, path)).await;
        assert_eq!(client.content().await, path);
        client.ask(frame(Command::Disconnect)).await;
        assert_eq!(client.try_next().await, None, "closed after the receipt");
    }
    assert_eq!(Client::open(&server, "/stomp", "").await.subprotocol, None);
}

#[tokio::test]
async fn nobody_is_let_in_without_good_credentials() {
    let server = Server::start().await;
    let mut client = Client::open(&server, "/stomp", "").await;
    client.send(frame(Command::Connect).with("accept-version", "1.2")).await;
    assert_eq!(client.ended().await, "unauthenticated");
    let mut client = Client::open(&server, "/stomp", "").await;
    let error = client.ask_to_connect("forged").await;
    assert_eq!((error.command, error.header("code")), (Command::Error, Some("unauthenticated")));
    let mut client = Client::open(&server, "/stomp", "").await;
    let connect = frame(Command::Stomp).with("accept-version", "1.2").with("passcode", server.token(1));
    client.send(connect).await;
    assert_eq!(client.next().await.command, Command::Connected);
}

#[tokio::test]
async fn what_breaks_the_rules_is_told_and_ended() {
    let config =
        StompConfig::new().with_frames(FrameLimits::new().with_body_bytes(1_000)).with_subscriptions(2);
    let server = Server::with(config, Settings::default()).await;
    let mut client = Client::open(&server, "/stomp", "").await;
    assert_eq!(client.refused(chat(7, 1, "x")).await, "not_connected");
    let mut client = Client::open(&server, "/stomp", "").await;
    client.send(frame(Command::Connect).with("accept-version", "9")).await;
    assert_eq!(client.ended().await, "unsupported");
    for (sent, code) in [
        (frame(Command::Connect), "already_connected"),
        (frame(Command::Message), "unknown_command"),
        (frame(Command::Subscribe).with("id", "1"), "invalid_request"),
        (
            frame(Command::Subscribe)
                .with("id", "1")
                .with("destination", "/topic/chatroom/7")
                .with("cursor", "!"),
            "invalid_request",
        ),
        (frame(Command::Commit).with("transaction", "none"), "invalid_request"),
        (
            frame(Command::Send).with("destination", "/app/chat.sendMessage").with_body("x".repeat(1_001)),
            "limit_exceeded",
        ),
    ] {
        let mut client = Client::connect(&server, 1).await;
        assert_eq!(client.refused(sent.clone()).await, code, "{sent:?}");
    }
    let mut client = Client::joined(&server, 1).await;
    let third = frame(Command::Subscribe).with("id", "3").with("destination", "/topic/chatroom/7");
    assert_eq!(client.refused(third).await, "limit_exceeded");
}

#[tokio::test]
async fn a_frame_that_the_transport_does_not_take_is_told_too() {
    let server = Server::start().await;
    let mut client = Client::connect(&server, 1).await;
    let large =
        frame(Command::Send).with("destination", "/app/chat.sendMessage").with_body("x".repeat(200_000));
    assert_eq!(client.refused(large).await, "frame_too_large");
}

#[tokio::test]
async fn a_client_that_does_not_connect_is_closed() {
    let config =
        StompConfig::new().with_limits(Limits::new().with_connect_timeout(Duration::from_millis(50)));
    let server = Server::with(config, Settings::default()).await;
    let mut client = Client::open(&server, "/stomp", "").await;
    assert_eq!(client.ended().await, "connect_timeout");
}

#[tokio::test]
async fn who_promises_to_speak_and_does_not_is_closed() {
    let config = StompConfig::new()
        .with_heartbeat(Duration::from_millis(50))
        .with_heartbeat_tolerance(Duration::from_millis(100));
    let server = Server::with(config, Settings::default()).await;
    let mut client = Client::open(&server, "/stomp", "").await;
    assert_eq!(promise_to_speak(&mut client, &server).await.header("heart-beat"), Some("50,50"));
    assert_eq!(client.ended().await, "idle");
}

async fn promise_to_speak(client: &mut Client, server: &Server) -> Frame {
    let connect = frame(Command::Connect)
        .with("accept-version", "1.2")
        .with("passcode", server.token(1))
        .with("heart-beat", "50,0");
    client.send(connect).await;
    client.next().await
}

/// A page in the background, whose timers its browser slows down.
#[tokio::test]
async fn who_speaks_less_often_than_promised_but_answers_pings_stays() {
    let config = StompConfig::new()
        .with_heartbeat(Duration::from_millis(50))
        .with_ping_interval(Some(Duration::from_millis(100)));
    let server = Server::with(config, Settings::default()).await;
    for path in ["/stomp", "/ws-chat"] {
        let mut client = Client::open(&server, path, "").await;
        promise_to_speak(&mut client, &server).await;
        let silent = tokio::time::timeout(Duration::from_millis(600), client.try_next()).await;
        assert!(silent.is_err(), "{path}: {silent:?}");
        client.send(chat(7, 1, path)).await;
        client.ask(frame(Command::Disconnect)).await;
    }
}

#[tokio::test]
async fn a_client_that_is_still_there_may_be_silent() {
    let config = StompConfig::new().with_ping_interval(Some(Duration::from_millis(20)));
    let server = Server::with(config, Settings::default()).await;
    let mut client = Client::joined(&server, 1).await;
    assert!(tokio::time::timeout(Duration::from_millis(300), client.try_next()).await.is_err(), "pings only");
    client.send(chat(7, 1, "still here")).await;
    assert_eq!(client.content().await, "still here");
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_gone() {
    let config = StompConfig::new()
        .with_ping_interval(Some(Duration::from_millis(20)))
        .with_limits(Limits::new().with_idle_slack(Duration::from_millis(100)));
    let server = Server::with(config, Settings::default()).await;
    // A socket that nobody reads answers nothing.
    let client = Client::joined(&server, 1).await;
    let gone = async {
        while server.chat.session_count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the session ends");
    drop(client);
}

#[tokio::test]
async fn the_end_of_the_session_is_the_end_of_the_connection() {
    let server = Server::start().await;
    let claims = JwtClaims::new(user(1)).with_expiry((SystemTime::now() + Duration::from_secs(2)).into());
    let mut client = Client::open(&server, "/stomp", "").await;
    assert_eq!(client.ask_to_connect(&server.token_for(&claims)).await.command, Command::Connected);
    assert_eq!(client.ended().await, "token_expired");
    let mut client = Client::connect(&server, 1).await;
    server.chat.drain(Duration::ZERO, Duration::from_secs(1)).await;
    assert_eq!(client.ended().await, "draining");
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_up_nobody_and_loses_its_connection() {
    let limits = Limits::new().with_write_timeout(Duration::from_millis(300));
    let server = Server::with(StompConfig::new().with_limits(limits), Settings::default()).await;
    let slow = Client::joined(&server, 1).await;
    let mut fast = Client::joined(&server, 2).await;
    let content = "x".repeat(850);
    // More than the connection's buffers take.
    for _ in 0..100_000 {
        server.say(&content).await;
        assert_eq!(fast.content().await, content);
        if server.chat.session_count() == 1 {
            break;
        }
    }
    assert_eq!(server.chat.session_count(), 1);
    drop(slow);
}

//! What is bounded, and what happens at the bound.

use std::time::Duration;

use chat_gateway::sockjs::SockJsConfig;
use reqwest::Method;

use crate::server::{Server, session};

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_and_the_session_goes_on() {
    let server = Server::with(SockJsConfig::new().with_request_bytes(100)).await;
    let path = session("/echo");
    assert_eq!(server.poll(&path).await, "o\n");
    assert_eq!(server.send(&path, &format!("[\"{}\"]", "x".repeat(97))).await, 413);
    assert_eq!(server.send(&path, &format!("[\"{}\"]", "x".repeat(96))).await, 204);
    assert_eq!(server.poll(&path).await.len(), 102);
}

#[tokio::test]
async fn a_session_nobody_asks_for_is_forgotten() {
    let config = SockJsConfig::new().with_session_timeout(Duration::from_millis(200)).with_sessions(1);
    let server = Server::with(config).await;
    let path = session("/echo");
    assert_eq!(server.poll(&path).await, "o\n");
    let other = server.post(&format!("{}/xhr", session("/echo")), "").await;
    assert_eq!(other.status(), 503, "there is no room for another");
    while server.send(&path, "[]").await != 404 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.poll(&session("/echo")).await, "o\n");
}

#[tokio::test]
async fn a_silent_session_has_heartbeats() {
    let server = Server::with(SockJsConfig::new().with_heartbeat_interval(Duration::from_millis(50))).await;
    let path = session("/silent");
    for expected in ["o\n", "h\n", "h\n"] {
        assert_eq!(server.poll(&path).await, expected);
    }
}

#[tokio::test]
async fn a_handler_that_does_not_read_costs_a_bounded_queue() {
    let config = SockJsConfig::new().with_queues(2, 1_000).with_write_timeout(Duration::from_millis(100));
    let server = Server::with(config).await;
    let path = session("/silent");
    assert_eq!(server.poll(&path).await, "o\n");
    assert_eq!(server.send(&path, "[\"a\",\"b\"]").await, 204);
    assert_eq!(server.send(&path, "[\"c\"]").await, 503);
    assert_eq!(server.poll(&path).await, "c[1002,\"Connection interrupted\"]\n");
}

#[tokio::test]
async fn pages_of_other_origins_may_be_kept_out() {
    let allowed = "https://app.example".to_owned();
    let server = Server::with(SockJsConfig::new().with_allowed_origins([allowed])).await;
    for (origin, status) in [("https://app.example", 200), ("https://evil.example", 403), ("null", 403)] {
        let info = server.request(Method::GET, "/echo/info", &[("origin", origin)], "").await;
        assert_eq!(info.status(), status, "{origin}");
        assert_eq!(info.headers().contains_key("access-control-allow-origin"), status == 200);
    }
    assert_eq!(server.get("/echo/info").await.status(), 200, "a program has no origin");
}

//! What is bounded, and what happens at the bound.

use std::time::Duration;

use chat_gateway::sockjs::SockJsConfig;
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

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
async fn what_waits_for_a_handler_is_bounded_by_its_bytes_too() {
    let config = SockJsConfig::new()
        .with_queues(1_000, 1_000)
        .with_incoming_bytes(1_000)
        .with_write_timeout(Duration::from_millis(100));
    let server = Server::with(config).await;
    let path = session("/silent");
    assert_eq!(server.poll(&path).await, "o\n");
    let body = format!("[\"{}\"]", "x".repeat(600));
    assert_eq!(server.send(&path, &body).await, 204);
    assert_eq!(server.send(&path, &body).await, 503);
    assert_eq!(server.poll(&path).await, "c[1002,\"Connection interrupted\"]\n");
    // One that is larger than all of that waits alone, and what was taken makes room.
    let path = session("/echo");
    assert_eq!(server.poll(&path).await, "o\n");
    for _ in 0..3 {
        assert_eq!(server.send(&path, &format!("[\"{}\"]", "y".repeat(5_000))).await, 204);
        assert_eq!(server.poll(&path).await.len(), 5_006);
    }
}

/// Several requests of one session at once cost one body at a time.
#[tokio::test]
async fn requests_that_send_take_turns_in_the_order_in_which_they_came() {
    let server = Server::with(SockJsConfig::new().with_write_timeout(Duration::from_millis(800))).await;
    let path = session("/echo");
    assert_eq!(server.poll(&path).await, "o\n");
    let head = |length: usize| {
        format!("POST {path}/xhr_send HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")
    };
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(format!("{}[\"fi", head(9)).as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let second = async { server.send(&path, "[\"second\"]").await };
    let finish = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        first.write_all(b"rst\"]").await.unwrap();
    };
    assert_eq!(tokio::join!(second, finish).0, 204);
    let mut messages = server.poll(&path).await;
    if !messages.contains("second") {
        messages += &server.poll(&path).await;
    }
    assert!(messages.find("first") < messages.find("second"), "{messages}");
    assert!(messages.contains("first"), "{messages}");
    // One whose body does not come loses its turn.
    let mut third = TcpStream::connect(server.address).await.unwrap();
    third.write_all(format!("{}[\"th", head(9)).as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    third.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
    assert_eq!(server.send(&path, "[\"fourth\"]").await, 204);
}

#[tokio::test]
async fn one_peer_has_only_so_many_sessions() {
    let config = SockJsConfig::new()
        .with_sessions_per_peer(2)
        .with_session_timeout(Duration::from_millis(300))
        .with_peer(|request| request.headers.get("x-real-ip")?.to_str().ok()?.parse().ok());
    let server = Server::with(config).await;
    let open = async |peer: &'static str| {
        let path = format!("{}/xhr", session("/echo"));
        server.request(Method::POST, &path, &[("x-real-ip", peer)], "").await.status().as_u16()
    };
    for (peer, status) in [("192.0.2.1", 200), ("192.0.2.1", 200), ("192.0.2.1", 503), ("192.0.2.2", 200)] {
        assert_eq!(open(peer).await, status, "{peer}");
    }
    for _ in 0..5 {
        assert_eq!(open("unknown").await, 200, "who is not known is not counted");
    }
    // Sessions that nobody comes back for end by themselves.
    while open("192.0.2.1").await != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
    // The page for frames is of this host, and for those pages alone.
    let iframe = server.get("/echo/iframe.html").await;
    assert_eq!(iframe.headers()["content-security-policy"], "frame-ancestors 'self' https://app.example");
    assert_eq!(iframe.headers()["cache-control"], "no-cache", "the list may change");
    let from_it = [("host", "chat.example"), ("origin", "https://chat.example")];
    assert_eq!(server.request(Method::POST, "/echo/000/from-it/xhr", &from_it, "").await.status(), 200);
    let upgrade = [from_it[0], from_it[1], ("connection", "upgrade"), ("upgrade", "websocket")];
    assert_eq!(server.request(Method::GET, "/echo/000/from-it/websocket", &upgrade, "").await.status(), 403);
}

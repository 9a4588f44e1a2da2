//! Which answers are compressed.

use std::{io::Read, sync::Arc};

use chat_gateway::GatewayConfig;
use reqwest::{Client, Response, header::HeaderMap};

use crate::world::{Server, settings};

async fn server(config: GatewayConfig) -> Server {
    let metrics = config.with_metrics(Arc::new(|| "chat_gateway_connections 1\n".repeat(100)));
    let server = Server::build(settings(), metrics, |builder| builder).await;
    for n in 0..20 {
        server.say(&format!("message {n} {}", "and more of it ".repeat(5))).await;
    }
    server
}

async fn get(server: &Server, path: &str, accepted: &str) -> Response {
    let request = Client::new().get(server.url(path)).bearer_auth(server.token("ann"));
    let request = if accepted.is_empty() { request } else { request.header("accept-encoding", accepted) };
    request.send().await.unwrap()
}

fn encoding(headers: &HeaderMap) -> Option<&str> {
    headers.get("content-encoding").map(|value| value.to_str().unwrap())
}

const HISTORY: &str = "/rooms/general/messages";

#[tokio::test]
async fn a_client_gets_what_it_accepts() {
    let server = server(GatewayConfig::new()).await;
    let plain = get(&server, HISTORY, "").await;
    assert_eq!(encoding(plain.headers()), None);
    let plain = plain.bytes().await.unwrap();
    for (accepted, expected) in [
        ("gzip", Some("gzip")),
        ("gzip, deflate, br", Some("br")),
        ("br;q=0.5, gzip", Some("gzip")),
        ("deflate, zstd", None),
        ("identity", None),
        ("gzip;q=0", None),
    ] {
        let response = get(&server, HISTORY, accepted).await;
        assert_eq!(encoding(response.headers()), expected, "{accepted}");
        assert_eq!(response.headers()["vary"], "accept-encoding");
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = response.bytes().await.unwrap();
        let mut read = Vec::new();
        match expected {
            Some("gzip") => flate2::read::GzDecoder::new(&*body).read_to_end(&mut read).unwrap(),
            Some(_) => brotli::Decompressor::new(&*body, 4_096).read_to_end(&mut read).unwrap(),
            None => (&*body).read_to_end(&mut read).unwrap(),
        };
        assert_eq!(read, plain, "{accepted}");
        assert_eq!(body.len() < plain.len() / 2, expected.is_some(), "{accepted}: {} bytes", body.len());
    }
    let metrics = get(&server, "/metrics", "gzip").await;
    assert_eq!(encoding(metrics.headers()), Some("gzip"));
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
}

#[tokio::test]
async fn small_answers_go_as_they_are() {
    let server = server(GatewayConfig::new()).await;
    for path in ["/rooms/general", "/health", "/rooms/nowhere", "/nowhere", "/rooms/general/messages?limit=1"]
    {
        let response = get(&server, path, "gzip, br").await;
        assert_eq!(encoding(response.headers()), None, "{path}");
        assert!(response.bytes().await.unwrap().len() < 1_024, "{path}");
    }
    let eager = self::server(GatewayConfig::new().with_compression_from(10)).await;
    assert_eq!(encoding(get(&eager, "/rooms/general", "gzip").await.headers()), Some("gzip"));
    let never = self::server(GatewayConfig::new().without_compression()).await;
    assert_eq!(encoding(get(&never, HISTORY, "gzip, br").await.headers()), None);
}

#[tokio::test]
async fn a_stream_is_never_compressed() {
    let server = server(GatewayConfig::new().with_compression_from(0)).await;
    let response = get(&server, "/events?rooms=general", "gzip, br").await;
    let mut source = crate::source::Opened { response }.source();
    assert_eq!(source.next_of("joined").await["page"]["entries"].as_array().unwrap().len(), 20);
    server.say("live").await;
    assert_eq!(source.next_of("entry").await["entry"]["text"], "live");
}

//! The services that the suite asks for, and requests to them.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use bytes::Bytes;
use chat_gateway::sockjs::{Close, SockJsConfig, SockJsSession, router};
use futures::{Stream, StreamExt};
use reqwest::{Client, Method, Response};

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    client: Client,
}

pub(crate) async fn echo(mut session: SockJsSession) {
    let sender = session.sender();
    while let Some(text) = session.next().await {
        if sender.send(text).await.is_err() {
            return;
        }
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(SockJsConfig::new().with_response_limit_bytes(4_096)).await
    }

    pub(crate) async fn with(config: SockJsConfig) -> Self {
        let close = |session: SockJsSession| async move { session.sender().close(Close::GO_AWAY) };
        let panics = |session: SockJsSession| async move {
            drop(session);
            panic!("as a handler may");
        };
        let silent = |session: SockJsSession| async move { session.sender().closed().await };
        let routes = Router::new()
            .merge(router("/echo", config.clone(), echo))
            .merge(router("/cookie_needed_echo", config.clone().with_cookie_needed(), echo))
            .merge(router("/disabled_websocket_echo", config.clone().without_websocket(), echo))
            .merge(router("/silent", config.clone(), silent))
            .merge(router("/panics", config.clone(), panics))
            .nest("/nested", router("/deep/close", config.clone(), close))
            .merge(router("/close", config, close));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, client: Client::builder().timeout(Duration::from_secs(20)).build().unwrap() }
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let mut request =
            self.client.request(method, format!("http://{}{path}", self.address)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Response {
        self.request(Method::POST, path, &[], body).await
    }

    /// One answer of a polling transport.
    pub(crate) async fn poll(&self, session: &str) -> String {
        let answer = self.post(&format!("{session}/xhr"), "").await;
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    }

    pub(crate) async fn send(&self, session: &str, body: &str) -> u16 {
        self.post(&format!("{session}/xhr_send"), body).await.status().as_u16()
    }
}

/// A session nobody has used.
pub(crate) fn session(service: &str) -> String {
    format!("{service}/000/{}", chat_core::RoomId::generate())
}

/// The next piece of an answer that goes on; `None` at its end.
pub(crate) async fn piece(
    stream: &mut (impl Stream<Item = reqwest::Result<Bytes>> + Unpin),
) -> Option<String> {
    let piece =
        tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("a piece in time")?;
    Some(String::from_utf8(piece.unwrap().to_vec()).unwrap())
}

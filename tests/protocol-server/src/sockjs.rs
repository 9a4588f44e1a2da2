//! The services that SockJS's own suite asks for.

use axum::Router;
use chat_gateway::sockjs::{Close, SockJsConfig, SockJsSession, router};
use futures::StreamExt as _;

/// The largest power of two that is sent.
const MAX_EXPONENT: u32 = 19;

pub(crate) fn routes(config: &SockJsConfig) -> Router {
    Router::new()
        .merge(router("/echo", config.clone(), echo))
        .merge(router("/disabled_websocket_echo", config.clone().without_websocket(), echo))
        .merge(router("/cookie_needed_echo", config.clone().with_cookie_needed(), echo))
        .merge(router("/close", config.clone(), close))
        .merge(router("/amplify", config.clone(), amplify))
}

async fn echo(mut session: SockJsSession) {
    let sender = session.sender();
    while let Some(text) = session.next().await {
        if sender.send(text).await.is_err() {
            return;
        }
    }
}

async fn close(session: SockJsSession) {
    session.sender().close(Close::GO_AWAY);
}

async fn amplify(mut session: SockJsSession) {
    let sender = session.sender();
    while let Some(text) = session.next().await {
        let exponent = text.trim().parse().ok().filter(|exponent| *exponent <= MAX_EXPONENT).unwrap_or(0_u32);
        if sender.send("x".repeat(1 << exponent)).await.is_err() {
            return;
        }
    }
}

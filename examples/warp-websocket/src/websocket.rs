//! The JSON protocol over warp's WebSocket: who may open one, and its messages in the library's words.

use std::sync::Arc;

use bytes::Bytes;
use chat_core::Chat;
use chat_gateway::{
    GatewayConfig, Problem,
    json::{self, Incoming, Outgoing},
};
use futures::{SinkExt, StreamExt, future::ready};
use warp::{
    Filter, Rejection, Reply,
    http::{HeaderMap, StatusCode, header},
    reply::Response,
    ws::{Message, Ws},
};

/// `GET /chat/ws`.
pub(crate) fn route(
    chat: Chat,
    config: GatewayConfig,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static {
    let config = Arc::new(config);
    warp::path!("chat" / "ws")
        .and(warp::ws())
        .and(warp::header::headers_cloned())
        .map(move |ws: Ws, headers: HeaderMap| open(chat.clone(), &config, ws, &headers))
}

fn open(chat: Chat, config: &GatewayConfig, ws: Ws, headers: &HeaderMap) -> Response {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    if !config.allows_origin(text(header::ORIGIN), text(header::HOST)) {
        return refused(&Problem::new("forbidden", "pages of this origin may not connect"));
    }
    let credentials = match json::bearer(text(header::AUTHORIZATION)) {
        Ok(credentials) => credentials,
        Err(problem) => return refused(&problem),
    };
    let limits = config.limits().clone();
    // The library says what is too large; what is much larger is not even read.
    let most = limits.frame_bytes.saturating_mul(2);
    let upgraded = ws.max_message_size(most).max_frame_size(most).on_upgrade(|socket| async move {
        let (sink, stream) = socket.split();
        let incoming = stream.map(|message| message.map(|message| incoming(&message)));
        let outgoing = sink.with(|frame| ready(Ok::<_, warp::Error>(outgoing(frame))));
        json::serve(chat, credentials, limits, incoming, outgoing).await;
    });
    let asked = text(header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
    if asked.split(',').any(|name| name.trim() == json::SUBPROTOCOL) {
        return warp::reply::with_header(upgraded, header::SEC_WEBSOCKET_PROTOCOL, json::SUBPROTOCOL)
            .into_response();
    }
    upgraded.into_response()
}

fn incoming(message: &Message) -> Incoming {
    match message.to_str() {
        Ok(text) => Incoming::Text(text.to_owned()),
        Err(()) if message.is_binary() => Incoming::Binary,
        Err(()) if message.is_close() => Incoming::Close,
        // Pings are answered by warp.
        Err(()) => Incoming::Alive,
    }
}

fn outgoing(frame: Outgoing) -> Message {
    match frame {
        // It always is UTF-8.
        Outgoing::Text(text) => Message::text(String::from_utf8_lossy(&text)),
        Outgoing::Ping => Message::ping(Bytes::new()),
        Outgoing::Close { code, reason } => Message::close_with(code, reason),
    }
}

/// What is wrong, as everywhere in this protocol.
pub(crate) fn refused(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = warp::reply::with_header(problem.to_json(), header::CONTENT_TYPE, "application/problem+json");
    warp::reply::with_status(body, status).into_response()
}

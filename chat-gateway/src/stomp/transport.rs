//! STOMP on axum: over plain WebSockets, and over SockJS.

use std::sync::Arc;

use axum::{
    Error,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt, future::ready};
use tokio_tungstenite::tungstenite;

use super::{Application, Incoming, Outgoing, StompConfig, Version, serve};
use crate::{Problem, axum::origin};

/// Read at a time: the default of 128 KiB is kept by every connection, and most of them are silent.
const READ_BUFFER: usize = 4 * 1024;

/// Gathered before there is a write: enough for some hundred messages.
const WRITE_BUFFER: usize = 64 * 1024;

/// STOMP over a plain WebSocket, as a route for any path. Of the subprotocols `v12.stomp`, `v11.stomp` and `v10.stomp` the
/// newest is confirmed to a client that asks for some; the frames say which version is spoken.
///
/// ```
/// # fn routes(application: impl chat_gateway::stomp::Application) -> axum::Router {
/// use chat_gateway::stomp::{self, StompConfig};
///
/// axum::Router::new().route("/stomp", stomp::websocket(application, StompConfig::new()))
/// # }
/// ```
pub fn websocket(application: impl Application, config: StompConfig) -> MethodRouter {
    let application = Arc::new(application);
    get(move |headers: HeaderMap, uri: Uri, upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>| {
        ready(open(application.clone(), config.clone(), &headers, &uri, upgrade))
    })
}

fn open(
    application: Arc<impl Application>,
    config: StompConfig,
    headers: &HeaderMap,
    uri: &Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if !origin::allowed(&config.origins, headers, uri) {
        return Problem::new("forbidden", "pages of this origin may not connect").into_response();
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Problem::new("upgrade_required", rejection.body_text()).into_response(),
    };
    let frames = config.frames;
    // A message may be a whole frame, with a line's end after each header.
    let most = frames.body_bytes.saturating_add(frames.head_bytes).saturating_add(3 * frames.headers + 64);
    upgrade
        .protocols(Version::ALL.map(Version::subprotocol))
        .max_frame_size(most)
        .max_message_size(most)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .on_upgrade(move |socket| async move {
            let (sink, stream) = socket.split();
            let incoming = stream.map(incoming);
            let outgoing = sink.with(|out| ready(Ok::<_, Error>(outgoing(out))));
            serve(&*application, config, incoming, outgoing).await;
        })
}

fn incoming(message: Result<Message, Error>) -> Result<Incoming, Error> {
    Ok(match message {
        Ok(Message::Text(text)) => Incoming::Data(text.into()),
        Ok(Message::Binary(bytes)) => Incoming::Data(bytes),
        Ok(Message::Ping(_) | Message::Pong(_)) => Incoming::Alive,
        Ok(Message::Close(_)) => Incoming::Close,
        Err(error) => {
            let inner = error.into_inner();
            match inner.downcast_ref::<tungstenite::Error>() {
                Some(tungstenite::Error::Capacity(_)) => Incoming::TooLarge,
                _ => return Err(Error::new(inner)),
            }
        }
    })
}

fn outgoing(out: Outgoing) -> Message {
    match out {
        // Text where it is some: clients in browsers read it sooner.
        Outgoing::Data(bytes) => match Utf8Bytes::try_from(bytes.clone()) {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Binary(bytes),
        },
        Outgoing::Ping => Message::Ping(Bytes::new()),
        Outgoing::Close { code, reason } => {
            Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }))
        }
    }
}

/// STOMP under a path such as `/ws-chat`: over every transport of SockJS, and over a plain WebSocket at the path itself and
/// at `/websocket` under it. Only text can be carried: a body that is not UTF-8 ends the connection.
///
/// Where `sockjs` names no subprotocols, STOMP's are confirmed.
#[cfg(feature = "sockjs")]
pub fn sockjs_router(
    prefix: &str,
    sockjs: crate::sockjs::SockJsConfig,
    application: impl Application,
    config: StompConfig,
) -> axum::Router {
    use crate::sockjs::{Close, SessionEnded, SockJsSender, SockJsSession};

    async fn send(sender: SockJsSender, out: Outgoing) -> Result<SockJsSender, SessionEnded> {
        match out {
            Outgoing::Data(bytes) => match String::from_utf8(bytes.into()) {
                Ok(text) => sender.send(text).await?,
                Err(_) => sender.close(Close::new(1003, "Text expected")),
            },
            Outgoing::Ping => {}
            Outgoing::Close { code, reason } => sender.close(Close::new(code, reason)),
        }
        Ok(sender)
    }

    let application = Arc::new(application);
    let config = config.with_ping_interval(None);
    let sockjs = if sockjs.subprotocols.is_empty() {
        sockjs.with_subprotocols(Version::ALL.map(|version| version.subprotocol().to_owned()))
    } else {
        sockjs
    };
    crate::sockjs::router(prefix, sockjs, move |session: SockJsSession| {
        let (application, config) = (application.clone(), config.clone());
        async move {
            let outgoing = futures::sink::unfold(session.sender(), send);
            let incoming = session.map(|text| Ok::<_, SessionEnded>(Incoming::Data(Bytes::from(text))));
            serve(&*application, config, incoming, outgoing).await;
        }
    })
}

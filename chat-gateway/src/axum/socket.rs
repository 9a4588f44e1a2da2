//! The WebSocket's route: the handshake, and what becomes of its messages.

use std::io;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt, future::ready};
use hyper::upgrade::{self, OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        handshake::server::create_response_with_body,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tracing::debug;

use super::{Gateway, gathered::Gathered, origin};
use crate::{
    Problem,
    json::{self, Incoming, Outgoing},
    rest::bearer,
};

/// Read at a time: the default of 128 KiB is kept by every connection, and most of them are silent. Enough for what people write.
const READ_BUFFER: usize = 1024;

/// Gathered before there is a write: enough for some thirty entries.
const WRITE_BUFFER: usize = 16 * 1024;

/// As axum's own extractor would have it, but for what comes between the WebSocket and its connection.
pub(super) async fn upgrade(State(gateway): State<Gateway>, mut request: Request) -> Response {
    let config = &gateway.config;
    if !origin::allowed(&config.origins, request.headers(), request.uri()) {
        return Problem::new("forbidden", "pages of this origin may not connect").into_response();
    }
    let credentials = match bearer(request.headers()) {
        Ok(credentials) => credentials,
        Err(problem) => return problem.into_response(),
    };
    let mut response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => return Problem::new("upgrade_required", error.to_string()).into_response(),
    };
    if request.extensions().get::<OnUpgrade>().is_none() {
        let problem = Problem::new("upgrade_required", "this connection cannot become a WebSocket");
        return problem.into_response();
    }
    if asks_for(request.headers(), json::SUBPROTOCOL) {
        let subprotocol = HeaderValue::from_static(json::SUBPROTOCOL);
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    let limits = config.limits.clone();
    let settings = WebSocketConfig::default()
        .max_frame_size(Some(limits.frame_bytes))
        .max_message_size(Some(limits.frame_bytes))
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0);
    let upgraded = upgrade::on(&mut request);
    tokio::spawn(async move {
        let transport = match upgraded.await {
            Ok(transport) => Gathered::new(TokioIo::new(transport), WRITE_BUFFER),
            Err(error) => return debug!(%error, "a connection did not become a WebSocket"),
        };
        let socket = WebSocketStream::from_raw_socket(transport, Role::Server, Some(settings)).await;
        let (sink, stream) = socket.split();
        let incoming = stream.filter_map(|message| ready(incoming(message)));
        let outgoing = sink.with(|frame| ready(outgoing(frame)));
        json::serve(gateway.chat, credentials, limits, incoming, outgoing).await;
    });
    response
}

/// Whether the client names this subprotocol among those that it knows.
fn asks_for(headers: &HeaderMap, subprotocol: &str) -> bool {
    let named = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|name| name.trim() == subprotocol)
}

fn incoming(message: Result<Message, Error>) -> Option<Result<Incoming, Error>> {
    Some(match message {
        Ok(Message::Text(text)) => Ok(Incoming::Text(text.as_str().to_owned())),
        Ok(Message::Binary(_)) => Ok(Incoming::Binary),
        Ok(Message::Ping(_) | Message::Pong(_)) => Ok(Incoming::Alive),
        Ok(Message::Close(_)) => Ok(Incoming::Close),
        // Frames as they are come out of no reading.
        Ok(Message::Frame(_)) => return None,
        Err(Error::Capacity(_)) => Ok(Incoming::TooLarge),
        Err(error) => Err(error),
    })
}

fn outgoing(frame: Outgoing) -> Result<Message, Error> {
    Ok(match frame {
        Outgoing::Text(text) => {
            let text = Utf8Bytes::try_from(text);
            Message::Text(text.map_err(|error| Error::Io(io::Error::new(io::ErrorKind::InvalidData, error)))?)
        }
        Outgoing::Ping => Message::Ping(Bytes::new()),
        Outgoing::Close { code, reason } => {
            let code = CloseCode::from(code);
            Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }))
        }
    })
}

use axum::{
    Error,
    extract::{
        State,
        ws::{
            CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
        },
    },
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt, future::ready};
use tokio_tungstenite::tungstenite;

use super::{Gateway, origin};
use crate::{
    Problem,
    json::{self, Incoming, Outgoing},
    rest::bearer,
};

/// Read at a time: the default of 128 KiB is kept by every connection, and most of them are silent. Enough for what people write.
const READ_BUFFER: usize = 1024;

/// Gathered before there is a write: enough for some thirty entries. A connection that once had as much to write keeps it.
const WRITE_BUFFER: usize = 16 * 1024;

pub(super) async fn upgrade(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let config = &gateway.config;
    if !origin::allowed(&config.origins, &headers, &uri) {
        return Problem::new("forbidden", "pages of this origin may not connect").into_response();
    }
    let credentials = match bearer(&headers) {
        Ok(credentials) => credentials,
        Err(problem) => return problem.into_response(),
    };
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            return Problem::new("upgrade_required", rejection.body_text()).into_response();
        }
    };
    let limits = config.limits.clone();
    upgrade
        .protocols([json::SUBPROTOCOL])
        .max_frame_size(limits.frame_bytes)
        .max_message_size(limits.frame_bytes)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .on_upgrade(move |socket: WebSocket| {
            let (sink, stream) = socket.split();
            let incoming = stream.filter_map(|message| ready(incoming(message)));
            let outgoing = sink.with(|frame| ready(outgoing(frame)));
            json::serve(gateway.chat, credentials, limits, incoming, outgoing)
        })
}

fn incoming(message: Result<Message, Error>) -> Option<Result<Incoming, Error>> {
    Some(match message {
        Ok(Message::Text(text)) => Ok(Incoming::Text(text.as_str().to_owned())),
        Ok(Message::Binary(_)) => Ok(Incoming::Binary),
        Ok(Message::Ping(_) | Message::Pong(_)) => Ok(Incoming::Alive),
        Ok(Message::Close(_)) => Ok(Incoming::Close),
        Err(error) => {
            let inner = error.into_inner();
            match inner.downcast_ref::<tungstenite::Error>() {
                Some(tungstenite::Error::Capacity(_)) => Ok(Incoming::TooLarge),
                _ => Err(Error::new(inner)),
            }
        }
    })
}

fn outgoing(frame: Outgoing) -> Result<Message, Error> {
    Ok(match frame {
        Outgoing::Text(text) => Message::Text(Utf8Bytes::try_from(text).map_err(Error::new)?),
        Outgoing::Ping => Message::Ping(Bytes::new()),
        Outgoing::Close { code, reason } => {
            Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }))
        }
    })
}

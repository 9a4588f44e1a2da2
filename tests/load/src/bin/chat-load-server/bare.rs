//! The least: a broadcast channel for each room, a task for each connection, one write for each message.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{Message, Utf8Bytes, WebSocket},
    },
    response::Response,
    routing::get,
};
use futures::{SinkExt as _, StreamExt as _};
use tokio::sync::broadcast;

/// Messages that may wait for a slow connection before it misses some.
const WAITING: usize = 1_024;

type Rooms = Arc<Mutex<HashMap<String, broadcast::Sender<Utf8Bytes>>>>;

pub(crate) fn routes() -> Router {
    Router::new().route("/{room}", get(upgrade)).with_state(Rooms::default())
}

async fn upgrade(
    State(rooms): State<Rooms>,
    Path(room): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let channel = {
        let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.entry(room).or_insert_with(|| broadcast::channel(WAITING).0).clone()
    };
    // As a careful server sets it: the default of 128 KiB is kept by every connection.
    upgrade.read_buffer_size(4 * 1024).on_upgrade(|socket| repeat(socket, channel))
}

async fn repeat(socket: WebSocket, channel: broadcast::Sender<Utf8Bytes>) {
    let mut said = channel.subscribe();
    let (mut sink, mut stream) = socket.split();
    loop {
        tokio::select! {
            text = said.recv() => match text {
                Ok(text) => {
                    if sink.send(Message::Text(text)).await.is_err() {
                        return;
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            },
            heard = stream.next() => match heard {
                Some(Ok(Message::Text(text))) => {
                    // This connection hears it too, so that there is always somebody.
                    let _ = channel.send(text);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}

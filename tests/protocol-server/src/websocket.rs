//! A plain WebSocket that sends back what it gets.

use std::sync::Arc;

use axum::{
    extract::{
        State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    response::Response,
};

pub(crate) async fn echo(State(max_bytes): State<Arc<usize>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(*max_bytes).max_frame_size(*max_bytes).on_upgrade(serve)
}

async fn serve(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let answer = match message {
            Message::Text(_) | Message::Binary(_) => message,
            // The library answers these.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => continue,
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

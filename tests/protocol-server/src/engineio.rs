//! Engine.IO by itself: whatever comes goes back, as the protocol's own suite asks.

use std::sync::Arc;

use bytes::Bytes;
use engineioxide::{
    DisconnectReason, Socket, Str, config::EngineIoConfig, handler::EngineIoHandler, layer::EngineIoLayer,
};

use crate::options::Options;

/// A layer that answers under `/engine.io`.
pub(crate) fn layer(options: &Options) -> EngineIoLayer<Echo> {
    let config = EngineIoConfig::builder()
        .req_path("/engine.io")
        .ping_interval(options.ping_interval())
        .ping_timeout(options.ping_timeout())
        .max_payload(options.socketio_bytes as u64)
        .ws_max_message_size(options.socketio_bytes)
        .ws_max_frame_size(options.socketio_bytes)
        .max_buffer_size(options.socketio_packets)
        .build();
    EngineIoLayer::from_config(Arc::new(Echo), config)
}

#[derive(Debug, Clone)]
pub(crate) struct Echo;

impl EngineIoHandler for Echo {
    type Data = ();

    fn on_connect(self: Arc<Self>, _: Arc<Socket<()>>) {}

    fn on_disconnect(&self, _: Arc<Socket<()>>, _: DisconnectReason) {}

    fn on_message(self: &Arc<Self>, message: Str, socket: Arc<Socket<()>>) {
        if socket.emit(message).is_err() {
            // It sends more than it takes.
            socket.close(DisconnectReason::TransportError);
        }
    }

    fn on_binary(self: &Arc<Self>, bytes: Bytes, socket: Arc<Socket<()>>) {
        if socket.emit_binary(bytes).is_err() {
            socket.close(DisconnectReason::TransportError);
        }
    }
}

//! Socket.IO, set up as for a chat: what the protocol's own suite asks of its server.

mod arguments;
mod away;

use std::future::ready;

use chat_gateway::{
    Limits,
    socketio::{
        self,
        socketioxide::{
            extract::{AckSender, Data, SocketRef},
            layer::SocketIoLayer,
        },
    },
};
use serde::Serialize;

use self::arguments::Arguments;
use crate::options::Options;

/// A layer that answers under `/socket.io`.
pub(crate) fn layer(options: &Options) -> anyhow::Result<SocketIoLayer> {
    let limits = Limits::new()
        .with_frame_bytes(options.socketio_bytes)
        .with_connect_timeout(options.connect_timeout());
    let (layer, io) = socketio::builder(&limits)
        .ping_interval(options.ping_interval())
        .ping_timeout(options.ping_timeout())
        .max_buffer_size(options.socketio_packets)
        .build_layer();
    for namespace in ["/", "/custom"] {
        io.ns(namespace, async |socket: SocketRef, auth: Data<rmpv::Value>| connected(&socket, &auth.0));
    }
    away::mount(&io, limits)?;
    Ok(layer)
}

/// What is done before a future is made happens in the order of the events.
fn connected(socket: &SocketRef, auth: &rmpv::Value) {
    say(socket, "auth", auth);
    socket.on("message", |socket: SocketRef, Data::<Arguments>(arguments)| {
        say(&socket, "message-back", &arguments);
        ready(())
    });
    socket.on("message-with-ack", |socket: SocketRef, Data::<Arguments>(arguments), ack: AckSender| {
        if ack.send(&arguments).is_err() {
            leave(socket);
        }
        ready(())
    });
    socket.on("emit-with-ack", async |socket: SocketRef, Data::<Arguments>(arguments)| {
        let asked = socket.emit_with_ack::<_, Arguments>("emit-with-ack", &arguments);
        let Ok(answer) = asked else { return leave(socket) };
        // A client that does not acknowledge is told nothing.
        if let Ok(acknowledged) = answer.await {
            say(&socket, "emit-with-ack", &acknowledged);
        }
    });
}

/// A client that sends more than it takes is let go.
fn say<T: Serialize>(socket: &SocketRef, event: &str, data: &T) {
    if socket.emit(event, data).is_err() {
        leave(socket.clone());
    }
}

fn leave(socket: SocketRef) {
    // It fails where the client is gone, or its buffer is full: then the next ping finds it out.
    let _ = socket.disconnect();
}

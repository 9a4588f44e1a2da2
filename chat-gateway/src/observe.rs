//! What the gateway counts, through the [`metrics`](https://docs.rs/metrics) facade; the application installs a recorder.
//!
//! | metric | type | labels | what |
//! |---|---|---|---|
//! | [`chat_gateway_connections`](CONNECTIONS) | gauge | `transport` | clients that are connected |
//! | [`chat_gateway_commands_total`](COMMANDS) | counter | `type` | commands that came over a WebSocket, and frames that came as STOMP, and were understood |
//! | [`chat_gateway_frames_sent_total`](FRAMES_SENT) | counter | `transport` | frames that clients were sent: answers and events |
//! | [`chat_gateway_errors_total`](ERRORS) | counter | `code` | refusals, in frames and as HTTP responses |
//! | [`chat_gateway_closings_total`](CLOSINGS) | counter | `transport`, `code` | connections that the server ended |
//!
//! | label | values |
//! |---|---|
//! | `transport` | `websocket` (and every other transport of [`json::serve`](crate::json::serve)), `sse`, `stomp` |
//! | `type` | the commands of the protocol, and STOMP's, which are written in capitals |
//! | `code` | [`CODES`](crate::CODES); of closings [`CLOSE_CODES`](crate::json::CLOSE_CODES) |
//!
//! Rooms and users are never labels, so that the number of series stays small. The engine and its backends have
//! [metrics of their own](chat_core::observe).

/// Gauge: clients that are connected.
pub const CONNECTIONS: &str = "chat_gateway_connections";

/// Counter: commands that came over a WebSocket and were understood.
pub const COMMANDS: &str = "chat_gateway_commands_total";

/// Counter: frames that clients were sent.
pub const FRAMES_SENT: &str = "chat_gateway_frames_sent_total";

/// Counter: refusals, in frames and as HTTP responses.
pub const ERRORS: &str = "chat_gateway_errors_total";

/// Counter: connections that the server ended.
pub const CLOSINGS: &str = "chat_gateway_closings_total";

/// Tells the installed recorder what the gateway's metrics mean. Call it once, after installing one, and with
/// it that of [`chat_core::observe`].
pub fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_gauge};

    describe_gauge!(CONNECTIONS, Unit::Count, "Clients that are connected");
    describe_counter!(COMMANDS, Unit::Count, "Commands that came over a WebSocket and were understood");
    describe_counter!(FRAMES_SENT, Unit::Count, "Frames that clients were sent: answers and events");
    describe_counter!(ERRORS, Unit::Count, "Refusals, in frames and as HTTP responses");
    describe_counter!(CLOSINGS, Unit::Count, "Connections that the server ended");
}

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    Sse,
    #[cfg(feature = "socketio")]
    SocketIo,
    #[cfg(feature = "stomp")]
    Stomp,
}

impl Transport {
    const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            #[cfg(feature = "socketio")]
            Self::SocketIo => "socketio",
            #[cfg(feature = "stomp")]
            Self::Stomp => "stomp",
        }
    }
}

/// Counts a connection for as long as it is there.
#[derive(Debug)]
pub(crate) struct Counted(Transport);

impl Counted {
    pub(crate) fn new(transport: Transport) -> Self {
        metrics::gauge!(CONNECTIONS, "transport" => transport.name()).increment(1.0);
        Self(transport)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!(CONNECTIONS, "transport" => self.0.name()).decrement(1.0);
    }
}

pub(crate) fn command(name: &'static str) {
    metrics::counter!(COMMANDS, "type" => name).increment(1);
}

pub(crate) fn frames_sent(transport: Transport, count: u64) {
    metrics::counter!(FRAMES_SENT, "transport" => transport.name()).increment(count);
}

pub(crate) fn error(code: &'static str) {
    metrics::counter!(ERRORS, "code" => code).increment(1);
}

pub(crate) fn closing(transport: Transport, code: &'static str) {
    metrics::counter!(CLOSINGS, "transport" => transport.name(), "code" => code).increment(1);
}

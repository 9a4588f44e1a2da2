use std::{net::SocketAddr, time::Duration};

use clap::Parser;

/// The gateway's transports without a chat behind them, for protocol suites.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8081")]
    pub(crate) address: SocketAddr,
    /// Bytes after which a streaming answer of SockJS ends.
    #[arg(long, default_value_t = 4_096)]
    pub(crate) streaming_limit: usize,
    /// Bytes of one request or WebSocket message of SockJS.
    #[arg(long, default_value_t = 16 * 1024 * 1024)]
    pub(crate) sockjs_bytes: usize,
    /// Milliseconds until a silent client of SockJS is sent a heartbeat.
    #[arg(long, default_value_t = 25_000, value_parser = clap::value_parser!(u64).range(1..))]
    sockjs_heartbeat_ms: u64,
    /// Milliseconds for which a session of SockJS lives without a request that waits for messages.
    #[arg(long, default_value_t = 5_000)]
    sockjs_session_timeout_ms: u64,
    /// Bytes of one message of `/ws-echo`.
    #[arg(long, default_value_t = 16 * 1024 * 1024)]
    pub(crate) websocket_bytes: usize,
    /// Bytes of the body of one STOMP frame.
    #[arg(long, default_value_t = 1024 * 1024)]
    pub(crate) stomp_bytes: usize,
    /// Milliseconds between heart-beats of STOMP, in both directions; 0 for none.
    #[arg(long, default_value_t = 10_000)]
    stomp_heartbeat_ms: u64,
    /// Milliseconds that a client of STOMP may be silent beyond twice what was agreed on.
    #[arg(long, default_value_t = 60_000)]
    stomp_tolerance_ms: u64,
    /// Bytes that all topics of STOMP keep for those who are behind.
    #[arg(long, default_value_t = 64 * 1024 * 1024)]
    pub(crate) topic_bytes: usize,
    /// Milliseconds between pings of Engine.IO and Socket.IO. Their own suites want 300.
    #[arg(long, default_value_t = 25_000, value_parser = clap::value_parser!(u64).range(1..))]
    ping_interval_ms: u64,
    /// Milliseconds within which such a ping must be answered. Their own suites want 200.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    ping_timeout_ms: u64,
    /// Bytes of one request, message or event of Engine.IO and Socket.IO: their `maxPayload`. Their own suites want 1000000.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) socketio_bytes: usize,
    /// Packets that may wait for one client of Engine.IO or Socket.IO, each of at most so many bytes. One that sends more than it
    /// takes is let go.
    #[arg(long, default_value_t = 128)]
    pub(crate) socketio_packets: usize,
    /// Milliseconds that a client of Socket.IO has for its first namespace.
    #[arg(long, default_value_t = 10_000)]
    connect_timeout_ms: u64,
}

impl Options {
    pub(crate) const fn sockjs_heartbeat(&self) -> Duration {
        Duration::from_millis(self.sockjs_heartbeat_ms)
    }

    pub(crate) const fn sockjs_session_timeout(&self) -> Duration {
        Duration::from_millis(self.sockjs_session_timeout_ms)
    }

    pub(crate) const fn stomp_heartbeat(&self) -> Duration {
        Duration::from_millis(self.stomp_heartbeat_ms)
    }

    pub(crate) const fn stomp_tolerance(&self) -> Duration {
        Duration::from_millis(self.stomp_tolerance_ms)
    }

    pub(crate) const fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.ping_interval_ms)
    }

    pub(crate) const fn ping_timeout(&self) -> Duration {
        Duration::from_millis(self.ping_timeout_ms)
    }

    pub(crate) const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

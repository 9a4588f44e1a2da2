use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{extract::ConnectInfo, http::request::Parts};

use crate::config::Origins;

/// How a SockJS service behaves, each setting with a default that is a public constant where it is a number.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SockJsConfig {
    /// Whether clients may open a WebSocket. Default true.
    pub websocket: bool,
    /// Whether clients must keep the cookie `JSESSIONID`, by which some balancers find a session's process. Default false.
    pub cookie_needed: bool,
    /// A client that is told nothing for so long is sent a heartbeat. Default [`SockJsConfig::HEARTBEAT_INTERVAL`].
    pub heartbeat_interval: Duration,
    /// A session without a request that waits for messages lives for so long. Default [`SockJsConfig::SESSION_TIMEOUT`].
    pub session_timeout: Duration,
    /// How long a full queue is waited for, in either direction, before the session ends. Default
    /// [`SockJsConfig::WRITE_TIMEOUT`].
    pub write_timeout: Duration,
    /// Bytes after which a streaming answer ends and the client asks anew: it keeps the whole answer in memory. Default
    /// [`SockJsConfig::RESPONSE_LIMIT_BYTES`].
    pub response_limit_bytes: usize,
    /// Bytes of one request's body and of one WebSocket message. Default [`SockJsConfig::REQUEST_BYTES`].
    pub request_bytes: usize,
    /// Messages from a client that wait for the handler. Default [`SockJsConfig::INCOMING_MESSAGES`].
    pub incoming_messages: usize,
    /// Bytes of them, each counted with 64 more; one that is larger waits alone. Beside them there is one request that is being
    /// read. Default [`SockJsConfig::INCOMING_BYTES`].
    pub incoming_bytes: usize,
    /// Bytes that wait for a client, each message counted with 64 more; one that is larger waits alone. Default
    /// [`SockJsConfig::OUTGOING_BYTES`].
    pub outgoing_bytes: usize,
    /// Sessions of this service at once, those included that nobody came back for yet; one more is answered with status 503. Each holds at
    /// most what the bounds above say. Default [`SockJsConfig::SESSIONS`].
    pub sessions: usize,
    /// The same for one [peer](Self::with_peer). Default [`SockJsConfig::SESSIONS_PER_PEER`].
    pub sessions_per_peer: usize,
    /// Where the iframe page finds the client's script. Default [`SockJsConfig::CLIENT_URL`].
    pub client_url: String,
    /// WebSocket subprotocols, one of which is confirmed to a client that asks for it. Default none.
    pub subprotocols: Vec<String>,
    pub(super) origins: Origins,
    pub(super) peer: PeerOf,
}

/// By which address a request's peer is told apart.
pub(super) type PeerOf = fn(&Parts) -> Option<IpAddr>;

/// The address of the connection, where the server notes it.
fn connection(request: &Parts) -> Option<IpAddr> {
    let connection = request.extensions.get::<ConnectInfo<SocketAddr>>();
    connection.map(|ConnectInfo(address)| address.ip())
}

impl SockJsConfig {
    /// Default of [`SockJsConfig::heartbeat_interval`]: 25 s, as the protocol says.
    pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(25);
    /// Default of [`SockJsConfig::session_timeout`]: 5 s, as the protocol says.
    pub const SESSION_TIMEOUT: Duration = Duration::from_secs(5);
    /// Default of [`SockJsConfig::write_timeout`]: 30 s.
    pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
    /// Default of [`SockJsConfig::response_limit_bytes`]: 128 KiB, as the protocol says.
    pub const RESPONSE_LIMIT_BYTES: usize = 128 * 1024;
    /// Default of [`SockJsConfig::request_bytes`]: 256 KiB. A client gathers what it sends while a request is under way.
    pub const REQUEST_BYTES: usize = 256 * 1024;
    /// Default of [`SockJsConfig::incoming_messages`]: 64.
    pub const INCOMING_MESSAGES: usize = 64;
    /// Default of [`SockJsConfig::incoming_bytes`]: 256 KiB.
    pub const INCOMING_BYTES: usize = 256 * 1024;
    /// Default of [`SockJsConfig::outgoing_bytes`]: 256 KiB.
    pub const OUTGOING_BYTES: usize = 256 * 1024;
    /// Default of [`SockJsConfig::sessions`]: 10,000.
    pub const SESSIONS: usize = 10_000;
    /// Default of [`SockJsConfig::sessions_per_peer`]: as many as there are at all, since everybody behind one proxy is one peer unless
    /// [`SockJsConfig::with_peer`] knows better.
    pub const SESSIONS_PER_PEER: usize = Self::SESSIONS;
    /// Default of [`SockJsConfig::client_url`]. Only pages of browsers from before 2012 load it; serve it yourself where
    /// those matter and no other host is to be asked.
    pub const CLIENT_URL: &str = "https://cdn.jsdelivr.net/npm/sockjs-client@1.6.1/dist/sockjs.min.js";

    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            websocket: true,
            cookie_needed: false,
            heartbeat_interval: Self::HEARTBEAT_INTERVAL,
            session_timeout: Self::SESSION_TIMEOUT,
            write_timeout: Self::WRITE_TIMEOUT,
            response_limit_bytes: Self::RESPONSE_LIMIT_BYTES,
            request_bytes: Self::REQUEST_BYTES,
            incoming_messages: Self::INCOMING_MESSAGES,
            incoming_bytes: Self::INCOMING_BYTES,
            outgoing_bytes: Self::OUTGOING_BYTES,
            sessions: Self::SESSIONS,
            sessions_per_peer: Self::SESSIONS_PER_PEER,
            client_url: Self::CLIENT_URL.to_owned(),
            subprotocols: Vec::new(),
            origins: Origins::Any,
            peer: connection,
        }
    }

    /// Without WebSockets.
    #[must_use]
    pub const fn without_websocket(mut self) -> Self {
        self.websocket = false;
        self
    }

    /// With the cookie `JSESSIONID`: `dummy` unless a balancer has set it, and given back as it came.
    #[must_use]
    pub const fn with_cookie_needed(mut self) -> Self {
        self.cookie_needed = true;
        self
    }

    /// With another [`heartbeat_interval`](Self::heartbeat_interval).
    #[must_use]
    pub const fn with_heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval;
        self
    }

    /// With another [`session_timeout`](Self::session_timeout).
    #[must_use]
    pub const fn with_session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// With another [`write_timeout`](Self::write_timeout).
    #[must_use]
    pub const fn with_write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// With another [`response_limit_bytes`](Self::response_limit_bytes).
    #[must_use]
    pub const fn with_response_limit_bytes(mut self, bytes: usize) -> Self {
        self.response_limit_bytes = bytes;
        self
    }

    /// With other [`request_bytes`](Self::request_bytes).
    #[must_use]
    pub const fn with_request_bytes(mut self, bytes: usize) -> Self {
        self.request_bytes = bytes;
        self
    }

    /// With other bounds of what waits: [`incoming_messages`](Self::incoming_messages), at least one, and
    /// [`outgoing_bytes`](Self::outgoing_bytes).
    #[must_use]
    pub const fn with_queues(mut self, incoming_messages: usize, outgoing_bytes: usize) -> Self {
        (self.incoming_messages, self.outgoing_bytes) = (incoming_messages, outgoing_bytes);
        self
    }

    /// With another bound of [`incoming_bytes`](Self::incoming_bytes).
    #[must_use]
    pub const fn with_incoming_bytes(mut self, bytes: usize) -> Self {
        self.incoming_bytes = bytes;
        self
    }

    /// With another bound of [`sessions`](Self::sessions).
    #[must_use]
    pub const fn with_sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// With another bound of [`sessions_per_peer`](Self::sessions_per_peer).
    #[must_use]
    pub const fn with_sessions_per_peer(mut self, sessions: usize) -> Self {
        self.sessions_per_peer = sessions;
        self
    }

    /// Tells peers apart by another address, such as that of a header which a proxy of yours sets; without one, nothing is counted. Unless
    /// set, it is the connection's, where the server notes it (`into_make_service_with_connect_info::<SocketAddr>()`). Addresses of IPv6
    /// with the same first 64 bits are one peer.
    #[must_use]
    pub const fn with_peer(mut self, peer: fn(&Parts) -> Option<IpAddr>) -> Self {
        self.peer = peer;
        self
    }

    /// With another [`client_url`](Self::client_url).
    #[must_use]
    pub fn with_client_url(mut self, url: impl Into<String>) -> Self {
        self.client_url = url.into();
        self
    }

    /// With [`subprotocols`](Self::subprotocols).
    #[must_use]
    pub fn with_subprotocols(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.subprotocols = names.into_iter().collect();
        self
    }

    /// Lets pages of these origins (such as `https://example.com`, without wildcards) connect, and no others: they get status 403. This
    /// host's own may use everything but WebSockets, too, since the iframe page is one: browsers show it within pages of these origins
    /// only, and in those that do not know such a rule it hears nobody else. Which host is its own the request says: behind a proxy that
    /// passes on any `Host`, or without TLS, that is no proof.
    ///
    /// Unless set, every page may, as the protocol has it: then nothing that a browser adds by itself, such as a cookie or a client's
    /// certificate, may say who the user is.
    #[must_use]
    pub fn with_allowed_origins(mut self, origins: impl IntoIterator<Item = String>) -> Self {
        let origins = origins.into_iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase());
        self.origins = Origins::Listed(origins.collect());
        self
    }
}

impl Default for SockJsConfig {
    fn default() -> Self {
        Self::new()
    }
}

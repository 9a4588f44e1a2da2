use bytes::Bytes;

/// What comes from a client. The transport answers pings itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A whole text frame.
    Text(String),
    /// A binary frame: refused.
    Binary,
    /// A frame that the transport did not take because of its length: refused.
    TooLarge,
    /// A ping or a pong: a sign of life.
    Alive,
    /// The client closes.
    Close,
}

/// What goes to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A text frame; always UTF-8.
    Text(Bytes),
    /// A ping.
    Ping,
    /// The end, with the WebSocket's close code and its reason.
    Close {
        /// 4000 to 4999.
        code: u16,
        /// The name of the code in the protocol.
        reason: &'static str,
    },
}

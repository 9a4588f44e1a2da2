//! What protocols have in common, as a client sees it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, bail};
use async_trait::async_trait;
use chat_core::{Cursor, Position, RoomId, Timestamp, UserId};
use chat_simulation::Outgoing;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use super::events::Stream;
use crate::notes::Seen;

/// A connection, or what has only one direction.
#[derive(Debug)]
pub(super) enum Link {
    Socket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    Events(Stream),
}

/// Somebody, and what lets them in.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) user: UserId,
    pub(crate) token: String,
}

/// How a client sees that it is given each entry once and in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Each follows the last one: positions have no gap.
    Next,
    /// Positions grow; those of entries that this protocol does not show are left out.
    Grows,
    /// Ids grow. What a connection has fetched may come live once more, and is passed over.
    ById,
}

/// The connection is of no more use.
#[derive(Debug)]
pub(super) struct Broken;

/// What a room is joined with.
#[derive(Debug)]
pub(super) enum Joined {
    /// From the cursor asked for, or from now on.
    Goes,
    Page(Page),
}

/// In place of what the server does not send.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) entries: Vec<Seen>,
    pub(super) head: Cursor,
    /// Everything else of the room is to be forgotten.
    pub(super) reset: bool,
}

/// What a frame says.
#[derive(Debug)]
pub(super) enum Heard {
    Joined {
        tag: u64,
        joined: Joined,
    },
    /// The same where nobody asked on this connection.
    Follows {
        room: RoomId,
        joined: Joined,
    },
    /// Where the client is once it has applied what was heard.
    Id(String),
    Sent {
        tag: u64,
        position: Option<Position>,
        durability: Option<String>,
    },
    /// `may_repeat`: it may be asked again.
    Refused {
        tag: u64,
        may_repeat: bool,
        pause: Option<Duration>,
        what: String,
    },
    Entry(Seen),
    /// A page in a room that is joined.
    Page {
        room: RoomId,
        page: Page,
    },
    /// To be fetched by the client.
    Missed(RoomId),
    /// To be answered at once.
    Answer(String),
    /// The server ends the connection and the client comes back.
    Over,
    /// It must not be.
    Wrong {
        guarantee: &'static str,
        what: String,
    },
}

/// One connection's side of a protocol: text in, text out.
#[async_trait]
pub(super) trait Wire: Send {
    /// Makes it known who this is.
    async fn open(&mut self, link: &mut Link, person: &Person) -> Result<(), Broken>;

    fn join(&mut self, tag: u64, room: &RoomId, after: Option<&Cursor>) -> String;

    fn send(&mut self, tag: u64, person: &Person, message: &Outgoing) -> String;

    /// # Errors
    /// The frame is none of this protocol.
    fn hear(&mut self, text: &str) -> Result<Vec<Heard>>;

    /// What the client says so often, that it be known to live.
    fn beat(&self) -> Option<(Duration, String)> {
        None
    }

    /// A server that says nothing for so long is gone.
    fn silence(&self) -> Duration;

    fn order(&self) -> Order;
}

/// The address of a gateway's WebSocket.
pub(super) fn address(gateway: SocketAddr, path: &str) -> String {
    format!("ws://{gateway}{path}")
}

/// The next text; empty for what says only that the server lives.
pub(super) async fn read(link: &mut Link) -> Result<String, Broken> {
    let socket = match link {
        Link::Socket(socket) => socket,
        Link::Events(events) => return events.read().await,
    };
    match socket.next().await {
        Some(Ok(Message::Text(text))) => Ok(text.as_str().to_owned()),
        Some(Ok(Message::Binary(bytes))) => String::from_utf8(bytes.to_vec()).map_err(|_| Broken),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(String::new()),
        _ => Err(Broken),
    }
}

/// Says something, where that is possible.
pub(super) async fn write(link: &mut Link, text: String) -> Result<(), Broken> {
    match link {
        Link::Socket(socket) => socket.send(Message::text(text)).await.map_err(|_| Broken),
        Link::Events(_) => Ok(()),
    }
}

/// A field that has to be there.
pub(super) fn field<T: serde::de::DeserializeOwned>(value: &Value, name: &str) -> Result<T> {
    let Some(found) = value.get(name) else { bail!("no {name} in {value}") };
    serde_json::from_value(found.clone()).map_err(|error| anyhow::anyhow!("{name} of {value}: {error}"))
}

/// A field that may be there.
pub(super) fn optional<T: serde::de::DeserializeOwned>(value: &Value, name: &str) -> Result<Option<T>> {
    if value.get(name).is_none_or(Value::is_null) { Ok(None) } else { field(value, name).map(Some) }
}

/// `id`, `cursor` and `createdAt`.
pub(super) fn position(value: &Value) -> Result<Position> {
    let created_at: String = field(value, "createdAt")?;
    let created_at = Timestamp::from(humantime::parse_rfc3339(&created_at)?);
    Ok(Position { cursor: field(value, "cursor")?, id: field(value, "id")?, created_at })
}

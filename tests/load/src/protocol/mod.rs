//! The protocols that servers under load speak: how a connection begins and joins its room, how a message is sent, and what a frame
//! of the server is.

mod bare;
mod centrifugo;
mod json;
mod socketio;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{SinkExt as _, StreamExt as _};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Message,
        client::IntoClientRequest as _,
        http::{HeaderName, HeaderValue, header},
        protocol::WebSocketConfig,
    },
};
use url::Url;

pub use self::socketio::Dialect;

/// How long a server may take to let a connection in, and to answer while it begins. Thousands may begin at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// The library's 128 KiB for each connection would be gigabytes for ten thousand.
const READ_BUFFER: usize = 8 * 1024;

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// What a server speaks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Protocol {
    /// This library's own, at `…/ws`.
    Json,
    /// Socket.IO 4 or 5 over WebSocket.
    SocketIo(Box<Dialect>),
    /// Centrifugo's JSON protocol; rooms are channels.
    Centrifugo {
        /// In front of a room's name, such as `room:`.
        namespace: String,
    },
    /// `…/room`: what one says is repeated to all who are there, the sender too. No answers.
    Bare,
}

/// A connection's part in a run.
#[derive(Debug, Clone)]
pub struct Seat {
    /// `ws://host:port/path`
    pub server: String,
    /// Signed for the user.
    pub token: String,
    /// The room's name.
    pub room: String,
}

/// A connection that has joined.
pub(crate) struct Opened {
    pub(crate) socket: Socket,
    /// From where it can go on after a break.
    pub(crate) position: Option<String>,
    /// Frames that came with the joining and may have messages.
    pub(crate) backlog: Vec<String>,
}

/// What a frame of the server is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen<'a> {
    /// Has messages, at least one.
    Delivery(&'a str),
    /// A message was taken, or not.
    Answer { id: u64, refused: Option<&'a str> },
    /// The server wants to hear this.
    Reply(&'static str),
    /// The server fell back on a page in place of every message.
    Resync(&'a str),
    /// The connection is of no more use.
    Ended(&'a str),
}

impl Protocol {
    /// Whether a sender is told that its message was taken. Otherwise its own message coming back is as good.
    pub(crate) const fn answers(&self) -> bool {
        !matches!(self, Self::Bare)
    }

    /// Connects and joins; with a position, to be given everything after it.
    pub(crate) async fn open(&self, seat: &Seat, position: Option<&str>) -> Result<Opened> {
        let opened = async {
            match self {
                Self::Json => json::open(seat, position).await,
                Self::SocketIo(dialect) => dialect.open(seat, position).await,
                Self::Centrifugo { namespace } => centrifugo::open(seat, namespace, position).await,
                Self::Bare => bare::open(seat).await,
            }
        };
        timeout(PATIENCE, opened).await.context("the server took too long")?
    }

    /// The frame that sends a text. `id` is the connection's own number for it, `name` the client's name for the message.
    pub(crate) fn send(&self, id: u64, room: &str, name: &str, text: &str) -> String {
        match self {
            Self::Json => json::send(id, room, name, text),
            Self::SocketIo(dialect) => dialect.send(id, room, name, text),
            Self::Centrifugo { namespace } => centrifugo::send(id, namespace, room, name, text),
            Self::Bare => text.to_owned(),
        }
    }

    /// Says what a frame is, part by part.
    pub(crate) fn read<'a>(&self, frame: &'a str, seen: &mut dyn FnMut(Seen<'a>)) {
        match self {
            Self::Json => json::read(frame, seen),
            Self::SocketIo(dialect) => dialect.read(frame, seen),
            Self::Centrifugo { .. } => centrifugo::read(frame, seen),
            Self::Bare => seen(Seen::Delivery(frame)),
        }
    }
}

/// Opens a WebSocket. The token also goes into `Authorization`, where some servers look for it.
async fn connect(url: &str, token: Option<&str>) -> Result<Socket> {
    let url = Url::parse(url).with_context(|| format!("address {url}"))?;
    if url.scheme() != "ws" {
        bail!("{url}: only ws:// is spoken");
    }
    let (host, port) =
        (url.host_str().context("the address has no host")?, url.port_or_known_default().unwrap_or(80));
    let stream = TcpStream::connect((host, port)).await.with_context(|| format!("{host}:{port}"))?;
    // Frames are small, and their times are what is measured.
    stream.set_nodelay(true)?;
    let mut request = url.as_str().into_client_request()?;
    if let Some(token) = token {
        let name: HeaderName = header::AUTHORIZATION;
        request.headers_mut().insert(name, HeaderValue::from_str(&format!("Bearer {token}"))?);
    }
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(0);
    let (socket, _) = client_async_with_config(request, stream, Some(config)).await.context("WebSocket")?;
    Ok(socket)
}

async fn say(socket: &mut Socket, frame: String) -> Result<()> {
    Ok(socket.send(Message::text(frame)).await?)
}

/// The next text of the server; pings are answered by the library.
async fn hear(socket: &mut Socket) -> Result<String> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Close(frame))) => bail!("the server closed: {frame:?}"),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => bail!("the connection ended"),
        }
    }
}

/// As JSON writes it, with its quotation marks.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

//! One connection, from its first frame to its last.

use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio::{sync::mpsc, time::timeout_at};
use tracing::warn;

use super::{
    Application, Command, Commands, Connect, Delivery, Frame, Link, StompConfig, Version,
    encode::encode,
    heartbeat::{self, Beats},
    protocol::{Held, Protocol, Step},
    reader::{End, Reader},
    writer::{Last, Reply, Wire, Writer},
};
use crate::{
    Problem,
    json::close::CLOSE_CODES,
    observe::{self, Counted, Transport},
};

/// Replies that may wait for the writer; then the client is read no further.
const REPLIES: usize = 16;

/// What comes from a client. The transport answers pings itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Bytes of frames, cut anywhere: a WebSocket's message, text or binary.
    Data(Bytes),
    /// A message that the transport did not take because of its length: refused.
    TooLarge,
    /// A ping or a pong: a sign of life of the transport.
    Alive,
    /// The client closes.
    Close,
}

/// What goes to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A whole frame, or a heart-beat. UTF-8 unless a body is not.
    Data(Bytes),
    /// A ping of the transport.
    Ping,
    /// The end, with a WebSocket's close code and a reason.
    Close {
        /// 1000, 1002, or one of [`CLOSE_CODES`].
        code: u16,
        /// One of [`CODES`](crate::CODES) or of [`CLOSE_CODES`].
        reason: &'static str,
    },
}

/// Serves one client until it or the server ends the connection: at `incoming` it is read, at `outgoing` it is written to,
/// each by a task of its own.
///
/// The transport bounds what it takes into memory at once; [`FrameLimits`](super::FrameLimits) bound what is made of it.
///
/// # Cancel safety
/// Dropping the call ends the connection's link to the application.
pub async fn serve<I, O, E>(application: &dyn Application, config: StompConfig, incoming: I, outgoing: O)
where
    I: Stream<Item = Result<Incoming, E>> + Send + 'static,
    O: Sink<Outgoing> + Send + 'static,
    O::Error: Send,
    E: Send + 'static,
{
    let _counted = Counted::new(Transport::Stomp);
    let mut connection =
        Connection { reader: Reader::new(incoming, &config), protocol: Protocol::new(config.clone()) };
    let mut wire = Wire::new(outgoing, config.limits.write_timeout);
    let (link, connected, beats) = match connection.open(application, &config).await {
        Ok(opened) => opened,
        Err(End::Gone) => return,
        Err(End::Told(last)) => {
            if wire.close(last).await.is_ok() {
                connection.reader.linger().await;
            }
            return;
        }
    };
    if wire.send(connected).await.is_err() {
        return;
    }
    let (replies, queue) = mpsc::channel(REPLIES);
    let version = connection.protocol.version();
    let Link { commands, deliveries, .. } = link;
    let pings = config.ping_interval;
    let writer = Writer { wire, deliveries, replies: queue, every: beats.every(), pings, version };
    let writer = tokio::spawn(writer.run());
    let silence = beats.silence(config.heartbeat_tolerance).min(config.silence());
    connection.read(commands, replies, silence).await;
    match writer.await {
        Ok(true) => connection.reader.linger().await,
        Ok(false) => {}
        Err(error) => warn!(%error, "a connection's writer failed"),
    }
}

struct Connection<I> {
    reader: Reader<I>,
    protocol: Protocol,
}

impl<I, E> Connection<I>
where
    I: Stream<Item = Result<Incoming, E>>,
{
    /// Waits for `CONNECT` and lets the client in.
    async fn open(
        &mut self,
        application: &dyn Application,
        config: &StompConfig,
    ) -> Result<(Link, Bytes, Beats), End> {
        let deadline = tokio::time::Instant::now() + config.limits.connect_timeout;
        let opening = async {
            let frame = self.reader.next(Duration::MAX).await?;
            let (connect, beats) = match self.protocol.accept(frame) {
                Ok(Step::Connect(connect, beats)) => (connect, beats),
                // Nothing else comes first.
                Ok(_) => return Err(End::Gone),
                Err(problem) => return Err(self.refused(&problem, None)),
            };
            self.reader.set_version(connect.version);
            match application.connect(&connect).await {
                Ok(link) => Ok((connect, beats, link)),
                Err(problem) => Err(self.refused(&problem, None)),
            }
        };
        let too_late = |_| {
            let problem = Problem::new("connect_timeout", "no CONNECT in time");
            Err(End::Told(Last::error(Version::V1_0, &problem, None)))
        };
        let (connect, beats, link) = timeout_at(deadline, opening).await.unwrap_or_else(too_late)?;
        let connected = connected(&connect, &link, config);
        Ok((link, connected, beats))
    }

    /// Works on frames, one after the other, until the client or the writer ends.
    async fn read(
        &mut self,
        mut commands: Box<dyn Commands>,
        replies: mpsc::Sender<Reply>,
        silence: Duration,
    ) {
        let writer = replies.clone();
        let mut writer_ended = std::pin::pin!(writer.closed());
        loop {
            let answered = tokio::select! {
                biased;
                () = &mut writer_ended => return,
                answered = self.answer(&mut *commands, silence) => answered,
            };
            let (reply, over) = match answered {
                Ok(None) => continue,
                Ok(Some(receipt)) => (Reply::Frame(receipt), false),
                Err(End::Gone) => return,
                // Nothing comes after it: the writer ends with it.
                Err(End::Told(last)) => (Reply::Close(last), true),
            };
            // A writer that is held up by the client holds up the reading of more frames.
            if replies.send(reply).await.is_err() || over {
                return;
            }
        }
    }

    /// Does what the next frame says; its receipt, if it is to have one.
    async fn answer(&mut self, commands: &mut dyn Commands, silence: Duration) -> Result<Option<Bytes>, End> {
        let frame = self.reader.next(silence).await?;
        observe::command(frame.command.as_str());
        let receipt = frame.header("receipt").map(str::to_owned);
        let step =
            self.protocol.accept(frame).map_err(|problem| self.refused(&problem, receipt.as_deref()))?;
        let version = self.protocol.version();
        let receipt_frame = receipt
            .as_deref()
            .map(|id| encode(Command::Receipt, version, [("receipt-id", id)].into_iter(), b""));
        let done = match step {
            Step::Disconnect => return Err(End::Told(Last::receipt(receipt_frame))),
            Step::Connect(..) | Step::Nothing => Ok(true),
            Step::Subscribe(subscribe) => {
                let done = commands.subscribe(&subscribe).await;
                if done.is_err() {
                    self.protocol.forget(&subscribe.subscription);
                }
                done.map(|()| true)
            }
            Step::Unsubscribe(subscription) => {
                let done = commands.unsubscribe(&subscription).await;
                // Before the receipt: what is on its way to the writer by then stays there.
                subscription.end();
                done.map(|()| true)
            }
            Step::Do(held) => all(commands, &held).await,
        };
        match done {
            Ok(true) => Ok(receipt_frame),
            Ok(false) => Ok(None),
            Err(problem) => Err(self.refused(&problem, receipt.as_deref())),
        }
    }

    fn refused(&self, problem: &Problem, receipt: Option<&str>) -> End {
        observe::error(problem.code);
        End::Told(Last::error(self.protocol.version(), problem, receipt))
    }
}

/// Does everything, in order. False if something was refused.
async fn all(commands: &mut dyn Commands, held: &[Held]) -> Result<bool, Problem> {
    let mut taken = true;
    for held in held {
        match held {
            Held::Send(frame) => taken &= commands.send(frame).await?,
            Held::Acknowledge(acknowledge) => commands.acknowledge(acknowledge).await?,
        }
    }
    Ok(taken)
}

fn connected(connect: &Connect, link: &Link, config: &StompConfig) -> Bytes {
    let mut frame = Frame::new(Command::Connected)
        .with("version", connect.version.as_str())
        .with("server", concat!("chat-gateway/", env!("CARGO_PKG_VERSION")));
    if connect.version > Version::V1_0 {
        frame = frame.with("heart-beat", heartbeat::header(config.heartbeat));
    }
    for (name, value) in &link.headers {
        frame = frame.with(name, value);
    }
    frame.encode(connect.version)
}

impl Last {
    /// An `ERROR` frame and the end.
    pub(super) fn error(version: Version, problem: &Problem, receipt: Option<&str>) -> Self {
        let mut frame = Frame::new(Command::Error)
            .with("message", &problem.message)
            .with("code", problem.code)
            .with("content-type", "text/plain")
            .with_body(problem.message.clone());
        if let Some(receipt) = receipt {
            frame = frame.with("receipt-id", receipt);
        }
        if let Some(ms) = problem.retry_after_ms() {
            frame = frame.with("retry-after-ms", ms.to_string());
        }
        if problem.code == "unsupported" && version == Version::V1_0 {
            // So that a client may choose one.
            frame = frame.with("version", "1.0,1.1,1.2");
        }
        let known = CLOSE_CODES.iter().find(|(code, _)| *code == problem.code);
        Self {
            frame: Some(frame.encode(version)),
            code: known.map_or(1002, |(_, code)| *code),
            reason: problem.code,
        }
    }

    /// The receipt of `DISCONNECT`, if it is to have one, and the end.
    pub(super) const fn receipt(frame: Option<Bytes>) -> Self {
        Self { frame, code: 1000, reason: "closed" }
    }
}

impl From<Delivery> for Reply {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Message(message) => Self::Message(message),
            Delivery::Close(problem) => Self::Problem(problem),
        }
    }
}

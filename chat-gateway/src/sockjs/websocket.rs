//! WebSockets, with the protocol's frames and without. Each is a session of its own, whatever its path calls it.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{
        FromRequestParts as _, Request,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{
    SinkExt, StreamExt,
    future::join,
    stream::{SplitSink, SplitStream},
};
use tokio::time::{Instant, interval_at, timeout};

use super::{
    Close, SockJsConfig, SockJsSession,
    core::{Core, Next, Receiver},
    frame,
    headers::{PLAIN, answer},
    payload,
    service::Service,
    session::{Opening, TransportKind},
};

/// Read at a time: the default of 128 KiB is kept by every connection, and most of them are silent.
const READ_BUFFER: usize = 4 * 1024;

/// What is added to twice the heartbeat before a silent client counts as gone.
const SLACK: Duration = Duration::from_secs(5);

/// How long a client has to answer the server's close.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes of a reason in a WebSocket's close.
const MAX_REASON: usize = 123;

/// Whether a WebSocket is asked for.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    lists(headers, &header::UPGRADE, "websocket")
}

pub(super) async fn upgrade(service: &Arc<Service>, request: Request, raw: bool) -> Response {
    if !is_asked(request.headers()) {
        return answer(StatusCode::BAD_REQUEST, PLAIN, "Can \"Upgrade\" only to \"WebSocket\".");
    }
    if !lists(request.headers(), &header::CONNECTION, "upgrade") {
        return answer(StatusCode::BAD_REQUEST, PLAIN, "\"Connection\" must be \"Upgrade\".");
    }
    let mut parts = request.into_parts().0;
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let Ok(place) = service.place(&parts) else {
        return answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "Too many sessions");
    };
    let config = service.config.clone();
    let upgrade = upgrade
        .protocols(config.subprotocols.clone())
        .max_frame_size(config.request_bytes)
        .max_message_size(config.request_bytes)
        .read_buffer_size(READ_BUFFER);
    let opening = Opening {
        transport: if raw { TransportKind::RawWebSocket } else { TransportKind::WebSocket },
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers,
        subprotocol: upgrade.selected_protocol().and_then(|name| name.to_str().ok()).map(str::to_owned),
    };
    let service = service.clone();
    upgrade.on_upgrade(move |socket| async move {
        let (core, incoming) = Core::new(&config);
        let session = SockJsSession::new(core.clone(), incoming, opening);
        // There is no other request of this session.
        let Some(receiver) = core.attach().await else { return };
        let (sink, stream) = socket.split();
        let socket = async {
            let mut writer = Writer { sink, receiver, raw, config: config.clone() };
            let mut reader =
                Reader { stream, core: &core, raw, silence: config.heartbeat_interval * 2 + SLACK };
            tokio::select! {
                biased;
                told = writer.run() => if told {
                    reader.linger().await;
                },
                () = reader.run() => writer.bye().await,
            }
        };
        join(service.handle(session, &core), socket).await;
        drop(place);
    })
}

/// Whether a header has this value among those with commas between them.
fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(wanted))
}

struct Reader<'a> {
    stream: SplitStream<WebSocket>,
    core: &'a Core,
    raw: bool,
    silence: Duration,
}

impl Reader<'_> {
    /// Reads until the client goes, is silent for too long, or sends what is no message.
    async fn run(&mut self) {
        loop {
            let text = match timeout(self.silence, self.stream.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => text,
                // Text is all that the handler takes; without frames it may still come so.
                Ok(Some(Ok(Message::Binary(bytes)))) if self.raw => match Utf8Bytes::try_from(bytes) {
                    Ok(text) => text,
                    Err(_) => return self.core.close(Close::new(1003, "Text expected")),
                },
                Ok(Some(Ok(Message::Binary(_)))) => {
                    return self.core.close(Close::new(1003, "Text expected"));
                }
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
                Ok(Some(Ok(Message::Close(_))) | None) => {
                    // Reading on lets the transport answer the close.
                    let _ = timeout(LINGER, self.stream.next()).await;
                    return self.core.interrupt();
                }
                Ok(Some(Err(_))) | Err(_) => return self.core.interrupt(),
            };
            let messages = if self.raw {
                vec![text.as_str().to_owned()]
            } else {
                match payload::frame_messages(&text) {
                    Ok(messages) => messages,
                    Err(_) => return self.core.close(Close::new(1002, "Broken framing.")),
                }
            };
            if self.core.deliver(messages).await.is_err() {
                return;
            }
        }
    }

    /// Waits for the client's close, so that the last frames are not lost with the connection.
    async fn linger(&mut self) {
        let _ = timeout(LINGER, async { while let Some(Ok(_)) = self.stream.next().await {} }).await;
    }
}

struct Writer {
    sink: SplitSink<WebSocket, Message>,
    receiver: Receiver,
    raw: bool,
    config: Arc<SockJsConfig>,
}

impl Writer {
    /// Writes until the session ends, which the client is told, or until it cannot be told: then false.
    async fn run(&mut self) -> bool {
        let every = self.config.heartbeat_interval;
        let mut beats = interval_at(Instant::now() + every, every);
        loop {
            let next = tokio::select! {
                biased;
                // However much there is to say, beats have their time.
                _ = beats.tick() => Next::Heartbeat,
                next = self.receiver.next() => next,
            };
            let written = match next {
                Next::Close(close) => {
                    let told = (!self.raw).then(|| text(frame::close(&close)));
                    return self.write(told.into_iter().chain([last(&close)])).await;
                }
                Next::Open if self.raw => true,
                Next::Open => self.write([text(frame::OPEN.to_owned())]).await,
                Next::Heartbeat => {
                    let beat = (!self.raw).then(|| text(frame::HEARTBEAT.to_owned()));
                    // A browser answers a ping by itself, so that a client which has gone is noticed.
                    self.write(beat.into_iter().chain([Message::Ping(Bytes::new())])).await
                }
                Next::Messages(messages) if self.raw => self.write(messages.into_iter().map(text)).await,
                Next::Messages(messages) => {
                    self.write([text(frame::messages(messages.iter().map(String::as_str)))]).await
                }
            };
            if !written {
                return false;
            }
        }
    }

    /// After the client ended the session, or broke its rules: ends the connection without another frame.
    async fn bye(&mut self) {
        // What waits for a client that broke the rules is not sent any more.
        loop {
            match self.receiver.next().await {
                Next::Close(close) if close == Close::INTERRUPTED => return,
                Next::Close(close) => {
                    self.write([last(&close)]).await;
                    return;
                }
                Next::Open | Next::Heartbeat | Next::Messages(_) => {}
            }
        }
    }

    async fn write(&mut self, messages: impl IntoIterator<Item = Message>) -> bool {
        let written = async {
            for message in messages {
                self.sink.feed(message).await?;
            }
            self.sink.flush().await
        };
        matches!(timeout(self.config.write_timeout, written).await, Ok(Ok(())))
    }
}

/// The WebSocket's own close.
fn last(close: &Close) -> Message {
    let reason = if close.reason.len() > MAX_REASON { "" } else { close.reason.as_ref() };
    Message::Close(Some(CloseFrame { code: close.websocket_code(), reason: reason.into() }))
}

fn text(text: String) -> Message {
    Message::Text(text.into())
}

//! Writing to a socket whose client may be slow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use chat_core::{Broadcast, EncodingSlot, StoredMessage};
use serde_json::{Value, value::RawValue};
use socketioxide::{
    SendError, SocketError,
    extract::{AckSender, SocketRef},
    handler::FromMessageParts,
    socket::Socket,
};
use socketioxide_core::Value as Packed;
use tokio::time::{Instant, sleep};

use super::{Dialect, Emit};

/// How long is waited for room in the buffer before it is looked again: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// The client is gone, or took nothing for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stuck {
    Gone,
    TooSlow,
}

/// The way to an acknowledgement.
pub(super) struct Reply {
    socket: Arc<Socket>,
    id: Option<i64>,
    bytes: u32,
}

impl Reply {
    pub(super) const fn is_wanted(&self) -> bool {
        self.id.is_some()
    }

    /// Bytes of the event that it is for.
    pub(super) const fn len(&self) -> u32 {
        self.bytes
    }

    /// Once, whether or not there is room.
    pub(super) fn try_send(&self, data: &Value) {
        let _ = self.sender().send(data);
    }

    fn sender(&self) -> AckSender {
        let mut nothing = Packed::Bytes(Bytes::new());
        let Ok(sender) = AckSender::from_message_parts(&self.socket, &mut nothing, &self.id);
        sender
    }
}

impl FromMessageParts<socketioxide::adapter::LocalAdapter> for Reply {
    type Error = std::convert::Infallible;

    fn from_message_parts(
        socket: &Arc<Socket>,
        packed: &mut Packed,
        id: &Option<i64>,
    ) -> Result<Self, Self::Error> {
        let bytes = match packed {
            Packed::Str(text, binary) => text.len() + binary.iter().flatten().map(Bytes::len).sum::<usize>(),
            Packed::Bytes(bytes) => bytes.len(),
        };
        Ok(Self { socket: Arc::clone(socket), id: *id, bytes: u32::try_from(bytes).unwrap_or(u32::MAX) })
    }
}

/// Writes to one socket. Where its buffer is full it waits for the client, and so does the session behind it.
pub(super) struct Wire {
    pub(super) socket: SocketRef,
    pub(super) patience: Duration,
}

impl Wire {
    pub(super) async fn emit(&self, event: &str, data: &RawValue) -> Result<(), Stuck> {
        self.until_there_is_room(|| self.socket.emit(event, data)).await
    }

    pub(super) async fn say(&self, emit: &Emit) -> Result<(), Stuck> {
        self.emit(&emit.event, &emit.data).await
    }

    pub(super) async fn acknowledge(&self, reply: &Reply, data: &Value) -> Result<(), Stuck> {
        self.until_there_is_room(|| reply.sender().send(data)).await
    }

    async fn until_there_is_room(
        &self,
        mut send: impl FnMut() -> Result<(), SendError>,
    ) -> Result<(), Stuck> {
        let mut wait = FIRST_WAIT;
        let mut end = None;
        loop {
            match send() {
                Ok(()) => return Ok(()),
                Err(SendError::Socket(SocketError::InternalChannelFull)) => {}
                Err(SendError::Socket(SocketError::Closed)) => return Err(Stuck::Gone),
                Err(SendError::Serialize(error)) => {
                    tracing::error!(%error, "an event could not be written");
                    return Ok(());
                }
            }
            let end = *end.get_or_insert_with(|| Instant::now() + self.patience);
            if Instant::now() >= end {
                return Err(Stuck::TooSlow);
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// Tells the encodings of several dialects in one process apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DialectId(u64);

impl DialectId {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// An entry as this dialect says it: its event and its argument. Made once for all sockets of the first dialect that asks; `None`
    /// for what is not told.
    pub(super) fn encoded(self, dialect: &dyn Dialect, live: &Broadcast<StoredMessage>) -> Option<Said> {
        let known = live.encoded(EncodingSlot::SOCKET_IO, |entry| self.write(dialect.entry(entry)));
        if known.get(..8) == Some(&self.0.to_be_bytes()) {
            return Said::read(&known);
        }
        // Another dialect has the place.
        Said::read(&self.write(dialect.entry(live.value())))
    }

    /// The dialect's number, the length of the event's name, the name, the argument; only the number for nothing.
    fn write(self, emit: Option<Emit>) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u64(self.0);
        if let Some(Emit { event, data }) = emit {
            bytes.put_u32(u32::try_from(event.len()).unwrap_or(0));
            bytes.put_slice(event.as_bytes());
            bytes.put_slice(data.get().as_bytes());
        }
        bytes.freeze()
    }
}

/// An event that was written before.
pub(super) struct Said {
    pub(super) event: String,
    pub(super) data: Box<RawValue>,
}

impl Said {
    fn read(bytes: &Bytes) -> Option<Self> {
        let rest = bytes.get(8..)?;
        let (length, rest) = rest.split_at_checked(4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        let (event, data) = rest.split_at_checked(length)?;
        let data = std::str::from_utf8(data).ok()?;
        let data = serde_json::from_str::<&RawValue>(data).ok()?.to_owned();
        Some(Self { event: std::str::from_utf8(event).ok()?.to_owned(), data })
    }
}

#[cfg(test)]
mod tests {
    use chat_core::{Body, Position, testkit::fixtures::draft};
    use serde_json::json;

    use super::*;
    use crate::{
        Problem,
        socketio::{Answer, Asked, Done, Request},
    };

    /// Says every text but `secret`, under its own name.
    #[derive(Debug)]
    struct Named(&'static str);

    impl Dialect for Named {
        fn request(&self, asked: &Asked<'_>) -> Result<Request, Problem> {
            Err(asked.unknown())
        }

        fn answer(&self, _: &Asked<'_>, _: Result<Done, Problem>) -> Answer {
            Answer::Nothing
        }

        fn entry(&self, entry: &StoredMessage) -> Option<Emit> {
            let Some(Body::Text(text)) = entry.content.body() else { return None };
            (&**text != "secret").then(|| Emit::new(self.0, &json!({ "text": text })))
        }
    }

    fn live(text: &str) -> Broadcast<StoredMessage> {
        let position = Position {
            cursor: "epoch.1".parse().unwrap(),
            id: chat_core::MessageId::from_u128(1),
            created_at: chat_core::Timestamp::from_secs(1),
        };
        Broadcast::new(StoredMessage::new(draft("r", "ann", "c", text), position))
    }

    #[test]
    fn two_dialects_in_one_process_each_say_it_their_way() {
        let (hello, secret) = (live("hello"), live("secret"));
        let dialects = [(DialectId::next(), Named("one")), (DialectId::next(), Named("zwei"))];
        for _ in 0..2 {
            for (id, dialect) in &dialects {
                let said = id.encoded(dialect, &hello).unwrap();
                assert_eq!((&*said.event, said.data.get()), (dialect.0, r#"{"text":"hello"}"#));
                assert!(id.encoded(dialect, &secret).is_none());
            }
        }
    }
}

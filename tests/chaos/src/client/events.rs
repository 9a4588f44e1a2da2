//! Server-Sent Events: a client that only reads, over plain HTTP.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use chat_core::{Cursor, RoomId};
use chat_simulation::Outgoing;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
};

use super::{
    json::Json,
    wire::{Broken, Heard, Link, Order, Person, Wire},
};
use crate::notes::Notes;

/// Frames that wait to be read.
const QUEUE: usize = 64;

/// An open stream. Ends with this value.
#[derive(Debug)]
pub(super) struct Stream {
    frames: mpsc::Receiver<String>,
    task: JoinHandle<()>,
}

impl Stream {
    /// Asks for the rooms, by the positions that are known.
    ///
    /// # Errors
    /// It is not there, or refuses; the latter with its status.
    pub(super) async fn open(gateway: SocketAddr, person: &Person, asked: &str, id: &str) -> Result<Self> {
        let mut stream = BufReader::new(TcpStream::connect(gateway).await?);
        let last = if id.is_empty() { String::new() } else { format!("Last-Event-ID: {id}\r\n") };
        let head = format!(
            "GET /chat/events?{asked} HTTP/1.1\r\nHost: {gateway}\r\nAccept: text/event-stream\r\n\
             Authorization: Bearer {}\r\n{last}\r\n",
            person.token
        );
        stream.write_all(head.as_bytes()).await?;
        let status = line(&mut stream).await?;
        if status.split(' ').nth(1) != Some("200") {
            bail!("{status}");
        }
        while !line(&mut stream).await?.is_empty() {}
        let (sender, frames) = mpsc::channel(QUEUE);
        let task = tokio::spawn(async move {
            // However it ends, the other side sees the end of the queue.
            let _ = pump(stream, &sender).await;
        });
        Ok(Self { frames, task })
    }

    /// The id of an event, a line's end, and its data; empty for what says only that the server lives.
    pub(super) async fn read(&mut self) -> Result<String, Broken> {
        self.frames.recv().await.ok_or(Broken)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether an error is what the server answered, and not that nobody did.
pub(super) fn is_answer(error: &str) -> bool {
    error.starts_with("HTTP/")
}

async fn line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        bail!("the end");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Takes the chunks apart, and the lines in them.
async fn pump(mut stream: BufReader<TcpStream>, frames: &mpsc::Sender<String>) -> Result<()> {
    let mut events = Events::default();
    loop {
        let length = usize::from_str_radix(&line(&mut stream).await?, 16).context("no chunk")?;
        let mut chunk = vec![0; length];
        stream.read_exact(&mut chunk).await?;
        line(&mut stream).await?;
        for frame in events.take(&chunk) {
            frames.send(frame).await?;
        }
    }
}

/// Lines of a stream, not whole yet.
#[derive(Debug, Default)]
struct Events {
    rest: Vec<u8>,
    id: String,
    data: String,
}

impl Events {
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut frames = Vec::new();
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if let Some(id) = line.strip_prefix("id:") {
                self.id = id.trim_start().to_owned();
            } else if let Some(data) = line.strip_prefix("data:") {
                self.data.push_str(data.trim_start());
            } else if line.starts_with(':') {
                frames.push(String::new());
            } else if line.is_empty() && !self.data.is_empty() {
                frames.push(format!("{}\n{}", std::mem::take(&mut self.id), std::mem::take(&mut self.data)));
            }
        }
        frames
    }
}

/// What is asked for: the positions by the id of the last event, or by cursors.
pub(super) fn query(rooms: &[RoomId], notes: &Notes, by_id: bool) -> (String, String) {
    let names: Vec<&str> = rooms.iter().map(RoomId::as_str).collect();
    let rooms_asked = format!("rooms={}", names.join(","));
    let cursor = |room: &RoomId| {
        let cursor = notes.places.get(room).and_then(|place| place.cursor.as_ref());
        cursor.map(Cursor::to_string).unwrap_or_default()
    };
    match &notes.event_id {
        Some(id) if by_id => (rooms_asked, id.clone()),
        _ => {
            let cursors: Vec<String> = rooms.iter().map(cursor).collect();
            (format!("{rooms_asked}&cursors={}", cursors.join(",")), String::new())
        }
    }
}

/// Frames are those of the JSON protocol.
#[derive(Debug)]
pub(super) struct EventFrames(Json);

impl EventFrames {
    pub(super) const fn new() -> Self {
        Self(Json::new())
    }
}

#[async_trait]
impl Wire for EventFrames {
    async fn open(&mut self, _: &mut Link, _: &Person) -> Result<(), Broken> {
        Ok(())
    }

    /// Nothing: rooms are joined by opening the stream.
    fn join(&mut self, _: u64, _: &RoomId, _: Option<&Cursor>) -> String {
        String::new()
    }

    fn send(&mut self, _: u64, _: &Person, _: &Outgoing) -> String {
        String::new()
    }

    fn hear(&mut self, text: &str) -> Result<Vec<Heard>> {
        let (id, data) = text.split_once('\n').context("no event")?;
        let mut heard = self.0.hear(data)?;
        if !id.is_empty() {
            // Last: it holds once the event is applied.
            heard.push(Heard::Id(id.to_owned()));
        }
        Ok(heard)
    }

    fn silence(&self) -> Duration {
        self.0.silence()
    }

    fn order(&self) -> Order {
        Order::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers as it is told, once.
    async fn answering(answer: &'static str) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn every_answer_but_200_ends_a_browsers_stream() {
        let person = Person { user: chat_core::UserId::new("eve").unwrap(), token: "t".to_owned() };
        for (answer, is_refusal) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", true),
            ("HTTP/1.1 429 Too Many Requests\r\n\r\n", true),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", true),
            ("", false),
        ] {
            let error = Stream::open(answering(answer).await, &person, "rooms=a", "").await.unwrap_err();
            assert_eq!(is_answer(&error.to_string()), is_refusal, "{answer:?}: {error}");
        }
        let good = answering("HTTP/1.1 200 OK\r\n\r\n2\r\n:\n\r\n").await;
        let mut stream = Stream::open(good, &person, "rooms=a", "").await.unwrap();
        assert_eq!(stream.read().await.unwrap(), "");
    }

    #[test]
    fn events_come_out_whole_however_they_are_cut() {
        let text = ": hello\n\nid: 7\ndata: {\"type\":\"heads\"}\n\ndata: {}\n\n";
        for cut in 0..text.len() {
            let mut events = Events::default();
            let mut frames = events.take(&text.as_bytes()[..cut]);
            frames.extend(events.take(&text.as_bytes()[cut..]));
            assert_eq!(frames, ["", "7\n{\"type\":\"heads\"}", "\n{}"]);
        }
    }
}

//! A client of event streams that does what a browser does.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::world::Server;

type Chunks = Pin<Box<dyn Stream<Item = Option<Bytes>> + Send>>;

/// One stream, and what has been read of it.
pub(crate) struct Source {
    chunks: Chunks,
    unread: Vec<u8>,
    events: VecDeque<Value>,
    /// The last `id` that came.
    pub(crate) last_id: String,
    /// The last `retry` that came.
    pub(crate) retry: Option<u64>,
    pub(crate) comments: usize,
}

pub(crate) struct Opened {
    pub(crate) response: Response,
}

impl Server {
    /// Asks for a stream as `name`, with the id of the last event if there is one.
    pub(crate) async fn events(&self, name: &str, query: &str, last_id: &str) -> Opened {
        let token = self.token(name);
        let request = reqwest::Client::new().get(self.url(&format!("/events?{query}"))).bearer_auth(token);
        let request = if last_id.is_empty() { request } else { request.header("last-event-id", last_id) };
        Opened { response: request.send().await.unwrap() }
    }

    /// A stream of this user.
    pub(crate) async fn source(&self, name: &str, query: &str, last_id: &str) -> Source {
        self.events(name, query, last_id).await.source()
    }

    /// A stream over a connection that takes little before it is read.
    pub(crate) async fn narrow_source(&self, name: &str, query: &str) -> Source {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        // In HTTP/1.0 the body is what comes until the end.
        let token = self.token(name);
        let request =
            format!("GET /chat/events?{query} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&head));
        Source::new(futures::stream::unfold(stream, |mut stream| async move {
            let mut bytes = vec![0; 4_096];
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => None,
                Ok(length) => Some((Some(Bytes::copy_from_slice(&bytes[..length])), stream)),
            }
        }))
    }
}

impl Opened {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn source(self) -> Source {
        let response = self.response;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(response.headers()["cache-control"].to_str().unwrap().contains("no-store"));
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert!(!response.headers().contains_key("content-encoding"));
        Source::new(response.bytes_stream().map(Result::ok))
    }

    /// The code of a refusal, and its status.
    pub(crate) async fn refusal(self) -> (u16, String) {
        let response = self.response;
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let status = response.status().as_u16();
        let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(problem["status"], status);
        (status, problem["code"].as_str().unwrap().to_owned())
    }
}

impl Source {
    fn new(chunks: impl Stream<Item = Option<Bytes>> + Send + 'static) -> Self {
        Self {
            chunks: Box::pin(chunks),
            unread: Vec::new(),
            events: VecDeque::new(),
            last_id: String::new(),
            retry: None,
            comments: 0,
        }
    }

    /// Takes the blocks that are complete. An event's id counts when the event does.
    fn parse(&mut self) {
        while let Some(at) = self.unread.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = self.unread.drain(..at + 2).collect();
            let (mut data, mut id) = (Vec::new(), None);
            for line in std::str::from_utf8(&block).unwrap().trim_end().lines() {
                match line.split_once(": ") {
                    Some(("data", value)) => data.push(value.to_owned()),
                    Some(("id", value)) => id = Some(value.to_owned()),
                    Some(("retry", value)) => self.retry = Some(value.parse().unwrap()),
                    None if line == ":" => self.comments += 1,
                    None if line == "data:" => data.push(String::new()),
                    other => panic!("{other:?} in {line:?}"),
                }
            }
            if !data.is_empty() {
                let mut frame: Value = serde_json::from_str(&data.join("\n")).unwrap();
                if let Some(id) = id {
                    frame["lastEventId"] = id.into();
                }
                self.events.push_back(frame);
            }
        }
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn next_or_end(&mut self) -> Option<Value> {
        loop {
            if let Some(frame) = self.events.pop_front() {
                if let Some(id) = frame["lastEventId"].as_str() {
                    self.last_id = id.to_owned();
                }
                return Some(frame);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.chunks.next()).await;
            match chunk.expect("a frame in time") {
                Some(chunk) => self.unread.extend_from_slice(&chunk.expect("no broken connection")),
                None => {
                    assert!(self.unread.is_empty(), "half an event at the end");
                    return None;
                }
            }
            self.parse();
        }
    }

    pub(crate) async fn next(&mut self) -> Value {
        self.next_or_end().await.expect("not ended")
    }

    /// The next frame of this type; others before it are passed over.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Reads to the end: the code of the `closing` frame, which is the last.
    pub(crate) async fn closing(&mut self) -> String {
        let closing = self.next_of("closing").await;
        assert_eq!(self.next_or_end().await, None);
        closing["code"].as_str().unwrap().to_owned()
    }
}

//! A client that sees every frame.

use std::{collections::VecDeque, time::Duration};

use chat_gateway::stomp::{Command, Decoded, Decoder, Frame, FrameLimits, Version};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::study::Server;

pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) subprotocol: Option<String>,
    decoder: Decoder,
    frames: VecDeque<Frame>,
    receipts: u32,
}

pub(crate) fn frame(command: Command) -> Frame {
    Frame::new(command)
}

impl Client {
    /// A socket without `CONNECT`.
    pub(crate) async fn open(server: &Server, path: &str, subprotocols: &str) -> Self {
        let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
        if !subprotocols.is_empty() {
            request.headers_mut().insert("sec-websocket-protocol", subprotocols.parse().unwrap());
        }
        let (socket, response) = connect_async(request).await.unwrap();
        let subprotocol = response.headers().get("sec-websocket-protocol");
        Self {
            socket,
            subprotocol: subprotocol.map(|name| name.to_str().unwrap().to_owned()),
            decoder: Decoder::new(FrameLimits::new()),
            frames: VecDeque::new(),
            receipts: 0,
        }
    }

    /// A connected client of this user.
    pub(crate) async fn connect(server: &Server, user: u64) -> Self {
        let mut client = Self::open(server, "/stomp", "").await;
        let connected = client.ask_to_connect(&server.token(user)).await;
        assert_eq!(connected.command, Command::Connected, "{connected:?}");
        assert_eq!(connected.header("user-name"), Some(user.to_string().as_str()));
        client
    }

    /// A connected client that follows the room 7 and its own errors.
    pub(crate) async fn joined(server: &Server, user: u64) -> Self {
        let mut client = Self::connect(server, user).await;
        client.subscribe("room", "/topic/chatroom/7", None).await;
        client.subscribe("errors", &format!("/user/{user}/queue/errors"), None).await;
        client
    }

    pub(crate) async fn ask_to_connect(&mut self, token: &str) -> Frame {
        let connect = frame(Command::Connect)
            .with("accept-version", "1.1,1.2")
            .with("Authorization", format!("Bearer {token}"));
        self.send(connect).await;
        self.next().await
    }

    pub(crate) async fn send(&mut self, frame: Frame) {
        let bytes = frame.encode(Version::V1_2);
        self.socket.send(Message::text(String::from_utf8(bytes.to_vec()).unwrap())).await.unwrap();
    }

    /// The next frame, heart-beats passed over; a closed socket is no frame.
    pub(crate) async fn try_next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            let message = tokio::time::timeout(Duration::from_secs(20), self.socket.next()).await;
            let bytes = match message.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => text.into(),
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(_) | Err(_)) | None => return None,
            };
            let mut bytes = &bytes[..];
            while let Some(decoded) = self.decoder.decode(&mut bytes).unwrap() {
                if let Decoded::Frame(frame) = decoded {
                    self.frames.push_back(frame);
                }
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Frame {
        self.try_next().await.expect("not closed")
    }

    /// Sends a frame that wants a receipt, and answers what comes before it.
    pub(crate) async fn ask(&mut self, frame: Frame) -> Vec<Frame> {
        self.receipts += 1;
        let id = format!("r{}", self.receipts);
        self.send(frame.with("receipt", &id)).await;
        let mut before = Vec::new();
        loop {
            let frame = self.next().await;
            match frame.command {
                Command::Receipt => {
                    assert_eq!(frame.header("receipt-id"), Some(id.as_str()));
                    return before;
                }
                _ => before.push(frame),
            }
        }
    }

    pub(crate) async fn subscribe(
        &mut self,
        id: &str,
        destination: &str,
        cursor: Option<&str>,
    ) -> Vec<Frame> {
        let mut subscribe = frame(Command::Subscribe).with("id", id).with("destination", destination);
        if let Some(cursor) = cursor {
            subscribe = subscribe.with("cursor", cursor);
        }
        self.ask(subscribe).await
    }

    /// The refusal of a frame, and the end.
    pub(crate) async fn refused(&mut self, frame: Frame) -> String {
        self.send(frame.with("receipt", "last")).await;
        self.ended().await
    }

    /// The code of the `ERROR` that comes, and the end.
    pub(crate) async fn ended(&mut self) -> String {
        let error = self.next().await;
        assert_eq!(error.command, Command::Error, "{error:?}");
        assert!(error.header("message").is_some_and(|message| !message.is_empty()));
        assert_eq!(self.try_next().await, None, "closed");
        error.header("code").unwrap().to_owned()
    }

    /// The next message: its headers and its JSON.
    pub(crate) async fn message(&mut self) -> (Frame, Value) {
        let message = self.next().await;
        assert_eq!(message.command, Command::Message, "{message:?}");
        assert_eq!(message.header("content-length"), Some(message.body.len().to_string().as_str()));
        let body = serde_json::from_slice(&message.body).unwrap();
        (message, body)
    }

    pub(crate) async fn content(&mut self) -> String {
        self.message().await.1["content"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn chat(room: u64, sender: u64, content: &str) -> Frame {
    let body = json!({
        "chatRoomId": room, "senderId": sender, "senderNickname": "hong", "content": content, "messageType": "CHAT",
    });
    frame(Command::Send).with("destination", "/app/chat.sendMessage").with_body(body.to_string())
}

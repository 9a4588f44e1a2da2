//! The program as its clients see it: a real WebSocket, a process that is killed and comes back, and one that ends in good order.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chat_core::{
    UserId,
    auth::{JwtClaims, JwtSigner},
};
use futures::{SinkExt as _, StreamExt as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, handshake::client::Response},
};

const SECRET: &str = "a secret of this test, and of no use elsewhere";
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends the program however the test ends.
struct Program {
    child: Child,
    address: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(folder: &Path, listen: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_example-warp-websocket"));
        command.current_dir(folder).args(["--listen", listen, "--drain-ms", "200"]);
        let mut child = command.env("CHAT_SECRET", SECRET).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Self { child, address }
    }

    /// The status of a plain request.
    async fn request(&self, method: &str, path: &str, headers: &str) -> u16 {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\nconnection: close\r\n{headers}\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    async fn enter(&self, user: &str, room: &str) {
        let bearer = format!("authorization: Bearer {}\r\n", token(user));
        assert_eq!(self.request("PUT", &format!("/rooms/{room}"), &bearer).await, 204);
    }

    async fn open(&self, headers: &[(&'static str, &str)]) -> Result<(Client, Response), Error> {
        let mut request = format!("ws://{}/chat/ws", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, response) = connect_async(request).await?;
        Ok((Client { socket }, response))
    }

    /// Somebody who is connected.
    async fn client(&self, user: &str) -> Client {
        let mut client = self.open(&[]).await.unwrap().0;
        client.say(&json!({ "type": "connect", "token": token(user) })).await;
        assert_eq!(client.next().await["type"], "connected");
        client
    }
}

fn token(user: &str) -> String {
    JwtSigner::hs256(SECRET).unwrap().sign(&JwtClaims::new(UserId::new(user).unwrap())).unwrap()
}

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    async fn say(&mut self, command: &Value) {
        self.socket.send(Message::text(command.to_string())).await.unwrap();
    }

    async fn message(&mut self) -> Message {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.unwrap().unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    async fn next(&mut self) -> Value {
        serde_json::from_str(self.message().await.to_text().unwrap()).unwrap()
    }

    /// The next frame of this type; the others are passed over.
    async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
            assert_ne!(frame["type"], "error", "{frame}");
        }
    }

    async fn join(&mut self, room: &str, cursor: Option<&Value>) -> Value {
        self.say(&json!({ "type": "join", "id": 1, "room": room, "cursor": cursor })).await;
        self.next_of("joined").await
    }

    async fn send(&mut self, room: &str, name: &str) {
        self.say(&json!({ "type": "send", "id": 2, "room": room, "clientId": name, "text": name })).await;
        let sent = self.next_of("sent").await;
        assert_eq!((&sent["clientId"], &sent["durability"]), (&json!(name), &json!("persisted")));
    }

    /// The next entry's number, its text and its cursor.
    async fn entry(&mut self) -> (u64, String, Value) {
        let frame = self.next_of("entry").await;
        let entry = frame.get("entry").unwrap_or(&frame);
        let text = entry["content"]["text"].as_str().or(entry["text"].as_str());
        (entry["seq"].as_u64().unwrap(), text.unwrap_or_default().to_owned(), entry["cursor"].clone())
    }
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill_and_who_was_away_gets_it_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let server = Program::start(folder.path(), "127.0.0.1:0");
    for user in ["ann", "bob"] {
        server.enter(user, "general").await;
    }
    let (mut ann, mut bob) = (server.client("ann").await, server.client("bob").await);
    assert_eq!(ann.join("general", None).await["outcome"], "new");
    bob.join("general", None).await;
    ann.send("general", "one").await;
    let (first, text, cursor) = bob.entry().await;
    assert_eq!(text, "one");
    drop(bob);
    ann.send("general", "two").await;

    let address = server.address.clone();
    // Its end is SIGKILL.
    drop(server);
    let server = Program::start(folder.path(), &address);
    let mut ann = server.client("ann").await;
    // Nobody knows whether it arrived, so it is sent again.
    ann.send("general", "two").await;
    ann.send("general", "three").await;
    let mut bob = server.client("bob").await;
    assert_eq!(bob.join("general", Some(&cursor)).await["outcome"], "recovered");
    ann.send("general", "four").await;
    for (number, expected) in (first + 1..).zip(["two", "three", "four"]) {
        let (seq, text, _) = bob.entry().await;
        assert_eq!((seq, text.as_str()), (number, expected));
    }
}

#[tokio::test]
async fn the_end_is_told_and_in_good_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Program::start(folder.path(), "127.0.0.1:0");
    assert_eq!(server.request("GET", "/chat/health", "").await, 200);
    let mut ann = server.client("ann").await;
    let process = Pid::from_child(&server.child);
    kill_process(process, Signal::TERM).unwrap();
    let closing = ann.next_of("closing").await;
    assert_eq!(closing["code"], "draining", "{closing}");
    let Message::Close(Some(close)) = ann.message().await else { panic!("no close") };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (4000, "draining"));
    drop(ann);
    let ended = async {
        loop {
            if let Some(status) = server.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, ended).await.unwrap().success());
    assert!(!folder.path().join("chat.db-wal").exists(), "the file was not closed");
}

#[tokio::test]
async fn who_may_not_is_refused_and_what_breaks_the_rules_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Program::start(folder.path(), "127.0.0.1:0");
    for (headers, status) in
        [([("origin", "https://evil.example")], 403), ([("authorization", "Basic x")], 401)]
    {
        let Err(Error::Http(refused)) = server.open(&headers).await.map(|_| ()) else {
            panic!("{headers:?}")
        };
        assert_eq!(refused.status(), status);
    }
    let page = format!("http://{}", server.address);
    let bearer = format!("Bearer {}", token("ann"));
    let headers =
        [("origin", &*page), ("authorization", &*bearer), ("sec-websocket-protocol", "other, chat.v1")];
    let (mut ann, response) = server.open(&headers).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v1");
    ann.say(&json!({ "type": "connect" })).await;
    assert_eq!(ann.next().await["type"], "connected");
    ann.say(&json!({ "type": "join", "id": 1, "room": "attic" })).await;
    assert_eq!(ann.next().await["code"], "not_a_member");
    ann.socket.send(Message::text("x".repeat(70_000))).await.unwrap();
    assert_eq!(ann.next_of("closing").await["code"], "frame_too_large");
    assert_eq!(server.request("PUT", "/rooms/general", "").await, 401);
    assert_eq!(server.request("GET", "/chat/health", "").await, 200);
}

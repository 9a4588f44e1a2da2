//! WebSockets, with frames and without.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use reqwest::Method;
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::server::{Server, session};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(server: &Server, path: &str) -> Socket {
    connect_async(format!("ws://{}{path}", server.address)).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Option<Message> {
    loop {
        match tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("in time")?.ok()? {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return Some(message),
        }
    }
}

async fn text(socket: &mut Socket) -> String {
    match next(socket).await {
        Some(Message::Text(text)) => text.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// The close that comes, and that nothing follows.
async fn closed(socket: &mut Socket) -> (u16, String) {
    let close = match next(socket).await {
        Some(Message::Close(Some(close))) => (close.code.into(), close.reason.as_str().to_owned()),
        other => panic!("{other:?}"),
    };
    assert_eq!(next(socket).await, None);
    close
}

#[tokio::test]
async fn a_websocket_speaks_in_frames() {
    let server = Server::start().await;
    let path = format!("{}/websocket", session("/echo"));
    // The name of a session is nobody's here.
    let mut sockets = [open(&server, &path).await, open(&server, &path).await];
    for (socket, name) in sockets.iter_mut().zip(["a", "b"]) {
        assert_eq!(text(socket).await, "o");
        for frame in ["", "[]"] {
            socket.send(Message::text(frame)).await.unwrap();
        }
        socket.send(Message::text(format!("[\"{name}\"]"))).await.unwrap();
        assert_eq!(text(socket).await, format!("a[\"{name}\"]"));
    }
    sockets[0].send(Message::text("[\"broken")).await.unwrap();
    assert_eq!(closed(&mut sockets[0]).await, (1002, "Broken framing.".to_owned()));
    let mut socket = open(&server, &format!("{}/websocket", session("/close"))).await;
    for expected in ["o", "c[3000,\"Go away!\"]"] {
        assert_eq!(text(&mut socket).await, expected);
    }
    assert_eq!(closed(&mut socket).await, (3000, "Go away!".to_owned()));
}

#[tokio::test]
async fn a_raw_websocket_speaks_without_frames() {
    let server = Server::start().await;
    for path in ["/echo/websocket", "/echo"] {
        let mut socket = open(&server, path).await;
        socket.send(Message::text("Hello world!\u{ffff}")).await.unwrap();
        assert_eq!(text(&mut socket).await, "Hello world!\u{ffff}");
        socket.send(Message::binary(&b"\xff"[..])).await.unwrap();
        assert_eq!(closed(&mut socket).await.0, 1003);
    }
    assert_eq!(closed(&mut open(&server, "/close/websocket").await).await, (3000, "Go away!".to_owned()));
}

#[tokio::test]
async fn what_asks_for_no_websocket_is_refused() {
    let server = Server::start().await;
    let answer = server.get("/echo/0/0/websocket").await;
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
        (400, "Can \"Upgrade\" only to \"WebSocket\".")
    );
    let headers = [("upgrade", "WebSocket"), ("connection", "close")];
    let answer = server.request(Method::GET, "/echo/0/0/websocket", &headers, "").await;
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
        (400, "\"Connection\" must be \"Upgrade\".")
    );
}

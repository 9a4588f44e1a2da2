//! Clients that do not read.

use std::time::Duration;

use chat_gateway::Limits;
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::world::{Server, settings};

fn seq(cursor: &serde_json::Value) -> u64 {
    cursor.as_str().unwrap().split('.').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_slow_reader_delays_nobody_and_is_brought_back() {
    const MESSAGES: u64 = 5_000;
    let server = Server::start().await;
    let mut slow = server.joined("ann").await;
    let text = "x".repeat(900);
    for _ in 0..MESSAGES {
        server.say(&text).await;
    }
    let (mut applied, mut entries, mut resyncs) = (0, 0, 0);
    while applied < MESSAGES {
        let frame = slow.next().await;
        match frame["type"].as_str().unwrap() {
            "entry" => {
                assert_eq!(frame["entry"]["seq"], applied + 1);
                applied += 1;
                entries += 1;
            }
            "resync" => {
                resyncs += 1;
                assert_eq!(seq(&frame["hole"]["after"]), applied);
                if frame.get("page").is_some() {
                    applied = seq(&frame["cursor"]);
                }
            }
            "heads" | "presence" | "noticesLost" => {}
            other => panic!("{other}"),
        }
    }
    // Had the server kept everything for this client, it would have been sent all of it.
    assert!(resyncs >= 1 && entries < 1_000, "{resyncs} resyncs, {entries} entries");
    server.say("and on").await;
    assert_eq!(slow.next_seq().await, MESSAGES + 1);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let server = Server::with(settings(), Limits::new().with_write_timeout(Duration::from_millis(300))).await;
    let _stuck = server.joined("ann").await;
    let text = "x".repeat(1_000);
    for _ in 0..20_000 {
        server.say(&text).await;
        if server.chat.session_count() == 0 {
            return;
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.chat.session_count(), 0);
}

#[tokio::test]
async fn a_client_that_asks_and_does_not_listen_is_not_read() {
    let limits =
        Limits::new().with_commands(1_000_000, 1_000_000).with_write_timeout(Duration::from_secs(60));
    let server = Server::with(settings(), limits).await;
    for n in 0..40 {
        server.say(&format!("{n} {}", "x".repeat(900))).await;
    }
    let mut ann = server.client("ann").await;
    // Each answer has 40 kB. Nobody reads them, so the server soon reads no more questions.
    let mut asked = 0u64;
    let ask = async {
        loop {
            let frame =
                json!({"type": "history", "room": "general", "id": asked + 1, "pad": "y".repeat(5_000)});
            ann.socket.feed(Message::text(frame.to_string())).await.unwrap();
            ann.socket.flush().await.unwrap();
            asked += 1;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3), ask).await.is_err());
    assert!(asked < 2_000, "{asked}");
    // Whatever was asked is answered once there is somebody to listen.
    for id in 1..=asked {
        let frame = loop {
            if let Some(Ok(Message::Text(text))) = ann.socket.next().await {
                break serde_json::from_str::<serde_json::Value>(&text).unwrap();
            }
        };
        assert_eq!(frame["reply"], id);
        if id > 200 {
            break;
        }
    }
}

//! A client that comes back goes on where it was.

use chat_core::{ClientMessageId, Settings};
use chat_gateway::stomp::StompConfig;

use crate::{
    client::Client,
    study::{Server, room, user},
};

const ROOM: &str = "/topic/chatroom/7";

#[tokio::test]
async fn everything_after_the_cursor_comes_once_and_in_order() {
    let server = Server::start().await;
    let mut one = Client::joined(&server, 1).await;
    for content in ["a", "b"] {
        server.say(content).await;
    }
    let first = one.message().await;
    let cursor = first.0.header("cursor").unwrap().to_owned();
    assert_eq!((first.1["content"].as_str(), one.content().await.as_str()), (Some("a"), "b"));
    drop(one);
    server.say("c").await;
    let mut back = Client::connect(&server, 1).await;
    let mut early = back.subscribe("room", ROOM, Some(&cursor)).await;
    server.say("d").await;
    while early.len() < 3 {
        early.push(back.next().await);
    }
    let contents: Vec<serde_json::Value> = early
        .iter()
        .map(|frame| serde_json::from_slice::<serde_json::Value>(&frame.body).unwrap()["content"].take())
        .collect();
    assert_eq!(contents, ["b", "c", "d"]);
    assert!(early.iter().all(|frame| frame.header("resync").is_none()));
    // One that names no cursor gets what is new.
    let mut new = Client::connect(&server, 1).await;
    assert_eq!(new.subscribe("room", ROOM, None).await, []);
    server.say("e").await;
    assert_eq!(new.content().await, "e");
}

#[tokio::test]
async fn two_subscriptions_of_a_room_have_each_their_own_place() {
    let server = Server::start().await;
    let mut one = Client::joined(&server, 1).await;
    server.say("a").await;
    let cursor = one.message().await.0.header("cursor").unwrap().to_owned();
    server.say("b").await;
    assert_eq!(one.content().await, "b");
    let mut frames = one.subscribe("late", ROOM, Some(&cursor)).await;
    server.say("c").await;
    while frames.len() < 3 {
        frames.push(one.next().await);
    }
    let mut heard: Vec<(String, String)> = frames
        .iter()
        .map(|frame| {
            let body: serde_json::Value = serde_json::from_slice(&frame.body).unwrap();
            (frame.header("subscription").unwrap().to_owned(), body["content"].as_str().unwrap().to_owned())
        })
        .collect();
    heard.sort();
    let expected = [("late", "b"), ("late", "c"), ("room", "c")];
    assert_eq!(heard, expected.map(|(id, content)| (id.to_owned(), content.to_owned())));
}

#[tokio::test]
async fn a_client_that_missed_too_much_is_told_and_gets_the_newest_page() {
    let mut settings = Settings::default();
    (settings.replay_limit, settings.join_page) = (3, 2);
    let server = Server::with(StompConfig::new(), settings).await;
    let mut one = Client::joined(&server, 1).await;
    server.say("0").await;
    let cursor = one.message().await.0.header("cursor").unwrap().to_owned();
    drop(one);
    // More than the room keeps in memory for those who come back.
    for content in 1..=5_000 {
        server.say(&content.to_string()).await;
    }
    let mut back = Client::connect(&server, 1).await;
    let mut frames = back.subscribe("room", ROOM, Some(&cursor)).await;
    while frames.len() < 2 {
        frames.push(back.next().await);
    }
    assert_eq!(frames[0].header("resync"), Some("limited"));
    assert_eq!(frames[1].header("resync"), None);
    server.say("live").await;
    assert_eq!(back.content().await, "live");
}

#[tokio::test]
async fn a_cursor_of_another_life_begins_anew() {
    let server = Server::start().await;
    server.say("a").await;
    let mut one = Client::connect(&server, 1).await;
    let mut frames = one.subscribe("room", ROOM, Some("another.12")).await;
    if frames.is_empty() {
        frames.push(one.next().await);
    }
    assert_eq!(frames[0].header("resync"), Some("reset"));
}

/// Not every entry is a message for these clients.
#[tokio::test]
async fn a_reset_is_told_by_the_first_message_even_where_the_page_has_none() {
    let server = Server::start().await;
    let untold = ClientMessageId::generate();
    server.chat.system(user(2)).send_text(&room(7), untold, "no JSON, so no message").await.unwrap();
    let mut one = Client::connect(&server, 1).await;
    assert!(one.subscribe("room", ROOM, Some("another.12")).await.is_empty());
    server.say("a").await;
    server.say("b").await;
    assert_eq!(one.next().await.header("resync"), Some("reset"));
    assert_eq!(one.next().await.header("resync"), None);
}

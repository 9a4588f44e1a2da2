//! What is sent arrives, where it may.

use chat_core::MemberChange;
use chat_gateway::stomp::Command;

use crate::{
    client::{Client, chat, frame},
    study::{Server, room, user},
};

#[tokio::test]
async fn a_message_reaches_everybody_in_the_room_in_one_order() {
    let server = Server::start().await;
    let (mut one, mut two) = (Client::joined(&server, 1).await, Client::joined(&server, 2).await);
    let came_before = one.ask(chat(7, 1, "hello!")).await;
    let (message, body) = match came_before.into_iter().next() {
        Some(message) => (message.clone(), serde_json::from_slice(&message.body).unwrap()),
        None => one.message().await,
    };
    let expected = serde_json::json!({
        "chatRoomId": 7, "messageId": 1, "senderId": 1, "senderNickname": "hong", "content": "hello!",
        "messageType": "CHAT",
    });
    assert_eq!(body, expected);
    assert_eq!(message.header("destination"), Some("/topic/chatroom/7"));
    assert_eq!(message.header("subscription"), Some("room"));
    assert_eq!(message.header("content-type"), Some("application/json"));
    assert!(message.header("message-id").is_some() && message.header("cursor").is_some());
    two.send(chat(7, 2, "hi")).await;
    for expected in ["hello!", "hi"] {
        assert_eq!(two.content().await, expected);
    }
    assert_eq!(one.content().await, "hi");
}

#[tokio::test]
async fn the_sender_is_who_the_token_says() {
    let server = Server::start().await;
    let (mut one, mut two) = (Client::joined(&server, 1).await, Client::joined(&server, 2).await);
    one.send(chat(7, 2, "forged").with("receipt", "mine")).await;
    let (told, body) = one.message().await;
    assert_eq!(told.header("destination"), Some("/user/1/queue/errors"));
    assert_eq!((told.header("code"), told.header("receipt-id")), (Some("forbidden"), Some("mine")));
    assert_eq!(body["code"], "forbidden");
    // The connection goes on, and the others have heard nothing.
    one.ask(chat(7, 1, "honest")).await;
    assert_eq!(two.content().await, "honest");
}

#[tokio::test]
async fn only_members_follow_a_room_and_send_to_it() {
    let server = Server::start().await;
    let mut stranger = Client::connect(&server, 3).await;
    stranger.subscribe("errors", "/user/3/queue/errors", None).await;
    stranger.send(chat(7, 3, "let me in")).await;
    assert_eq!(stranger.message().await.1["code"], "not_a_member");
    stranger.send(chat(8, 3, "hello?")).await;
    assert_eq!(
        stranger.message().await.1["code"],
        "not_a_member",
        "which rooms there are is nobody else's business"
    );
    let subscribe = |destination| frame(Command::Subscribe).with("id", "x").with("destination", destination);
    assert_eq!(stranger.refused(subscribe("/topic/chatroom/7")).await, "not_a_member");
    for (destination, code) in [
        ("/user/1/queue/errors", "forbidden"),
        ("/topic/other", "not_found"),
        ("/topic/chatroom/8", "not_a_member"),
    ] {
        let mut stranger = Client::connect(&server, 3).await;
        assert_eq!(stranger.refused(subscribe(destination)).await, code, "{destination}");
    }
}

#[tokio::test]
async fn whoever_is_removed_is_told_and_hears_no_more() {
    let server = Server::start().await;
    let mut one = Client::joined(&server, 1).await;
    let system = server.chat.system(user(99));
    system.change_member(&room(7), MemberChange::remove(user(1))).await.unwrap();
    assert_eq!(one.ended().await, "not_a_member");
}

#[tokio::test]
async fn a_resend_with_the_same_name_is_one_message() {
    let server = Server::start().await;
    let mut one = Client::joined(&server, 1).await;
    let body = r#"{"chatRoomId":7,"senderId":1,"content":"once","clientMsgId":"c-1"}"#;
    for _ in 0..2 {
        one.send(frame(Command::Send).with("destination", "/app/chat.sendMessage").with_body(body)).await;
    }
    one.send(chat(7, 1, "next")).await;
    assert_eq!(one.content().await, "once");
    assert_eq!(one.content().await, "next");
}

#[tokio::test]
async fn sends_of_a_transaction_are_done_when_it_is_committed() {
    let server = Server::start().await;
    let mut one = Client::joined(&server, 1).await;
    let transaction = |command| frame(command).with("transaction", "t");
    assert_eq!(one.ask(transaction(Command::Begin)).await, []);
    assert_eq!(one.ask(chat(7, 1, "second").with("transaction", "t")).await, []);
    one.send(chat(7, 1, "first")).await;
    assert_eq!(one.content().await, "first");
    one.send(transaction(Command::Commit)).await;
    assert_eq!(one.content().await, "second");
    one.ask(transaction(Command::Begin)).await;
    one.ask(chat(7, 1, "never").with("transaction", "t")).await;
    one.ask(transaction(Command::Abort)).await;
    one.send(chat(7, 1, "third")).await;
    assert_eq!(one.content().await, "third");
}

#[tokio::test]
async fn a_subscription_that_ended_hears_no_more() {
    let server = Server::start().await;
    let mut one = Client::joined(&server, 1).await;
    one.ask(frame(Command::Unsubscribe).with("id", "room")).await;
    server.say("unheard").await;
    assert_eq!(one.subscribe("again", "/topic/chatroom/7", None).await, []);
    server.say("heard").await;
    let (message, body) = one.message().await;
    assert_eq!((message.header("subscription"), &body["content"]), (Some("again"), &"heard".into()));
}

#[tokio::test]
async fn whoever_does_not_upgrade_hears_to_what() {
    let study = Server::start().await;
    let response = reqwest::get(format!("http://{}/stomp", study.address)).await.unwrap();
    assert_eq!(response.status(), 426);
    assert_eq!(response.headers()["upgrade"], "websocket");
    assert_eq!(response.headers()["sec-websocket-version"], "13");
    let problem: serde_json::Value = response.json().await.unwrap();
    assert_eq!(problem["code"], "upgrade_required");
}

//! What was accepted and is not stored.

use chat_core::Settings;
use chat_gateway::stomp::{Command, StompConfig};
use serde_json::json;

use crate::{
    client::{Client, chat},
    refusing_log,
    study::Server,
};

#[tokio::test]
async fn a_sender_is_told_on_the_queue_for_errors_on_every_device() {
    let server = Server::of(refusing_log::chat(), StompConfig::new(), Settings::default()).await;
    let (mut phone, mut laptop) = (Client::joined(&server, 1).await, Client::joined(&server, 1).await);
    let mut other = Client::joined(&server, 2).await;
    let mut told = phone.ask(chat(7, 1, "accepted, and no more")).await;
    if told.is_empty() {
        told.push(phone.next().await);
    }
    let told = told.pop().unwrap();
    for told in [told, laptop.next().await] {
        assert_eq!((told.command, told.header("subscription")), (Command::Message, Some("errors")));
        assert_eq!(told.header("code"), Some("busy"));
        let body: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
        assert_eq!((&body["type"], &body["room"]), (&json!("sendFailed"), &json!("7")));
        assert_eq!((&body["retryable"], &body["retryAfterMs"]), (&json!(true), &json!(2_000)));
        assert!(body["clientId"].is_string());
    }
    // Nobody else is told anything.
    let nothing = tokio::time::timeout(std::time::Duration::from_millis(200), other.try_next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

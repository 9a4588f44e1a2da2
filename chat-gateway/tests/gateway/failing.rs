//! Backends that fail.

use chat_core::{
    AppendOutcome, Backend, Cursor, Draft, Durability, Error, Head, MessageLog, Page, ReadQuery, Result,
    Retention, Retry, RoomId,
};
use chat_gateway::GatewayConfig;
use serde_json::json;

use crate::world::{Server, settings};

/// A log whose server is gone.
#[derive(Debug)]
pub(crate) struct Broken;

fn broken<T>(operation: &'static str) -> Result<T> {
    Err(Error::backend("broken", operation, Retry::Later, std::io::Error::other("password=hunter2")))
}

#[async_trait::async_trait]
impl Backend for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn health(&self) -> Result<()> {
        broken("ping")
    }
}

#[async_trait::async_trait]
impl MessageLog for Broken {
    fn durability(&self) -> Durability {
        Durability::Persisted
    }

    async fn append(&self, _: &[Draft]) -> Result<Vec<AppendOutcome>> {
        broken("append")
    }

    async fn read(&self, _: &RoomId, _: ReadQuery) -> Result<Page> {
        broken("read")
    }

    async fn heads(&self, _: &[RoomId]) -> Result<Vec<Option<Head>>> {
        broken("heads")
    }

    async fn trim(&self, _: &RoomId, _: Retention) -> Result<Head> {
        broken("trim")
    }
}

#[tokio::test]
async fn a_failing_backend_is_unavailable_and_its_secrets_stay_inside() {
    let server = Server::build(settings(), GatewayConfig::new(), |builder| builder.log(Broken)).await;
    let mut ann = server.client("ann").await;
    let cursor = Cursor::new(chat_core::Epoch::generate(), chat_core::Seq::FIRST).to_string();
    for frame in [
        json!({"type": "send", "room": "general", "clientId": "c", "text": "x"}),
        json!({"type": "history", "room": "general"}),
        json!({"type": "join", "room": "general", "cursor": cursor}),
    ] {
        let error = ann.ask(frame).await;
        assert_eq!((&error["code"], &error["retryable"]), (&json!("unavailable"), &json!(true)), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
    let health = reqwest::get(server.url("/health")).await.unwrap();
    assert_eq!(health.status(), 503);
    let body = health.text().await.unwrap();
    assert!(body.contains(r#""log":{"status":"failing""#) && !body.contains("hunter2"), "{body}");
}

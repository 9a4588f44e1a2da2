//! `GET /health`: each dependency by its name.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, Router, http::StatusCode, routing::get};
use chat_core::{Backend, Chat};
use futures::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

/// What has not answered by then counts as failing.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize)]
struct Report {
    status: &'static str,
    dependencies: BTreeMap<&'static str, Dependency>,
}

/// What stands behind parts of the chat, such as `postgres`.
#[derive(Debug, Default, Serialize)]
struct Dependency {
    status: &'static str,
    /// Which parts it fills; none for what the chat itself does not see.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

const fn status(is_well: bool) -> &'static str {
    if is_well { "ok" } else { "failing" }
}

/// `GET /health`, without a token: 200 and `{status: "ok", dependencies: {name: {status, …}}}`, or 503 where one of them fails
/// (`failing`) or the server ends (`draining`), so that balancers send clients elsewhere. The
/// dependencies are the chat's, by their backends' names, and `others`, which it does not see by itself.
pub fn routes(chat: Chat, others: Vec<Arc<dyn Backend>>) -> Router {
    Router::new().route("/health", get(async move || report(&chat, &others).await))
}

async fn report(chat: &Chat, others: &[Arc<dyn Backend>]) -> (StatusCode, Json<Report>) {
    let asked = others.iter().map(|other| async move {
        let error = match timeout(PATIENCE, other.health()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        (other.name(), None, error)
    });
    let (health, others) = futures::join!(chat.health(), join_all(asked));
    let parts = health.parts.into_iter().map(|part| (part.backend, Some(part.part), part.error));
    let mut dependencies: BTreeMap<&'static str, Dependency> = BTreeMap::new();
    for (name, part, error) in parts.chain(others) {
        let known = dependencies.entry(name).or_default();
        known.parts.extend(part);
        // Said once, however many parts it stands behind.
        known.errors.extend(error.filter(|error| !known.errors.contains(error)));
        known.status = status(known.errors.is_empty());
    }
    let is_well = dependencies.values().all(|dependency| dependency.errors.is_empty());
    let status = if chat.is_draining() { "draining" } else { status(is_well) };
    let code = if status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(Report { status, dependencies }))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, body::to_bytes, http::Request};
    use chat_core::testkit::TokenIsUser;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_server_that_ends_says_so() {
        let chat = Chat::builder().memory().auth(TokenIsUser).build().unwrap();
        let ask = async || {
            let request = Request::get("/health").body(Body::empty()).unwrap();
            let response = routes(chat.clone(), Vec::new()).oneshot(request).await.unwrap();
            let code = response.status().as_u16();
            let body: Value =
                serde_json::from_slice(&to_bytes(response.into_body(), 4_096).await.unwrap()).unwrap();
            (code, body["status"].as_str().unwrap_or_default().to_owned())
        };
        assert_eq!(ask().await, (200, "ok".to_owned()));
        chat.drain(Duration::ZERO, Duration::ZERO).await;
        assert_eq!(ask().await, (503, "draining".to_owned()));
    }
}

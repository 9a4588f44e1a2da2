//! Plain requests to a gateway.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::time::timeout;

/// For one request.
const PATIENCE: Duration = Duration::from_secs(15);

/// One request over a connection of its own: status and body, null where that is not JSON.
pub(crate) async fn request(
    at: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Result<(u16, Value)> {
    let (url, body) = (format!("http://{at}{path}"), body.map(Value::to_string));
    let answer = chat_load::http::request(method, &url, token, body.as_deref());
    let (status, body) = timeout(PATIENCE, answer).await.with_context(|| format!("{method} {path}"))??;
    Ok((status, serde_json::from_str(&body).unwrap_or_default()))
}

/// As [`request`], where it has to succeed.
pub(crate) async fn done(
    at: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: Option<&Value>,
) -> Result<Value> {
    let (status, answer) = request(at, method, path, Some(token), body).await?;
    if !(200..300).contains(&status) {
        bail!("{method} {path}: {status} {answer}");
    }
    Ok(answer)
}

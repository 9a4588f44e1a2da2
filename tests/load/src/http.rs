//! Requests that set a server up, or ask it for its figures: few, and without a client's comforts.

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use url::{Position, Url};

/// The status and the body.
///
/// # Errors
/// The server is not there, or says something else than HTTP.
pub async fn get(url: &str) -> Result<(u16, String)> {
    request("GET", url, None, None).await
}

/// The same for a body of JSON, as a user.
///
/// # Errors
/// As for [`get`].
pub async fn post(url: &str, token: Option<&str>, body: &str) -> Result<(u16, String)> {
    request("POST", url, token, Some(body)).await
}

/// One request over a connection of its own, as a user and with a body of JSON if there is one. Waits for as long as the server takes.
///
/// # Errors
/// As for [`get`].
pub async fn request(
    method: &str,
    url: &str,
    token: Option<&str>,
    body: Option<&str>,
) -> Result<(u16, String)> {
    let url = Url::parse(url).with_context(|| url.to_owned())?;
    let (host, port) = (url.host_str().context("no host")?, url.port_or_known_default().unwrap_or(80));
    let mut stream = TcpStream::connect((host, port)).await.with_context(|| format!("{host}:{port}"))?;
    // Version 1.0: the answer is not in pieces, and ends with the connection.
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let mut head = format!("{method} {target} HTTP/1.0\r\nHost: {host}:{port}\r\n");
    if let Some(token) = token {
        head += &format!("Authorization: Bearer {token}\r\n");
    }
    if let Some(body) = body {
        head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    head += "\r\n";
    head += body.unwrap_or_default();
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}

//! Chat on a server that is not axum: the JSON protocol over warp's WebSocket.
//! `cargo run -p example-warp-websocket`, with `export CHAT_SECRET=$(openssl rand -hex 32)`, listens on http://127.0.0.1:8080.

mod routes;
mod settings;
mod websocket;

use std::time::Duration;

use anyhow::Context;
use chat_backend_sqlite::{SqliteBackend, SqliteConfig};
use chat_core::{
    Chat,
    auth::{JwtAuth, JwtConfig, JwtKey},
};
use chat_gateway::GatewayConfig;
use clap::Parser;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::timeout,
};

use crate::settings::Settings;

/// How long clients may take to go once they were asked to, and requests under way after that.
const PATIENCE: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    // From the first moment on, so that whoever asks it to end while it begins is heard.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let key = JwtKey::hs256(settings.secret.clone()).context("CHAT_SECRET")?;
    let file = SqliteBackend::open(SqliteConfig::new(&settings.file)).await?;
    let auth = JwtAuth::new(JwtConfig::new([key]))?;
    let chat = Chat::builder().memory().storage(&file).auth(auth).build()?;
    let mut config = GatewayConfig::new();
    if !settings.origins.is_empty() {
        config = config.with_allowed_origins(settings.origins.iter().cloned());
    }

    let listen = &settings.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    let (drained, rest) = oneshot::channel::<()>();
    let ending = async { _ = rest.await };
    let server = warp::serve(routes::all(&chat, config)).incoming(listener).graceful(ending);
    let server = tokio::spawn(server.run());
    tokio::select! { biased; _ = terminate.recv() => {}, _ = interrupt.recv() => {} }

    // Clients are told when to come back, and have their time to go.
    chat.drain(settings.drain_window(), PATIENCE).await;
    drop(drained);
    _ = timeout(REST, server).await;
    Ok(file.close().await?)
}

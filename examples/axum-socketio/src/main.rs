//! Chat for clients of Socket.IO. Your users' tokens (HS256, `sub` is the user) open it.
//! `cargo run -p example-axum-socketio`, with `export CHAT_SECRET=$(openssl rand -hex 32)`, listens on http://127.0.0.1:8080.

mod dialect;

use std::{env, time::Duration};

use anyhow::Context;
use axum::{Router, serve::ListenerExt as _};
use chat_backend_sqlite::{SqliteBackend, SqliteConfig};
use chat_core::{
    Chat,
    auth::{JwtAuth, JwtConfig, JwtKey},
};
use chat_gateway::{GatewayConfig, Limits, socketio};
use tokio::{net::TcpListener, signal, sync::oneshot, time::timeout};

use crate::dialect::Rooms;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let secret = env::var("CHAT_SECRET").context("CHAT_SECRET must hold what signs your users' tokens")?;
    let auth = JwtAuth::new(JwtConfig::new([JwtKey::hs256(secret).context("CHAT_SECRET")?]))?;
    let file = SqliteBackend::open(SqliteConfig::new("chat.db")).await?;
    let chat = Chat::builder().memory().storage(&file).auth(auth).build()?;

    let (layer, io) = socketio::layer(&Limits::new());
    socketio::mount(&io, chat.clone(), Rooms, GatewayConfig::new());
    let app =
        Router::new().nest("/chat", chat_gateway::router(chat.clone(), GatewayConfig::new())).layer(layer);

    let listen = env::args().skip_while(|word| word != "--listen").nth(1).unwrap_or("127.0.0.1:8080".into());
    let listener = TcpListener::bind(&listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    // Without it, small frames wait for the client to acknowledge earlier ones: up to 40 ms.
    let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));

    let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    let (drained, rest) = oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async { _ = rest.await }).into_future();
    let server = tokio::spawn(server);
    tokio::select! { biased; _ = signal::ctrl_c() => {}, _ = terminate.recv() => {} }
    // The sessions end; with their connections the clients know that they are to come back.
    chat.drain(Duration::from_secs(2), Duration::from_secs(5)).await;
    _ = timeout(Duration::from_secs(1), io.close()).await;
    drop(drained);
    _ = timeout(Duration::from_secs(1), server).await;
    Ok(file.close().await?)
}

//! Chat inside an axum service that is there already. Your users' tokens (HS256, `sub` is the user) open it.
//! `cargo run -p example-axum-embed`, with `export CHAT_SECRET=$(openssl rand -hex 32)`, listens on http://127.0.0.1:8080.
use std::{env, time::Duration};

use anyhow::Context;
use axum::{Router, routing::get, serve::ListenerExt as _};
use chat_backend_sqlite::{SqliteBackend, SqliteConfig};
use chat_core::{
    Chat,
    auth::{JwtAuth, JwtConfig, JwtKey},
};
use chat_gateway::GatewayConfig;
use tokio::{net::TcpListener, signal, sync::oneshot, time::timeout};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let secret = env::var("CHAT_SECRET").context("CHAT_SECRET must hold what signs your users' tokens")?;
    let auth = JwtAuth::new(JwtConfig::new([JwtKey::hs256(secret).context("CHAT_SECRET")?]))?;
    let file = SqliteBackend::open(SqliteConfig::new("chat.db")).await?;
    let chat = Chat::builder().memory().storage(&file).auth(auth).build()?;

    let app = Router::new()
        .route("/", get(|| async { "hello" })) // your service as it was
        .nest("/chat", chat_gateway::router(chat.clone(), GatewayConfig::new()));

    let listen = env::args().skip_while(|word| word != "--listen").nth(1).unwrap_or("127.0.0.1:8080".into());
    let listener = TcpListener::bind(&listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|socket| _ = socket.set_nodelay(true)); // small frames go out at once
    let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    let (drained, rest) = oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async { _ = rest.await });
    let server = tokio::spawn(server.into_future());
    tokio::select! { biased; _ = signal::ctrl_c() => {}, _ = terminate.recv() => {} }
    // Clients are asked to come back within 2 s, and have 5 s to go. Requests still under way then have 1 s more.
    chat.drain(Duration::from_secs(2), Duration::from_secs(5)).await;
    drop(drained);
    _ = timeout(Duration::from_secs(1), server).await;
    Ok(file.close().await?)
}

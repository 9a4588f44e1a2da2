//! Servers to put load on: a chat of this library with rooms and members made beforehand and no limits of rates, and a bare
//! WebSocket that repeats what one says to all, which is the least that any server can do.

mod bare;
mod chat;

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use axum::{Router, serve::ListenerExt as _};
use clap::{Parser, Subcommand};
use tokio::{net::TcpListener, signal};

#[derive(Debug, Parser)]
#[command(about = "Servers to put load on")]
struct CommandLine {
    /// Where to listen; port 0 for a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// A chat: /chat/ws, and Socket.IO with the dialect "plain".
    Chat(chat::Settings),
    /// What one says in /ROOM is repeated to all who are there.
    Bare,
}

#[tokio::main]
async fn main() -> Result<()> {
    let CommandLine { listen, kind } = CommandLine::parse();
    let routes: Router = match kind {
        Kind::Chat(settings) => chat::routes(settings).await?,
        Kind::Bare => bare::routes(),
    };
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
    let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    tokio::select! {
        biased;
        _ = terminate.recv() => Ok(()),
        _ = signal::ctrl_c() => Ok(()),
        ended = axum::serve(listener, routes).into_future() => Ok(ended?),
    }
}

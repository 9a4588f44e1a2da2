//! The gateway's transports without a chat behind them.

mod engineio;
mod options;
mod socketio;
mod sockjs;
mod topics;
mod websocket;

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::{Router, routing::get, serve::ListenerExt as _};
use chat_gateway::{
    Limits,
    sockjs::SockJsConfig,
    stomp::{self, FrameLimits, StompConfig},
};
use clap::Parser as _;
use tokio::net::TcpListener;

use crate::{options::Options, topics::Topics};

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(options.address).await.with_context(|| options.address.to_string())?;
    let address = listener.local_addr()?;
    // Small pieces of a streamed answer do not wait for one another.
    let listener = listener.tap_io(|connection| {
        // Without it they only come later.
        let _ = connection.set_nodelay(true);
    });
    let routes = routes(&options)?;
    println!("listening on http://{address}");
    let stop = async {
        // Without the signal's handler the process is ended by the signal itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = stop => Ok(()),
        served = axum::serve(listener, routes) => served.context("the server ended"),
    }
}

fn routes(options: &Options) -> Result<Router> {
    let sockjs = SockJsConfig::new()
        .with_response_limit_bytes(options.streaming_limit)
        .with_request_bytes(options.sockjs_bytes)
        .with_heartbeat_interval(options.sockjs_heartbeat())
        .with_session_timeout(options.sockjs_session_timeout());
    let stomp = StompConfig::new()
        .with_frames(FrameLimits::new().with_body_bytes(options.stomp_bytes))
        // As fast as they can.
        .with_limits(Limits::new().with_commands(1_000_000, 1_000_000))
        .with_heartbeat(options.stomp_heartbeat())
        .with_heartbeat_tolerance(options.stomp_tolerance())
        .with_any_origin();
    let topics = Topics::new(options.topic_bytes);
    Ok(Router::new()
        .merge(sockjs::routes(&sockjs))
        .merge(stomp::sockjs_router("/stomp-sockjs", sockjs, topics.clone(), stomp.clone()))
        .route("/stomp", stomp::websocket(topics, stomp))
        .route("/ws-echo", get(websocket::echo).with_state(Arc::new(options.websocket_bytes)))
        .layer(engineio::layer(options))
        .layer(socketio::layer(options)?))
}

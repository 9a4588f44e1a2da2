//! A whole chat in one program: a page to talk on, guests who only give a name, rooms, and one SQLite file that keeps it
//! all through restarts and crashes, or a PostgreSQL database, on which any number of these programs are one chat. With Redis
//! what is live between them goes over Redis, and where it is asked for what is sent is answered by Redis too.
//!
//! ```sh
//! cargo run -p example-axum-quickstart
//! DATABASE_URL=postgres://user:password@host/database cargo run -p example-axum-quickstart
//! REDIS_URL=redis://:password@host DATABASE_URL=postgres://… cargo run -p example-axum-quickstart
//! HOT_LOG=true REDIS_URL=redis://:password@host DATABASE_URL=postgres://… cargo run -p example-axum-quickstart
//! ```
//!
//! prints `listening on http://127.0.0.1:8080`. Open that in two browser windows.

mod guests;
mod live;
mod page;
mod settings;
mod shutdown;
mod store;

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::{Router, serve::ListenerExt as _};
use chat_core::{
    Chat, Observed,
    auth::{JwtAuth, JwtConfig, JwtSigner},
    observe,
};
use chat_gateway::GatewayConfig;
use clap::Parser;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{net::TcpListener, sync::oneshot};
use tracing::{Level, Metadata};
use tracing_subscriber::{filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{
    guests::Guests,
    live::Live,
    settings::{Arguments, Settings},
    shutdown::Asked,
    store::Store,
};

/// Tokens name who issued them and for whom, so that those of another service with the same secret do not hold here.
const SERVICE: &str = "chat-quickstart";

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Arguments::parse().check() {
        Ok(settings) => settings,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    match serve(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", words(&error));
            ExitCode::FAILURE
        }
    }
}

/// The WebSocket library traces frames as they are, and the first one of a client has its token.
fn shows_secrets(metadata: &Metadata<'_>) -> bool {
    *metadata.level() == Level::TRACE && metadata.target().starts_with("tungstenite")
}

/// What happened and why, each thing once: some errors say their cause themselves.
fn words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if words.is_empty() {
            words = cause;
        } else if !words.ends_with(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let colours = io::stderr().is_terminal();
    tracing_subscriber::registry()
        .with(settings.log)
        .with(filter_fn(|metadata| !shows_secrets(metadata)))
        .with(tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(colours))
        .init();
    let mut asked = Asked::new()?;
    let durations = Matcher::Full(observe::OPERATION_DURATION.to_owned());
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(durations, &observe::DURATION_BUCKETS)?
        .install_recorder()?;
    observe::describe_metrics();
    chat_gateway::observe::describe_metrics();

    let mut store = Store::open(&settings.place, settings.secret).await?;
    let signer = signer(&store.secret, settings.token_lifetime)?;
    let live = Live::open(settings.redis.as_ref(), &store, &settings.rate_limits).await?;
    if let Some(config) = settings.hot_log {
        store.put_behind(live.hot_log(config)?)?;
    }
    let chat = chat(&store, &live, &signer)?;
    let guests = Guests::open(chat.clone(), signer, settings.max_body_chars).await?;
    let app = routes(&chat, guests, metrics);

    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    println!("messages are kept in {}", store.place());
    if let Some(redis) = &settings.redis {
        println!("live events go over {redis}");
        if store.is_behind_hot_log() {
            println!("what is sent is answered there, and moved to where messages are kept");
        }
    }

    // Without it, small frames wait for the client to acknowledge earlier ones: up to 40 ms.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection sends small frames late");
        }
    });
    let (drained, ending) = oneshot::channel();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let window = settings.drain_window;
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        asked.wait().await;
        shutdown::drain(&chat, window).await;
        let _ = drained.send(());
    });
    tokio::select! {
        biased;
        ended = server.into_future() => ended?,
        // A request that never ends must not hold up the end of the server.
        () = async { let _ = ending.await; tokio::time::sleep(shutdown::PATIENCE).await } => {}
    }
    store.flush(shutdown::PATIENCE).await;
    live.close().await;
    store.close().await
}

fn routes(chat: &Chat, guests: Arc<Guests>, metrics: PrometheusHandle) -> Router {
    tokio::spawn(keep_up(metrics.clone()));
    let config = GatewayConfig::new().with_metrics(Arc::new(move || metrics.render())).with_openapi();
    let chat = chat_gateway::router(chat.clone(), config);
    Router::new().nest("/chat", chat).merge(guests.routes()).merge(page::routes())
}

/// The parts of the store and what is live, with spans and metrics round everything.
fn chat(store: &Store, live: &Live, signer: &JwtSigner) -> anyhow::Result<Chat> {
    let config = JwtConfig::new([signer.key()?]).with_issuer(SERVICE).with_audience(SERVICE);
    let mut chat = Chat::builder()
        .log(Observed::new(Arc::clone(&store.log)))
        .rooms(Observed::new(Arc::clone(&store.rooms)))
        .search(Observed::new(Arc::clone(&store.search)))
        .fanout(Observed::new(Arc::clone(&live.fanout)))
        .presence(Observed::new(Arc::clone(&live.presence)))
        .auth(Observed::new(live.cached(JwtAuth::new(config)?, &store.secret)))
        .limiter(Observed::new(Arc::clone(&live.limiter)));
    if let Some(revocations) = &live.revocations {
        chat = chat.revocations(Observed::new(Arc::clone(revocations)));
    }
    Ok(chat.build()?)
}

fn signer(secret: &str, lifetime: Duration) -> anyhow::Result<JwtSigner> {
    Ok(JwtSigner::hs256(secret)?.with_issuer(SERVICE).with_audience(SERVICE).with_lifetime(lifetime))
}

/// Moves what was measured out of the recorder's buffers, which otherwise only a scrape empties.
async fn keep_up(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        metrics.run_upkeep();
    }
}

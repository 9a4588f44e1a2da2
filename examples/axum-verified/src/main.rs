//! Rooms behind verifiable credentials: Socket.IO on `/chat`. Redis answers what is sent and carries it to the others; a batch writer
//! brings it into PostgreSQL behind.
//!
//! ```sh
//! DATABASE_URL=postgres://… REDIS_URL=redis://… JWT_SECRET=… PRESENTATION_AUDIENCE=https://chat.example \
//!     TRUSTED_ISSUERS=did:key:z6Mk… cargo run -p example-axum-verified
//! cargo run -p example-axum-verified -- verify <vectors.jsonl
//! ```

mod dialect;
mod import;
mod queue;
mod rest;
mod settings;
mod verify;

use std::{env, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use chat_backend_postgres::PostgresBackend;
use chat_backend_redis::RedisBackend;
use chat_core::{
    Chat, Storage as _,
    auth::{Cached, CachedConfig, JwtAuth},
    rate_limit::RateLimits,
    tiered::Tiered,
};
use chat_credentials::{BoundNonces, Presented};
use chat_gateway::{GatewayConfig, Limits, socketio};
use example_support::{PATIENCE, WrongUsage, health, import::explained, settings::Environment};
use tokio::{net::TcpListener, time::timeout};
use tracing::{info, warn};

use crate::{
    dialect::{PRESENTATION_HEADER, VerifiedDialect},
    queue::Queue,
    settings::Settings,
};

const USAGE: &str = "\
usage: example-axum-verified [verify | import]

  (nothing)  serve
  verify     check credentials, a line of JSON each on standard input
  import     take over the rows of an older system, from the views in IMPORT_SCHEMA

Settings are environment variables. The README lists them.";

fn main() -> ExitCode {
    // It needs no settings and no logs.
    if env::args().skip(1).eq(["verify"]) {
        return verify::main();
    }
    example_support::run(USAGE, async |arguments| match *arguments {
        [] => serve(Settings::read(Environment::from_process())?).await,
        ["import"] => import::run(Environment::from_process())
            .await
            .map_err(|error| explained(error, "docs/migrating/verified.md")),
        _ => bail!(WrongUsage),
    })
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let database = PostgresBackend::connect(settings.postgres.clone()).await.context("the database")?;
    let redis = RedisBackend::connect(settings.redis.clone()).await.context("Redis")?;
    let hot = redis.hot_log(settings.hot_log.clone());
    let tiered = Tiered::start(hot, database.archive(), &database, settings.batches.clone());
    let tokens = JwtAuth::new(settings.jwt.clone())?;
    let chat = chat(&settings, &redis, &tiered, tokens.clone())?;

    let limits =
        if settings.rate_limits { Limits::new() } else { Limits::new().with_commands(u32::MAX, u32::MAX) };
    let config = settings.origins.gateway(GatewayConfig::new().with_limits(limits.clone()));
    let (layer, io) = socketio::layer(&limits);
    socketio::mount(&io, chat.clone(), VerifiedDialect, config);
    let queue = Arc::new(Queue::new(tiered.clone(), settings.max_queue));
    let app = rest::routes(chat.clone(), tokens, settings.challenges.clone())
        .merge(health::routes(chat.clone(), Vec::new()))
        .merge(queue::routes(queue))
        .layer(layer)
        .layer(axum::middleware::from_fn_with_state(chat.clone(), socketio::refuse_while_draining))
        .layer(settings.origins.layer().allow_headers([AUTHORIZATION, CONTENT_TYPE, PRESENTATION_HEADER]));
    let listen = settings.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    example_support::serve(listener, app, chat, Some(io), settings.drain_window).await?;
    write_out(&tiered, PATIENCE).await;
    redis.close().await;
    database.close().await;
    Ok(())
}

/// Token, then presentation; whoever was let in is remembered in the process first, then in Redis. What was withdrawn is looked at
/// outside of both.
fn chat(settings: &Settings, redis: &RedisBackend, tiered: &Tiered, tokens: JwtAuth) -> anyhow::Result<Chat> {
    let nonces = Arc::new(BoundNonces::new(redis.bindings()));
    let presented = Presented::new(tokens, settings.verifier.clone(), nonces)
        .with_holder_claim(&settings.holder_claim)
        .with_user_claim(&settings.user_claim);
    let presented = match &settings.challenges {
        Some(challenges) => presented.with_challenges(challenges.clone()),
        None => presented,
    };
    let in_redis =
        redis.cached(presented).with_scope(settings.scope).with_time_to_live(settings.cached_in_redis);
    let auth = Cached::new(in_redis, CachedConfig::default().with_time_to_live(settings.cached_in_process));
    let limits = if settings.rate_limits { RateLimits::new() } else { RateLimits::unlimited() };
    let chat = Chat::builder()
        .log(tiered.message_log())
        .rooms(tiered.rooms())
        .search(tiered.search())
        .fanout(redis.fanout())
        .presence(redis.presence())
        .auth(auth)
        .revocations(redis.revocations())
        .bindings(redis.bindings())
        .limiter(redis.rate_limiter(limits));
    Ok(chat.build()?)
}

/// Brings what was taken into the database. What is left is safe where it is: another process moves it, or this one after its
/// next start.
async fn write_out(tiered: &Tiered, patience: Duration) {
    match timeout(patience, tiered.flush()).await {
        Ok(Ok(())) => info!("everything that was sent is in the database"),
        Ok(Err(error)) => warn!(%error, "what was sent last is not in the database yet"),
        Err(_) => warn!("what was sent last is not in the database yet: it takes too long"),
    }
}

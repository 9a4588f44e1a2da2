//! Chat between buyers and stores, one room per pair: Socket.IO on `/chat` and REST, on PostgreSQL and nothing else.
//!
//! ```sh
//! DATABASE_URL=postgres://user:password@localhost/shop JWT_SECRET=… cargo run -p example-axum-shop
//! cargo run -p example-axum-shop -- store 7 ann "Ann's flowers"
//! ```

mod auth;
mod dialect;
mod export;
mod import;
mod rest;
mod rooms;
mod settings;
mod stores;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use chat_backend_postgres::PostgresBackend;
use chat_core::{
    Chat, Settings as Engine,
    rate_limit::{LocalRateLimiter, RateLimits},
};
use chat_gateway::{GatewayConfig, Limits, socketio};
use example_support::{WrongUsage, health, import::explained, settings::Environment};
use tokio::net::TcpListener;

use crate::{auth::ShopAuth, dialect::ShopDialect, rooms::Shop, settings::Settings, stores::Stores};

const USAGE: &str = "\
usage: example-axum-shop [import | export | store ID OWNER NAME]

  (nothing)            serve
  import               take over the rows of an older system, from the views in IMPORT_SCHEMA
  export               print what an older system needs to go on, as lines of JSON
  store ID OWNER NAME  make a store, or hand it over

Settings are environment variables; DATABASE_URL and JWT_SECRET are needed. The README lists them.";

fn main() -> ExitCode {
    example_support::run(USAGE, async |arguments| {
        let settings = || Settings::read(Environment::from_process());
        match *arguments {
            [] => serve(settings()?).await,
            ["import"] => {
                import::run(&settings()?).await.map_err(|error| explained(error, "docs/migrating/shop.md"))
            }
            ["export"] => export::run(&settings()?).await,
            ["store", id, owner, name] => {
                let settings = settings()?;
                let (backend, stores) = open(&settings).await?;
                let shop = Shop::new(chat(&settings, &backend)?, stores);
                shop.put_store(id, owner.parse()?, name).await?;
                shop.chat.drain(Default::default(), example_support::PATIENCE).await;
                backend.close().await;
                Ok(())
            }
            _ => bail!(WrongUsage),
        }
    })
}

async fn open(settings: &Settings) -> anyhow::Result<(PostgresBackend, Stores)> {
    let backend = PostgresBackend::connect(settings.postgres.clone()).await?;
    let stores = Stores::open(&settings.database).await.context("the stores")?;
    Ok((backend, stores))
}

fn chat(settings: &Settings, backend: &PostgresBackend) -> anyhow::Result<Chat> {
    let limits = if settings.rate_limits { RateLimits::new() } else { RateLimits::unlimited() };
    let mut engine = Engine::default();
    // Then every entry of a room is a message, and a page by number is a range of positions.
    engine.announce_members = false;
    let chat = Chat::builder().storage(backend).fanout(backend.fanout()).presence(backend.presence());
    let chat = chat.auth(ShopAuth::new(settings.jwt.clone())?).authorizer(auth::rules());
    Ok(chat.limiter(LocalRateLimiter::new(&limits)).settings(engine).build()?)
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let (backend, stores) = open(&settings).await?;
    let chat = chat(&settings, &backend)?;
    let limits =
        if settings.rate_limits { Limits::new() } else { Limits::new().with_commands(u32::MAX, u32::MAX) };
    let config = settings.origins.gateway(GatewayConfig::new().with_limits(limits.clone()));
    let (layer, io) = socketio::layer(&limits);
    socketio::mount(&io, chat.clone(), ShopDialect, config);
    let app = rest::routes(Shop::new(chat.clone(), stores))
        .merge(health::routes(chat.clone(), Vec::new()))
        .layer(layer)
        .layer(axum::middleware::from_fn_with_state(chat.clone(), socketio::refuse_while_draining))
        .layer(settings.origins.layer());
    let listen = settings.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    example_support::serve(listener, app, chat, Some(io), settings.drain_window).await?;
    backend.close().await;
    Ok(())
}

//! Rooms of study groups: STOMP over WebSocket and SockJS at `/ws-chat`, REST at `/api/chat`, members from Kafka.
//!
//! `example-axum-study` serves; `example-axum-study import` takes over the tables of the system before it.

mod destinations;
mod import;
mod members;
mod mirror;
mod numbers;
mod rest;
mod rules;
mod settings;
mod studies;
mod wire;

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use axum::Router;
use chat_backend_kafka::{MembershipConsumer, TopicSpec, ensure_topics};
use chat_backend_postgres::PostgresBackend;
use chat_backend_redis::RedisBackend;
use chat_core::{Backend, Chat, Rooms, unread::CachedUnread};
use chat_gateway::{
    sockjs::SockJsConfig,
    stomp::{self, ChatApplication, StompConfig},
};
use example_support::{Origins, PATIENCE, WrongUsage, health, import::explained, settings::Environment};
use tokio::{net::TcpListener, time::timeout};

use crate::{
    destinations::StudyDestinations,
    mirror::Mirror,
    numbers::Numbers,
    rest::{App, ServiceKey},
    rules::{Numbered, Rules},
    settings::Settings,
    studies::Studies,
};

const USAGE: &str = "\
usage: example-axum-study [import]

  (nothing)  serve
  import     take over the tables of the system before it

Settings are environment variables. The README lists them.";

fn main() -> ExitCode {
    example_support::run(USAGE, async |arguments| match *arguments {
        [] => serve(Settings::read(Environment::from_process())?).await,
        ["import"] => import::run(Environment::from_process())
            .await
            .map_err(|error| explained(error, "docs/migrating/study.md")),
        _ => bail!(WrongUsage),
    })
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let Settings { kafka, membership, .. } = &settings;
    let (sockjs, stomp) = protocols(&settings);
    // First, so that nobody is kept waiting where the address is taken.
    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", settings.listen))?;
    let topic =
        TopicSpec::new(membership.topic(), settings.partitions).with_replication(settings.replication);
    ensure_topics(kafka, &[topic, membership.dead_letters_spec(settings.replication)]).await?;
    let postgres = PostgresBackend::connect(settings.database.config()?).await?;
    let redis = RedisBackend::connect(settings.redis.clone()).await?;
    let rooms = CachedUnread::new(postgres.rooms(), postgres.message_log(), redis.unread_cache());
    let rooms: Arc<dyn Rooms> = Arc::new(rooms);
    let mut engine = chat_core::Settings::default();
    // Joining and leaving are announced by the members' own clients, with nicknames.
    engine.announce_members = false;
    let chat = Chat::builder()
        .log(postgres.message_log())
        .rooms(rooms.clone())
        .fanout(redis.fanout())
        .presence(redis.presence())
        .limiter(redis.rate_limiter(settings.limits.clone()))
        .auth(Numbered(settings.auth.clone()))
        .authorizer(Rules::new())
        .hooks(Mirror { redis: redis.clone(), channel: settings.channel.clone() })
        .settings(engine)
        .build()?;
    let numbers = Numbers::open(&settings.database).await?;
    let studies = Studies::new(chat.clone(), rooms, numbers.clone());
    let members = MembershipConsumer::start(kafka, membership.clone(), studies.clone(), members::decode);
    let members = Arc::new(members.await?);

    let destinations = ChatApplication::new(chat.clone(), StudyDestinations(studies.clone()));
    let app = App { studies, service: ServiceKey::new(&settings.service_token) };
    let router = Router::new()
        .merge(stomp::sockjs_router("/ws-chat", sockjs, destinations, stomp))
        .merge(rest::routes(app).layer(settings.origins.layer()))
        .merge(health::routes(chat.clone(), vec![members.clone() as Arc<dyn Backend>]));
    let served = example_support::serve(listener, router, chat, None, settings.drain).await;
    // What is under way is finished and committed, so that another instance begins behind it.
    let ended = members.shutdown(PATIENCE).await;
    // They wait for connections that may be stuck.
    let closing = async { futures::join!(numbers.close(), redis.close(), postgres.close()) };
    if timeout(PATIENCE, closing).await.is_err() {
        tracing::warn!("connections to the stores were not closed in time");
    }
    served?;
    Ok(ended?)
}

/// Whose pages may connect. SockJS lets in all of them unless it is told whom: no cookie says who a user is here.
fn protocols(settings: &Settings) -> (SockJsConfig, StompConfig) {
    let (sockjs, stomp) = (SockJsConfig::new().with_client_url(&settings.sockjs_client), StompConfig::new());
    match &settings.origins {
        Origins::Same => (sockjs, stomp),
        Origins::Any => (sockjs, stomp.with_any_origin()),
        Origins::Listed(these) => {
            (sockjs.with_allowed_origins(these.clone()), stomp.with_allowed_origins(these.clone()))
        }
    }
}

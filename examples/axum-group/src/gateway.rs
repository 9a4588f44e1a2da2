//! A gateway from its start to its end.

use std::sync::Arc;

use anyhow::Context as _;
use axum::middleware;
use chat_backend_kafka::{FanoutConfig, KafkaFanout, QueueConfig, QueuedLog, StoredMessages};
use chat_backend_postgres::PostgresBackend;
use chat_backend_redis::RedisBackend;
use chat_core::{
    Chat, Settings as Engine,
    auth::{Authorize, RoleAuthorizer},
    rate_limit::{LocalRateLimiter, RateLimits},
};
use chat_gateway::{GatewayConfig, Limits, socketio};
use example_support::{PATIENCE, health};
use tokio::{net::TcpListener, time::timeout};
use tracing::warn;

use crate::{
    accounts::Accounts,
    dialect::GroupDialect,
    rest::{self, Group},
    settings::GatewaySettings,
};

/// The keys in which other services look who is online.
const PRESENCE_KEYS: &str = "presence:user:";

/// What a gateway stands on, for ending it in good order.
struct Parts {
    store: PostgresBackend,
    redis: RedisBackend,
    log: Arc<QueuedLog>,
    fanout: Arc<KafkaFanout>,
}

impl Parts {
    async fn connect(settings: &GatewaySettings) -> anyhow::Result<Self> {
        settings.kafka.ensure_topics().await?;
        let kafka = &settings.kafka.config;
        let store = PostgresBackend::connect(settings.postgres.clone()).await?;
        let redis = RedisBackend::connect(settings.redis.clone()).await?;
        let queue = QueueConfig::new();
        let log = QueuedLog::start(kafka, queue, store.message_log(), store.rooms()).await?;
        // Each gateway reads the workers' topic by itself and whole: in one group, each event would reach one gateway only.
        let fanout = FanoutConfig::new().with_stored_messages(StoredMessages::FromWorkers);
        let fanout = KafkaFanout::connect(kafka, fanout).await?;
        Ok(Self { store, redis, log: Arc::new(log), fanout: Arc::new(fanout) })
    }

    fn chat(&self, settings: &GatewaySettings) -> anyhow::Result<Chat> {
        let limits = if settings.rate_limits { RateLimits::new() } else { RateLimits::unlimited() };
        let mut engine = Engine::default();
        // This system's rooms hold messages and nothing else.
        engine.announce_members = false;
        let chat = Chat::builder().storage(&self.store).log(Arc::clone(&self.log));
        let chat = chat.fanout(Arc::clone(&self.fanout)).presence(self.redis.listed_presence(PRESENCE_KEYS));
        let chat = chat.auth(settings.tokens.auth.clone()).authorizer(rules());
        Ok(chat.limiter(LocalRateLimiter::new(&limits)).settings(engine).build()?)
    }

    /// After the last client: what was taken reaches the brokers, first of all.
    async fn end(self, accounts: Accounts) -> anyhow::Result<()> {
        let flushed = self.log.shutdown(PATIENCE).await;
        self.fanout.shutdown(PATIENCE).await;
        // They wait for connections that may be stuck.
        let closing = async { futures::join!(accounts.close(), self.redis.close(), self.store.close()) };
        if timeout(PATIENCE, closing).await.is_err() {
            warn!("connections to the stores were not closed in time");
        }
        flushed.context("messages were still on their way to the brokers")
    }
}

/// Whoever has a room's id may become a member; members alone read and write.
fn rules() -> impl Authorize {
    RoleAuthorizer::new().open_rooms(true).without_admin_role()
}

/// Serves until it is asked to end, and ends in good order: nothing more is taken, clients are asked to come back elsewhere, what is
/// under way is finished, and the producer is flushed.
///
/// # Errors
/// What it stands on is out of reach or not as it must be, or messages did not reach the brokers in time.
pub async fn serve(settings: GatewaySettings) -> anyhow::Result<()> {
    let accounts = Accounts::open(&settings.database).await.context("the accounts")?;
    let parts = Parts::connect(&settings).await?;
    let chat = parts.chat(&settings)?;
    let limits =
        if settings.rate_limits { Limits::new() } else { Limits::new().with_commands(u32::MAX, u32::MAX) };
    let config = settings.origins.gateway(GatewayConfig::new().with_limits(limits.clone()));
    let (layer, io) = socketio::layer(&limits);
    socketio::mount(&io, chat.clone(), GroupDialect, config);
    let group = Group::new(chat.clone(), accounts.clone(), &settings)?;
    let app = rest::routes(group)
        .merge(health::routes(chat.clone(), vec![Arc::new(accounts.clone())]))
        .layer(layer)
        .layer(middleware::from_fn_with_state(chat.clone(), socketio::refuse_while_draining))
        .layer(settings.origins.layer());
    let listen = settings.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let served = example_support::serve(listener, app, chat, Some(io), settings.drain_window).await;
    let ended = parts.end(accounts).await;
    served.and(ended)
}

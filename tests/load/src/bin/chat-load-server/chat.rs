//! A whole chat of this library.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use axum::Router;
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{
    Body, Chat, ClientMessageId, Content, EntryKind, MemberChange, NewRoom, Observed, Role, RoomId,
    Settings as ChatSettings, Storage, StoredMessage, UserId,
    auth::{JwtAuth, JwtConfig, JwtKey},
    memory::MemoryStore,
    observe,
    rate_limit::{LocalRateLimiter, RateLimits},
};
use chat_gateway::{
    GatewayConfig, Limits, Problem,
    socketio::{self, Answer, Asked, Dialect, Done, Emit, Request},
};
use chat_load::places;
use clap::Args;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Checks the users' tokens (HS256), at least 32 bytes.
    #[arg(long, env = "CHAT_SECRET", hide_env_values = true)]
    secret: String,
    /// Users that are members: user-0 … of room-0 …, as the load has them.
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    #[arg(long, default_value_t = 10)]
    rooms: usize,
    /// Keeps everything in this PostgreSQL database; without, in memory.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: Option<String>,
    /// The schema there.
    #[arg(long, default_value = "chat_load")]
    schema: String,
    /// Counts what the parts are asked, at /chat/metrics.
    #[arg(long)]
    metrics: bool,
}

pub(crate) async fn routes(settings: Settings) -> Result<Router> {
    let auth = JwtAuth::new(JwtConfig::new([JwtKey::hs256(&settings.secret)?]))?;
    let mut own = ChatSettings::default();
    // What is measured are messages; presence of all connections would be told in every room.
    own.announce_members = false;
    let builder = Chat::builder()
        .memory()
        .auth(auth)
        .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
        .settings(own);
    let storage: Box<dyn Storage + Send + Sync> = match &settings.database {
        None => Box::new(MemoryStore::new()),
        Some(url) => {
            let config = PostgresConfig::from_url(url)?.with_schema(&settings.schema);
            Box::new(PostgresBackend::connect(config).await?)
        }
    };
    let (log, rooms) = (storage.message_log(), storage.rooms());
    let builder = builder.log(log.clone()).rooms(rooms.clone()).search(storage.search());
    for place in places::numbered(settings.connections, settings.rooms)? {
        let room = RoomId::new(&place.room)?;
        rooms.create(NewRoom::new(room.clone())).await?;
        for user in &place.users {
            rooms.change_member(&room, MemberChange::add(UserId::new(user)?, Role::Member)).await?;
        }
    }
    let builder = if settings.metrics { builder.log(Observed::new(log)) } else { builder };
    let chat = builder.build()?;
    // A load test's clients may send as fast as they like.
    let limits = Limits::new().with_commands(u32::MAX, u32::MAX);
    let mut config = GatewayConfig::new().with_limits(limits.clone());
    if settings.metrics {
        let durations = Matcher::Full(observe::OPERATION_DURATION.to_owned());
        let metrics = PrometheusBuilder::new()
            .set_buckets_for_metric(durations, &observe::DURATION_BUCKETS)?
            .install_recorder()?;
        let upkeep = metrics.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                upkeep.run_upkeep();
            }
        });
        config = config.with_metrics(Arc::new(move || metrics.render()));
    }
    let (layer, io) = socketio::layer(&limits);
    socketio::mount(&io, chat.clone(), Plain, config.clone());
    Ok(Router::new().nest("/chat", chat_gateway::router(chat, config)).layer(layer))
}

/// The events of the plain Socket.IO server among the peers: `join`, `send`, `message`.
#[derive(Debug)]
struct Plain;

impl Dialect for Plain {
    fn request(&self, asked: &Asked<'_>) -> Result<Request, Problem> {
        let room = || asked.field("roomId");
        Ok(match asked.event {
            "join" => Request::Join { room: room()?, after: None },
            "send" => Request::Send {
                room: room()?,
                client_id: asked.optional("clientMsgId")?.unwrap_or_else(ClientMessageId::generate),
                content: Content::text(asked.text("content")?),
            },
            _ => return Err(asked.unknown()),
        })
    }

    fn answer(&self, _: &Asked<'_>, done: Result<Done, Problem>) -> Answer {
        Answer::Ack(match done {
            Ok(_) => json!({ "ok": true }),
            Err(problem) => json!({ "ok": false, "error": problem.message }),
        })
    }

    fn entry(&self, entry: &StoredMessage) -> Option<Emit> {
        let Some(Body::Text(text)) = entry.content.body() else { return None };
        let message: Value = json!({
            "roomId": entry.room, "senderId": entry.sender, "clientMsgId": entry.client_id, "content": text,
            "ts": entry.position.created_at.to_string(),
        });
        (entry.content.kind() == EntryKind::Chat).then(|| Emit::new("message", &message))
    }
}

//! Stores what waits in a chat's Kafka queue in PostgreSQL, and tells every node what became of it.
//!
//! ```sh
//! KAFKA_BROKERS=localhost:9092 DATABASE_URL=postgres://user:password@localhost/chat cargo run -p example-kafka-worker
//! ```
//!
//! prints `working: 6 partitions of chat.messages.v1` once it has its share.

mod settings;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use chat_backend_kafka::{Worker, WorkerConfig, ensure_topics};
use chat_backend_postgres::PostgresBackend;
use chat_backend_redis::RedisBackend;
use chat_core::Fanout;
use clap::Parser;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::settings::{Arguments, Settings};

/// How often it looks after itself.
const LOOK: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Arguments::parse().check() {
        Ok(settings) => settings,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    match work(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn work(settings: Settings) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(settings.log)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let topics = settings.kafka.topics().clone();
    ensure_topics(&settings.kafka, &topics.specs(settings.partitions, settings.replication)).await?;
    let store = PostgresBackend::connect(settings.postgres).await?;
    let fanout: Option<Arc<dyn Fanout>> = match settings.redis {
        Some(config) => Some(RedisBackend::connect(config).await?.fanout()),
        None => None,
    };
    let config = WorkerConfig::new().with_group(settings.group);
    let worker = Worker::start(&settings.kafka, config, store.message_log(), fanout)?;

    let mut asked = std::pin::pin!(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    tokio::select! {
        () = &mut asked => {}
        () = watch(&worker, &topics.messages) => {}
    }
    info!("ending: what was begun is finished");
    tokio::select! {
        ended = worker.shutdown(settings.drain) => ended?,
        () = again() => anyhow::bail!("ended before it was finished"),
    }
    info!("ended");
    Ok(())
}

/// Says what changes about the worker, until it is at its end.
async fn watch(worker: &Worker, topic: &str) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut has, mut is_well) = (0, true);
    loop {
        ticks.tick().await;
        let partitions = worker.partitions();
        if partitions != has {
            println!("working: {partitions} partitions of {topic}");
            has = partitions;
        }
        match worker.health() {
            Ok(()) if !is_well => info!("it works again"),
            Err(error) if is_well => {
                warn!(error = %error.with_causes(), lag = worker.lag(), "nothing is stored")
            }
            Err(chat_core::Error::Draining) => return,
            _ => {}
        }
        is_well = worker.health().is_ok();
    }
}

/// Somebody asks once more.
async fn again() {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    if let (Ok(mut terminate), Ok(mut interrupt)) = signals {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    } else {
        std::future::pending().await
    }
}

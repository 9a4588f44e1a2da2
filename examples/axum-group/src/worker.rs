//! A worker from its start to its end.

use std::{pin::pin, time::Duration};

use anyhow::Context as _;
use chat_backend_kafka::{Worker, WorkerConfig};
use chat_backend_postgres::PostgresBackend;
use chat_core::Error;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::settings::WorkerSettings;

/// How often it looks after itself.
const LOOK: Duration = Duration::from_millis(500);

/// Stores what gateways put into the queue until it is asked to end, and ends in good order: what was begun is stored, told and
/// committed, and the others have its partitions at once.
///
/// # Errors
/// What it stands on is out of reach or not as it must be, or it could not finish in time.
pub async fn work(settings: WorkerSettings) -> anyhow::Result<()> {
    let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    settings.kafka.ensure_topics().await?;
    let kafka = &settings.kafka.config;
    let store = PostgresBackend::connect(settings.postgres).await?;
    let config = WorkerConfig::new().with_group(settings.kafka.group());
    // Gateways read what it tells in Kafka: it announces nowhere else.
    let worker = Worker::start(kafka, config, store.message_log(), None)?;
    tokio::select! {
        biased;
        () = asked(&mut signals) => {}
        () = watch(&worker, &kafka.topics().messages) => {}
    }
    info!("ending: what was begun is finished");
    let ended = worker.shutdown(settings.drain).await;
    store.close().await;
    ended.context("not all that was begun was finished; another worker does it again")
}

async fn asked([terminate, interrupt]: &mut [Signal; 2]) {
    let (terminate, interrupt) = (pin!(terminate.recv()), pin!(interrupt.recv()));
    futures::future::select(terminate, interrupt).await;
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
        let health = worker.health();
        match &health {
            Ok(()) if !is_well => info!("it works again"),
            Err(Error::Draining) => return,
            Err(error) if is_well => {
                warn!(error = %error.with_causes(), lag = worker.lag(), "nothing is stored");
            }
            _ => {}
        }
        is_well = health.is_ok();
    }
}

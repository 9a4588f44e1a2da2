//! Starts the servers that tests need and leaves them running, so that each run of the tests need not start its own.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use chat_test_services::{Kafka, Postgres, Redis};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: chat-test-services [postgres] [redis] [kafka]; without a name, all of them";

const NAMES: [&str; 3] = ["postgres", "redis", "kafka"];

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    match run(&names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(names: &[String]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(&name.as_str())) {
        bail!("{unknown}: no such server\n{USAGE}");
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let running = tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            running = start(wanted) => running?,
        };
        println!("# the examples: export {}", running.addresses.join(" "));
        println!("# running until Ctrl-C");
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        eprintln!("ending");
        drop(running);
        Ok(())
    })
}

/// The servers that were wanted; they end with this value.
#[derive(Default)]
struct Running {
    /// By the names that the examples read.
    addresses: Vec<String>,
    _postgres: Option<Postgres>,
    _redis: Option<Redis>,
    _kafka: Option<Kafka>,
}

async fn start(wanted: impl Fn(&str) -> bool) -> Result<Running> {
    let mut running = Running::default();
    if wanted("postgres") {
        let server = Postgres::private().await.context("postgres")?;
        println!("export CHAT_TEST_POSTGRES_URL={}", server.url());
        running.addresses.push(format!("DATABASE_URL={}", server.url()));
        running._postgres = Some(server);
    }
    if wanted("redis") {
        let server = Redis::private().await.context("redis")?;
        println!("export CHAT_TEST_REDIS_URL={}", server.url());
        running.addresses.push(format!("REDIS_URL={}", server.url()));
        running._redis = Some(server);
    }
    if wanted("kafka") {
        let server = Kafka::private().await.context("kafka")?;
        println!("export CHAT_TEST_KAFKA_URL={}", server.url());
        running.addresses.push(format!("KAFKA_BROKERS={}", server.url()));
        running._kafka = Some(server);
    }
    Ok(running)
}

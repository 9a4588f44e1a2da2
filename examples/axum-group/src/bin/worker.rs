//! A worker of the group chat: stores what gateways put into Kafka, and tells them.
//!
//! ```sh
//! DATABASE_URL=postgres://user:password@localhost/chat KAFKA_BROKERS=localhost:9092 \
//!   cargo run -p example-axum-group --bin example-axum-group-worker
//! ```
//!
//! prints `working: 6 partitions of chat.messages.v1` once it has its share.

use std::process::ExitCode;

use anyhow::ensure;
use example_axum_group::WorkerSettings;
use example_support::{WrongUsage, settings::Environment};

const USAGE: &str = "\
usage: example-axum-group-worker

Settings are environment variables; DATABASE_URL and KAFKA_BROKERS are needed. The README lists them.";

fn main() -> ExitCode {
    example_support::run(USAGE, async |arguments| {
        ensure!(arguments.is_empty(), WrongUsage);
        let settings = WorkerSettings::read(Environment::from_process())?;
        example_axum_group::work(settings).await
    })
}

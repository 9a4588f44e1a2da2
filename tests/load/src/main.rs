//! Puts load on a chat server and says what came of it. `chat-load --help`.

#![allow(clippy::future_not_send, reason = "each thread has its rooms and connections to itself")]

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use chat_load::{
    chart,
    places::{self, Place, Tokens},
    plan::{Plan, Rate},
    protocol::{Dialect, Protocol},
    run,
    storm::{self, Storm},
};
use clap::{Args, Parser, Subcommand};
use serde_json::{Map, Value};
use tokio::task::LocalSet;

#[derive(Debug, Parser)]
#[command(about = "Puts load on a chat server and says what came of it")]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Connections in rooms, and messages at a fixed or at the greatest rate.
    Run(Run),
    /// Many break off, miss messages, and come back all at once.
    Storm(Return),
}

/// The server, and who connects to it.
#[derive(Debug, Args)]
struct Target {
    /// Where the server is: ws://host:port/path. For Socket.IO without its path. More than one: connections are spread.
    #[arg(long, required = true)]
    url: Vec<String>,
    /// json, centrifugo, bare, or a dialect of Socket.IO: shop, group, plain, or the name of a JSON file that describes one.
    #[arg(long, default_value = "json")]
    protocol: String,
    /// In front of channels' names (Centrifugo).
    #[arg(long, default_value = "room:")]
    namespace: String,
    /// Signs the users' tokens (HS256), at least 32 bytes.
    #[arg(long, env = "CHAT_SECRET", hide_env_values = true)]
    secret: String,
    /// Claims of every token besides the user's, as a JSON object.
    #[arg(long, default_value = "{}")]
    claims: String,
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    #[arg(long, default_value_t = 10)]
    rooms: usize,
    /// Rooms and users in place of room-0 … and user-0 …: a JSON file, [{"room":"…","users":["…"]}].
    #[arg(long)]
    places: Option<PathBuf>,
    /// Bytes of a message's text.
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// A process of the server; more than one: their sum.
    #[arg(long)]
    pid: Vec<u32>,
    /// Seconds between the last connection and the first message.
    #[arg(long, default_value_t = 2.0)]
    settle: f64,
    /// Seconds that the last deliveries may take.
    #[arg(long, default_value_t = 20.0)]
    patience: f64,
    /// Writes the outcome as JSON to this file; for `run` also charts beside it.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    target: Target,
    /// Messages a second over all rooms, sent at their times whatever comes back; or max: each sender sends as it is answered.
    #[arg(long, default_value = "100")]
    rate: String,
    /// Unanswered messages of each sender at --rate max.
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    /// Connections of each room that send.
    #[arg(long, default_value_t = 1)]
    senders: usize,
    /// Seconds that count.
    #[arg(long, default_value_t = 20.0)]
    duration: f64,
    /// Seconds of sending before those.
    #[arg(long, default_value_t = 3.0)]
    warm_up: f64,
    /// Threads for the connections.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Ends with 1 unless everything came to everybody once and in one order.
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
struct Return {
    #[command(flatten)]
    target: Target,
    /// How many break off, evenly of all rooms.
    #[arg(long, default_value_t = 100)]
    away: usize,
    /// Messages that each of them misses.
    #[arg(long, default_value_t = 100)]
    missed: usize,
    /// Where the server's metrics are, to count the reads of its log.
    #[arg(long)]
    metrics: Option<String>,
}

fn main() -> ExitCode {
    let task = CommandLine::parse().task;
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| match task {
            Task::Run(run) => runtime.block_on(run.run()),
            Task::Storm(storm) => LocalSet::new().block_on(&runtime, storm.run()),
        });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn seconds(value: f64, name: &str) -> Result<Duration> {
    Duration::try_from_secs_f64(value).with_context(|| format!("--{name} must be seconds"))
}

impl Target {
    fn protocol(&self) -> Result<Protocol> {
        Ok(match self.protocol.as_str() {
            "json" => Protocol::Json,
            "bare" => Protocol::Bare,
            "centrifugo" => Protocol::Centrifugo { namespace: self.namespace.clone() },
            name => Protocol::SocketIo(Box::new(match Dialect::named(name) {
                Some(dialect) => dialect,
                None => {
                    Dialect::parse(&fs::read_to_string(name).with_context(|| format!("--protocol {name}"))?)
                        .with_context(|| format!("--protocol {name}"))?
                }
            })),
        })
    }

    fn tokens(&self) -> Result<Tokens> {
        let claims: Map<String, Value> =
            serde_json::from_str(&self.claims).context("--claims must be a JSON object")?;
        Tokens::new(&self.secret, claims).context("--secret")
    }

    fn places(&self) -> Result<Vec<Place>> {
        match &self.places {
            None => places::numbered(self.connections, self.rooms),
            Some(file) => {
                let text =
                    fs::read_to_string(file).with_context(|| format!("--places {}", file.display()))?;
                serde_json::from_str(&text).with_context(|| format!("--places {}", file.display()))
            }
        }
    }
}

impl Run {
    async fn run(self) -> Result<ExitCode> {
        let Self { target, rate, in_flight, .. } = &self;
        let rate = match rate.as_str() {
            "max" => Rate::Answered { in_flight: *in_flight },
            number => match number.parse() {
                Ok(rate) if rate > 0.0 => Rate::PerSecond(rate),
                _ => bail!("--rate must be messages a second, or max"),
            },
        };
        let plan = Plan {
            protocol: target.protocol()?,
            servers: target.url.clone(),
            places: target.places()?,
            senders_per_room: self.senders,
            rate,
            size: target.size,
            warm_up: seconds(self.warm_up, "warm-up")?,
            duration: seconds(self.duration, "duration")?,
            settle: seconds(target.settle, "settle")?,
            patience: seconds(target.patience, "patience")?,
            threads: self.threads,
            pids: target.pid.clone(),
            progress: true,
        };
        let report = run::run(plan, target.tokens()?).await?;
        print!("{report}");
        if let Some(file) = &target.out {
            fs::write(file, serde_json::to_vec_pretty(&report)?)
                .with_context(|| file.display().to_string())?;
            chart::write(&report, &file.with_extension(""))?;
        }
        Ok(if self.strict && !report.is_flawless() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Return {
    async fn run(self) -> Result<ExitCode> {
        let Self { target, away, missed, metrics } = &self;
        let places = target.places()?;
        let storm = Storm {
            protocol: target.protocol()?,
            server: target.url[0].clone(),
            away_per_room: away.div_ceil(places.len()),
            places,
            missed: *missed,
            size: target.size,
            settle: seconds(target.settle, "settle")?,
            patience: seconds(target.patience, "patience")?,
            pids: target.pid.clone(),
            metrics: metrics.clone(),
        };
        let outcome = storm::run(&storm, &target.tokens()?).await?;
        print!("{outcome}");
        if let Some(file) = &target.out {
            fs::write(file, serde_json::to_vec_pretty(&outcome)?)
                .with_context(|| file.display().to_string())?;
        }
        Ok(if outcome.is_flawless() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

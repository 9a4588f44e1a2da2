//! What can be set, and what is wrong with it.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use chat_backend_postgres::PostgresConfig;
use chat_backend_redis::HotLogConfig;
use chat_core::{
    MAX_BODY_CHARS,
    rate_limit::{Quota, RateLimits},
};
use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::{live::Redis, store::Place};

/// HS256 wants a secret as long as its digest.
const MIN_SECRET_BYTES: usize = 32;

const MIN_TOKEN_LIFETIME: Duration = Duration::from_secs(5);
pub(crate) const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3_600);
const MAX_ROOM_RATE: u32 = 100_000;
const MAX_DRAIN_WINDOW: Duration = Duration::from_secs(60);
const MAX_REPLICAS: u32 = 16;
/// How long a send waits for the replicas, before its sender is told to try again.
const REPLICA_WAIT: Duration = Duration::from_secs(1);

/// A chat in one program: a page, guests, rooms, and everything that was said in one SQLite file, or in a PostgreSQL database.
///
/// Start it, open the address it prints in two browser windows, and talk to yourself.
#[derive(Parser)]
#[command(name = "example-axum-quickstart", version)]
pub(crate) struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "CHAT_LISTEN", default_value = "127.0.0.1:8080")]
    listen: String,

    /// The folder for the messages (`chat.db`) and the secret; made if it is not there [default: chat-data]
    #[arg(long, value_name = "FOLDER", env = "CHAT_DATA")]
    data: Option<PathBuf>,

    /// Keep everything in memory: it is gone when the program ends
    #[arg(long, env = "CHAT_MEMORY")]
    memory: bool,

    /// Keep everything in this PostgreSQL database: postgres://user:password@host:5432/database. All processes that use it
    /// are one chat. Prefer the variable: others on this machine can see arguments
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database: Option<String>,

    /// The schema in that database; made if it is not there [default: chat]
    #[arg(long, value_name = "NAME", env = "CHAT_SCHEMA")]
    schema: Option<String>,

    /// Have live events, presence, withdrawn tokens, rate limits and the credential cache in this Redis:
    /// redis://user:password@host:6379, redis-sentinel://… or redis-cluster://…. Prefer the variable: others on this machine
    /// can see arguments
    #[arg(long, value_name = "URL", env = "REDIS_URL", hide_env_values = true)]
    redis: Option<String>,

    /// What all keys and channels there begin with; another chat on the same Redis needs another one [default: chat]
    #[arg(long, value_name = "PREFIX", env = "CHAT_REDIS_PREFIX")]
    redis_prefix: Option<String>,

    /// Have Redis answer what is sent, and move it into the database a moment later: for many messages per second. Redis then
    /// has to keep what it answered (`appendonly yes`), or what it loses is lost, and its readers are told
    #[arg(long, env = "HOT_LOG")]
    hot_log: bool,

    /// With --hot-log, answer a message when so many of Redis's replicas have it too: 1 to 16
    #[arg(long, value_name = "COUNT", env = "HOT_REPLICAS")]
    hot_replicas: Option<String>,

    /// Signs the guests' tokens: at least 32 bytes, made by a random generator. Without it one is made and kept in the
    /// data folder or in the database, or, with --memory, for this run: then guests of an earlier one are asked for their
    /// name again
    #[arg(long, value_name = "SECRET", env = "CHAT_SECRET", hide_env_values = true)]
    secret: Option<String>,

    /// How long a guest's token holds; the page renews it in time. 5s to 30days
    #[arg(long, value_name = "DURATION", env = "CHAT_TOKEN_LIFETIME", default_value = "1h")]
    token_lifetime: String,

    /// What to log: a level, or levels per module such as `info,chat_core=debug`
    #[arg(long, value_name = "FILTER", env = "CHAT_LOG", default_value = "info")]
    log: String,

    /// The longest message, in characters: 1 to 65536
    #[arg(long, value_name = "COUNT", env = "CHAT_MAX_BODY_CHARS", default_value = "1000")]
    max_body_chars: String,

    /// How many messages per second one room takes, all senders together: 1 to 100000
    #[arg(long, value_name = "COUNT", env = "CHAT_ROOM_RATE", default_value = "200")]
    room_rate: String,

    /// When this server ends, its clients reconnect at random times within this one. 0s to 60s
    #[arg(long, value_name = "DURATION", env = "CHAT_DRAIN_WINDOW", default_value = "2s")]
    drain_window: String,

    /// Lets everybody do everything as often as they like: for tests that ask a lot in a short time
    #[arg(long, env = "CHAT_NO_RATE_LIMITS")]
    no_rate_limits: bool,
}

/// Settings that can work.
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) place: Place,
    /// None where live events and the rest are the store's own.
    pub(crate) redis: Option<Redis>,
    /// None where the store answers what is sent. Otherwise the store is a database, and there is Redis.
    pub(crate) hot_log: Option<HotLogConfig>,
    pub(crate) secret: Option<String>,
    pub(crate) token_lifetime: Duration,
    pub(crate) log: EnvFilter,
    pub(crate) max_body_chars: u32,
    pub(crate) drain_window: Duration,
    pub(crate) rate_limits: RateLimits,
}

/// Everything that is wrong, at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongSettings(Vec<String>);

impl fmt::Display for WrongSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these settings cannot work:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for WrongSettings {}

impl Arguments {
    /// Checks everything before it says anything.
    pub(crate) fn check(self) -> Result<Settings, WrongSettings> {
        let mut problems = Vec::new();
        let mut note = |problem: String| problems.push(problem);

        let listen = self.listen.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        if listen.is_none() {
            note(format!("--listen: {:?} is not an address such as 127.0.0.1:8080", self.listen));
        }
        let place = self.place().map_err(&mut note).ok();
        let redis = self.redis().map_err(|wrong| wrong.into_iter().for_each(&mut note)).unwrap_or_default();
        let hot_log =
            self.hot_log().map_err(|wrong| wrong.into_iter().for_each(&mut note)).unwrap_or_default();
        // Says how long it is, never what it is.
        if let Some(bytes) = self.secret.as_ref().map(String::len).filter(|bytes| *bytes < MIN_SECRET_BYTES) {
            note(format!("--secret: has {bytes} bytes, needs at least {MIN_SECRET_BYTES}"));
        }
        let lifetimes = MIN_TOKEN_LIFETIME..=MAX_TOKEN_LIFETIME;
        let token_lifetime =
            humantime::parse_duration(&self.token_lifetime).ok().filter(|time| lifetimes.contains(time));
        if token_lifetime.is_none() {
            note(format!("--token-lifetime: {:?} is not a time from 5s to 30days", self.token_lifetime));
        }
        let log = EnvFilter::try_new(&self.log);
        if let Err(error) = &log {
            note(format!("--log: {error}"));
        }
        let max_body_chars =
            self.max_body_chars.parse().ok().filter(|chars| (1..=MAX_BODY_CHARS).contains(chars));
        if max_body_chars.is_none() {
            let given = &self.max_body_chars;
            note(format!("--max-body-chars: {given:?} is not a number from 1 to {MAX_BODY_CHARS}"));
        }
        let room_rate = self.room_rate.parse().ok().filter(|rate| (1..=MAX_ROOM_RATE).contains(rate));
        if room_rate.is_none() {
            note(format!("--room-rate: {:?} is not a number from 1 to {MAX_ROOM_RATE}", self.room_rate));
        }
        let drain_window =
            humantime::parse_duration(&self.drain_window).ok().filter(|time| *time <= MAX_DRAIN_WINDOW);
        if drain_window.is_none() {
            note(format!("--drain-window: {:?} is not a time from 0s to 60s", self.drain_window));
        }

        match (listen, place, token_lifetime, log, max_body_chars, room_rate, drain_window) {
            (
                Some(listen),
                Some(place),
                Some(token_lifetime),
                Ok(log),
                Some(max_body_chars),
                Some(room_rate),
                Some(drain_window),
            ) if problems.is_empty() => {
                let rate_limits = if self.no_rate_limits {
                    RateLimits::unlimited()
                } else {
                    let room_sends = Quota::new(room_rate, room_rate.saturating_mul(2));
                    RateLimits::new().with_room_sends(Some(room_sends))
                };
                Ok(Settings {
                    listen,
                    place,
                    redis,
                    hot_log,
                    secret: self.secret,
                    token_lifetime,
                    log,
                    max_body_chars,
                    rate_limits,
                    drain_window,
                })
            }
            _ => Err(WrongSettings(problems)),
        }
    }

    /// What goes over Redis, or all that is wrong with it.
    fn redis(&self) -> Result<Option<Redis>, Vec<String>> {
        let Some(url) = self.redis.as_deref().filter(|url| !url.is_empty()) else {
            return match &self.redis_prefix {
                Some(_) => {
                    Err(vec!["--redis-prefix: there is none without Redis; give REDIS_URL too".to_owned()])
                }
                None => Ok(None),
            };
        };
        Redis::new(url, self.redis_prefix.as_deref()).map(Some)
    }

    /// What stands in front of the database, or all that is wrong with it.
    fn hot_log(&self) -> Result<Option<HotLogConfig>, Vec<String>> {
        let mut wrong = Vec::new();
        let is_given = |url: &Option<String>| url.as_deref().is_some_and(|url| !url.is_empty());
        if self.hot_log && !is_given(&self.redis) {
            wrong.push("--hot-log: it is in Redis; give REDIS_URL too".to_owned());
        }
        if self.hot_log && !is_given(&self.database) {
            wrong.push("--hot-log: it stands in front of a database; give DATABASE_URL too".to_owned());
        }
        let mut config = HotLogConfig::new();
        if let Some(given) = &self.hot_replicas {
            match given.parse().ok().filter(|replicas| (1..=MAX_REPLICAS).contains(replicas)) {
                Some(replicas) => config = config.with_replicas(replicas, REPLICA_WAIT),
                None => {
                    wrong.push(format!("--hot-replicas: {given:?} is not a number from 1 to {MAX_REPLICAS}"));
                }
            }
            if !self.hot_log {
                wrong.push(
                    "--hot-replicas: nothing waits for them without --hot-log; give HOT_LOG too".to_owned(),
                );
            }
        }
        if wrong.is_empty() { Ok(self.hot_log.then_some(config)) } else { Err(wrong) }
    }

    /// Where to keep everything.
    fn place(&self) -> Result<Place, String> {
        let database = self.database.as_deref().filter(|url| !url.is_empty());
        if self.schema.is_some() && database.is_none() {
            return Err("--schema: there is none without a database; give DATABASE_URL too".to_owned());
        }
        match (database, self.memory, &self.data) {
            (Some(_), true, _) => {
                Err("--database: with --memory nothing is kept in a database; leave out one of --memory and DATABASE_URL"
                    .to_owned())
            }
            (Some(_), _, Some(_)) => {
                Err("--database: with --data nothing is kept in a database; leave out one of --data and DATABASE_URL"
                    .to_owned())
            }
            (Some(url), false, None) => {
                let schema = self.schema.clone().unwrap_or_else(|| PostgresConfig::DEFAULT_SCHEMA.to_owned());
                Place::database(url, schema).map_err(|error| format!("--database: {error}"))
            }
            (None, true, Some(_)) => {
                Err("--data: with --memory nothing is kept in a folder; leave one of them out".to_owned())
            }
            (None, true, None) => Ok(Place::Memory),
            (None, false, folder) => {
                Ok(Place::Folder(folder.clone().unwrap_or_else(|| PathBuf::from("chat-data"))))
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Clients: their settings, and how they begin and end.

use std::time::Duration;

use chat_core::Retry;
use fred::{
    clients::Client,
    error::Error as Cause,
    interfaces::ClientLike as _,
    types::{
        Builder, ConnectHandle, Version,
        config::{Config, ReconnectPolicy, ServerConfig, TcpConfig, UnresponsiveConfig},
    },
};
use tokio::{sync::watch, time::timeout};

use crate::{RedisConfig, RedisError, RedisErrorKind, backend::Shared, keys};

/// The first release with channels that belong to a shard.
const OLDEST: u64 = 7;
/// Commands that wait for their answers on one client. More are refused.
const MAX_WAITING: usize = 65_536;
/// How long the end of a connection may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Why the backend cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A setting is out of its bounds.
    #[error("{setting} {reason}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// The server is older than Redis 7 or Valkey 7.2.
    #[error("the server is of release {found}; 7.0 is the oldest that works")]
    TooOld {
        /// Its release.
        found: String,
    },
    /// The server could not be reached or refused.
    #[error("Redis cannot be used: {0}")]
    Redis(#[source] RedisError),
}

/// A client with its connections, which end with this value.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// Ends when the connections do and are not put back.
    pub(crate) task: ConnectHandle,
}

impl Connection {
    /// Connects a client.
    ///
    /// Where several servers are named, each has its turn as the first one: the client asks them in their order, and one that
    /// takes connections and does not answer would keep it until the time is up.
    pub(crate) async fn open(config: &RedisConfig, server: &Config, use_of: Use) -> Result<Self, RedisError> {
        let turns = hosts(&server.server).max(1);
        let patience = config.connect_timeout / u32::try_from(turns).unwrap_or(u32::MAX);
        let mut failure = None;
        for turn in 0..turns {
            match Self::try_open(config, turned(server, turn), use_of, patience).await {
                Err(error) if error.kind().retry() == Retry::Later => failure = Some(error),
                done => return done,
            }
        }
        Err(failure.unwrap_or_else(|| RedisError::new(RedisErrorKind::Setting, "no server is named")))
    }

    async fn try_open(
        config: &RedisConfig,
        server: Config,
        use_of: Use,
        patience: Duration,
    ) -> Result<Self, RedisError> {
        let client = build(config, server, use_of)?;
        let connection = Self { task: client.connect(), client };
        let connected = timeout(patience, connection.client.wait_for_connect()).await;
        connected.map_err(|_| RedisError::new(RedisErrorKind::Connection, "no connection in time"))??;
        Ok(connection)
    }

    /// Ends it in good order, if it answers.
    pub(crate) async fn close(&self) {
        // What stands in the way ends with the task.
        let _ = timeout(CLOSE_PATIENCE, self.client.quit()).await;
        self.task.abort();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How many servers are asked where to connect.
fn hosts(server: &ServerConfig) -> usize {
    match server {
        ServerConfig::Clustered { hosts, .. } | ServerConfig::Sentinel { hosts, .. } => hosts.len(),
        _ => 1,
    }
}

/// With another one of the servers first.
fn turned(config: &Config, turn: usize) -> Config {
    let mut config = config.clone();
    if let ServerConfig::Clustered { hosts, .. } | ServerConfig::Sentinel { hosts, .. } = &mut config.server {
        hosts.rotate_left(turn);
    }
    config
}

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Everything but subscriptions. It puts its connections back by itself.
    Commands,
    /// Subscriptions, until its connection breaks.
    Subscriptions,
}

fn build(config: &RedisConfig, mut server: Config, use_of: Use) -> Result<Client, Cause> {
    // A first failure is told, not tried again.
    server.fail_fast = true;
    let mut builder = Builder::from_config(server);
    builder.with_performance_config(|performance| {
        performance.default_command_timeout = config.command_timeout;
        // The client takes the memory of it nine times, whether anything comes or not.
        performance.broadcast_channel_capacity = match use_of {
            Use::Commands => 16,
            Use::Subscriptions => config.receive_buffer.max(1),
        };
    });
    builder.with_connection_config(|connection| {
        connection.connection_timeout = config.connect_timeout;
        connection.internal_command_timeout = config.connect_timeout;
        // A command whose connection broke may have been done: who sent it decides what then.
        connection.max_command_attempts = 1;
        connection.max_command_buffer_len = MAX_WAITING;
        connection.auto_client_setname = true;
        connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        // A half-open connection: nothing comes back over it, and nobody says so.
        connection.unresponsive = UnresponsiveConfig {
            max_timeout: Some(config.command_timeout * 2),
            interval: config.command_timeout.max(Duration::from_millis(100)) / 2,
        };
    });
    if use_of == Use::Commands {
        // Without an end, from 50 ms up to 1 s; each wait is a little longer by chance.
        builder.set_policy(ReconnectPolicy::new_exponential(0, 50, 1_000, 2));
    }
    builder.build()
}

pub(crate) async fn connect(config: RedisConfig) -> Result<Shared, ConnectError> {
    check(&config)?;
    let connection =
        Connection::open(&config, &config.server, Use::Commands).await.map_err(ConnectError::Redis)?;
    if let Some(found) = too_old(connection.client.server_version().as_ref()) {
        return Err(ConnectError::TooOld { found });
    }
    Ok(Shared {
        connection,
        keys: keys::Keys::new(&config.prefix),
        closed: watch::Sender::new(false),
        config,
    })
}

/// Valkey and others answer the release of Redis that they stand for.
fn too_old(version: Option<&Version>) -> Option<String> {
    version.filter(|version| version.major < OLDEST).map(ToString::to_string)
}

pub(crate) fn check(config: &RedisConfig) -> Result<(), ConnectError> {
    let wrong = |setting, reason| Err(ConnectError::Setting { setting, reason });
    if !keys::is_prefix(&config.prefix) {
        return wrong("prefix", "must be of letters, digits, -, _, . and :, from 1 to 64");
    }
    if config.command_timeout.is_zero() {
        return wrong("command_timeout", "must not be zero");
    }
    if config.connect_timeout.is_zero() {
        return wrong("connect_timeout", "must not be zero");
    }
    if let Some(server) = &config.subscribe_at
        && (config.server.server.is_clustered() || server.server.is_clustered())
    {
        return wrong("subscribe_at", "is not for clusters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(config: &RedisConfig) -> Option<&'static str> {
        match check(config) {
            Err(ConnectError::Setting { setting, .. }) => Some(setting),
            _ => None,
        }
    }

    #[test]
    fn a_setting_out_of_its_bounds_is_named() {
        let config = || RedisConfig::from_url("redis://h").unwrap();
        let cluster = RedisConfig::from_url("redis-cluster://h").unwrap();
        assert_eq!(setting(&config()), None);
        assert_eq!(setting(&config().with_prefix("{a}")), Some("prefix"));
        assert_eq!(setting(&config().with_command_timeout(Duration::ZERO)), Some("command_timeout"));
        assert_eq!(setting(&config().with_connect_timeout(Duration::ZERO)), Some("connect_timeout"));
        assert_eq!(setting(&cluster.with_subscribe_at(config().server)), Some("subscribe_at"));
    }

    #[test]
    fn only_who_listens_keeps_room_for_what_comes() {
        let config = RedisConfig::from_url("redis://h").unwrap();
        let room = |use_of| {
            let client = build(&config, config.server.clone(), use_of).unwrap();
            client.perf_config().broadcast_channel_capacity
        };
        assert_eq!(room(Use::Subscriptions), RedisConfig::DEFAULT_RECEIVE_BUFFER);
        assert!(room(Use::Commands) < 100);
    }

    #[test]
    fn each_of_several_servers_has_its_turn_as_the_first_one() {
        let url = "redis-sentinel://h1:1?node=h2:2&node=h3:3&sentinelServiceName=main";
        let server = RedisConfig::from_url(url).unwrap().server;
        assert_eq!(hosts(&server.server), 3);
        let first = |turn| turned(&server, turn).server.hosts()[0].to_string();
        let mut firsts = [first(0), first(1), first(2)];
        firsts.sort();
        assert_eq!(firsts, ["h1:1", "h2:2", "h3:3"]);
        assert_eq!(hosts(&RedisConfig::from_url("redis://h").unwrap().server.server), 1);
    }

    #[test]
    fn a_server_older_than_7_is_named() {
        assert_eq!(too_old(Some(&Version::new(6, 2, 14))).as_deref(), Some("6.2.14"));
        assert_eq!((too_old(Some(&Version::new(7, 0, 0))), too_old(None)), (None, None));
    }
}

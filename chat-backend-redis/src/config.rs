use std::{fmt, time::Duration};

use chat_core::fanout::Topics;
use fred::types::config::{Config, ServerConfig};

use crate::{
    ConnectError, connect,
    url::{self, InvalidUrl},
};

/// Where Redis is and how it is used.
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisConfig {
    pub(crate) server: Config,
    pub(crate) subscribe_at: Option<Config>,
    pub(crate) prefix: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    pub(crate) probe: Duration,
    pub(crate) fanout_buffer: usize,
    pub(crate) receive_buffer: usize,
    pub(crate) last_seen_kept: Duration,
}

impl RedisConfig {
    /// What every key and channel begins with, unless something else is named.
    pub const DEFAULT_PREFIX: &str = "chat";
    /// How long connecting may take.
    pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// How long one command may take, the wait for a connection included.
    pub const DEFAULT_COMMAND_TIMEOUT: Duration = Duration::from_secs(1);
    /// How often a node sends something to itself, to find out whether its subscriptions are alive.
    pub const DEFAULT_PROBE: Duration = Duration::from_secs(5);
    /// How many events wait for one subscription.
    pub const DEFAULT_FANOUT_BUFFER: usize = Topics::DEFAULT_BUFFER;
    /// How many payloads wait between a subscriber connection and the subscriptions.
    pub const DEFAULT_RECEIVE_BUFFER: usize = 16_384;
    /// How long it is kept when somebody who is offline was last seen: 90 days.
    pub const DEFAULT_LAST_SEEN_KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);

    /// The servers that `server` leads to: one, those that Sentinel names, or a cluster.
    #[must_use]
    pub fn new(server: Config) -> Self {
        Self {
            server,
            subscribe_at: None,
            prefix: Self::DEFAULT_PREFIX.to_owned(),
            connect_timeout: Self::DEFAULT_CONNECT_TIMEOUT,
            command_timeout: Self::DEFAULT_COMMAND_TIMEOUT,
            probe: Self::DEFAULT_PROBE,
            fanout_buffer: Self::DEFAULT_FANOUT_BUFFER,
            receive_buffer: Self::DEFAULT_RECEIVE_BUFFER,
            last_seen_kept: Self::DEFAULT_LAST_SEEN_KEPT,
        }
    }

    /// The servers at a URL:
    ///
    /// - one: `redis://user:password@host:6379/database`;
    /// - by Sentinel: `redis-sentinel://user:password@host:26379/database?node=host2:26379&sentinelServiceName=main`;
    /// - a cluster: `redis-cluster://user:password@host:6379?node=host2:6379`.
    ///
    /// `rediss` in place of `redis` is TLS, with the certificates that the system trusts, and `valkey` says the same as
    /// `redis`.
    ///
    /// # Errors
    /// When the text is no such URL.
    pub fn from_url(url: &str) -> Result<Self, InvalidUrl> {
        Ok(Self::new(url::parse(url)?))
    }

    /// Checks the settings as [`RedisBackend::connect`](crate::RedisBackend::connect) does, without connecting: for programs that
    /// name everything that is wrong before they begin.
    ///
    /// # Errors
    /// A setting out of its bounds.
    pub fn check(&self) -> Result<(), ConnectError> {
        connect::check(self)
    }

    /// Hosts and ports of the servers that the URL or configuration names, without what lets in: for people.
    #[must_use]
    pub fn servers(&self) -> Vec<String> {
        addresses(&self.server.server)
    }

    /// With another beginning of all keys and channels: letters, digits, `-`, `_`, `.` and `:`, at most 64. Programs with
    /// different ones on the same servers know nothing of each other.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Subscribes there, and not where everything else goes: at a replica, to take that load off the primary. Not for
    /// clusters, where the load is shared already.
    #[must_use]
    pub fn with_subscribe_at(mut self, server: Config) -> Self {
        self.subscribe_at = Some(server);
        self
    }

    /// With another patience for connecting.
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// With another patience for one command.
    #[must_use]
    pub const fn with_command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// Publishes to itself this often (at least every 20 ms) over each subscriber connection. One that brings nothing back
    /// within the same time is closed, and its subscriptions are told that they missed something: one that broke without
    /// a word is found after at most twice this time.
    #[must_use]
    pub fn with_probe(mut self, probe: Duration) -> Self {
        self.probe = probe.max(Duration::from_millis(20));
        self
    }

    /// Lets up to this many events (at least one) wait for each subscription of the fan-out. What comes when they are as
    /// many is dropped and told as missed.
    #[must_use]
    pub const fn with_fanout_buffer(mut self, events: usize) -> Self {
        self.fanout_buffer = events;
        self
    }

    /// Lets up to this many payloads (at least one) wait for this node to take them off a connection. When there are
    /// more, the oldest are dropped, and all subscriptions of the connection are told that they missed something.
    #[must_use]
    pub const fn with_receive_buffer(mut self, payloads: usize) -> Self {
        self.receive_buffer = payloads;
        self
    }

    /// Forgets after this time when somebody who is offline was last seen. It costs some 100 bytes of the server's memory
    /// for each of them.
    #[must_use]
    pub const fn with_last_seen_kept(mut self, time: Duration) -> Self {
        self.last_seen_kept = time;
        self
    }
}

/// Hosts and ports, without what lets in.
fn addresses(server: &ServerConfig) -> Vec<String> {
    server.hosts().iter().map(ToString::to_string).collect()
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the servers as they are: they hold the password.
        f.debug_struct("RedisConfig")
            .field("servers", &addresses(&self.server.server))
            .field("cluster", &self.server.server.is_clustered())
            .field("sentinel", &self.server.server.is_sentinel())
            .field("database", &self.server.database)
            .field("subscribe_at", &self.subscribe_at.as_ref().map(|server| addresses(&server.server)))
            .field("prefix", &self.prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("command_timeout", &self.command_timeout)
            .field("probe", &self.probe)
            .field("fanout_buffer", &self.fanout_buffer)
            .field("receive_buffer", &self.receive_buffer)
            .field("last_seen_kept", &self.last_seen_kept)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_setting_has_the_password() {
        let config = RedisConfig::from_url("redis://someone:topsecret@h:1").unwrap();
        let other = RedisConfig::from_url("redis://someone:topsecret@replica:1").unwrap().server;
        let text = format!("{:?}", config.with_subscribe_at(other));
        assert!(!text.contains("topsecret") && !text.contains("someone"), "{text}");
        assert!(text.contains("h:1") && text.contains("replica:1"), "{text}");
        let error = RedisConfig::from_url("redis://someone:topsecret@:x/").unwrap_err().to_string();
        assert!(!error.contains("topsecret"), "{error}");
    }
}

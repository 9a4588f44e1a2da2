//! What can be set, and what is wrong with it.

use std::{fmt, net::SocketAddr, time::Duration};

use chat_backend_kafka::{KafkaConfig, MembershipConfig};
use chat_backend_postgres::PostgresConfig;
use chat_backend_redis::RedisConfig;
use chat_core::{
    auth::{JwtAuth, JwtConfig, JwtKey},
    rate_limit::{Quota, RateLimits},
};
use chat_gateway::sockjs::SockJsConfig;
use example_support::{
    Origins,
    settings::{Environment, WrongSettings, address, duration, number, plain_name},
};

/// Shorter ones can be guessed.
const MIN_TOKEN_BYTES: usize = 16;
const MAX_DRAIN: Duration = Duration::from_secs(60);

/// Settings that can work.
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) database: Database,
    pub(crate) redis: RedisConfig,
    /// Where every message is told to programs that are no instances of this one.
    pub(crate) channel: String,
    pub(crate) kafka: KafkaConfig,
    pub(crate) membership: MembershipConfig,
    /// How many partitions the topic gets where it is not there, and has at least.
    pub(crate) partitions: i32,
    /// On how many brokers a new topic is.
    pub(crate) replication: i32,
    /// For all instances together.
    pub(crate) limits: RateLimits,
    pub(crate) auth: JwtAuth,
    /// What other services show.
    pub(crate) service_token: ServiceToken,
    /// Whose pages may use it.
    pub(crate) origins: Origins,
    /// Where SockJS's iframe page finds its script.
    pub(crate) sockjs_client: String,
    pub(crate) drain: Duration,
}

/// Where the chat is kept. The address holds the password, so it is not shown.
#[derive(Clone)]
pub(crate) struct Database {
    url: String,
    pub(crate) schema: String,
}

/// What lets other services in; it shows nowhere.
#[derive(Clone)]
pub(crate) struct ServiceToken(pub(crate) String);

impl Settings {
    pub(crate) fn read(mut from: Environment) -> Result<Self, WrongSettings> {
        let environment = &mut from;
        let listen = environment.parsed("LISTEN", "127.0.0.1:8080", address);
        let database = Database::read(environment);
        let redis = redis(environment);
        let channel = environment.optional("REDIS_CHANNEL").unwrap_or_else(|| "chat:messages".to_owned());
        let kafka = environment.required_parsed("KAFKA_BROKERS", "brokers, such as host:9092", |brokers| {
            let kafka = KafkaConfig::new(brokers).with_client_id("chat-study");
            kafka.check().map(|()| kafka)
        });
        let membership = membership(environment);
        let partitions = environment.parsed("KAFKA_PARTITIONS", "1", number(1..=1_000));
        let replication = environment.parsed("KAFKA_REPLICATION", "1", number(1..=100));
        let sends = environment.parsed("SENDS_PER_SECOND", "10", number(1..=10_000));
        let auth = auth(environment);
        let service_token =
            environment.required_parsed("INTERNAL_TOKEN", "what other services show to be let in", |token| {
                let long = token.len() >= MIN_TOKEN_BYTES;
                long.then(|| ServiceToken(token.to_owned())).ok_or("must have at least 16 characters")
            });
        let origins = environment.parsed("ALLOWED_ORIGINS", "", Origins::parse);
        let sockjs_client = environment.parsed("SOCKJS_CLIENT_URL", SockJsConfig::CLIENT_URL, |url| {
            let is_one = url.starts_with("https://") || url.starts_with("http://") || url.starts_with('/');
            is_one.then(|| url.to_owned()).ok_or("must begin with https://, http:// or /")
        });
        let drain = environment.parsed("DRAIN", "2s", duration(Duration::ZERO..=MAX_DRAIN));
        let made = (|| {
            Some(Self {
                listen: listen?,
                database: database?,
                redis: redis?,
                channel,
                kafka: kafka?,
                membership: membership?,
                partitions: i32::try_from(partitions?).ok()?,
                replication: i32::try_from(replication?).ok()?,
                limits: RateLimits::new().with_user_sends(Some(Quota::new(sends?, 3 * sends?))),
                auth: auth?,
                service_token: service_token?,
                origins: origins?,
                sockjs_client: sockjs_client?,
                drain: drain?,
            })
        })();
        from.finish_with(made)
    }
}

fn redis(environment: &mut Environment) -> Option<RedisConfig> {
    let prefix =
        environment.optional("REDIS_PREFIX").unwrap_or_else(|| RedisConfig::DEFAULT_PREFIX.to_owned());
    let redis =
        environment.required_parsed("REDIS_URL", "redis://user:password@host:6379", RedisConfig::from_url)?;
    let redis = redis.with_prefix(prefix);
    let checked = redis.check().map(|()| redis);
    environment.take("REDIS_PREFIX", checked)
}

fn membership(environment: &mut Environment) -> Option<MembershipConfig> {
    let topic = environment.parsed("KAFKA_TOPIC", MembershipConfig::DEFAULT_TOPIC, topic_name)?;
    let letters = environment.parsed("KAFKA_DEAD_LETTERS", &format!("{topic}.dlt"), topic_name)?;
    if topic == letters {
        environment.wrong("KAFKA_DEAD_LETTERS", "must be another topic than KAFKA_TOPIC");
    }
    let group =
        environment.optional("KAFKA_GROUP").unwrap_or_else(|| MembershipConfig::DEFAULT_GROUP.to_owned());
    Some(MembershipConfig::new().with_topic(topic).with_dead_letters(letters).with_group(group))
}

/// As the brokers have it.
fn topic_name(name: &str) -> Result<String, &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_name = (1..=249).contains(&name.len()) && name.bytes().all(allowed) && !matches!(name, "." | "..");
    is_name.then(|| name.to_owned()).ok_or("must be at most 249 letters, digits, '.', '_' and '-'")
}

fn auth(environment: &mut Environment) -> Option<JwtAuth> {
    let audience = environment.optional("JWT_AUDIENCE");
    environment.required_parsed("JWT_SECRET", "what signs the users' tokens (HS256)", |secret| {
        let config = JwtConfig::new([JwtKey::hs256(secret)?]);
        JwtAuth::new(match audience {
            Some(audience) => config.with_audience(audience),
            None => config,
        })
    })
}

impl Database {
    pub(crate) fn read(environment: &mut Environment) -> Option<Self> {
        let schema = environment.parsed("DATABASE_SCHEMA", PostgresConfig::DEFAULT_SCHEMA, plain_name);
        let url = environment.required_parsed(
            "DATABASE_URL",
            "postgres://user:password@host:5432/database",
            |url| PostgresConfig::from_url(url).map(|_| url.to_owned()),
        );
        Some(Self { url: url?, schema: schema? })
    }

    /// For the chat.
    pub(crate) fn config(&self) -> anyhow::Result<PostgresConfig> {
        Ok(PostgresConfig::from_url(&self.url)?.with_schema(&self.schema))
    }

    /// For what this program asks the server itself.
    pub(crate) fn options(&self) -> anyhow::Result<sqlx::postgres::PgConnectOptions> {
        Ok(self.url.parse()?)
    }
}

impl fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceToken(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

    use super::*;

    const NEEDED: [(&str, &str); 5] = [
        ("DATABASE_URL", "postgres://u:hidden-1@h/d"),
        ("REDIS_URL", "redis://u:hidden-2@h"),
        ("KAFKA_BROKERS", "h:9092"),
        ("JWT_SECRET", "hidden-3 which has at least 32 bytes"),
        ("INTERNAL_TOKEN", "hidden-4 for services"),
    ];

    fn wrong(pairs: &[(&str, &str)]) -> String {
        let read = Settings::read(Environment::from_pairs(pairs.iter().copied()));
        read.err().map(|wrong| wrong.to_string()).unwrap_or_default()
    }

    #[test]
    fn all_that_is_missing_or_wrong_is_named_at_once() {
        let said = wrong(&[]);
        for (name, _) in NEEDED {
            assert!(said.contains(&format!("\n  {name}: is needed")), "{name} is not in: {said}");
        }
        let said = wrong(&[
            ("LISTEN", "here"),
            ("DATABASE_URL", "mysql://u:hidden@h"),
            ("REDIS_URL", "http://u:hidden@h"),
            ("JWT_SECRET", "hidden"),
            ("INTERNAL_TOKEN", "hidden"),
            ("KAFKA_PARTITIONS", "0"),
            ("KAFKA_TOPIC", "no topic"),
            ("DATABASE_SCHEMA", "Chat"),
            ("ALLOWED_ORIGINS", "nowhere"),
            ("SOCKJS_CLIENT_URL", "sockjs.js"),
            ("DRAIN", "2h"),
        ]);
        for name in [
            "LISTEN",
            "DATABASE_URL",
            "DATABASE_SCHEMA",
            "REDIS_URL",
            "KAFKA_BROKERS",
            "KAFKA_TOPIC",
            "JWT_SECRET",
            "INTERNAL_TOKEN",
            "ALLOWED_ORIGINS",
            "SOCKJS_CLIENT_URL",
            "DRAIN",
        ] {
            assert!(said.contains(&format!("\n  {name}: ")), "{name} is not in: {said}");
        }
        assert!(said.contains("\n  KAFKA_PARTITIONS: ") && !said.contains("hidden"), "{said}");
    }

    #[test]
    fn what_is_needed_is_enough() {
        assert_eq!(wrong(&NEEDED), "");
        let settings = Settings::read(Environment::from_pairs(NEEDED)).unwrap();
        assert_eq!(settings.membership.topic(), "study.member.created");
        assert_eq!((settings.channel.as_str(), settings.origins), ("chat:messages", Origins::Same));
    }
}

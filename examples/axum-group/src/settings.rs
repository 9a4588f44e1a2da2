//! What can be set: the table in the README.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use axum::http::HeaderName;
use chat_backend_kafka::{KafkaConfig, TopicNames, WorkerConfig, ensure_topics};
use chat_backend_postgres::PostgresConfig;
use chat_backend_redis::RedisConfig;
use chat_core::auth::{JwtAuth, JwtConfig, JwtConfigError, JwtSigner};
use example_support::{
    Origins,
    settings::{Environment, WrongSettings, address, duration, number, on_or_off, plain_name},
};

const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(366 * 24 * 3_600);

/// The brokers and the topics there.
#[derive(Debug, Clone)]
pub(crate) struct Kafka {
    pub(crate) config: KafkaConfig,
    /// What the names of the topics and of the workers' group begin with.
    prefix: String,
    partitions: i32,
    replication: i32,
}

impl Kafka {
    fn read(env: &mut Environment, client: &str) -> Option<Self> {
        let prefix = env.optional("KAFKA_TOPIC_PREFIX").unwrap_or_default();
        let topics = TopicNames::with_prefix(&prefix);
        let config = env.required_parsed("KAFKA_BROKERS", "brokers, such as one:9092,two:9092", |brokers| {
            let config = KafkaConfig::new(brokers).with_client_id(client).with_topics(topics);
            config.check().map(|()| config)
        });
        let partitions = env.parsed("KAFKA_PARTITIONS", "6", number(1..=10_000));
        let replication = env.parsed("KAFKA_REPLICATION", "1", number(1..=100));
        let number = |number: Option<u32>| i32::try_from(number?).ok();
        Some(Self {
            config: config?,
            prefix,
            partitions: number(partitions)?,
            replication: number(replication)?,
        })
    }

    /// Whoever is first makes the topics.
    pub(crate) async fn ensure_topics(&self) -> anyhow::Result<()> {
        let specs = self.config.topics().specs(self.partitions, self.replication);
        ensure_topics(&self.config, &specs).await.context("the topics")
    }

    /// The workers' group: another chat on the same brokers has another one.
    pub(crate) fn group(&self) -> String {
        format!("{}{}", self.prefix, WorkerConfig::DEFAULT_GROUP)
    }
}

/// Signs tokens and checks them.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) signer: JwtSigner,
    pub(crate) auth: JwtAuth,
}

impl Tokens {
    fn new(secret: &str) -> Result<Self, JwtConfigError> {
        let signer = JwtSigner::hs256(secret)?;
        let auth = JwtAuth::new(JwtConfig::new([signer.key()?]).with_required_claim("email"))?;
        Ok(Self { signer, auth })
    }
}

/// A gateway's settings that can work.
#[derive(Clone)]
pub struct GatewaySettings {
    pub(crate) listen: SocketAddr,
    /// For the accounts; has a password.
    pub(crate) database: String,
    pub(crate) postgres: PostgresConfig,
    pub(crate) redis: RedisConfig,
    pub(crate) kafka: Kafka,
    pub(crate) tokens: Tokens,
    pub(crate) token_lifetime: Duration,
    pub(crate) origins: Origins,
    /// In which header the nearest proxy says whose request it is.
    pub(crate) address_header: Option<HeaderName>,
    pub(crate) rate_limits: bool,
    pub(crate) drain_window: Duration,
    /// Where the views are that an import reads.
    pub(crate) import_schema: String,
}

impl GatewaySettings {
    /// Reads everything before it says anything.
    ///
    /// # Errors
    /// All that is missing or wrong.
    pub fn read(mut env: Environment) -> Result<Self, WrongSettings> {
        let (database, postgres) = postgres(&mut env);
        let redis = env.required_parsed("REDIS_URL", "Redis, such as redis://host:6379", |url| {
            RedisConfig::from_url(url)
        });
        let redis_prefix = env.optional("REDIS_PREFIX");
        let kafka = Kafka::read(&mut env, "chat-gateway");
        let tokens = env.required_parsed("JWT_SECRET", "what signs the users' tokens (HS256)", Tokens::new);
        let token_lifetime = env.parsed("JWT_EXPIRES_IN", "1d", duration(MINUTE..=YEAR));
        let listen = env.parsed("LISTEN", "127.0.0.1:8080", address);
        let origins = env.parsed("ALLOWED_ORIGINS", "", Origins::parse);
        let address_header = env.parsed("CLIENT_ADDRESS_HEADER", "", header);
        let rate_limits = env.parsed("RATE_LIMITS", "on", on_or_off);
        let drain_window = env.parsed("DRAIN_WINDOW", "2s", duration(Duration::ZERO..=MINUTE));
        let import_schema = env.parsed("IMPORT_SCHEMA", "chat_import", plain_name);
        let redis = redis
            .map(|redis| redis_prefix.into_iter().fold(redis, |redis, prefix| redis.with_prefix(prefix)));
        let settings = || {
            Some(Self {
                listen: listen?,
                database,
                postgres: postgres?,
                redis: redis?,
                kafka: kafka?,
                tokens: tokens?,
                token_lifetime: token_lifetime?,
                origins: origins?,
                address_header: address_header?,
                rate_limits: rate_limits?,
                drain_window: drain_window?,
                import_schema: import_schema?,
            })
        };
        let settings = settings();
        env.finish_with(settings)
    }
}

/// Without what is secret.
impl std::fmt::Debug for GatewaySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewaySettings")
            .field("listen", &self.listen)
            .field("kafka", &self.kafka)
            .field("redis", &self.redis)
            .finish_non_exhaustive()
    }
}

/// A worker's settings that can work.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    pub(crate) postgres: PostgresConfig,
    pub(crate) kafka: Kafka,
    pub(crate) drain: Duration,
}

impl WorkerSettings {
    /// Reads everything before it says anything.
    ///
    /// # Errors
    /// All that is missing or wrong.
    pub fn read(mut env: Environment) -> Result<Self, WrongSettings> {
        let (_, postgres) = postgres(&mut env);
        let kafka = Kafka::read(&mut env, "chat-worker");
        let drain = env.parsed("WORKER_DRAIN", "10s", duration(Duration::ZERO..=60 * MINUTE));
        let settings = || Some(Self { postgres: postgres?, kafka: kafka?, drain: drain? });
        let settings = settings();
        env.finish_with(settings)
    }
}

fn postgres(env: &mut Environment) -> (String, Option<PostgresConfig>) {
    let config = env.required_parsed(
        "DATABASE_URL",
        "the database, such as postgres://user:password@host:5432/database",
        PostgresConfig::from_url,
    );
    (env.optional("DATABASE_URL").unwrap_or_default(), config)
}

/// None for the empty text.
fn header(text: &str) -> Result<Option<HeaderName>, &'static str> {
    let name = (!text.is_empty()).then(|| text.parse()).transpose();
    name.map_err(|_| "must be the name of a header, such as X-Forwarded-For")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

    use super::*;

    const NEEDED: [(&str, &str); 4] = [
        ("DATABASE_URL", "postgres://u:p@h/d"),
        ("REDIS_URL", "redis://h"),
        ("KAFKA_BROKERS", "h:9092"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
    ];

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let nothing = || Environment::from_pairs([("CHAT_LOG", "info"); 1]);
        let wrong = GatewaySettings::read(nothing()).unwrap_err().to_string();
        for (name, _) in NEEDED {
            assert!(wrong.contains(&format!("\n  {name}: is needed")), "{name} is not in: {wrong}");
        }
        let wrong = WorkerSettings::read(nothing()).unwrap_err().to_string();
        assert!(wrong.contains("DATABASE_URL: is needed") && wrong.contains("KAFKA_BROKERS: is needed"));
        assert!(!wrong.contains("JWT_SECRET") && !wrong.contains("REDIS_URL"));
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let pairs = [
            ("JWT_SECRET", "too short"),
            ("JWT_EXPIRES_IN", "soon"),
            ("LISTEN", "nowhere"),
            ("KAFKA_PARTITIONS", "0"),
            ("KAFKA_REPLICATION", "many"),
            ("CLIENT_ADDRESS_HEADER", "a header"),
            ("RATE_LIMITS", "some"),
            ("DRAIN_WINDOW", "2h"),
            ("ALLOWED_ORIGINS", "chat"),
            ("IMPORT_SCHEMA", "a; drop"),
        ];
        let wrong = GatewaySettings::read(Environment::from_pairs(pairs)).unwrap_err().to_string();
        for (name, _) in pairs {
            assert!(wrong.contains(&format!("\n  {name}: ")), "{name} is not in: {wrong}");
        }
        assert!(!wrong.contains("too short"));
    }

    #[test]
    fn what_is_needed_is_enough() {
        let settings = GatewaySettings::read(Environment::from_pairs(NEEDED)).unwrap();
        assert_eq!(settings.token_lifetime, 24 * 60 * MINUTE);
        assert_eq!(settings.kafka.group(), "chat-persistor");
        assert!(!format!("{settings:?}").contains("0123456789abcdef"));
        assert!(WorkerSettings::read(Environment::from_pairs(NEEDED)).is_ok());
    }
}

//! What can be set, and what is wrong with it.

use std::{fmt, fs, path::PathBuf, time::Duration};

use chat_backend_kafka::{KafkaConfig, KafkaSasl, KafkaTls, TopicNames, WorkerConfig};
use chat_backend_postgres::PostgresConfig;
use chat_backend_redis::RedisConfig;
use clap::{Parser, ValueEnum};
use tracing_subscriber::EnvFilter;

const MAX_PARTITIONS: i32 = 10_000;
const MAX_DRAIN: Duration = Duration::from_secs(3_600);

/// Stores what waits in a chat's Kafka queue in PostgreSQL, and tells every node what became of it.
#[derive(Parser)]
#[command(name = "example-kafka-worker", version)]
pub(crate) struct Arguments {
    /// Brokers to ask first: host:port, several with commas between them. Needed
    #[arg(long, value_name = "BROKERS", env = "KAFKA_BROKERS")]
    brokers: Option<String>,

    /// The database: postgres://user:password@host:5432/database. Needed. Prefer the variable: others on this machine can see
    /// arguments
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database: Option<String>,

    /// The schema in that database; made if it is not there
    #[arg(long, value_name = "NAME", env = "CHAT_SCHEMA", default_value = PostgresConfig::DEFAULT_SCHEMA)]
    schema: String,

    /// What the names of all topics begin with; another chat on the same brokers needs another one
    #[arg(long, value_name = "PREFIX", env = "CHAT_TOPIC_PREFIX", default_value = "")]
    prefix: String,

    /// How many partitions new topics get, and old ones have at least: 1 to 10000
    #[arg(long, value_name = "COUNT", env = "CHAT_PARTITIONS", default_value = "6")]
    partitions: String,

    /// On how many brokers each record is: 1 to 100
    #[arg(long, value_name = "COUNT", env = "CHAT_REPLICATION", default_value = "1")]
    replication: String,

    /// The consumer group: all workers of a chat are in the same one
    #[arg(long, value_name = "GROUP", env = "CHAT_GROUP", default_value = WorkerConfig::DEFAULT_GROUP)]
    group: String,

    /// Announce what was stored over this Redis: redis://user:password@host:6379
    #[arg(long, value_name = "URL", env = "REDIS_URL", hide_env_values = true)]
    redis: Option<String>,

    /// Speak TLS with the brokers
    #[arg(long, env = "KAFKA_TLS")]
    tls: bool,

    /// A file with the authorities to trust (PEM), in place of the system's; means --tls
    #[arg(long, value_name = "FILE", env = "KAFKA_AUTHORITIES")]
    authorities: Option<PathBuf>,

    /// A file with this program's certificate (PEM), with --key; means --tls
    #[arg(long, value_name = "FILE", env = "KAFKA_CERTIFICATE")]
    certificate: Option<PathBuf>,

    /// A file with the certificate's key (PEM)
    #[arg(long, value_name = "FILE", env = "KAFKA_KEY")]
    key: Option<PathBuf>,

    /// How to authenticate, with --user and --password
    #[arg(long, value_name = "MECHANISM", env = "KAFKA_SASL")]
    sasl: Option<Mechanism>,

    /// The name that the brokers know
    #[arg(long, value_name = "NAME", env = "KAFKA_USER")]
    user: Option<String>,

    /// Its password. Prefer the variable
    #[arg(long, value_name = "PASSWORD", env = "KAFKA_PASSWORD", hide_env_values = true)]
    password: Option<String>,

    /// How long it finishes what it began when it is asked to end: 0s to 1h
    #[arg(long, value_name = "DURATION", env = "CHAT_DRAIN", default_value = "10s")]
    drain: String,

    /// What to log: a level, or levels per module such as `info,chat_backend_kafka=debug`
    #[arg(long, value_name = "FILTER", env = "CHAT_LOG", default_value = "info,librdkafka=off")]
    log: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

/// Settings that can work.
pub(crate) struct Settings {
    pub(crate) kafka: KafkaConfig,
    pub(crate) postgres: PostgresConfig,
    /// None where nodes read the persisted topic.
    pub(crate) redis: Option<RedisConfig>,
    pub(crate) partitions: i32,
    pub(crate) replication: i32,
    pub(crate) group: String,
    pub(crate) drain: Duration,
    pub(crate) log: EnvFilter,
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

/// Gathers what is wrong.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, setting: &str, problem: impl fmt::Display) {
        self.0.push(format!("{setting}: {problem}"));
    }

    fn take<T, E: fmt::Display>(&mut self, setting: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|problem| self.add(setting, problem)).ok()
    }

    fn number(&mut self, setting: &str, text: &str, most: i32) -> Option<i32> {
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        self.take(setting, number.ok_or_else(|| format!("must be a number from 1 to {most}")))
    }

    fn needed(&mut self, setting: &str, value: Option<String>) -> Option<String> {
        let value = value.filter(|value| !value.is_empty());
        self.take(setting, value.ok_or("is needed"))
    }

    fn file(&mut self, setting: &str, path: Option<&PathBuf>) -> Option<String> {
        let path = path?;
        let read = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
        self.take(setting, read)
    }
}

impl Arguments {
    /// Checks everything before it says anything.
    pub(crate) fn check(self) -> Result<Settings, WrongSettings> {
        let mut problems = Problems::default();
        let kafka = self.kafka(&mut problems);
        let database = problems.needed("DATABASE_URL", self.database);
        let postgres = database.and_then(|url| problems.take("DATABASE_URL", PostgresConfig::from_url(&url)));
        let postgres = postgres.map(|postgres| postgres.with_schema(self.schema));
        let redis = self.redis.filter(|url| !url.is_empty());
        let redis = redis.and_then(|url| problems.take("REDIS_URL", RedisConfig::from_url(&url)));
        let partitions = problems.number("CHAT_PARTITIONS", &self.partitions, MAX_PARTITIONS);
        let replication = problems.number("CHAT_REPLICATION", &self.replication, 100);
        let drain = humantime::parse_duration(&self.drain).ok().filter(|drain| *drain <= MAX_DRAIN);
        let drain = problems.take("CHAT_DRAIN", drain.ok_or("must be 0s to 1h"));
        let log = problems.take("CHAT_LOG", EnvFilter::builder().parse(&self.log));
        if self.group.is_empty() {
            problems.add("CHAT_GROUP", "must have a name");
        }
        match (kafka, postgres, partitions, replication, drain, log) {
            (Some(kafka), Some(postgres), Some(partitions), Some(replication), Some(drain), Some(log))
                if problems.0.is_empty() =>
            {
                let group = self.group;
                Ok(Settings { kafka, postgres, redis, partitions, replication, group, drain, log })
            }
            _ => Err(WrongSettings(problems.0)),
        }
    }

    fn kafka(&self, problems: &mut Problems) -> Option<KafkaConfig> {
        let authorities = problems.file("KAFKA_AUTHORITIES", self.authorities.as_ref());
        let certificate = problems.file("KAFKA_CERTIFICATE", self.certificate.as_ref());
        let key = problems.file("KAFKA_KEY", self.key.as_ref());
        if self.certificate.is_some() != self.key.is_some() {
            problems.add("KAFKA_CERTIFICATE", "goes with KAFKA_KEY");
        }
        let brokers = problems.needed("KAFKA_BROKERS", self.brokers.clone());
        let sasl = self.sasl(problems);
        let topics = TopicNames::with_prefix(&self.prefix);
        let mut kafka = KafkaConfig::new(brokers?).with_client_id("chat-worker").with_topics(topics);
        if self.tls || authorities.is_some() || certificate.is_some() {
            let mut tls = KafkaTls::new();
            if let Some(authorities) = authorities {
                tls = tls.with_authorities_pem(authorities);
            }
            if let (Some(certificate), Some(key)) = (certificate, key) {
                tls = tls.with_identity_pem(certificate, key);
            }
            kafka = kafka.with_tls(tls);
        }
        if let Some(sasl) = sasl {
            kafka = kafka.with_sasl(sasl);
        }
        problems.take("Kafka", kafka.check())?;
        Some(kafka)
    }

    fn sasl(&self, problems: &mut Problems) -> Option<KafkaSasl> {
        let mechanism = self.sasl?;
        let user = problems.needed("KAFKA_USER", self.user.clone());
        let password = problems.needed("KAFKA_PASSWORD", self.password.clone());
        let (user, password) = (user?, password?);
        Some(match mechanism {
            Mechanism::Plain => KafkaSasl::plain(user, password),
            Mechanism::ScramSha256 => KafkaSasl::scram_sha_256(user, password),
            Mechanism::ScramSha512 => KafkaSasl::scram_sha_512(user, password),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

    use super::*;

    fn problems(arguments: &[&str]) -> String {
        let arguments = Arguments::parse_from([&["worker"], arguments].concat());
        match arguments.check() {
            Ok(_) => String::new(),
            Err(wrong) => wrong.to_string(),
        }
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let said = problems(&[
            "--partitions",
            "0",
            "--sasl",
            "plain",
            "--certificate",
            "/no/such/file",
            "--drain",
            "2h",
        ]);
        for setting in [
            "KAFKA_BROKERS: is needed",
            "DATABASE_URL: is needed",
            "CHAT_PARTITIONS: must be a number from 1 to 10000",
            "KAFKA_USER: is needed",
            "KAFKA_PASSWORD: is needed",
            "KAFKA_CERTIFICATE: /no/such/file",
            "KAFKA_CERTIFICATE: goes with KAFKA_KEY",
            "CHAT_DRAIN",
        ] {
            assert!(said.contains(setting), "{setting} is not in: {said}");
        }
    }

    #[test]
    fn what_is_needed_is_enough() {
        assert_eq!(problems(&["--brokers", "a:9092", "--database", "postgres://u:p@h/d"]), "");
    }
}

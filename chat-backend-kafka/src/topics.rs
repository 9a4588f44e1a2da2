//! The topics' names, and how they are set up.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    types::RDKafkaErrorCode as Code,
};
use tokio::time::{Instant, sleep};

use crate::{ConnectError, KafkaConfig, KafkaError, KafkaErrorKind};

/// What [`check_name`] checks, in words.
pub(crate) const NAME_RULE: &str =
    "must be 1 to 249 ASCII letters, digits, '.', '_' and '-', and neither '.' nor '..'";

/// How often it is looked whether a new topic is known to every broker.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The names of the topics that this crate writes to and reads from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicNames {
    /// What was sent and waits to be stored: written by the queue, read by the workers.
    pub messages: String,
    /// What became of it: written by the workers, read by the fan-out and by whoever waits.
    pub persisted: String,
    /// What no worker could store or read.
    pub dead_letters: String,
    /// Live events between the nodes.
    pub events: String,
}

impl TopicNames {
    /// [`TopicNames::messages`] unless named otherwise.
    pub const DEFAULT_MESSAGES: &str = "chat.messages.v1";
    /// [`TopicNames::persisted`] unless named otherwise.
    pub const DEFAULT_PERSISTED: &str = "chat.messages.persisted.v1";
    /// [`TopicNames::dead_letters`] unless named otherwise.
    pub const DEFAULT_DEAD_LETTERS: &str = "chat.messages.dlt.v1";
    /// [`TopicNames::events`] unless named otherwise.
    pub const DEFAULT_EVENTS: &str = "chat.events.v1";

    /// The usual names with this in front, so that several chats share a cluster.
    #[must_use]
    pub fn with_prefix(prefix: &str) -> Self {
        Self {
            messages: format!("{prefix}{}", Self::DEFAULT_MESSAGES),
            persisted: format!("{prefix}{}", Self::DEFAULT_PERSISTED),
            dead_letters: format!("{prefix}{}", Self::DEFAULT_DEAD_LETTERS),
            events: format!("{prefix}{}", Self::DEFAULT_EVENTS),
        }
    }

    /// The topics as [`ensure_topics`] makes them: `partitions` each (the dead letters have one), on `replication` brokers.
    ///
    /// What waits to be stored and what became of it are kept for seven days, dead letters for thirty, live events for an
    /// hour. With three replicas or more, a record is acknowledged once two have it.
    #[must_use]
    pub fn specs(&self, partitions: i32, replication: i32) -> [TopicSpec; 4] {
        const HOUR: Duration = Duration::from_secs(3_600);
        let spec = |name: &str, partitions, retention| {
            let spec =
                TopicSpec::new(name, partitions).with_replication(replication).with_retention(retention);
            if replication >= 3 { spec.with_min_in_sync(2) } else { spec }
        };
        [
            spec(&self.messages, partitions, 7 * 24 * HOUR),
            spec(&self.persisted, partitions, 7 * 24 * HOUR),
            spec(&self.dead_letters, 1, 30 * 24 * HOUR),
            spec(&self.events, partitions, HOUR),
        ]
    }

    pub(crate) fn all(&self) -> [&str; 4] {
        [&self.messages, &self.persisted, &self.dead_letters, &self.events]
    }
}

impl Default for TopicNames {
    fn default() -> Self {
        Self::with_prefix("")
    }
}

/// Checks what Kafka takes as the name of a topic.
pub(crate) fn check_name(name: &str) -> Result<(), TopicError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if matches!(name, "" | "." | "..") || name.len() > 249 || !name.bytes().all(allowed) {
        return Err(TopicError::Name { topic: name.to_owned() });
    }
    Ok(())
}

/// How Kafka gets rid of old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// By age and size.
    Delete,
    /// It keeps the last record of each key.
    Compact,
}

/// What a topic must be like. What is not named is left to the brokers' defaults and is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions it has at least. Partitions may be added at any time.
    pub partitions: i32,
    /// On how many brokers each record is.
    pub replication: Option<i32>,
    /// The topic's own settings, by Kafka's names for them.
    pub settings: BTreeMap<String, String>,
}

impl TopicSpec {
    /// A topic with at least this many partitions.
    #[must_use]
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, replication: None, settings: BTreeMap::new() }
    }

    /// With every record on this many brokers.
    #[must_use]
    pub const fn with_replication(mut self, brokers: i32) -> Self {
        self.replication = Some(brokers);
        self
    }

    /// With records acknowledged once this many brokers have them (`min.insync.replicas`).
    #[must_use]
    pub fn with_min_in_sync(self, brokers: u16) -> Self {
        self.with_setting("min.insync.replicas", brokers.to_string())
    }

    /// With records kept for this long (`retention.ms`).
    #[must_use]
    pub fn with_retention(self, time: Duration) -> Self {
        self.with_setting("retention.ms", time.as_millis().to_string())
    }

    /// With records kept for good.
    #[must_use]
    pub fn with_unlimited_retention(self) -> Self {
        self.with_setting("retention.ms", "-1").with_setting("retention.bytes", "-1")
    }

    /// With another way to get rid of old records (`cleanup.policy`).
    #[must_use]
    pub fn with_cleanup(self, cleanup: Cleanup) -> Self {
        let policy = match cleanup {
            Cleanup::Delete => "delete",
            Cleanup::Compact => "compact",
        };
        self.with_setting("cleanup.policy", policy)
    }

    /// With any other setting of the topic, by Kafka's name for it.
    #[must_use]
    pub fn with_setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }

    fn check(&self) -> Result<(), TopicError> {
        check_name(&self.name)?;
        if self.partitions < 1 || self.replication.is_some_and(|brokers| brokers < 1) {
            return Err(TopicError::Numbers { topic: self.name.clone() });
        }
        Ok(())
    }

    fn as_new(&self) -> NewTopic<'_> {
        // -1 is the brokers' own default.
        let replication = TopicReplication::Fixed(self.replication.unwrap_or(-1));
        let topic = NewTopic::new(&self.name, self.partitions, replication);
        self.settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
    }
}

/// A topic that is not as it must be. Nothing was changed about it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// No topic can have this name.
    #[error("the topic name {topic:?} {NAME_RULE}")]
    Name {
        /// The name.
        topic: String,
    },
    /// A number of the specification is below one.
    #[error("topic {topic} needs at least one partition and one replica")]
    Numbers {
        /// The topic.
        topic: String,
    },
    /// There is no such topic.
    #[error("there is no topic {topic}")]
    Missing {
        /// The topic.
        topic: String,
    },
    /// Add partitions, or ask for fewer.
    #[error("topic {topic} has {found} partitions, fewer than {wanted}")]
    Partitions {
        /// The topic.
        topic: String,
        /// How many are wanted at least.
        wanted: i32,
        /// How many there are.
        found: i32,
    },
    /// Reassign its replicas, or ask for fewer.
    #[error("partition {partition} of topic {topic} is on {found} brokers, fewer than {wanted}")]
    Replication {
        /// The topic.
        topic: String,
        /// The first partition that is on too few.
        partition: i32,
        /// On how many it should be at least.
        wanted: i32,
        /// On how many it is.
        found: i32,
    },
    /// Change the topic's setting, or ask for what it is.
    #[error("topic {topic} has {setting} = {found}, not {wanted}")]
    Setting {
        /// The topic.
        topic: String,
        /// Kafka's name of the setting.
        setting: String,
        /// What it should be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// The brokers did not make or show it.
    #[error("topic {topic}: {source}")]
    Kafka {
        /// The topic.
        topic: String,
        /// Why not.
        source: KafkaError,
    },
}

/// Creates the topics that are not there and verifies all of them. Safe to call from several programs at once and at every
/// start. A topic that is there already is never changed.
///
/// # Errors
/// [`ConnectError::Topic`] says which topic is not as it must be and how; [`ConnectError::Kafka`] that the brokers cannot be
/// reached; [`ConnectError::Setting`] that the configuration cannot be used.
///
/// # Cancel safety
/// A dropped call may have created some of the topics, each whole. It can be called again.
pub async fn ensure_topics(config: &KafkaConfig, specs: &[TopicSpec]) -> Result<(), ConnectError> {
    let admin = Admin::new(config, specs)?;
    admin.create(specs).await?;
    admin.verify(specs, true).await
}

/// Verifies the topics and creates none: for programs that may not.
///
/// # Errors
/// As [`ensure_topics`], and [`TopicError::Missing`].
pub async fn verify_topics(config: &KafkaConfig, specs: &[TopicSpec]) -> Result<(), ConnectError> {
    Admin::new(config, specs)?.verify(specs, false).await
}

struct Admin {
    client: AdminClient<DefaultClientContext>,
    /// Asks what there is. The other one must not: to it, brokers that make topics on demand would answer by making them.
    asking: Arc<BaseConsumer>,
    patience: Duration,
}

impl Admin {
    fn new(config: &KafkaConfig, specs: &[TopicSpec]) -> Result<Self, ConnectError> {
        config.check()?;
        specs.iter().try_for_each(TopicSpec::check)?;
        let client = config.client().create().map_err(KafkaError::from)?;
        let mut asking = config.client();
        asking.set("allow.auto.create.topics", "false");
        let asking = Arc::new(asking.create().map_err(KafkaError::from)?);
        Ok(Self { client, asking, patience: config.connect_timeout() })
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.patience)).operation_timeout(Some(self.patience))
    }

    async fn create(&self, specs: &[TopicSpec]) -> Result<(), ConnectError> {
        let missing = self.missing(specs).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let topics: Vec<_> = missing.into_iter().map(TopicSpec::as_new).collect();
        let results = self.client.create_topics(&topics, &self.options()).await.map_err(KafkaError::from)?;
        for result in results {
            match result {
                // Somebody else was quicker: then it is verified like any other.
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let source = KafkaError::new(KafkaErrorKind::of_code(code), code.to_string());
                    return Err(TopicError::Kafka { topic, source }.into());
                }
            }
        }
        Ok(())
    }

    async fn missing<'s>(&self, specs: &'s [TopicSpec]) -> Result<Vec<&'s TopicSpec>, ConnectError> {
        let mut missing = Vec::new();
        for spec in specs {
            match self.partitions(&spec.name).await {
                Err(TopicError::Missing { .. }) => missing.push(spec),
                Err(TopicError::Kafka { source, .. })
                    if matches!(source.kind(), KafkaErrorKind::Connection | KafkaErrorKind::Timeout) =>
                {
                    return Err(source.into());
                }
                other => drop(other?),
            }
        }
        Ok(missing)
    }

    /// Verifies the topics. New ones take a moment until every broker knows them and they have leaders.
    async fn verify(&self, specs: &[TopicSpec], are_new: bool) -> Result<(), ConnectError> {
        let end = Instant::now() + self.patience;
        for spec in specs {
            loop {
                match self.verify_one(spec).await {
                    Err(TopicError::Missing { .. } | TopicError::Partitions { .. })
                        if are_new && Instant::now() < end => {}
                    Err(TopicError::Kafka { source, .. })
                        if source.kind() == KafkaErrorKind::Unavailable && Instant::now() < end => {}
                    result => break result?,
                }
                sleep(LOOK_AGAIN).await;
            }
        }
        Ok(())
    }

    async fn verify_one(&self, spec: &TopicSpec) -> Result<(), TopicError> {
        let topic = || spec.name.clone();
        let partitions = self.partitions(&spec.name).await?;
        let found = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        if found < spec.partitions {
            return Err(TopicError::Partitions { topic: topic(), wanted: spec.partitions, found });
        }
        if let Some(wanted) = spec.replication {
            for (partition, found) in partitions {
                if found < wanted {
                    return Err(TopicError::Replication { topic: topic(), partition, wanted, found });
                }
            }
        }
        if spec.settings.is_empty() {
            return Ok(());
        }
        let refused = |source| TopicError::Kafka { topic: topic(), source };
        let asked = [ResourceSpecifier::Topic(&spec.name)];
        let described = self.client.describe_configs(&asked, &self.options()).await;
        let described = described.map_err(|error| refused(error.into()))?.pop();
        let described = described.ok_or_else(|| TopicError::Missing { topic: topic() })?;
        let described = described.map_err(|code| match KafkaErrorKind::of_code(code) {
            KafkaErrorKind::TopicMissing => TopicError::Missing { topic: topic() },
            kind => refused(KafkaError::new(kind, code.to_string())),
        })?;
        for (name, wanted) in &spec.settings {
            let found = described.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
            if found != *wanted {
                let (setting, wanted) = (name.clone(), wanted.clone());
                return Err(TopicError::Setting { topic: topic(), setting, wanted, found });
            }
        }
        Ok(())
    }

    /// The partitions of a topic, each with the number of its replicas.
    async fn partitions(&self, topic: &str) -> Result<Vec<(i32, i32)>, TopicError> {
        let (client, name, patience) = (self.asking.clone(), topic.to_owned(), self.patience);
        // The client waits for the answer on this thread.
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = client.fetch_metadata(Some(&name), patience)?;
            Ok::<_, rdkafka::error::KafkaError>(metadata.topics().first().map(|topic| {
                let code = topic.error().map(Code::from);
                let replicas = |partition: &rdkafka::metadata::MetadataPartition| {
                    (partition.id(), i32::try_from(partition.replicas().len()).unwrap_or(i32::MAX))
                };
                (code, topic.partitions().iter().map(replicas).collect::<Vec<_>>())
            }))
        });
        let refused = |source| TopicError::Kafka { topic: topic.to_owned(), source };
        let missing = || TopicError::Missing { topic: topic.to_owned() };
        let answer = asked.await.map_err(|_| refused(KafkaError::closed()))?;
        match answer.map_err(|error| refused(error.into()))? {
            None => Err(missing()),
            Some((None, partitions)) => Ok(partitions),
            Some((Some(code), _)) => Err(match KafkaErrorKind::of_code(code) {
                KafkaErrorKind::TopicMissing => missing(),
                kind => refused(KafkaError::new(kind, code.to_string())),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_kafka_takes() {
        for good in ["chat.messages.v1", "a", "A-1_b"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "ä", &"x".repeat(250)] {
            assert!(matches!(check_name(bad), Err(TopicError::Name { .. })), "{bad}");
        }
    }

    #[test]
    fn three_replicas_mean_two_acknowledge() {
        let names = TopicNames::with_prefix("t-");
        let [messages, .., events] = names.specs(6, 3);
        assert_eq!((messages.name.as_str(), messages.partitions), ("t-chat.messages.v1", 6));
        assert_eq!(messages.settings["min.insync.replicas"], "2");
        assert_eq!(events.settings["retention.ms"], "3600000");
        assert!(!names.specs(6, 1)[0].settings.contains_key("min.insync.replicas"));
    }
}

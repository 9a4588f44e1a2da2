//! The topics' names, and how they are set up.

mod setup;

use std::{collections::BTreeMap, time::Duration};

use rdkafka::admin::{NewTopic, TopicReplication};

pub use self::setup::{ensure_topics, verify_topics};
use crate::KafkaError;

/// What [`check_name`] checks, in words.
pub(crate) const NAME_RULE: &str =
    "must be 1 to 249 ASCII letters, digits, '.', '_' and '-', and neither '.' nor '..'";

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
    /// hour. Those of the first three are not removed for any other reason: neither to make room nor for a later record with the
    /// same key, which is the room. With three replicas or more, a record is acknowledged once two have it.
    #[must_use]
    pub fn specs(&self, partitions: i32, replication: i32) -> [TopicSpec; 4] {
        const HOUR: Duration = Duration::from_secs(3_600);
        let spec = |name: &str, partitions, retention| {
            let spec =
                TopicSpec::new(name, partitions).with_replication(replication).with_retention(retention);
            if replication >= 3 { spec.with_min_in_sync(2) } else { spec }
        };
        // What was accepted goes by age alone.
        let keeps =
            |spec: TopicSpec| spec.with_cleanup(Cleanup::Delete).with_setting("retention.bytes", "-1");
        [
            keeps(spec(&self.messages, partitions, 7 * 24 * HOUR)),
            keeps(spec(&self.persisted, partitions, 7 * 24 * HOUR)),
            keeps(spec(&self.dead_letters, 1, 30 * 24 * HOUR)),
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

    #[test]
    fn what_was_accepted_goes_by_age_alone() {
        let [messages, persisted, dead_letters, _] = TopicNames::default().specs(6, 3);
        for spec in [messages, persisted, dead_letters] {
            assert_eq!(spec.settings["cleanup.policy"], "delete", "{}", spec.name);
            assert_eq!(spec.settings["retention.bytes"], "-1", "{}", spec.name);
        }
    }
}

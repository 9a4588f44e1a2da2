//! What librdkafka tells of itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use rdkafka::{
    ClientContext, config::RDKafkaLogLevel as Level, consumer::ConsumerContext, error::KafkaError as Cause,
};
use serde::{Deserialize, de::IgnoredAny};

use super::bell::Bell;
use crate::{
    client_log,
    denial::Denial,
    forsaken::{self, Forsaken},
};

/// Notices by librdkafka's statistics when a connection broke that partitions are read over. Its reports of errors leave out what
/// comes again within half a minute.
pub(super) struct Context {
    bell: Arc<Bell>,
    connections: Mutex<Connections>,
    pub(super) forsaken: Forsaken,
    pub(super) denial: Denial,
}

impl Context {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        Self { bell, connections: Mutex::default(), forsaken: Forsaken::default(), denial: Denial::default() }
    }
}

impl ClientContext for Context {
    fn log(&self, level: Level, facility: &str, message: &str) {
        client_log::pass_on(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        // It was said, and another one takes its place: while it ends it says nothing more.
        if self.forsaken.is() {
            return;
        }
        let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) else { return };
        // It reads, or is asked again and again.
        self.forsaken.note(statistics.brokers.values().map(|broker| &broker.link), true);
        if self.forsaken.is() {
            return self.bell.disturbed();
        }
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.note(statistics) {
            self.bell.disturbed();
        }
    }

    fn error(&self, error: Cause, reason: &str) {
        self.denial.note(&error, reason);
        tracing::debug!(%error, reason, "librdkafka tells of an error");
    }
}

impl ConsumerContext for Context {}

#[derive(Debug, Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
}

#[derive(Debug, Deserialize)]
struct Broker {
    #[serde(flatten)]
    link: forsaken::Broker,
    #[serde(default)]
    disconnects: u64,
    /// The partitions that are read there.
    #[serde(default)]
    toppars: BTreeMap<String, IgnoredAny>,
}

/// How often the connection to each broker broke, and whether partitions were read over it when that was looked at last.
#[derive(Debug, Default)]
struct Connections(BTreeMap<String, (u64, bool)>);

impl Connections {
    /// Whether one broke since. A connection that nothing is read over may come and go: brokers end those that are idle.
    fn note(&mut self, statistics: Statistics) -> bool {
        let mut broke = false;
        let mut now = BTreeMap::new();
        for (name, broker) in statistics.brokers {
            let is_read = !broker.toppars.is_empty();
            let (before, was_read) = self.0.get(&name).copied().unwrap_or_default();
            broke |= broker.disconnects > before && (is_read || was_read);
            now.insert(name, (broker.disconnects, is_read));
        }
        self.0 = now;
        broke
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_is_read_over_counts() {
        let mut connections = Connections::default();
        let mut note = |one: u64, partitions: &str, other: u64| {
            let text = format!(
                r#"{{"name":"x","brokers":{{
                    "a:1/1":{{"nodeid":1,"disconnects":{one},"toppars":{partitions}}},
                    "GroupCoordinator":{{"disconnects":{other},"toppars":{{}}}}
                }}}}"#
            );
            connections.note(serde_json::from_str(&text).unwrap())
        };
        let partitions = r#"{"t-0":{"topic":"t","partition":0}}"#;
        assert!(!note(0, "{}", 0));
        assert!(!note(0, partitions, 1));
        assert!(note(1, partitions, 1));
        assert!(!note(1, partitions, 2));
        assert!(note(2, "{}", 2), "its partitions are led elsewhere already");
        assert!(!note(3, "{}", 2));
    }
}

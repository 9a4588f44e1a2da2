//! A client that knows no broker any more.
//!
//! When every broker stands still at once and comes back, a broker may answer the question for topics with no broker at all: it has
//! not registered again yet. librdkafka 2.12 then forgets all brokers, with the addresses that it was given, and never connects
//! again, whatever its setting for recovery. Only a new client helps. What a client knows its statistics say.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Statistics,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::{KafkaError as Cause, KafkaResult},
};

use crate::{client_log, denial::Denial};

/// How often clients say what they know, in milliseconds; the setting's name is [`STATISTICS`].
pub(crate) const INTERVAL: &str = "1000";
pub(crate) const STATISTICS: &str = "statistics.interval.ms";

/// How many events that are no records are taken at once from a client that nobody reads with.
const EVENTS: usize = 256;

/// Whether a client is forsaken: nothing but a new one goes on.
#[derive(Debug, Default)]
pub(crate) struct Forsaken(AtomicBool);

impl Forsaken {
    /// Takes note of where each broker of a client's statistics comes from. Of those that it is of no use to speak to (the group's
    /// coordinator, which is one of the others by another name, and the client itself) there are always some.
    pub(crate) fn note<'a>(&self, mut sources: impl Iterator<Item = &'a str>) {
        if !sources.any(|source| matches!(source, "configured" | "learned")) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_statistics(&self, statistics: &Statistics) {
        self.note(statistics.brokers.values().map(|broker| broker.source.as_str()));
    }

    /// For good.
    pub(crate) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The end of a client waits for its threads, and for its group: on a thread of its own, where there is one.
pub(crate) fn close_aside<T: Send + 'static>(client: T) {
    drop(std::thread::Builder::new().name("chat-kafka-close".to_owned()).spawn(move || drop(client)));
}

/// A consumer by which the cluster is asked, and which reads nothing. It is made anew when it is forsaken.
pub(crate) struct Asker {
    config: ClientConfig,
    current: Mutex<Arc<BaseConsumer<Watched>>>,
}

impl Asker {
    pub(crate) fn new(mut config: ClientConfig) -> KafkaResult<Self> {
        config.set(STATISTICS, INTERVAL);
        let current = Mutex::new(open(&config)?);
        Ok(Self { config, current })
    }

    /// The client of now.
    pub(crate) fn client(&self) -> KafkaResult<Arc<BaseConsumer<Watched>>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        hear(&current);
        if current.context().forsaken.is() {
            tracing::info!("a client that knows no broker any more is made anew");
            close_aside(std::mem::replace(&mut *current, open(&self.config)?));
        }
        Ok(Arc::clone(&current))
    }
}

fn open(config: &ClientConfig) -> KafkaResult<Arc<BaseConsumer<Watched>>> {
    config.create_with_context(Watched::default()).map(Arc::new)
}

/// Takes what a client has to say that nobody reads with: it says it to whoever reads. That there is nothing more is not told apart from
/// what is dealt with on the way.
pub(crate) fn hear<C: ConsumerContext>(client: &BaseConsumer<C>) {
    for _ in 0..EVENTS {
        drop(client.poll(Duration::ZERO));
    }
}

#[derive(Debug, Default)]
pub(crate) struct Watched {
    forsaken: Forsaken,
    pub(crate) denial: Denial,
}

impl ClientContext for Watched {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::pass_on(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.forsaken.note_statistics(&statistics);
    }

    fn error(&self, error: Cause, reason: &str) {
        self.denial.note(&error, reason);
        tracing::debug!(%error, reason, "librdkafka tells of an error");
    }
}

impl ConsumerContext for Watched {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_forsaken_when_it_has_neither_an_address_nor_met_a_broker() {
        for (sources, is) in [
            (&["internal", "logical", "configured"][..], false),
            (&["learned", "internal"], false),
            (&["internal", "logical"], true),
        ] {
            let forsaken = Forsaken::default();
            forsaken.note(sources.iter().copied());
            assert_eq!(forsaken.is(), is, "{sources:?}");
        }
    }

    /// What it rests on: the names that librdkafka gives, as soon as it gives any.
    #[test]
    fn a_client_that_cannot_connect_is_not_forsaken() {
        let config = crate::KafkaConfig::new("127.0.0.1:1").with_property("statistics.interval.ms", "50");
        let client = open(config.client().set("group.id", "g")).unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            hear(&client);
            assert!(!client.context().forsaken.is());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

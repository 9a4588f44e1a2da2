//! A client that knows no broker any more.
//!
//! When every broker stands still at once and comes back, a broker may answer the question for topics with no broker at all: it has
//! not registered again yet. librdkafka 2.12 then forgets all brokers, with the addresses that it was given, and never connects
//! again, whatever its setting for recovery. Only a new client helps. What a client knows its statistics say: a broker that it has
//! forgotten may be among them for as long as a partition is to be given back there, but it does not connect to that one any more.

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
use serde::Deserialize;

use crate::{client_log, denial::Denial};

/// How often clients say what they know, in milliseconds; the setting's name is [`STATISTICS`].
pub(crate) const INTERVAL: &str = "1000";
pub(crate) const STATISTICS: &str = "statistics.interval.ms";

/// For so long a client that has something to do leaves no broker alone that it knows. It asks any of them every half a second for
/// what it lacks, and rests (by its default) 10 s at most after it failed to connect, in another state.
const ALONE: Duration = Duration::from_secs(5);

/// How many events that are no records are taken at once from a client that nobody reads with.
const EVENTS: usize = 256;

/// What a client says of a broker.
#[derive(Debug, Deserialize)]
pub(crate) struct Broker {
    #[serde(default)]
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) state: String,
    /// For how long it has been in this state, in microseconds.
    #[serde(default)]
    pub(crate) stateage: i64,
}

impl Broker {
    /// Of the group's coordinator, which is one of the others by another name, and of the client itself there is always one.
    fn is_one(&self) -> bool {
        matches!(self.source.as_str(), "configured" | "learned")
    }

    fn is_up(&self) -> bool {
        self.state == "UP"
    }

    /// It does not connect, nor does it wait until it may.
    fn is_alone(&self) -> bool {
        self.state == "INIT" && u128::try_from(self.stateage).unwrap_or_default() >= ALONE.as_micros()
    }
}

/// Whether a client is forsaken: nothing but a new one goes on.
#[derive(Debug, Default)]
pub(crate) struct Forsaken {
    is: AtomicBool,
    /// It seemed so by the statistics before these.
    seems: AtomicBool,
}

impl Forsaken {
    /// Takes note of what a client's statistics say of each broker, and whether it `needs` one.
    pub(crate) fn note<'a>(&self, brokers: impl Iterator<Item = &'a Broker>, needs: bool) {
        let (mut knows, mut up, mut alone) = (false, false, true);
        for broker in brokers {
            up |= broker.is_up();
            if broker.is_one() {
                knows = true;
                alone &= broker.is_alone();
            }
        }
        let seems = needs && !up && alone;
        // What it needs may have come in this instant.
        let seemed = self.seems.swap(seems, Ordering::Relaxed);
        if !knows || seems && seemed {
            self.is.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_statistics(&self, statistics: &Statistics, needs: bool) {
        let brokers: Vec<_> = statistics.brokers.values().map(Broker::from).collect();
        self.note(brokers.iter(), needs);
    }

    /// For good.
    pub(crate) fn is(&self) -> bool {
        self.is.load(Ordering::Relaxed)
    }
}

impl From<&rdkafka::statistics::Broker> for Broker {
    fn from(broker: &rdkafka::statistics::Broker) -> Self {
        let (source, state) = (broker.source.clone(), broker.state.clone());
        Self { source, state, stateage: broker.stateage }
    }
}

/// The end of a client waits for its threads, and for its group: on a thread of its own, where there is one. One that is forsaken in
/// the middle of a rebalance may wait as long as the process lives: that is what each time costs at which all brokers stood still.
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
        // Whoever asks does so again and again.
        self.forsaken.note_statistics(&statistics, true);
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

    /// One with this source, in this state for so many seconds.
    fn broker((source, state, seconds): (&str, &str, i64)) -> Broker {
        Broker { source: source.to_owned(), state: state.to_owned(), stateage: seconds * 1_000_000 }
    }

    /// Whether it is forsaken after it said this of its brokers so often.
    fn is(brokers: &[(&str, &str, i64)], needs: bool, times: usize) -> bool {
        let forsaken = Forsaken::default();
        let brokers: Vec<_> = brokers.iter().copied().map(broker).collect();
        (0..times).for_each(|_| forsaken.note(brokers.iter(), needs));
        forsaken.is()
    }

    #[test]
    fn it_is_forsaken_when_it_has_neither_an_address_nor_met_a_broker() {
        let internal = ("internal", "INIT", 90);
        for (of, expected) in [
            (&[internal, ("logical", "UP", 1), ("configured", "UP", 1)][..], false),
            (&[internal, ("learned", "DOWN", 1)], false),
            (&[internal, ("logical", "TRY_CONNECT", 1)], true),
        ] {
            assert_eq!(is(of, true, 1), expected, "{of:?}");
            assert_eq!(is(of, false, 1), expected, "{of:?}");
        }
    }

    #[test]
    fn it_is_forsaken_when_it_needs_a_broker_and_connects_to_none() {
        let (coordinator, left) = (("logical", "TRY_CONNECT", 39), ("learned", "INIT", 39));
        assert!(is(&[left, coordinator], true, 2));
        assert!(!is(&[left, coordinator], true, 1), "it may just have begun to need one");
        assert!(!is(&[left, coordinator], false, 9), "it has nothing to do");
        for other in [
            ("learned", "UP", 1),
            ("logical", "UP", 1),
            ("configured", "TRY_CONNECT", 9),
            ("configured", "CONNECT", 60),
            ("learned", "INIT", 4),
        ] {
            assert!(!is(&[left, coordinator, other], true, 9), "{other:?}");
        }
    }

    #[test]
    fn what_it_seemed_to_be_before_it_connected_does_not_count() {
        let (left, up) = (broker(("learned", "INIT", 9)), broker(("learned", "UP", 0)));
        let forsaken = Forsaken::default();
        for broker in [&left, &up, &left, &up] {
            forsaken.note([broker].into_iter(), true);
        }
        assert!(!forsaken.is());
    }

    /// Notes what it is told, as [`Watched`] does.
    #[derive(Default)]
    struct Spy {
        forsaken: Forsaken,
        /// Of the broker that it was given: its state, and for how long it has been in it.
        told: Mutex<Vec<(String, i64)>>,
    }

    impl ClientContext for Spy {
        fn stats(&self, statistics: Statistics) {
            self.forsaken.note_statistics(&statistics, true);
            let known = statistics.brokers.into_values().filter(|broker| broker.source == "configured");
            self.told.lock().unwrap().extend(known.map(|broker| (broker.state, broker.stateage)));
        }
    }

    impl ConsumerContext for Spy {}

    /// What it rests on: the names that librdkafka gives, as soon as it gives any, and that who needs a broker tries to connect.
    #[test]
    fn a_client_that_cannot_connect_is_not_forsaken() {
        let config = crate::KafkaConfig::new("127.0.0.1:1").with_property("statistics.interval.ms", "50");
        let (asks, joins) = (config.client(), config.client());
        let [asks, joins]: [BaseConsumer<Spy>; 2] = [asks, joins]
            .map(|mut config| config.set("group.id", "g").create_with_context(Spy::default()).unwrap());
        joins.subscribe(&["t"]).unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed() < ALONE + Duration::from_secs(3) {
            assert!(asks.fetch_metadata(Some("t"), Duration::from_millis(50)).is_err());
            for client in [&asks, &joins] {
                hear(client);
                assert!(!client.context().forsaken.is());
            }
        }
        for client in [&asks, &joins] {
            let told = client.context().told.lock().unwrap().clone();
            let expected = ["INIT", "TRY_CONNECT", "CONNECT", "DOWN"];
            assert!(
                told.len() > 20 && told.iter().all(|(state, _)| expected.contains(&&**state)),
                "{told:?}"
            );
            // It is seldom seen in another state than the first one, but was: that one began anew.
            let begins_anew = told.windows(2).filter(|two| two[1].1 < two[0].1).count();
            assert!(begins_anew > 2, "{told:?}");
        }
    }
}

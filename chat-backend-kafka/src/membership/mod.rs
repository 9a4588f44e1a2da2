//! Members by events: another service says who belongs where.

mod config;
mod event;
mod group;
mod partition;
mod progress;
mod work;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chat_core::{Backend, Error, Result};
use rdkafka::ClientConfig;
use tokio::{runtime::Handle, sync::watch, time::timeout};

pub use self::{
    config::MembershipConfig,
    event::{MembershipDecoder, MembershipEvent, MembershipRecord, Memberships},
};
use self::{group::Group, work::Work};
use crate::{
    ConnectError, KafkaConfig, KafkaError, KafkaErrorKind, TopicSpec,
    producer::{Producer, ProducerSettings},
    verify_topics,
};

/// An error of reading counts for so long.
const FAILURE_LASTS: Duration = Duration::from_secs(30);

/// Reads a topic of membership events as a member of a consumer group, and applies each.
///
/// - **Nothing is lost**: an event is committed when it was applied or is in the topic of dead letters; after a crash those that were
///   not come again.
/// - **Repeats change nothing**, where events have versions: see [`MembershipEvent::change`].
/// - **Order**: the events of one membership are applied one after the other, as they stand in their partition. One that waits for
///   another attempt holds up those behind it of the same membership, and no others.
/// - **A failing event** is tried again after 1 s, 2 s and 4 s ([`MembershipConfig::with_retries`]). Then it goes to the dead letters, as one
///   does at once that the decoder cannot read, with its key, value and headers as they were, and the headers `reason`,
///   `original-topic`, `original-partition` and `original-offset`. A letter may be there twice. While letters cannot be written, nothing is
///   passed over: the partition waits.
/// - **Bounds**: [`MembershipConfig::with_max_waiting`] events of a partition are under way; a partition that has more is paused, and the
///   others are read on.
/// - **Rebalancing** is cooperative: partitions that stay are read on. Before one goes, attempts that are under way end, and what is
///   done is committed.
///
/// Dropping it stops it without anybody waiting for that.
pub struct MembershipConsumer {
    shared: Arc<Shared>,
    work: Arc<Work>,
    topic: String,
}

/// What the thread and the consumer have in common.
struct Shared {
    state: watch::Sender<State>,
    /// The last one, and when.
    failure: Mutex<Option<(KafkaError, Instant)>>,
    /// Why nothing is read any more, though nobody ended it.
    death: OnceLock<KafkaError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Running,
    Stopping,
    Ended,
}

impl MembershipConsumer {
    /// Begins to read, from where the group has committed, and from the beginning where it has not. The topic and that of the dead
    /// letters must be there.
    ///
    /// # Errors
    /// A setting out of its bounds; brokers that are out of reach, or refuse; a topic that is missing.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the call leaves nothing behind.
    pub async fn start(
        config: &KafkaConfig,
        membership: MembershipConfig,
        memberships: impl Memberships,
        decoder: impl MembershipDecoder,
    ) -> std::result::Result<Self, ConnectError> {
        membership.check()?;
        let topics = [membership.topic.clone(), membership.dead_letters()];
        verify_topics(config, &topics.map(|name| TopicSpec::new(name, 1))).await?;
        let producer = Producer::start(config, ProducerSettings::default())?;
        let work = Arc::new(Work::new(&membership, Arc::new(memberships), Box::new(decoder), producer));
        let state = watch::Sender::new(State::Running);
        let shared = Arc::new(Shared { state, failure: Mutex::default(), death: OnceLock::new() });
        let read = Arc::clone(&shared);
        let group = Group {
            client: client(config, &membership),
            topic: membership.topic.clone(),
            work: Arc::clone(&work),
            max_waiting: membership.max_waiting,
            runtime: Handle::current(),
            shared: Arc::clone(&shared),
        };
        let thread = thread::Builder::new()
            .name("chat-kafka-members".to_owned())
            .spawn(move || read.while_it_runs(|| group.run()));
        thread.map_err(|error| KafkaError::new(KafkaErrorKind::Other, error))?;
        Ok(Self { shared, work, topic: membership.topic })
    }

    /// Ends: attempts that are under way are finished, what is done is committed, and the group is left, so that others take over
    /// at once.
    ///
    /// # Errors
    /// [`Error::Timeout`] when that takes longer than `patience`; it goes on all the same.
    ///
    /// # Cancel safety
    /// With a call that is dropped it ends all the same.
    pub async fn shutdown(&self, patience: Duration) -> Result<()> {
        self.shared.stop();
        let mut state = self.shared.state.subscribe();
        let ended = state.wait_for(|state| *state == State::Ended);
        match timeout(patience, ended).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Timeout { operation: "shutdown" }),
        }
    }
}

impl Drop for MembershipConsumer {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl fmt::Debug for MembershipConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = *self.shared.state.borrow();
        f.debug_struct("MembershipConsumer")
            .field("topic", &self.topic)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for MembershipConsumer {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        if let Some(failure) = self.shared.failure() {
            return Err(failure.during("read membership events"));
        }
        self.work.producer().health(&self.topic).await
    }
}

impl Shared {
    fn stop(&self) {
        self.state.send_if_modified(|state| {
            let runs = *state == State::Running;
            *state = (*state).max(State::Stopping);
            runs
        });
    }

    /// Does the thread's work, and says so when that is over, a panic included.
    fn while_it_runs(&self, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("the thread that reads events of membership panicked; nothing is read any more");
            let _ = self.death.set(KafkaError::new(KafkaErrorKind::Fatal, "the thread that reads panicked"));
        }
        self.state.send_replace(State::Ended);
    }

    fn is_stopping(&self) -> bool {
        *self.state.borrow() != State::Running
    }

    fn failed(&self, error: KafkaError) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some((error, Instant::now()));
    }

    /// What stands in the way, as far as that is known: what lasts is told again.
    fn failure(&self) -> Option<KafkaError> {
        if let Some(death) = self.death.get() {
            return Some(death.clone());
        }
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.as_ref().filter(|(_, at)| at.elapsed() < FAILURE_LASTS).map(|(error, _)| error.clone())
    }

    /// Waits on a thread, no longer than until it is to stop.
    fn pause(&self, time: Duration) {
        const STEP: Duration = Duration::from_millis(50);
        let mut left = time;
        while !left.is_zero() && !self.is_stopping() {
            thread::sleep(STEP.min(left));
            left = left.saturating_sub(STEP);
        }
    }
}

fn client(config: &KafkaConfig, membership: &MembershipConfig) -> ClientConfig {
    let mut client = config.client();
    client
        .set("group.id", &membership.group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        .set("statistics.interval.ms", "5000");
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_is_told_for_good() {
        let state = watch::Sender::new(State::Running);
        let shared = Shared { state, failure: Mutex::default(), death: OnceLock::new() };
        shared.while_it_runs(|| panic!("a bug"));
        assert_eq!(*shared.state.borrow(), State::Ended, "nobody waits for it");
        assert_eq!(shared.failure().unwrap().kind(), KafkaErrorKind::Fatal);
    }
}

//! The thread that reads. It stays in the group whatever the store does, and blocks nobody else where librdkafka blocks.

use std::{
    ops::ControlFlow,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{self, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    error::KafkaResult,
    message::BorrowedMessage,
};
use tokio::{
    runtime,
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    Item, Shared, Step,
    arrival::{Then, take},
    context::{Context, commit},
    shared::Stop,
};
use crate::{
    KafkaConfig, KafkaError, KafkaErrorKind,
    forsaken::{self, close_aside},
};

/// For so long a lane may have enough before its partitions are paused. Not to ask for a moment costs nothing; pausing throws away
/// what was fetched.
const SLOW: Duration = Duration::from_millis(500);
/// How long it rests before a client that failed for good is made anew.
const REST: Duration = Duration::from_secs(1);
/// How long it sleeps where nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// Ends the thread where a settled share of the work ends.
enum End {
    /// Whether everything that was begun is done.
    Stopped(bool),
    Failed(KafkaError),
}

/// Says that the worker has ended when its thread does, however it does.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!("a worker's thread panicked, and the worker ends");
        }
        self.0.lose_all();
        self.0.ended();
    }
}

/// Starts the thread. It answers when it has left the group, and whether everything that was begun is done.
pub(super) fn start(
    shared: Arc<Shared>,
    client: ClientConfig,
    lanes: Vec<mpsc::Sender<Vec<Item>>>,
) -> Result<oneshot::Receiver<bool>, KafkaError> {
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    let other = |error| KafkaError::new(KafkaErrorKind::Other, error);
    let runtime = runtime.map_err(other)?;
    let (left, done) = oneshot::channel();
    let run = move || {
        let ending = Ending(shared);
        let finished = runtime.block_on(run(&ending.0, &client, lanes));
        drop(ending);
        // Nobody may wait for it.
        let _ = left.send(finished);
    };
    thread::Builder::new().name("chat-kafka-worker".to_owned()).spawn(run).map_err(other)?;
    Ok(done)
}

/// What the workers' consumers are like.
pub(super) fn client(config: &KafkaConfig, worker: &super::WorkerConfig) -> ClientConfig {
    let mut client = config.client();
    for (name, value) in [("fetch.queue.backoff.ms", "50"), ("queued.max.messages.kbytes", "16384")] {
        if client.get(name).is_none() {
            client.set(name, value);
        }
    }
    client
        .set("group.id", &worker.group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // What was accepted before there was a worker is stored, too.
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false")
        .set("session.timeout.ms", worker.session_timeout.as_millis().to_string())
        .set("heartbeat.interval.ms", (worker.session_timeout / 5).as_millis().max(100).to_string())
        .set("topic.metadata.refresh.interval.ms", worker.refresh.as_millis().to_string())
        .set(forsaken::STATISTICS, forsaken::INTERVAL);
    client
}

async fn run(shared: &Arc<Shared>, client: &ClientConfig, lanes: Vec<mpsc::Sender<Vec<Item>>>) -> bool {
    let mut stop = shared.stop.subscribe();
    loop {
        let context = Context::new(Arc::clone(shared));
        let end = match client.create_with_context::<_, StreamConsumer<Context>>(context) {
            Ok(consumer) => Consuming::new(shared, consumer, &lanes).run().await,
            Err(error) => End::Failed(error.into()),
        };
        let error = match end {
            End::Stopped(finished) => return finished,
            End::Failed(error) => error,
        };
        tracing::warn!(error = ?error, "a worker's consumer failed for good and is made anew");
        shared.consumer_trouble(Some(error));
        tokio::select! {
            () = sleep(REST) => {}
            _ = stop.wait_for(|stop| *stop != Stop::No) => return true,
        }
    }
}

/// Whether somebody wants to be asked again.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

struct Consuming<'s> {
    shared: &'s Arc<Shared>,
    consumer: StreamConsumer<Context>,
    lanes: &'s [mpsc::Sender<Vec<Item>>],
    stop: watch::Receiver<Stop>,
    /// Since when some lane has enough.
    full_since: Option<Instant>,
    commit_at: Instant,
}

/// To begin elsewhere takes no more than the client's own thread.
const SEEK: Duration = Duration::from_secs(5);

impl<'s> Consuming<'s> {
    fn new(
        shared: &'s Arc<Shared>,
        consumer: StreamConsumer<Context>,
        lanes: &'s [mpsc::Sender<Vec<Item>>],
    ) -> Self {
        Self {
            shared,
            consumer,
            lanes,
            stop: shared.stop.subscribe(),
            full_since: None,
            commit_at: Instant::now(),
        }
    }

    async fn run(mut self) -> End {
        let end = self.consume().await;
        if let End::Failed(_) = end {
            // Others may have the partitions already, and from now on the next consumer's are what counts.
            self.consumer.context().retire();
            self.shared.lose_all();
            close_aside(self.consumer);
        }
        end
    }

    async fn consume(&mut self) -> End {
        if let Err(error) = self.consumer.subscribe(&[&self.shared.topics.messages]) {
            return End::Failed(error.into());
        }
        loop {
            let stop = *self.stop.borrow_and_update();
            match stop {
                Stop::No => {}
                Stop::Finish(end) => return End::Stopped(self.finish(end).await),
                Stop::Abort => return End::Stopped(false),
            }
            if self.dispatch().is_break() {
                return End::Stopped(false);
            }
            if self.consumer.context().forsaken.is() {
                return End::Failed(KafkaError::new(
                    KafkaErrorKind::Connection,
                    "the consumer knows no broker",
                ));
            }
            if let Err(error) = self.look_for_lost() {
                return End::Failed(error);
            }
            self.commit_if_due().await;
            let may_read = self.hold_up();
            let wake_at = self.wake_at();
            let shared = Arc::clone(self.shared);
            let drained = tokio::select! {
                biased;
                _ = self.stop.changed() => Ok(false),
                message = self.consumer.recv(), if may_read => {
                    let taken = take(self.shared, message).and_then(|then| self.then(then));
                    taken.and_then(|()| self.drain())
                }
                () = shared.changed.notified() => self.drain_if(may_read),
                () = sleep_until(wake_at) => self.drain_if(may_read),
            };
            match drained {
                Ok(true) => self.shared.ledger().drained(),
                Ok(false) => {}
                Err(error) => return End::Failed(error),
            }
        }
    }

    fn drain_if(&mut self, may_read: bool) -> Result<bool, KafkaError> {
        if may_read { self.drain() } else { Ok(false) }
    }

    /// Takes what is there already, up to a batch. Answers whether that was all.
    fn drain(&mut self) -> Result<bool, KafkaError> {
        for _ in 1..self.shared.config.max_batch {
            if self.shared.ledger().is_full() {
                return Ok(false);
            }
            let Some(message) = self.fetched() else { return Ok(true) };
            let then = take(self.shared, message)?;
            self.then(then)?;
        }
        Ok(false)
    }

    /// The next of what is there already. The client also says that it has nothing when it has dealt with something else, such as
    /// statistics: then it wants to be asked again at once.
    fn fetched(&self) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            match pin!(self.consumer.recv()).poll(&mut task::Context::from_waker(&waker)) {
                Poll::Ready(message) => return Some(message),
                Poll::Pending if woken.0.swap(false, Ordering::AcqRel) => {}
                Poll::Pending => return None,
            }
        }
    }

    fn then(&self, then: Then) -> Result<(), KafkaError> {
        match then {
            Then::GoOn => Ok(()),
            Then::Seek(partition, offset) => self.seek(partition, offset),
        }
    }

    /// What is there and has not come for long is read anew, whyever it was passed over.
    fn look_for_lost(&self) -> Result<(), KafkaError> {
        let seeks = self.shared.ledger().take_seeks();
        seeks.into_iter().try_for_each(|(partition, offset)| {
            tracing::warn!(
                partition,
                offset,
                "nothing comes of a partition that has more, and it is read anew"
            );
            self.seek(partition, offset)
        })
    }

    /// From when this returns nothing comes of the partition but what follows.
    fn seek(&self, partition: i32, offset: i64) -> Result<(), KafkaError> {
        Ok(self.consumer.seek(&self.shared.topics.messages, partition, Offset::Offset(offset), SEEK)?)
    }

    /// Gives each lane that can begin one its next batch.
    fn dispatch(&self) -> ControlFlow<()> {
        for (number, lane) in self.lanes.iter().enumerate() {
            let batch = self.shared.ledger().next_batch(number);
            // A lane that can begin has room. One that is gone ends the worker.
            if batch.is_some_and(|batch| lane.try_send(batch).is_err()) {
                tracing::error!("a worker's lane is gone, and the worker ends");
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    async fn commit_if_due(&mut self) {
        if Instant::now() < self.commit_at {
            return;
        }
        self.commit_at = Instant::now() + self.shared.config.commit_interval;
        if commit(self.shared, &self.consumer, CommitMode::Async, |_| true) {
            tokio::select! {
                () = self.shared.reached(Step::Committed) => {}
                _ = self.stop.wait_for(|stop| *stop == Stop::Abort) => {}
            }
        }
    }

    /// Pauses the partitions whose lane is held up and resumes those whose lane goes on. Answers whether it can be read now: a
    /// worker whose store is away reads on, to stay in its group.
    fn hold_up(&mut self) -> bool {
        let mut ledger = self.shared.ledger();
        let full = ledger.is_full();
        let since = full.then(|| *self.full_since.get_or_insert_with(Instant::now));
        self.full_since = since;
        let slow = since.is_some_and(|since| since.elapsed() >= SLOW);
        let (to_pause, to_resume) = ledger.turn(slow);
        drop(ledger);
        if !to_pause.is_empty() {
            tracing::debug!(partitions = ?to_pause, "the store is behind, and partitions are paused");
        }
        for (partitions, paused) in [
            (&to_pause, self.consumer.pause(&self.list(&to_pause))),
            (&to_resume, self.consumer.resume(&self.list(&to_resume))),
        ] {
            if let Err(error) = paused {
                tracing::debug!(%error, "partitions are not paused or resumed");
                self.shared.ledger().not_turned(partitions);
            }
        }
        !full || slow
    }

    fn list(&self, partitions: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.shared.topics.messages, *partition);
        }
        list
    }

    fn wake_at(&self) -> Instant {
        let slow_at = self.full_since.map(|since| since + SLOW).filter(|at| *at > Instant::now());
        let idle_at = Instant::now() + IDLE;
        let commit_at = self.shared.ledger().is_dirty().then_some(self.commit_at);
        [slow_at, commit_at].into_iter().flatten().fold(idle_at, Instant::min)
    }

    /// Finishes what was begun, commits it, and leaves the group.
    async fn finish(&self, end: Instant) -> bool {
        let partitions: Vec<_> = self.shared.ledger().partitions().collect();
        {
            let mut ledger = self.shared.ledger();
            partitions.iter().for_each(|partition| ledger.forget(*partition));
        }
        let mut stop = self.stop.clone();
        let idle = async {
            while !self.shared.ledger().is_idle(|_| true) {
                self.shared.changed.notified().await;
            }
        };
        let finished = tokio::select! {
            finished = timeout_at(end, idle) => finished.is_ok(),
            // Whoever waited is gone.
            _ = stop.wait_for(|stop| *stop == Stop::Abort) => false,
        };
        if !finished {
            tracing::warn!("what was begun is left to other workers");
        }
        if !self.shared.is_aborted() {
            commit(self.shared, &self.consumer, CommitMode::Sync, |_| true);
        }
        let mut ledger = self.shared.ledger();
        partitions.iter().for_each(|partition| ledger.end(*partition));
        drop(ledger);
        self.shared.lose();
        finished
    }
}

#[cfg(test)]
mod tests;

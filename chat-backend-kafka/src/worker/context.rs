//! What the consumer says of itself, on its own thread: which partitions come and go, and what is committed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::{
    ClientContext, Offset, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
    error::KafkaError as Cause,
};

use super::{Shared, metrics};
use crate::{client_log, forsaken::Forsaken};

/// Hears about partitions.
pub(super) struct Context {
    pub(super) forsaken: Forsaken,
    shared: Arc<Shared>,
    /// Another consumer has taken its place: it changes nothing any more.
    retired: AtomicBool,
}

impl Context {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { forsaken: Forsaken::default(), shared, retired: AtomicBool::new(false) }
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::pass_on(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        // It is in a group, or wants to be.
        self.forsaken.note_statistics(&statistics, true);
        if self.is_retired() {
            return;
        }
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.shared.consumer_connected();
        }
        // Of a commit that is not waited for nothing else tells whether it was done.
        if let Some(topic) = statistics.topics.get(&self.shared.topics.messages) {
            let mut ledger = self.shared.ledger();
            for (partition, of) in &topic.partitions {
                if of.committed_offset >= 0 {
                    ledger.committed(*partition, of.committed_offset);
                }
            }
        }
    }

    fn error(&self, error: Cause, reason: &str) {
        tracing::debug!(%error, reason, "a worker's connection failed");
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            _ if self.is_retired() => {}
            Rebalance::Assign(list) => {
                let mut ledger = self.shared.ledger();
                partitions(list).into_iter().for_each(|partition| ledger.begin(partition));
            }
            Rebalance::Revoke(list) => self.give_away(consumer, &partitions(list)),
            Rebalance::Error(error) => tracing::warn!(%error, "the workers' partitions are not shared out"),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if self.is_retired() {
            return;
        }
        let ledger = self.shared.ledger();
        let (held, blocked) = (ledger.partitions().count(), ledger.blocked().count());
        drop(ledger);
        metrics::partitions(held);
        metrics::blocked(blocked);
        match rebalance {
            Rebalance::Assign(list) => {
                // Each is held at first; the consumer resumes it.
                if let Err(error) = consumer.pause(list) {
                    tracing::debug!(%error, "new partitions are not paused");
                }
                self.shared.assigned.notify_one();
                tracing::info!(came = list.count(), held, "partitions came");
            }
            Rebalance::Revoke(list) => tracing::info!(went = list.count(), held, "partitions went"),
            Rebalance::Error(_) => {}
        }
    }
}

impl Context {
    /// Finishes what was begun of these partitions, and commits it, before another worker begins with what follows. What takes too
    /// long is left to it: it finds what is stored, and tells it again.
    fn give_away(&self, consumer: &BaseConsumer<Self>, gone: &BTreeSet<i32>) {
        let is_gone = |partition: i32| gone.contains(&partition);
        {
            let mut ledger = self.shared.ledger();
            gone.iter().for_each(|partition| ledger.forget(*partition));
        }
        // Another worker may have them already.
        if !consumer.assignment_lost() && !self.shared.is_aborted() {
            self.shared.wait_idle(self.shared.config.handover, is_gone);
            commit(&self.shared, consumer, CommitMode::Sync, is_gone);
        }
        let mut ledger = self.shared.ledger();
        gone.iter().for_each(|partition| ledger.end(*partition));
        let is_idle = ledger.is_idle(is_gone);
        drop(ledger);
        if !is_idle {
            self.shared.lose();
        }
    }
}

/// Commits how far these partitions are done. Answers whether there was anything to commit.
pub(super) fn commit(
    shared: &Shared,
    consumer: &impl Consumer<Context>,
    mode: CommitMode,
    of: impl Fn(i32) -> bool,
) -> bool {
    let is_sure = matches!(mode, CommitMode::Sync);
    let done = shared.ledger().uncommitted(is_sure, of);
    if done.is_empty() {
        return false;
    }
    let mut offsets = TopicPartitionList::with_capacity(done.len());
    let mut failed = None;
    for (partition, offset) in &done {
        let added =
            offsets.add_partition_offset(&shared.topics.messages, *partition, Offset::Offset(*offset));
        failed = added.err().or(failed);
    }
    let failed = consumer.commit(&offsets, mode).err().or(failed);
    let mut ledger = shared.ledger();
    match failed {
        Some(error) => {
            tracing::debug!(%error, "it is not committed what is done");
            done.iter().for_each(|(partition, _)| ledger.not_committed(*partition));
        }
        None if is_sure => done.iter().for_each(|(partition, offset)| ledger.committed(*partition, *offset)),
        // The statistics will say so, or it is done again.
        None => {}
    }
    true
}

fn partitions(list: &TopicPartitionList) -> BTreeSet<i32> {
    list.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition).collect()
}

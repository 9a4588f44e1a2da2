//! From a batch to what the log made of each draft: tried until it is known.

use std::{panic::AssertUnwindSafe, sync::Arc, sync::atomic::Ordering, time::Duration};

use chat_core::{AppendOutcome, Draft, Error, Refusal, Result, Retry};
use futures::FutureExt as _;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{Item, Shared, pauses::Pauses};
use crate::worker::metrics;

/// What is told to wait that a log is too busy for.
const BUSY_RETRY: Duration = Duration::from_millis(200);

/// What became of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// The log's answer.
    Outcome(AppendOutcome),
    /// The log fails whenever it is to store it, and stores others.
    Poison(String),
}

/// Stores one batch of a lane.
pub(super) struct Store<'a> {
    shared: &'a Shared,
    lane: usize,
    items: &'a [Item],
    settled: Vec<Option<Settled>>,
    /// What is to be stored, by places in the batch; the last one first.
    chunks: Vec<Vec<usize>>,
    /// How often the first draft of the next chunk was tried alone, and failed for good.
    alone: u32,
    pauses: Pauses,
    losses: watch::Receiver<u64>,
}

/// What became of the batch, item by item. `None` for what is no draft, and for what went to another worker before it was
/// settled: that one begins with it again.
///
/// It goes on until every draft is settled. A failure that may pass is waited for. One that will not pass halves the batch until the draft that is at
/// fault is alone. The drafts stay in their order.
pub(super) async fn store(shared: &Arc<Shared>, lane: usize, items: &[Item]) -> Vec<Option<Settled>> {
    let drafts = (0..items.len()).filter(|index| items[*index].draft().is_some()).collect();
    let mut store = Store {
        shared,
        lane,
        items,
        settled: items.iter().map(|_| None).collect(),
        chunks: vec![drafts],
        alone: 0,
        pauses: Pauses::new(shared.config.first_pause, shared.config.longest_pause),
        losses: shared.losses.subscribe(),
    };
    while let Some(chunk) = store.chunks.pop() {
        store.step(chunk).await;
    }
    store.settled
}

impl Store<'_> {
    async fn step(&mut self, mut chunk: Vec<usize>) {
        self.losses.borrow_and_update();
        {
            let ledger = self.shared.ledger();
            chunk.retain(|index| ledger.has(self.items[*index].partition, self.items[*index].term));
        }
        if chunk.is_empty() {
            self.alone = 0;
            return;
        }
        let drafts: Vec<_> = chunk.iter().filter_map(|index| self.items[*index].draft().cloned()).collect();
        let appended = tokio::select! {
            biased;
            // Some of it may belong to another worker now.
            _ = self.losses.changed() => {
                self.chunks.push(chunk);
                return;
            }
            appended = append(self.shared, &drafts) => appended,
        };
        match appended {
            Ok(outcomes) => self.take(&chunk, outcomes).await,
            Err(error) if error.is_retryable() => self.wait(chunk, error).await,
            Err(_) if chunk.len() > 1 => {
                let rest = chunk.split_off(chunk.len() / 2);
                self.chunks.extend([rest, chunk]);
            }
            Err(error) => self.suspect(chunk, error).await,
        }
    }

    async fn take(&mut self, chunk: &[usize], outcomes: Vec<AppendOutcome>) {
        self.alone = 0;
        let mut busy = Vec::new();
        for (index, outcome) in chunk.iter().zip(outcomes) {
            match outcome {
                // It was accepted, so it waits here and not with its sender.
                AppendOutcome::Refused(Refusal::Busy) => busy.push(*index),
                outcome => self.settled[*index] = Some(Settled::Outcome(outcome)),
            }
        }
        if busy.len() < chunk.len() {
            self.shared.poison_in_a_row.store(0, Ordering::Relaxed);
            self.pauses.reset();
        }
        if busy.is_empty() {
            self.shared.store_trouble(self.lane, None);
        } else {
            self.wait(busy, Error::Busy { retry_after: BUSY_RETRY }).await;
        }
    }

    /// A draft that fails alone and for good. That it is the draft's fault is believed once it was tried several times while the
    /// store is well otherwise, and not of too many in a row.
    async fn suspect(&mut self, chunk: Vec<usize>, error: Error) {
        self.alone += 1;
        let tried = self.alone >= self.shared.config.poison_tries && self.shared.is_poisonous();
        if tried && is_well(self.shared).await {
            let reason = error.with_causes().to_string();
            tracing::error!(%reason, "the store fails at a message, which becomes a dead letter");
            self.shared.poison_in_a_row.fetch_add(1, Ordering::Relaxed);
            for index in chunk {
                self.settled[index] = Some(Settled::Poison(reason.clone()));
            }
            self.alone = 0;
            self.pauses.reset();
            self.shared.store_trouble(self.lane, None);
        } else {
            self.wait(chunk, error).await;
        }
    }

    /// Tries again after a pause, or as soon as some of it may belong to another worker.
    async fn wait(&mut self, chunk: Vec<usize>, error: Error) {
        let pause = self.pauses.next();
        let drafts = chunk.len();
        tracing::warn!(error = %error.with_causes(), drafts, ?pause, "a batch is not stored and is tried again");
        metrics::retried();
        self.shared.store_trouble(self.lane, Some(error));
        self.chunks.push(chunk);
        tokio::select! {
            biased;
            _ = self.losses.changed() => {}
            () = sleep(pause) => {}
        }
    }
}

/// Appends, within the time that is given for it.
async fn append(shared: &Shared, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
    let failed = |retry, reason: String| Error::backend(shared.log.name(), "append", retry, reason);
    // A panic in a backend must not take the lane with it. It is taken to be a draft's fault.
    let append = AssertUnwindSafe(shared.log.append(drafts)).catch_unwind();
    match timeout(shared.config.append_timeout, append).await {
        Err(_) => Err(Error::Timeout { operation: "append" }),
        Ok(Err(_)) => Err(failed(Retry::Never, "the backend panicked".to_owned())),
        Ok(Ok(Ok(outcomes))) if outcomes.len() != drafts.len() => {
            let reason = format!("{} outcomes for {} drafts", outcomes.len(), drafts.len());
            Err(failed(Retry::Never, reason))
        }
        Ok(Ok(result)) => result,
    }
}

async fn is_well(shared: &Shared) -> bool {
    matches!(timeout(shared.config.append_timeout, shared.log.health()).await, Ok(Ok(())))
}

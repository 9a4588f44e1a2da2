//! From a batch to what the log made of each draft: tried until it is known.

mod proof;
#[cfg(test)]
mod tests;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chat_core::{AppendOutcome, Draft, Error, Refusal, Result, Retry};
use futures::FutureExt as _;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

pub(super) use self::proof::Proofs;
use super::{Item, Shared, metrics, pauses::Pauses};

/// What is told to wait that a log is too busy for.
const BUSY_RETRY: Duration = Duration::from_millis(200);
/// A batch that was not answered in time this often is halved: it may be more than the store can do in that time.
const TIMEOUTS: u32 = 2;

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
    /// What the store had shown when that was last tried.
    seen: Option<u64>,
    /// Since then the store knew again what it had stored last.
    recalled: bool,
    /// How often the next chunk was not answered in time, one after the other.
    timeouts: u32,
    pauses: Pauses,
    losses: watch::Receiver<u64>,
}

/// What became of the batch, item by item. `None` for what is no draft, and for what went to another worker before it was
/// settled: that one begins with it again.
///
/// It goes on until every draft is settled. A failure that may pass is waited for. One that will not pass, and a batch that is repeatedly not answered in time, halves the
/// batch until the draft that is at fault is alone. The drafts of a room stay in their order.
pub(super) async fn store(shared: &Arc<Shared>, lane: usize, items: &[Item]) -> Vec<Option<Settled>> {
    let drafts = (0..items.len()).filter(|index| items[*index].draft().is_some()).collect();
    let mut store = Store {
        shared,
        lane,
        items,
        settled: items.iter().map(|_| None).collect(),
        chunks: vec![drafts],
        alone: 0,
        seen: None,
        recalled: false,
        timeouts: 0,
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
            self.goes_on();
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
        self.timeouts = if matches!(appended, Err(Error::Timeout { .. })) { self.timeouts + 1 } else { 0 };
        match appended {
            Ok(outcomes) => self.take(&chunk, outcomes).await,
            Err(error) if self.timeouts >= TIMEOUTS && chunk.len() > 1 => {
                self.timeouts = 0;
                let first = chunk.len() / 2;
                self.halve(chunk);
                self.pause(first, error).await;
            }
            Err(error) if error.is_retryable() => self.wait(chunk, error).await,
            Err(_) if chunk.len() > 1 => self.halve(chunk),
            Err(error) => self.suspect(chunk, error).await,
        }
    }

    fn halve(&mut self, mut chunk: Vec<usize>) {
        let rest = chunk.split_off(chunk.len() / 2);
        self.chunks.extend([rest, chunk]);
    }

    /// The next chunk is another one.
    const fn goes_on(&mut self) {
        self.alone = 0;
        self.seen = None;
        self.recalled = false;
        self.timeouts = 0;
    }

    async fn take(&mut self, chunk: &[usize], outcomes: Vec<AppendOutcome>) {
        self.goes_on();
        let mut busy = Vec::new();
        for (index, outcome) in chunk.iter().zip(outcomes) {
            // It was accepted, so it waits here and not with its sender.
            if outcome == AppendOutcome::Refused(Refusal::Busy) {
                busy.push(*index);
            } else {
                self.settle(*index, outcome);
            }
        }
        if busy.len() < chunk.len() {
            self.pauses.reset();
        }
        if busy.is_empty() {
            self.shared.store_trouble(self.lane, None);
        } else {
            self.wait(busy, Error::Busy { retry_after: BUSY_RETRY }).await;
        }
    }

    fn settle(&mut self, index: usize, outcome: AppendOutcome) {
        if let Some(draft) = self.items[index].draft() {
            self.shared.proofs.note(draft, &outcome);
        }
        self.settled[index] = Some(Settled::Outcome(outcome));
    }

    /// A draft that fails alone and for good. It may be the draft's fault, or the store's: a right that was lost, a table that is
    /// missing. It is the draft's only if the store took others between two of its failures; until then it is waited for.
    async fn suspect(&mut self, chunk: Vec<usize>, error: Error) {
        let error = Arc::new(error);
        self.alone += 1;
        let shown = self.shared.proofs.count();
        let stores = self.seen.is_some_and(|seen| shown > seen) && self.shared.is_poisonous();
        // That it knows again what it has is less: a store that cannot write may still do so. It is believed once.
        let recalls = self.recalled && self.shared.proofs.in_a_row() == 0 && self.shared.is_poisonous();
        if self.alone >= self.shared.config.poison_tries && (stores || recalls) {
            let reason = error.with_causes().to_string();
            tracing::error!(%reason, "the store fails at a message and takes others: it becomes a dead letter");
            self.shared.proofs.poisoned();
            for index in chunk {
                self.settled[index] = Some(Settled::Poison(reason.clone()));
            }
            self.goes_on();
            self.pauses.reset();
            self.shared.store_trouble(self.lane, None);
            return;
        }
        self.seen = Some(shown);
        self.recalled = false;
        // Others are read on, as far as there is room: one of them may show whose fault it is.
        let drafts = chunk.len();
        let suspect = chunk.first().and_then(|index| self.items[*index].draft());
        self.chunks.push(chunk);
        self.shared.suspicion(self.lane, Arc::clone(&error));
        if let Some(suspect) = suspect
            && self.alone + 1 >= self.shared.config.poison_tries
        {
            self.prove(suspect).await;
        }
        self.sleep(drafts, &error).await;
    }

    /// Tries the chunk again after a pause.
    async fn wait(&mut self, chunk: Vec<usize>, error: Error) {
        let drafts = chunk.len();
        self.chunks.push(chunk);
        self.pause(drafts, error).await;
    }

    async fn pause(&mut self, drafts: usize, error: Error) {
        let error = Arc::new(error);
        self.shared.store_trouble(self.lane, Some(Arc::clone(&error)));
        self.sleep(drafts, &error).await;
    }

    /// Until the next try, or until some of it may belong to another worker.
    async fn sleep(&mut self, drafts: usize, error: &Error) {
        let pause = self.pauses.next();
        tracing::warn!(error = %error.with_causes(), drafts, ?pause, "a batch is not stored and is tried again");
        metrics::retried();
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

//! Concurrent appends gather while a batch is under way, and go to the log together.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::warn;

use crate::{
    AppendOutcome, Draft, Error, Result, RoomId, StoredMessage,
    chat::{HookQueue, parts::Parts, publisher::Publisher},
    error::SharedError,
    hub::Hub,
    mutation::Mutation,
};

/// A draft that waits, and who waits for it. If nobody does any more it is stored all the same.
struct Waiting {
    draft: Draft,
    answer: oneshot::Sender<Result<AppendOutcome>>,
    _bytes: OwnedSemaphorePermit,
}

/// The way into the log: one lane per hash of the room, so that a room's entries and a sender's messages in it keep the
/// order in which they were given, and each lane with at most one batch under way.
#[derive(Debug)]
pub(crate) struct GroupCommit {
    lanes: Vec<mpsc::Sender<Waiting>>,
    bytes: Arc<Semaphore>,
    most_bytes: u32,
    mutated_ack: bool,
}

/// What a refused sender is told to wait: about two batches of a slow store.
const BUSY_RETRY: Duration = Duration::from_millis(100);

impl GroupCommit {
    /// Starts the lanes' tasks. They end, with everything stored, when this is dropped.
    pub(crate) fn start(parts: &Arc<Parts>, hub: &Arc<Hub>, hooks: &Arc<HookQueue>) -> Self {
        let settings = &parts.settings;
        // Where appends wait for each other anyway, they go together.
        let lanes = (0..settings.append_lanes.min(parts.log.parallel_appends()).max(1))
            .map(|_| {
                let (lane, queue) = mpsc::channel(settings.append_queue);
                let worker = Lane {
                    parts: parts.clone(),
                    hub: hub.clone(),
                    hooks: hooks.clone(),
                    publisher: Publisher::start(parts),
                };
                tokio::spawn(worker.run(queue));
                lane
            })
            .collect();
        let most_bytes = u32::try_from(settings.append_queue_bytes).unwrap_or(u32::MAX);
        let bytes = Arc::new(Semaphore::new(most_bytes as usize));
        Self { lanes, bytes, most_bytes, mutated_ack: settings.is_mutated(Mutation::AckBeforeStore) }
    }

    /// Appends one draft with whatever else is waiting.
    ///
    /// # Errors
    /// [`Error::Busy`] if too much waits already, without having done anything; else the log's error or
    /// [`Error::Timeout`], after which the draft may have been stored: repeat it with the same client id.
    ///
    /// # Cancel safety
    /// A draft that was taken is stored whether or not the caller still waits, once.
    pub(crate) async fn append(&self, draft: Draft) -> Result<AppendOutcome> {
        let busy = || Error::Busy { retry_after: BUSY_RETRY };
        let size = u32::try_from(draft.len_bytes()).unwrap_or(u32::MAX);
        let bytes = self.bytes.clone().try_acquire_many_owned(size).map_err(|_| busy())?;
        let lane = lane_of(&draft.room, self.lanes.len());
        let (answer, outcome) = oneshot::channel();
        let room = draft.room.clone();
        self.lanes[lane].try_send(Waiting { draft, answer, _bytes: bytes }).map_err(|_| busy())?;
        if self.mutated_ack {
            return Ok(fabricated_outcome(&room));
        }
        outcome.await.unwrap_or(Err(Error::Draining))
    }
}

impl GroupCommit {
    /// Waits until everything that was taken has been answered.
    pub(crate) async fn flush(&self) {
        // Each waiting draft holds its share of the bytes. The semaphore is never closed.
        let _ = self.bytes.acquire_many(self.most_bytes).await;
    }
}

fn lane_of(room: &RoomId, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    room.hash(&mut hasher);
    usize::try_from(hasher.finish() % lanes as u64).unwrap_or(0)
}

/// For the mutation that acknowledges what was never stored.
fn fabricated_outcome(room: &RoomId) -> AppendOutcome {
    let epoch = crate::Epoch::new("fabricated").unwrap_or_else(|_| crate::Epoch::generate());
    let cursor = crate::Cursor::new(epoch, crate::Seq::FIRST);
    let id = crate::MessageId::from_u128(room.as_str().len() as u128);
    AppendOutcome::New(crate::Position { cursor, id, created_at: crate::Timestamp::EPOCH })
}

struct Lane {
    parts: Arc<Parts>,
    hub: Arc<Hub>,
    hooks: Arc<HookQueue>,
    publisher: Publisher,
}

impl Lane {
    async fn run(self, mut queue: mpsc::Receiver<Waiting>) {
        while let Some(first) = queue.recv().await {
            gather(&queue).await;
            let settings = &self.parts.settings;
            let mut drafts = Vec::with_capacity((queue.len() + 1).min(settings.append_batch));
            let mut answers = Vec::with_capacity(drafts.capacity());
            let mut next = Some(first);
            while let Some(waiting) = next {
                drafts.push(waiting.draft);
                answers.push((waiting.answer, waiting._bytes));
                next = if drafts.len() < settings.append_batch { queue.try_recv().ok() } else { None };
            }
            self.store(drafts, answers).await;
        }
    }

    async fn store(
        &self,
        drafts: Vec<Draft>,
        answers: Vec<(oneshot::Sender<Result<AppendOutcome>>, OwnedSemaphorePermit)>,
    ) {
        // A panic in a backend must not take the lane with it.
        let append = AssertUnwindSafe(self.parts.log.append(&drafts)).catch_unwind();
        let result = match tokio::time::timeout(self.parts.settings.append_timeout, append).await {
            Ok(Err(_)) => Err(Error::backend(
                self.parts.log.name(),
                "append",
                crate::Retry::Later,
                "the backend panicked",
            )),
            Ok(Ok(Ok(outcomes))) if outcomes.len() != drafts.len() => Err(Error::backend(
                self.parts.log.name(),
                "append",
                crate::Retry::Never,
                format!("{} outcomes for {} drafts", outcomes.len(), drafts.len()),
            )),
            Ok(Ok(result)) => result,
            Err(_) => Err(Error::Timeout { operation: "append" }),
        };
        match result {
            Ok(outcomes) => {
                self.announce(drafts, &outcomes);
                for ((answer, _bytes), outcome) in answers.into_iter().zip(outcomes) {
                    // Nobody waits any more: stored all the same.
                    let _ = answer.send(Ok(outcome));
                }
            }
            Err(error) => {
                warn!(error = %error.with_causes(), batch = drafts.len(), "a batch was not answered by the log");
                let shared = SharedError::new(error);
                let mutated = self.parts.settings.is_mutated(Mutation::AckOnError);
                for ((answer, _bytes), draft) in answers.into_iter().zip(&drafts) {
                    let made_up = || Ok(fabricated_outcome(&draft.room));
                    let _ = answer.send(if mutated { made_up() } else { Err(shared.to_error()) });
                }
            }
        }
    }

    /// Hands what was stored to this node's sessions at once, to other nodes by way of the fan-out, and to the hooks.
    fn announce(&self, drafts: Vec<Draft>, outcomes: &[AppendOutcome]) {
        let mut messages: Vec<StoredMessage> = Vec::with_capacity(drafts.len());
        let mut repeats = Vec::new();
        for (draft, outcome) in drafts.into_iter().zip(outcomes) {
            match outcome {
                AppendOutcome::New(position) => messages.push(StoredMessage::new(draft, position.clone())),
                // Whoever stored it may have died before it told others: a hint makes them look.
                AppendOutcome::Duplicate(position) => repeats.push((draft.room, position.cursor.clone())),
                // What is only accepted is announced by whoever stores it.
                AppendOutcome::Accepted | AppendOutcome::Conflict(_) | AppendOutcome::Refused(_) => {}
            }
        }
        for message in &messages {
            self.hub.offer(message);
            self.hooks.stored(message);
        }
        for (room, cursor) in &repeats {
            self.hub.hint(room, cursor);
        }
        self.publisher.publish(messages, repeats);
    }
}

/// Lets the senders that the last batch's answers woke put in their next drafts, as long as more keep coming. Costs a few
/// turns of the scheduler and no time where nobody else sends.
async fn gather(queue: &mpsc::Receiver<Waiting>) {
    const MOST_TURNS: usize = 8;
    for _ in 0..MOST_TURNS {
        let before = queue.len();
        tokio::task::yield_now().await;
        if queue.len() == before {
            break;
        }
    }
}

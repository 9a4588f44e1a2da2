//! Changes that others must be told of: once begun they are seen through, whoever stops waiting for them.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument as _;

use crate::{Error, Result, Retry, chat::Parts};

/// Most changes under way; more wait for their turn with their callers.
const UNDER_WAY: usize = 1_024;
/// What is told to wait who had no turn in time.
const BUSY_RETRY: Duration = Duration::from_millis(100);
/// A store that has not answered after so many timeouts is given up, so that one which hangs does not keep every turn.
const PATIENCE: u32 = 6;

/// Turns for changes.
#[derive(Debug)]
pub(crate) struct Changes {
    turns: Arc<Semaphore>,
}

impl Changes {
    pub(crate) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(UNDER_WAY)) }
    }

    /// Stores something and then tells of it, in a task of its own.
    ///
    /// # Errors
    /// The store's; [`Error::Busy`] without having done anything; [`Error::Timeout`], after which the task goes on, and
    /// tells once the store has answered.
    ///
    /// # Cancel safety
    /// A dropped call has done nothing, or does all of it.
    pub(crate) async fn see_through<T: Send + 'static, F: Future<Output = T> + Send>(
        &self,
        parts: &Parts,
        operation: &'static str,
        store: impl Future<Output = Result<T>> + Send + 'static,
        tell: impl FnOnce(T) -> F + Send + 'static,
    ) -> Result<T> {
        let patience = parts.settings.call_timeout;
        let turn = match tokio::time::timeout(patience, self.turns.clone().acquire_owned()).await {
            Ok(Ok(turn)) => turn,
            _ => return Err(Error::Busy { retry_after: BUSY_RETRY }),
        };
        let (answered, answer) = oneshot::channel();
        let work = async move {
            let _turn = turn;
            let stored = tokio::time::timeout(patience * PATIENCE, store).await;
            // Telling has bounds of its own.
            let _ = answered.send(());
            match stored {
                Ok(Ok(stored)) => Ok(tell(stored).await),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(Error::Timeout { operation }),
            }
        };
        let task = tokio::spawn(work.in_current_span());
        if tokio::time::timeout(patience, answer).await.is_err() {
            return Err(Error::Timeout { operation });
        }
        task.await.unwrap_or_else(|error| {
            Err(if error.is_panic() {
                Error::backend("rooms", operation, Retry::Later, "the backend panicked")
            } else {
                Error::Draining
            })
        })
    }

    /// Waits until what is under way has been told of, at most `patience`.
    pub(crate) async fn flush(&self, patience: Duration) {
        let all = u32::try_from(UNDER_WAY).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(patience, self.turns.acquire_many(all)).await;
    }
}

//! Questions that an append has for the archive, which must not hold it up for long where the archive does not answer.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::{Error, Result};

/// So long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// An archive that did not answer is not asked again before this time is over: who needs an answer is refused at once, and
/// everybody else goes on.
const PAUSE: Duration = Duration::from_secs(4);

/// Whether the archive answers.
#[derive(Debug, Default)]
pub(super) struct Asking {
    failed: Mutex<Option<Instant>>,
}

impl Asking {
    /// The answer, if there is one soon.
    ///
    /// # Errors
    /// The archive's; [`Error::Timeout`] or [`Error::Busy`] if it does not answer.
    pub(super) async fn ask<T>(&self, question: impl Future<Output = Result<T>>) -> Result<T> {
        let pause = self.failed().map_or(Duration::ZERO, |at| PAUSE.saturating_sub(at.elapsed()));
        if !pause.is_zero() {
            return Err(Error::Busy { retry_after: pause });
        }
        let answer = timeout(PATIENCE, question).await;
        let answer = answer.unwrap_or(Err(Error::Timeout { operation: "asking the archive" }));
        let failed = answer.as_ref().is_err_and(Error::is_retryable).then(Instant::now);
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        answer
    }

    fn failed(&self) -> Option<Instant> {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_archive_that_does_not_answer_is_left_alone_for_a_while() {
        let asking = Asking::default();
        let begun = Instant::now();
        let silent = asking.ask(std::future::pending::<Result<u8>>()).await;
        assert!(matches!(silent, Err(Error::Timeout { .. })));
        assert_eq!(begun.elapsed(), PATIENCE);
        let refused = asking.ask(async { Ok(1) }).await;
        assert!(matches!(refused, Err(Error::Busy { retry_after }) if retry_after == PAUSE));
        assert_eq!(begun.elapsed(), PATIENCE, "at once");
        tokio::time::sleep(PAUSE).await;
        assert_eq!(asking.ask(async { Ok(2) }).await.unwrap(), 2);
        assert_eq!(asking.ask(async { Ok(3) }).await.unwrap(), 3);
    }
}

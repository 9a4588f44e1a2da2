//! What can be done without Redis does not ask it again and again while it does not answer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::RedisError;

/// After a failure nobody asks for so long: each of them would wait for the same answer.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Pause {
    begun: Instant,
    /// In milliseconds since the beginning.
    until: AtomicU64,
}

impl Pause {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), until: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.until.load(Ordering::Relaxed) <= self.now()
    }

    pub(crate) fn begin(&self, meanwhile: &'static str, error: &RedisError) {
        tracing::warn!(%error, "{meanwhile}");
        let pause = u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
        self.until.store(self.now().saturating_add(pause), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RedisErrorKind;

    #[tokio::test(start_paused = true)]
    async fn it_lasts_for_its_time_after_each_failure() {
        let pause = Pause::new();
        assert!(pause.is_over());
        for _ in 0..2 {
            pause.begin("test", &RedisError::new(RedisErrorKind::Timeout, "late"));
            assert!(!pause.is_over());
            tokio::time::advance(PAUSE).await;
            assert!(pause.is_over());
        }
    }
}

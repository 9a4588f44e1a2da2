use std::{fmt, num::NonZeroU32, time::Duration};

use governor::{DefaultDirectRateLimiter, Quota, clock::Clock as _};

use crate::Limits;

/// So many commands are refused, less one for each that was let through at once; from then on the client is read no faster than it may send.
const REFUSALS: u32 = 16;

/// How fast one connection may send commands.
pub(crate) struct Pace {
    limiter: DefaultDirectRateLimiter,
    refused: u32,
}

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(limits.commands_per_second))
            .allow_burst(at_least_one(limits.command_burst));
        Self { limiter: DefaultDirectRateLimiter::direct(quota), refused: 0 }
    }

    fn take(&self) -> Result<(), Duration> {
        self.limiter.check().map_err(|not_until| not_until.wait_time_from(self.limiter.clock().now()))
    }

    /// Lets one command through, now or, for a client that does not listen to refusals, after a wait.
    ///
    /// # Errors
    /// When to try again.
    pub(crate) async fn admit(&mut self) -> Result<(), Duration> {
        let mut wait = match self.take() {
            Ok(()) => {
                // Forgiven one by one: a single pause does not begin the refusals anew.
                self.refused = self.refused.saturating_sub(1);
                return Ok(());
            }
            Err(wait) => wait,
        };
        if self.refused < REFUSALS {
            self.refused += 1;
            return Err(wait);
        }
        loop {
            tokio::time::sleep(wait).await;
            match self.take() {
                Ok(()) => return Ok(()),
                Err(longer) => wait = longer,
            }
        }
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").field("refused", &self.refused).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_stop_is_slowed_down() {
        let mut pace = Pace::new(&Limits::new().with_commands(100, 2));
        let start = std::time::Instant::now();
        let mut refused = 0;
        for _ in 0..2 + REFUSALS + 10 {
            if pace.admit().await.is_err() {
                refused += 1;
            }
        }
        // Whoever is slow by themselves is forgiven some; whoever is not slowed down would have all of them refused.
        assert!(refused < REFUSALS + 10, "{refused}");
        assert!(start.elapsed() >= Duration::from_millis(80), "{:?}", start.elapsed());
    }
}

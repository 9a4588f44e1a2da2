use std::time::Duration;

/// Pauses between tries: each twice as long as the one before, and a little different from it in every process.
#[derive(Debug)]
pub(super) struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    pub(super) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// It works again.
    pub(super) const fn reset(&mut self) {
        self.next = self.first;
    }

    /// Between half of the pause and all of it.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.longest);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let millis = Duration::from_millis;
        let mut pauses = Pauses::new(millis(100), millis(300));
        for most in [100, 200, 300, 300] {
            let pause = pauses.next();
            assert!(pause >= millis(most / 2) && pause <= millis(most), "{pause:?}");
        }
        pauses.reset();
        assert!(pauses.next() <= millis(100));
    }
}

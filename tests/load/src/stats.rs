//! Counts and latencies, in all and second by second.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Anything slower counts as this.
const SLOWEST: Duration = Duration::from_secs(120);

/// Times, to three digits.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        let micros = u64::try_from(SLOWEST.as_micros()).unwrap_or(u64::MAX);
        #[expect(clippy::expect_used, reason = "the bounds are constants")]
        Self(Histogram::new_with_bounds(1, micros, 3).expect("bounds of a histogram"))
    }
}

impl Times {
    /// Notes one.
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// Adds all of another.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, so that all fit.
        let _ = self.0.add(&other.0);
    }

    /// How many were noted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time in milliseconds within which this share (0 to 1) of them lies.
    #[must_use]
    pub fn at(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1_000.0
    }

    /// What a report says.
    #[must_use]
    pub fn summary(&self) -> Percentiles {
        let max = self.0.max() as f64 / 1_000.0;
        Percentiles { p50: self.at(0.5), p90: self.at(0.9), p99: self.at(0.99), p999: self.at(0.999), max }
    }
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "what they are is their names")]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// One second of a run.
#[derive(Debug, Clone, Default)]
pub struct Second {
    /// Messages that were sent.
    pub sent: u64,
    /// Deliveries that came.
    pub delivered: u64,
    /// How long those took.
    pub times: Times,
}

/// The time of a run, and which part of it counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn at(self, time: Duration) -> tokio::time::Instant {
        (self.start + time).into()
    }
}

/// From when to when things count.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
}

impl Window {
    pub(crate) fn has(self, time: Duration) -> bool {
        self.from <= time && time < self.until
    }
}

/// What one thread counted.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) window: Window,
    /// Messages that were sent in the window.
    pub(crate) sent: u64,
    /// Answers that came in the window, of messages that were taken.
    pub(crate) taken: u64,
    /// At any time: that is a fault.
    pub(crate) refused: u64,
    /// Deliveries that came in the window.
    pub(crate) delivered: u64,
    pub(crate) resyncs: u64,
    /// Of messages that were meant to be sent in the window, like those of deliveries.
    pub(crate) answer_times: Times,
    pub(crate) delivery_times: Times,
    /// How much later than meant messages were sent: what the load itself adds.
    pub(crate) lateness: Times,
    /// Reasons why connections ended or messages were refused: the first of each kind.
    pub(crate) troubles: Vec<String>,
    pub(crate) second: Second,
}

/// Reasons that are kept.
const TROUBLES: usize = 8;

impl Stats {
    pub(crate) fn sent(&mut self, meant_at: Duration, now: Duration) {
        self.second.sent += 1;
        // A load that is behind sends less in the window than was meant for it.
        self.sent += u64::from(self.window.has(now));
        if self.window.has(meant_at) {
            self.lateness.record(now.saturating_sub(meant_at));
        }
    }

    pub(crate) fn answered(&mut self, meant_at: Duration, now: Duration, taken: bool) {
        if !taken {
            self.refused += 1;
            return;
        }
        // A server that is behind answers less in the window than was meant for it.
        self.taken += u64::from(self.window.has(now));
        if self.window.has(meant_at) {
            self.answer_times.record(now.saturating_sub(meant_at));
        }
    }

    pub(crate) fn arrived(&mut self, meant_at: Duration, now: Duration) {
        let time = now.saturating_sub(meant_at);
        self.second.delivered += 1;
        self.second.times.record(time);
        self.delivered += u64::from(self.window.has(now));
        if self.window.has(meant_at) {
            self.delivery_times.record(time);
        }
    }

    pub(crate) fn trouble(&mut self, what: &str) {
        let what: String = what.chars().take(200).collect();
        if self.troubles.len() < TROUBLES && !self.troubles.contains(&what) {
            self.troubles.push(what);
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.taken += other.taken;
        self.refused += other.refused;
        self.delivered += other.delivered;
        self.resyncs += other.resyncs;
        self.answer_times.add(&other.answer_times);
        self.delivery_times.add(&other.delivery_times);
        self.lateness.add(&other.lateness);
        other.troubles.iter().for_each(|trouble| self.trouble(trouble));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_what_came_in_the_window_and_times_of_what_was_meant_for_it() {
        let seconds = Duration::from_secs;
        let window = Window { from: seconds(10), until: seconds(20) };
        let mut stats = Stats { window, ..Stats::default() };
        // Before it and in it; in it; twice in it and behind it.
        for (meant_at, now) in [(9, 11), (12, 13), (18, 22), (19, 26)] {
            stats.answered(seconds(meant_at), seconds(now), true);
            stats.arrived(seconds(meant_at), seconds(now));
        }
        assert_eq!((stats.taken, stats.delivered), (2, 2));
        for times in [&stats.answer_times, &stats.delivery_times] {
            let max = times.summary().max;
            assert_eq!(times.len(), 3);
            assert!((max - 7_000.0).abs() < 10.0, "{max}");
        }
        for meant_at in [1, 12, 19] {
            stats.answered(seconds(meant_at), seconds(meant_at + 2), false);
        }
        assert_eq!((stats.taken, stats.refused, stats.answer_times.len()), (2, 3, 3));
    }
}

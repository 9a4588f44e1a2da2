use std::{
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chat_core::{Clock, Timestamp};
use tokio::time::Instant;

/// The one source of chance of a run, and whether faults happen at all.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    rng: Arc<Mutex<fastrand::Rng>>,
    faults: Arc<AtomicBool>,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let rng = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        Self { rng, faults: Arc::new(AtomicBool::new(true)) }
    }

    pub(crate) fn number(&self, range: Range<u64>) -> u64 {
        self.rng.lock().unwrap().u64(range)
    }

    pub(crate) fn index(&self, len: usize) -> usize {
        self.rng.lock().unwrap().usize(0..len)
    }

    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.number(0..100) < percent
    }

    pub(crate) fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// A fault, as long as there are any.
    pub(crate) fn fault(&self, percent: u64) -> bool {
        self.chance(percent) && self.faults.load(Ordering::Relaxed)
    }

    pub(crate) fn end_faults(&self) {
        self.faults.store(false, Ordering::Relaxed);
    }
}

/// A wall clock that jumps; it starts in 2023 and otherwise goes with the virtual time.
#[derive(Debug)]
pub(crate) struct JumpingClock {
    start: Instant,
    base: AtomicU64,
}

impl JumpingClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), base: AtomicU64::new(1_700_000_000_000) })
    }

    pub(crate) fn jump(&self, forward: bool, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap();
        if forward {
            self.base.fetch_add(millis, Ordering::Relaxed);
        } else {
            self.base.fetch_sub(millis, Ordering::Relaxed);
        }
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.base.load(Ordering::Relaxed)).after(self.start.elapsed())
    }
}

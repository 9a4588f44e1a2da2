use std::sync::Mutex;

use super::store::lock;
use crate::{Clock, Timestamp};

/// A clock that stands until it is set.
#[derive(Debug)]
pub(super) struct TestClock(Mutex<Timestamp>);

impl TestClock {
    pub(super) fn at(time: Timestamp) -> Self {
        Self(Mutex::new(time))
    }

    pub(super) fn set(&self, time: Timestamp) {
        *lock(&self.0) = time;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *lock(&self.0)
    }
}

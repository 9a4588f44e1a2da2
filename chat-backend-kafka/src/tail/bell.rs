//! How the watcher is woken.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What the watcher is to look at, besides what it looks at anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Alarm {
    /// A connection broke, or something else went wrong: what came meanwhile may be late.
    pub(super) disturbed: bool,
    /// An offset is not there any more.
    pub(super) lost: bool,
}

#[derive(Debug, Default)]
struct Rung {
    alarm: Alarm,
    is_closed: bool,
}

/// Wakes the watcher; rung from callbacks, so it never blocks.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<Rung>,
    heard: Condvar,
}

impl Bell {
    pub(super) fn disturbed(&self) {
        self.lock().alarm.disturbed = true;
        self.heard.notify_all();
    }

    pub(super) fn lost(&self) {
        self.lock().alarm.lost = true;
        self.heard.notify_all();
    }

    /// For good.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.heard.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Waits until it is rung or this time is over, and takes what it was rung for; none once it is closed.
    pub(super) fn wait(&self, time: Duration) -> Option<Alarm> {
        let is_quiet = |rung: &mut Rung| rung.alarm == Alarm::default() && !rung.is_closed;
        let waited = self.heard.wait_timeout_while(self.lock(), time, is_quiet);
        let (mut rung, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let alarm = std::mem::take(&mut rung.alarm);
        (!rung.is_closed).then_some(alarm)
    }

    /// Waits out this time, whatever it is rung for; no longer once it is closed.
    pub(super) fn pause(&self, time: Duration) {
        drop(self.heard.wait_timeout_while(self.lock(), time, |rung| !rung.is_closed));
    }

    /// Every step leaves the state whole.
    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_was_rung_for_is_taken_once() {
        let bell = Bell::default();
        assert_eq!(bell.wait(Duration::ZERO), Some(Alarm::default()));
        bell.disturbed();
        bell.lost();
        assert_eq!(bell.wait(Duration::from_secs(60)), Some(Alarm { disturbed: true, lost: true }));
        assert_eq!(bell.wait(Duration::ZERO), Some(Alarm::default()));
        bell.close();
        bell.pause(Duration::from_secs(60));
        assert_eq!(bell.wait(Duration::from_secs(60)), None);
    }
}

//! The tasks that move entries into the archive, a batch at a time.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::{Pending, Shared, Take, TieredSettings, meter};
use crate::{Result, RoomId};

/// What waits is looked at so often while this node appends …
const BUSY: Duration = Duration::from_millis(25);
/// … so often for a while afterwards, until what waits is old enough …
const LATELY: Duration = Duration::from_millis(250);
/// … and so often when nothing has waited so many times: other nodes may have gone away.
const IDLE: Duration = Duration::from_secs(1);
const IDLE_AFTER: u32 = 20;
/// Failed attempts are repeated after this time, doubled each time up to the other one, a little different by chance.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A take that was not answered may have been done: nobody works on what it took. Whoever had one takes over for a while what
/// others did not finish within this time. A room that is archived twice is stored once.
const REGAINED: Duration = Duration::from_secs(2);
/// How often the gauges are set.
const GAUGES: Duration = Duration::from_secs(5);
/// So many rooms at most wait to have their names learned; others are remembered when they are next in need.
const UNLEARNED: usize = 10_000;

/// Rooms of which the hot log does not know all names yet.
#[derive(Debug, Default)]
pub(super) struct Learner {
    rooms: Mutex<BTreeSet<RoomId>>,
}

impl Learner {
    pub(super) fn add(&self, room: &RoomId) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.len() < UNLEARNED && !rooms.contains(room) {
            rooms.insert(room.clone());
        }
    }

    fn take(&self) -> Vec<RoomId> {
        std::mem::take(&mut *self.rooms.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

/// Starts the workers. They end with the last handle on what they work for.
pub(super) fn start(shared: &Arc<Shared>) {
    meter::describe();
    for _ in 0..shared.settings.workers {
        tokio::spawn(work(Arc::downgrade(shared)));
    }
    tokio::spawn(look_after(Arc::downgrade(shared)));
}

/// One worker. Nobody else works on the rooms that it has taken, unless it does so for too long.
async fn work(shared: Weak<Shared>) {
    let name = format!("{:032x}", fastrand::u128(..));
    let (mut failures, mut empty) = (0, 0);
    let mut unanswered: Option<Instant> = None;
    while let Some(shared) = shared.upgrade() {
        let mut take = shared.settings.take();
        if unanswered.is_some_and(|at| at.elapsed() < take.idle) {
            take.idle = take.idle.min(REGAINED);
        }
        let took = shared.hot.take(&name, take).await;
        match took {
            Ok(pending) if pending.is_empty() => {
                (failures, empty) = (0, empty + 1);
                let patience = if empty < IDLE_AFTER { LATELY } else { IDLE };
                let appended = Arc::clone(&shared.appended);
                drop(shared);
                if timeout(patience, appended.notified()).await.is_ok() {
                    empty = 0;
                    sleep(BUSY).await;
                }
            }
            Ok(pending) => {
                (failures, empty) = (0, 0);
                finish(&shared, &pending).await;
            }
            Err(error) => {
                (failures, unanswered) = (failures + 1, Some(Instant::now()));
                meter::failed();
                warn!(%error, failures, "nothing could be taken to be archived");
                drop(shared);
                sleep(pause(failures)).await;
            }
        }
    }
}

/// Archives what was taken, however long it takes: it is not given back, since nobody else could do better, and what is
/// archived twice is stored once.
async fn finish(shared: &Shared, pending: &[Pending]) {
    let (mut failures, began) = (0, Instant::now());
    loop {
        match archive(shared, pending).await {
            Ok(()) => return,
            Err(error) => {
                failures += 1;
                meter::failed();
                if failures == 1 || failures % 10 == 0 {
                    warn!(%error, failures, rooms = pending.len(), "entries could not be archived; they wait");
                }
                // After so long somebody else takes it, and the archive is asked with everything that waits by then.
                if !error.is_retryable() || began.elapsed() >= shared.settings.take_over {
                    return;
                }
                sleep(pause(failures)).await;
            }
        }
    }
}

async fn archive(shared: &Shared, pending: &[Pending]) -> Result<()> {
    let (done, failed) = shared.archive_entries(pending).await;
    shared.hot.archived(&done).await?;
    failed?;
    meter::archived(pending.iter().map(|taken| taken.entries.len() as u64).sum());
    Ok(())
}

/// Tells names, and sets the gauges.
async fn look_after(shared: Weak<Shared>) {
    let mut gauges = Instant::now();
    while let Some(shared) = shared.upgrade() {
        let rooms = shared.learner.take();
        shared.learn_some(rooms).await;
        if gauges.elapsed() >= GAUGES {
            gauges = Instant::now();
            if let Ok(lag) = shared.hot.lag().await {
                meter::lag(&lag);
            }
        }
        drop(shared);
        sleep(IDLE / 2).await;
    }
}

impl TieredSettings {
    const fn take(&self) -> Take {
        Take {
            entries: self.batch_entries,
            age: self.batch_age,
            max_rooms: self.max_rooms,
            max_entries: self.max_entries,
            idle: self.take_over,
        }
    }
}

fn pause(failures: u32) -> Duration {
    let longest = PAUSE.0.saturating_mul(1 << failures.min(10)).min(PAUSE.1);
    longest.mul_f32(0.75 + fastrand::f32() / 4.0)
}

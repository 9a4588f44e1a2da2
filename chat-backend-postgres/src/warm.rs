//! Connections that were used a moment ago and are likely wanted again at once. Giving one back to the pool costs a task and a
//! round trip, which is more than many a statement does.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{Postgres, pool::PoolConnection};
use tokio::time::Instant;

/// So many are kept.
const MOST: usize = 4;
/// After so long, in use or not, a connection goes back to the pool, which looks after its age and its health.
const LONGEST: Duration = Duration::from_secs(1);

/// A connection, and when it came from the pool.
pub(crate) type Dated = (PoolConnection<Postgres>, Instant);

#[derive(Debug, Default)]
pub(crate) struct Warm(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    kept: Vec<Dated>,
    /// Who waits at the pool: for them connections go there.
    waiting: usize,
    closed: bool,
}

/// What was found.
pub(crate) enum Found {
    Kept(Dated),
    /// Nothing: whoever asked waits at the pool, and is counted while this lives.
    Wait(Waiting),
}

#[derive(Debug)]
pub(crate) struct Waiting(Arc<Warm>);

impl Warm {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last, and those that are so old that they have to go back to the pool.
    pub(crate) fn take(self: &Arc<Self>) -> (Found, Vec<PoolConnection<Postgres>>) {
        let mut old = Vec::new();
        let mut state = self.state();
        loop {
            match state.kept.pop() {
                Some((connection, since)) if since.elapsed() > LONGEST => old.push(connection),
                Some(dated) => return (Found::Kept(dated), old),
                None => {
                    state.waiting += 1;
                    return (Found::Wait(Waiting(Arc::clone(self))), old);
                }
            }
        }
    }

    /// Keeps it, unless it should go back to the pool.
    pub(crate) fn keep(
        &self,
        connection: PoolConnection<Postgres>,
        since: Instant,
    ) -> Option<PoolConnection<Postgres>> {
        let mut state = self.state();
        if state.closed || state.waiting > 0 || state.kept.len() >= MOST || since.elapsed() > LONGEST {
            return Some(connection);
        }
        state.kept.push((connection, since));
        None
    }

    /// From now on nothing is kept. Answers what was.
    pub(crate) fn close(&self) -> Vec<Dated> {
        let mut state = self.state();
        state.closed = true;
        std::mem::take(&mut state.kept)
    }

    pub(crate) fn len(&self) -> usize {
        self.state().kept.len()
    }
}

impl Drop for Warm {
    fn drop(&mut self) {
        for (connection, _) in self.state().kept.drain(..) {
            // Its socket closes with it. Giving it back takes a runtime, which may be gone.
            drop(connection.detach());
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

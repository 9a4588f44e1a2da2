use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;

use super::store::lock;
use crate::{
    Backend, Clock, ConnectionId, Result, SystemClock, Timestamp, UserId,
    auth::{Binding, BindingClaim, BindingPolicy, SessionBindings},
};

/// [`SessionBindings`] in memory. Nodes that hold clones of it share it.
///
/// A binding is forgotten once its time to live has passed, so memory is bounded by what is held.
#[derive(Clone)]
pub struct MemoryBindings {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    held: HashMap<Binding, Held>,
    /// What to look at when this time has passed.
    due: BTreeSet<(Timestamp, UserId, String)>,
}

struct Held {
    by: ConnectionId,
    until: Timestamp,
}

impl MemoryBindings {
    /// Nothing is held, and the time is the system's.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// Nothing is held, and the time is that of `clock`.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }
}

impl Default for MemoryBindings {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBindings").field("held", &lock(&self.state).held.len()).finish()
    }
}

impl State {
    fn forget_until(&mut self, now: Timestamp) {
        while let Some((time, _, _)) = self.due.first()
            && *time <= now
            && let Some((_, user, to)) = self.due.pop_first()
        {
            self.held.remove(&Binding { user, to });
        }
    }

    /// Gives it to somebody, and answers who had it.
    fn give(&mut self, binding: &Binding, held: Held) -> Option<ConnectionId> {
        let before = self.take(binding);
        self.due.insert((held.until, binding.user.clone(), binding.to.clone()));
        self.held.insert(binding.clone(), held);
        before
    }

    fn take(&mut self, binding: &Binding) -> Option<ConnectionId> {
        let held = self.held.remove(binding)?;
        self.due.remove(&(held.until, binding.user.clone(), binding.to.clone()));
        Some(held.by)
    }
}

#[async_trait]
impl Backend for MemoryBindings {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl SessionBindings for MemoryBindings {
    async fn claim(
        &self,
        binding: &Binding,
        connection: &ConnectionId,
        policy: BindingPolicy,
        time_to_live: Duration,
    ) -> Result<BindingClaim> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.forget_until(now);
        let other = state.held.get(binding).filter(|held| held.by != *connection);
        if let (Some(other), BindingPolicy::OlderStays) = (other, policy) {
            return Ok(BindingClaim::Refused { holder: other.by.clone() });
        }
        let held = Held { by: connection.clone(), until: now.after(time_to_live) };
        let previous = state.give(binding, held).filter(|by| by != connection);
        Ok(BindingClaim::Granted { previous })
    }

    async fn release(&self, binding: &Binding, connection: &ConnectionId) -> Result<()> {
        let mut state = lock(&self.state);
        if state.held.get(binding).is_some_and(|held| held.by == *connection) {
            state.take(binding);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::test_clock::TestClock, *};

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn binding(to: &str) -> Binding {
        Binding { user: UserId::new("ann").unwrap(), to: to.to_owned() }
    }

    #[tokio::test]
    async fn what_runs_out_or_is_released_takes_no_memory() {
        let clock = Arc::new(TestClock::at(at(100)));
        let store = MemoryBindings::with_clock(clock.clone());
        let (one, other) = (ConnectionId::generate(), ConnectionId::generate());
        for round in 0..100 {
            for connection in [&one, &one, &other] {
                let time = Duration::from_secs(10 + round % 3);
                store.claim(&binding("a"), connection, BindingPolicy::NewerWins, time).await.unwrap();
            }
        }
        let time = Duration::from_secs(30);
        store.claim(&binding("b"), &one, BindingPolicy::NewerWins, time).await.unwrap();
        let sizes = || {
            let state = lock(&store.state);
            (state.held.len(), state.due.len())
        };
        assert_eq!(sizes(), (2, 2));
        clock.set(at(120));
        let refused = store.claim(&binding("b"), &other, BindingPolicy::OlderStays, time).await.unwrap();
        assert_eq!(refused, BindingClaim::Refused { holder: one.clone() });
        assert_eq!(sizes(), (1, 1));
        store.release(&binding("b"), &one).await.unwrap();
        assert_eq!(sizes(), (0, 0));
    }
}

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;

use super::store::lock;
use crate::{
    Backend, Clock, Result, SystemClock, Timestamp, TokenId, UserId,
    auth::{Principal, Revocation, RevocationScope, RevocationStore},
};

/// [`RevocationStore`] in memory. Nodes that hold clones of it share it.
///
/// A withdrawal is forgotten once the clock has passed its `until`, so memory is bounded by what can still expire.
#[derive(Clone)]
pub struct MemoryRevocations {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    users: HashMap<UserId, Withdrawn>,
    /// Whom to look at when this time has passed.
    due: BTreeSet<(Timestamp, UserId)>,
}

/// What was withdrawn of one user, each with the time until when it is remembered.
#[derive(Default)]
struct Withdrawn {
    tokens: HashMap<TokenId, Timestamp>,
    /// Only those that no other one outdoes in both times.
    issued_before: Vec<(Timestamp, Timestamp)>,
}

impl MemoryRevocations {
    /// An empty store that takes the time from the system.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store that takes the time from `clock`.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }
}

impl Default for MemoryRevocations {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryRevocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRevocations").field("users", &lock(&self.state).users.len()).finish()
    }
}

impl State {
    fn forget(&mut self, now: Timestamp) {
        while let Some((until, user)) = self.due.pop_first() {
            if until >= now {
                self.due.insert((until, user));
                return;
            }
            if let Some(withdrawn) = self.users.get_mut(&user) {
                withdrawn.tokens.retain(|_, until| *until >= now);
                withdrawn.issued_before.retain(|(_, until)| *until >= now);
                if withdrawn.tokens.is_empty() && withdrawn.issued_before.is_empty() {
                    self.users.remove(&user);
                }
            }
        }
    }
}

impl Withdrawn {
    fn add(&mut self, scope: &RevocationScope, until: Timestamp) {
        match scope {
            RevocationScope::Token(token) => {
                let known = self.tokens.entry(token.clone()).or_insert(until);
                *known = until.max(*known);
            }
            RevocationScope::IssuedBefore(time) => {
                let outdone = |&(a, b): &(Timestamp, Timestamp), (c, d)| a <= c && b <= d;
                if !self.issued_before.iter().any(|known| outdone(&(*time, until), *known)) {
                    self.issued_before.retain(|known| !outdone(known, (*time, until)));
                    self.issued_before.push((*time, until));
                }
            }
        }
    }
}

#[async_trait]
impl Backend for MemoryRevocations {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl RevocationStore for MemoryRevocations {
    async fn revoke(&self, revocation: &Revocation) -> Result<()> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.forget(now);
        if revocation.until >= now {
            state.users.entry(revocation.user.clone()).or_default().add(&revocation.scope, revocation.until);
            state.due.insert((revocation.until, revocation.user.clone()));
        }
        Ok(())
    }

    async fn is_revoked(&self, principal: &Principal) -> Result<bool> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.forget(now);
        let Some(withdrawn) = state.users.get(&principal.user) else { return Ok(false) };
        let covers =
            |scope, until| Revocation { user: principal.user.clone(), scope, until }.covers(principal);
        let known = principal.token.as_ref().and_then(|token| withdrawn.tokens.get_key_value(token));
        Ok(known.is_some_and(|(token, until)| covers(RevocationScope::Token(token.clone()), *until))
            || withdrawn
                .issued_before
                .iter()
                .any(|(time, until)| covers(RevocationScope::IssuedBefore(*time), *until)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::test_clock::TestClock;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn token(name: &str) -> TokenId {
        TokenId::new(name).unwrap()
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn revocation(name: &str, scope: RevocationScope, until: u64) -> Revocation {
        Revocation { user: user(name), scope, until: at(until) }
    }

    #[tokio::test]
    async fn one_token_is_withdrawn_and_the_others_are_not() {
        let store = MemoryRevocations::with_clock(Arc::new(TestClock::at(at(100))));
        store.revoke(&revocation("ann", RevocationScope::Token(token("t1")), 200)).await.unwrap();
        let ann = |name| Principal::new(user("ann")).with_token(token(name));
        assert!(store.clone().is_revoked(&ann("t1")).await.unwrap());
        assert!(!store.is_revoked(&ann("t2")).await.unwrap());
        assert!(!store.is_revoked(&Principal::new(user("ann"))).await.unwrap());
        assert!(!store.is_revoked(&Principal::new(user("bob")).with_token(token("t1"))).await.unwrap());
    }

    #[tokio::test]
    async fn everything_issued_before_a_time_is_withdrawn() {
        let store = MemoryRevocations::with_clock(Arc::new(TestClock::at(at(100))));
        store.revoke(&revocation("ann", RevocationScope::IssuedBefore(at(90)), 150)).await.unwrap();
        // Reaches less far back, but is remembered for longer.
        store.revoke(&revocation("ann", RevocationScope::IssuedBefore(at(80)), 200)).await.unwrap();
        let issued = |secs| Principal::new(user("ann")).with_issued_at(at(secs));
        assert!(store.is_revoked(&issued(89)).await.unwrap());
        assert!(!store.is_revoked(&issued(90)).await.unwrap());
        assert!(store.is_revoked(&Principal::new(user("ann"))).await.unwrap());
    }

    #[tokio::test]
    async fn a_withdrawal_is_forgotten_after_its_time_and_leaves_nothing_behind() {
        let clock = Arc::new(TestClock::at(at(100)));
        let store = MemoryRevocations::with_clock(clock.clone());
        let ann = Principal::new(user("ann")).with_token(token("t1")).with_issued_at(at(50));
        store.revoke(&revocation("ann", RevocationScope::Token(token("t1")), 200)).await.unwrap();
        store.revoke(&revocation("ann", RevocationScope::Token(token("t1")), 150)).await.unwrap();
        store.revoke(&revocation("ann", RevocationScope::IssuedBefore(at(60)), 120)).await.unwrap();
        clock.set(at(200));
        assert!(store.is_revoked(&ann).await.unwrap(), "the longest time holds");
        clock.set(at(201));
        assert!(!store.is_revoked(&ann).await.unwrap());
        let state = lock(&store.state);
        assert!(state.users.is_empty() && state.due.is_empty());
    }

    #[tokio::test]
    async fn repeating_a_withdrawal_takes_no_more_memory() {
        let store = MemoryRevocations::with_clock(Arc::new(TestClock::at(at(100))));
        for time in 0..1_000 {
            store.revoke(&revocation("ann", RevocationScope::Token(token("t1")), 200)).await.unwrap();
            store.revoke(&revocation("ann", RevocationScope::IssuedBefore(at(time)), 200)).await.unwrap();
        }
        let state = lock(&store.state);
        assert_eq!(state.due.len(), 1);
        assert_eq!(state.users[&user("ann")].issued_before, [(at(999), at(200))]);
    }
}

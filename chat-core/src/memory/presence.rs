use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    presence_state::{Now, PresenceState},
    store::lock,
};
use crate::{
    Backend, Clock, Presence, Result, SystemClock, UserId,
    presence::{LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
};

/// [`Presence`] in memory. Nodes that hold clones of it share it.
///
/// Leases and the grace run on tokio's monotonic clock, so a jump of the wall clock ends nothing; the wall clock gives
/// only the stamps that people see. A lease that ran out takes its connections with it at that instant, whenever this
/// is noticed. A connection may be registered again under a new lease, unless it was ended by name.
///
/// What is remembered of ends goes after the longest lease seen (at least [`DEFAULT_LEASE`](crate::presence::DEFAULT_LEASE));
/// of a user who was swept only `last_seen` is kept.
#[derive(Clone)]
pub struct MemoryPresence {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<PresenceState>>,
}

impl MemoryPresence {
    /// Nobody online; stamps from the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// Nobody online; stamps from `clock`.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::new(Mutex::new(PresenceState::new())) }
    }

    /// One atomic step on a state in which everything that ran out has ended.
    fn step<T>(&self, step: impl FnOnce(&mut PresenceState, Now) -> T) -> T {
        let mut state = lock(&self.state);
        let now = Now { instant: Instant::now(), wall: self.clock.now() };
        state.advance(now);
        step(&mut state, now)
    }
}

impl Default for MemoryPresence {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryPresence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPresence").finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for MemoryPresence {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Presence for MemoryPresence {
    async fn renew(&self, lease: &NodeLease, ttl: Duration) -> Result<LeaseStatus> {
        Ok(self.step(|state, now| state.renew(lease, ttl, now)))
    }

    async fn release(&self, lease: &NodeLease) -> Result<()> {
        self.step(|state, now| state.release(lease, now));
        Ok(())
    }

    async fn connected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        Ok(self.step(|state, now| state.connected(connection, now)))
    }

    async fn disconnected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        Ok(self.step(|state, now| state.disconnected(connection, now)))
    }

    async fn presence(&self, users: &[UserId]) -> Result<Vec<UserPresence>> {
        Ok(self.step(|state, _| users.iter().map(|user| state.presence(user)).collect()))
    }

    async fn sweep(&self, grace: Duration) -> Result<Vec<UserPresence>> {
        Ok(self.step(|state, now| state.sweep(grace, now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConnectionId, NodeId, Timestamp, memory::test_clock::TestClock, presence::Incarnation};
    use tokio::time::advance;

    const TTL: Duration = Duration::from_secs(60);
    const GRACE: Duration = Duration::from_secs(10);

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn lease(node: &str, incarnation: u64) -> NodeLease {
        NodeLease { node: NodeId::new(node).unwrap(), incarnation: Incarnation(incarnation) }
    }

    fn connection(name: &str, id: &str, incarnation: u64, lease: &NodeLease) -> PresenceConnection {
        PresenceConnection {
            user: user(name),
            connection: ConnectionId::new(id).unwrap(),
            incarnation: Incarnation(incarnation),
            lease: lease.clone(),
        }
    }

    async fn one(presence: &MemoryPresence, name: &str) -> UserPresence {
        presence.presence(&[user(name)]).await.unwrap().remove(0)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_ran_out_ends_its_connections_at_that_instant() {
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(1_000)));
        let presence = MemoryPresence::with_clock(clock.clone());
        let node = lease("n1", 1);
        assert_eq!(presence.renew(&node, TTL).await.unwrap(), LeaseStatus::Started);
        assert_eq!(
            presence.connected(&connection("ann", "c1", 1, &node)).await.unwrap(),
            PresenceChange::CameOnline
        );
        assert_eq!(one(&presence, "ann").await.since, Some(Timestamp::from_secs(1_000)));
        // Noticed 40 s late.
        advance(secs(100)).await;
        clock.set(Timestamp::from_secs(1_100));
        let ann = one(&presence, "ann").await;
        assert_eq!((ann.online, ann.last_seen), (false, Some(Timestamp::from_secs(1_060))));
        assert_eq!(presence.sweep(secs(41)).await.unwrap(), []);
        assert_eq!(presence.sweep(secs(40)).await.unwrap(), [ann]);
        assert_eq!(presence.renew(&node, TTL).await.unwrap(), LeaseStatus::Started);
        // The socket itself was never closed: it registers again.
        let again = presence.connected(&connection("ann", "c1", 1, &node)).await.unwrap();
        assert_eq!(again, PresenceChange::CameOnline);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_jump_ends_nothing() {
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(1_000)));
        let presence = MemoryPresence::with_clock(clock.clone());
        let node = lease("n1", 1);
        presence.renew(&node, TTL).await.unwrap();
        presence.connected(&connection("ann", "c1", 1, &node)).await.unwrap();
        clock.set(Timestamp::from_secs(9_000_000));
        assert!(one(&presence, "ann").await.online);
        clock.set(Timestamp::from_secs(10));
        presence.disconnected(&connection("ann", "c1", 1, &node)).await.unwrap();
        assert_eq!(
            one(&presence, "ann").await.last_seen,
            Some(Timestamp::from_secs(1_000)),
            "not before they came"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_claim_cannot_bring_back_what_was_ended() {
        let presence = MemoryPresence::new();
        let node = lease("n1", 1);
        presence.renew(&node, TTL).await.unwrap();
        let (first, second) = (connection("ann", "c1", 1, &node), connection("ann", "c1", 2, &node));
        presence.connected(&first).await.unwrap();
        assert_eq!(presence.disconnected(&first).await.unwrap(), PresenceChange::Noted);
        assert_eq!(presence.disconnected(&first).await.unwrap(), PresenceChange::Stale);
        assert_eq!(presence.connected(&first).await.unwrap(), PresenceChange::Stale);
        assert!(!one(&presence, "ann").await.online);
        // A greater incarnation is a new life, which the end of the older one does not touch.
        assert_eq!(presence.connected(&second).await.unwrap(), PresenceChange::Noted);
        assert_eq!(presence.disconnected(&first).await.unwrap(), PresenceChange::Stale);
        assert!(one(&presence, "ann").await.online);
        // An end that overtook its beginning.
        let early = connection("bob", "c2", 1, &node);
        presence.disconnected(&early).await.unwrap();
        assert_eq!(presence.connected(&early).await.unwrap(), PresenceChange::Stale);
        assert_eq!(one(&presence, "bob").await, UserPresence::never(user("bob")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_greater_incarnation_of_a_node_ends_the_older_ones_connections() {
        let presence = MemoryPresence::new();
        let (old, new) = (lease("n1", 1), lease("n1", 2));
        presence.renew(&old, TTL).await.unwrap();
        presence.connected(&connection("ann", "c1", 1, &old)).await.unwrap();
        assert_eq!(presence.renew(&new, TTL).await.unwrap(), LeaseStatus::Started);
        assert!(!one(&presence, "ann").await.online);
        assert_eq!(presence.renew(&old, TTL).await.unwrap(), LeaseStatus::Superseded);
        assert_eq!(
            presence.connected(&connection("ann", "c2", 1, &old)).await.unwrap(),
            PresenceChange::Stale
        );
        presence.connected(&connection("ann", "c3", 1, &new)).await.unwrap();
        presence.release(&old).await.unwrap();
        assert!(one(&presence, "ann").await.online, "releasing the dead life does nothing");
        presence.release(&new).await.unwrap();
        assert!(!one(&presence, "ann").await.online);
        assert_eq!(presence.renew(&old, TTL).await.unwrap(), LeaseStatus::Superseded, "still dead");
        assert_eq!(presence.renew(&new, TTL).await.unwrap(), LeaseStatus::Started);
    }

    #[tokio::test(start_paused = true)]
    async fn since_outlives_connections_that_overlap() {
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(1)));
        let presence = MemoryPresence::with_clock(clock.clone());
        let node = lease("n1", 1);
        presence.renew(&node, TTL).await.unwrap();
        presence.connected(&connection("ann", "c1", 1, &node)).await.unwrap();
        clock.set(Timestamp::from_secs(2));
        presence.connected(&connection("ann", "c2", 1, &node)).await.unwrap();
        assert_eq!(one(&presence, "ann").await.connections, 2);
        presence.disconnected(&connection("ann", "c1", 1, &node)).await.unwrap();
        clock.set(Timestamp::from_secs(3));
        presence.connected(&connection("ann", "c2", 2, &node)).await.unwrap();
        let ann = one(&presence, "ann").await;
        assert_eq!((ann.connections, ann.since), (1, Some(Timestamp::from_secs(1))));
        presence.disconnected(&connection("ann", "c2", 2, &node)).await.unwrap();
        clock.set(Timestamp::from_secs(4));
        let back = presence.connected(&connection("ann", "c3", 1, &node)).await.unwrap();
        assert_eq!(back, PresenceChange::Noted, "a reconnect within the grace does not flap");
        assert_eq!(one(&presence, "ann").await.since, Some(Timestamp::from_secs(4)));
        advance(GRACE).await;
        assert_eq!(presence.sweep(GRACE).await.unwrap(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_swept_user_is_given_once_and_leaves_only_when_they_were_last_seen() {
        let presence = MemoryPresence::new();
        let node = lease("n1", 1);
        for round in 0..100 {
            presence.renew(&node, TTL).await.unwrap();
            let id = format!("c{round}");
            let name = format!("u{round}");
            presence.connected(&connection(&name, &id, 1, &node)).await.unwrap();
            presence.disconnected(&connection(&name, &id, 1, &node)).await.unwrap();
        }
        advance(GRACE).await;
        let (first, second) =
            (presence.sweep(GRACE).await.unwrap(), presence.clone().sweep(GRACE).await.unwrap());
        assert_eq!((first.len(), second.len()), (100, 0));
        advance(TTL).await;
        assert!(one(&presence, "u7").await.last_seen.is_some());
        assert_eq!(lock(&presence.state).leftovers(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn renewing_again_and_again_keeps_one_expiry() {
        let presence = MemoryPresence::new();
        let node = lease("n1", 1);
        for _ in 0..10 {
            presence.renew(&node, TTL).await.unwrap();
            presence.renew(&node, TTL).await.unwrap();
            presence.connected(&connection("ann", "c1", 1, &node)).await.unwrap();
            advance(secs(50)).await;
            assert!(one(&presence, "ann").await.online);
        }
        advance(secs(10)).await;
        assert!(!one(&presence, "ann").await.online);
    }
}

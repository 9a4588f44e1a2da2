//! How often a user or a room may do something.

use std::{
    fmt,
    hash::Hash,
    num::NonZeroU32,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use governor::{clock::Clock as _, middleware::NoOpMiddleware, state::keyed::DashMapStateStore};
use tokio::time::Instant;

use crate::{Backend, Result, RoomId, UserId};

/// Whose allowance is used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// One user's sends, on all connections.
    UserSends(UserId),
    /// All sends into one room.
    RoomSends(RoomId),
    /// One user's typing notices and other signals.
    UserSignals(UserId),
    /// One user's reads of history, searches and lists.
    UserReads(UserId),
}

/// The answer to a request for allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateDecision {
    /// Go on.
    Allowed,
    /// Not before this time has passed.
    Limited {
        /// How long.
        retry_after: Duration,
    },
}

/// Allows a steady rate with bursts (GCRA). One node's own memory by default; a store shared by all nodes where one is set.
#[async_trait]
pub trait RateLimiter: Backend {
    /// Takes one unit of `key`'s allowance, if there is one.
    async fn check(&self, key: RateKey) -> Result<RateDecision>;
}

/// A steady rate, with bursts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many per second in the long run; zero is taken as one.
    pub per_second: u32,
    /// How many at once after a pause; zero is taken as one.
    pub burst: u32,
}

impl Quota {
    /// Puts the two together.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }

    fn to_governor(self) -> governor::Quota {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        governor::Quota::per_second(at_least_one(self.per_second)).allow_burst(at_least_one(self.burst))
    }
}

/// What each class of [`RateKey`] is allowed; `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// For [`RateKey::UserSends`].
    pub user_sends: Option<Quota>,
    /// For [`RateKey::RoomSends`].
    pub room_sends: Option<Quota>,
    /// For [`RateKey::UserSignals`].
    pub user_signals: Option<Quota>,
    /// For [`RateKey::UserReads`].
    pub user_reads: Option<Quota>,
}

impl RateLimits {
    /// A user's sends unless set: 10 per second, 30 at once.
    pub const DEFAULT_USER_SENDS: Quota = Quota::new(10, 30);
    /// A room's sends unless set: 200 per second, 400 at once.
    pub const DEFAULT_ROOM_SENDS: Quota = Quota::new(200, 400);
    /// A user's signals unless set: 5 per second, 20 at once.
    pub const DEFAULT_USER_SIGNALS: Quota = Quota::new(5, 20);
    /// A user's reads unless set: 20 per second, 100 at once.
    pub const DEFAULT_USER_READS: Quota = Quota::new(20, 100);

    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            user_sends: Some(Self::DEFAULT_USER_SENDS),
            room_sends: Some(Self::DEFAULT_ROOM_SENDS),
            user_signals: Some(Self::DEFAULT_USER_SIGNALS),
            user_reads: Some(Self::DEFAULT_USER_READS),
        }
    }

    /// No limits at all.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { user_sends: None, room_sends: None, user_signals: None, user_reads: None }
    }

    /// With another allowance for a user's sends; `None` for no limit.
    #[must_use]
    pub const fn with_user_sends(mut self, quota: Option<Quota>) -> Self {
        self.user_sends = quota;
        self
    }

    /// With another allowance for a room's sends; `None` for no limit.
    #[must_use]
    pub const fn with_room_sends(mut self, quota: Option<Quota>) -> Self {
        self.room_sends = quota;
        self
    }

    /// With another allowance for a user's signals; `None` for no limit.
    #[must_use]
    pub const fn with_user_signals(mut self, quota: Option<Quota>) -> Self {
        self.user_signals = quota;
        self
    }

    /// With another allowance for a user's reads; `None` for no limit.
    #[must_use]
    pub const fn with_user_reads(mut self, quota: Option<Quota>) -> Self {
        self.user_reads = quota;
        self
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// [`RateLimiter`] in one node's memory: what is done on another node does not count here.
///
/// It runs on tokio's clock. Keys whose allowance is full again are forgotten from time to time, so memory is bounded by
/// the keys used lately.
#[derive(Debug)]
pub struct LocalRateLimiter {
    user_sends: Option<Class<UserId>>,
    room_sends: Option<Class<RoomId>>,
    user_signals: Option<Class<UserId>>,
    user_reads: Option<Class<UserId>>,
}

impl LocalRateLimiter {
    /// A limiter with nothing used yet.
    #[must_use]
    pub fn new(limits: &RateLimits) -> Self {
        Self {
            user_sends: limits.user_sends.map(Class::new),
            room_sends: limits.room_sends.map(Class::new),
            user_signals: limits.user_signals.map(Class::new),
            user_reads: limits.user_reads.map(Class::new),
        }
    }
}

impl Default for LocalRateLimiter {
    fn default() -> Self {
        Self::new(&RateLimits::default())
    }
}

#[async_trait]
impl Backend for LocalRateLimiter {
    fn name(&self) -> &'static str {
        "local"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl RateLimiter for LocalRateLimiter {
    async fn check(&self, key: RateKey) -> Result<RateDecision> {
        let allowed = |class: &Option<Class<UserId>>, user| {
            class.as_ref().map_or(RateDecision::Allowed, |class| class.check(user))
        };
        Ok(match &key {
            RateKey::UserSends(user) => allowed(&self.user_sends, user),
            RateKey::UserSignals(user) => allowed(&self.user_signals, user),
            RateKey::UserReads(user) => allowed(&self.user_reads, user),
            RateKey::RoomSends(room) => {
                self.room_sends.as_ref().map_or(RateDecision::Allowed, |class| class.check(room))
            }
        })
    }
}

/// Idle keys are looked for after this many checks, or after as many as there were keys left the last time if that is
/// more: so the search costs each check a constant share, and idle keys are at most as many as that.
const CHECKS_BETWEEN_SWEEPS: usize = 4_096;

/// The limiter of one class of keys.
struct Class<K: Hash + Eq + Clone> {
    limiter: governor::RateLimiter<K, DashMapStateStore<K>, TokioClock, NoOpMiddleware<Duration>>,
    checks: AtomicUsize,
    checks_until_sweep: AtomicUsize,
}

impl<K: Hash + Eq + Clone> Class<K> {
    fn new(quota: Quota) -> Self {
        let limiter = governor::RateLimiter::dashmap_with_clock(quota.to_governor(), TokioClock::new());
        Self {
            limiter,
            checks: AtomicUsize::new(0),
            checks_until_sweep: AtomicUsize::new(CHECKS_BETWEEN_SWEEPS),
        }
    }

    fn check(&self, key: &K) -> RateDecision {
        let checks = self.checks.fetch_add(1, Ordering::Relaxed) + 1;
        // Only the check that hits the number exactly sweeps, so that others do not wait to do the same.
        if checks == self.checks_until_sweep.load(Ordering::Relaxed) {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
            self.checks_until_sweep.store(self.limiter.len().max(CHECKS_BETWEEN_SWEEPS), Ordering::Relaxed);
            self.checks.store(0, Ordering::Relaxed);
        }
        match self.limiter.check_key(key) {
            Ok(()) => RateDecision::Allowed,
            Err(not_until) => {
                RateDecision::Limited { retry_after: not_until.wait_time_from(self.limiter.clock().now()) }
            }
        }
    }
}

/// Says how many keys there are, not whose.
impl<K: Hash + Eq + Clone> fmt::Debug for Class<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Class").field("keys", &self.limiter.len()).finish_non_exhaustive()
    }
}

/// Time since the limiter was made, on tokio's clock: it stands still where a test pauses that.
#[derive(Debug, Clone)]
struct TokioClock {
    start: Instant,
}

impl TokioClock {
    fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl governor::clock::Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    async fn allowed(limiter: &LocalRateLimiter, key: RateKey) -> usize {
        let mut allowed = 0;
        while allowed < 1_000 && limiter.check(key.clone()).await.unwrap() == RateDecision::Allowed {
            allowed += 1;
        }
        allowed
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_allowed_and_then_the_steady_rate() {
        let limiter = LocalRateLimiter::default();
        let key = RateKey::UserSends(user("ann"));
        assert_eq!(allowed(&limiter, key.clone()).await, 30);
        let RateDecision::Limited { retry_after } = limiter.check(key.clone()).await.unwrap() else {
            panic!()
        };
        assert_eq!(retry_after, Duration::from_millis(100));
        tokio::time::advance(retry_after).await;
        assert_eq!(allowed(&limiter, key.clone()).await, 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(allowed(&limiter, key.clone()).await, 10);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(allowed(&limiter, key).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn every_class_and_every_key_has_its_own_allowance() {
        let limiter = LocalRateLimiter::default();
        assert_eq!(allowed(&limiter, RateKey::UserSends(user("ann"))).await, 30);
        assert_eq!(allowed(&limiter, RateKey::UserSends(user("bob"))).await, 30);
        assert_eq!(allowed(&limiter, RateKey::UserSignals(user("ann"))).await, 20);
        assert_eq!(allowed(&limiter, RateKey::UserReads(user("ann"))).await, 100);
        assert_eq!(allowed(&limiter, RateKey::RoomSends(RoomId::new("r").unwrap())).await, 400);
        let without = LocalRateLimiter::new(&RateLimits::unlimited().with_user_sends(Some(Quota::new(0, 0))));
        assert_eq!(allowed(&without, RateKey::UserReads(user("ann"))).await, 1_000);
        assert_eq!(allowed(&without, RateKey::UserSends(user("ann"))).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_keys_are_forgotten() {
        let limiter = LocalRateLimiter::default();
        for number in 0..20 * CHECKS_BETWEEN_SWEEPS {
            tokio::time::advance(Duration::from_millis(1)).await;
            limiter.check(RateKey::UserSends(user(&number.to_string()))).await.unwrap();
        }
        // One send is used up for 100 ms, so 100 keys are in use at a time, and the rest wait for the next sweep.
        let keys = limiter.user_sends.as_ref().unwrap().limiter.len();
        assert!(keys <= 2 * CHECKS_BETWEEN_SWEEPS, "{keys}");
    }
}

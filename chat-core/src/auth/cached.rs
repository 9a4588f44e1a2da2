use std::{
    fmt, future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use moka::{future::Cache, ops::compute::Op};
use sha2::{Digest as _, Sha256};

use super::{Auth, Credentials, Principal};
use crate::{Backend, Clock, Error, Result, Retry, SystemClock, Timestamp};

/// How [`Cached`] remembers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CachedConfig {
    /// How long an answer is used; never past the principal's expiry. 5 minutes unless set.
    pub time_to_live: Duration,
    /// At most this many answers are kept, rarely used ones going first. 10,000 unless set.
    pub capacity: u64,
}

impl CachedConfig {
    /// The default of [`time_to_live`](Self::time_to_live).
    pub const DEFAULT_TIME_TO_LIVE: Duration = Duration::from_secs(300);
    /// The default of [`capacity`](Self::capacity).
    pub const DEFAULT_CAPACITY: u64 = 10_000;
    /// A longer time to live is treated as this: 1 day.
    pub const MAX_TIME_TO_LIVE: Duration = Duration::from_secs(86_400);

    /// With another time to live, at most [`MAX_TIME_TO_LIVE`](Self::MAX_TIME_TO_LIVE). Zero shares calls that are
    /// under way and remembers nothing.
    #[must_use]
    pub const fn with_time_to_live(mut self, time_to_live: Duration) -> Self {
        self.time_to_live = time_to_live;
        self
    }

    /// With another capacity.
    #[must_use]
    pub const fn with_capacity(mut self, capacity: u64) -> Self {
        self.capacity = capacity;
        self
    }
}

impl Default for CachedConfig {
    fn default() -> Self {
        Self { time_to_live: Self::DEFAULT_TIME_TO_LIVE, capacity: Self::DEFAULT_CAPACITY }
    }
}

/// A SHA-256 of the credentials, so that a dump of memory holds no secret that opens anything.
type Key = [u8; 32];

/// What was answered, and for how long it holds.
#[derive(Clone)]
struct Answer {
    principal: Principal,
    until: Timestamp,
    generation: u64,
}

/// Invalidations are counted in this many groups of keys. Two keys of one group cost each other a call, nothing more.
const GENERATIONS: usize = 256;

/// How often a call waits for another one's answer that turns out to be too old.
const ATTEMPTS: usize = 3;

/// Remembers who was let in, so that a slow check is not repeated with every request or reconnect.
///
/// Calls with the same credentials at the same time become one. Only "yes" is remembered, for at most the time to live
/// and never past the principal's expiry; errors never. Credentials with neither token nor presentation are passed on
/// each time, since guests share them without being one user.
///
/// What is remembered cannot be revoked here: put [`Revocable`](super::Revocable) *round* this, not into it.
pub struct Cached<A> {
    inner: A,
    config: CachedConfig,
    clock: Arc<dyn Clock>,
    answers: Cache<Key, Answer>,
    /// How often a key of the group was invalidated. An answer counts only while that is as it was when the call for it
    /// began, so one that was on its way during an invalidation is not used afterwards.
    generations: Box<[AtomicU64]>,
}

impl<A: Auth> Cached<A> {
    /// Remembers what `inner` answers.
    #[must_use]
    pub fn new(inner: A, mut config: CachedConfig) -> Self {
        config.time_to_live = config.time_to_live.min(CachedConfig::MAX_TIME_TO_LIVE);
        // This bound is by the monotonic clock: memory is given back and nothing outlives it when the wall clock jumps.
        let answers =
            Cache::builder().max_capacity(config.capacity).time_to_live(config.time_to_live).build();
        let generations = (0..GENERATIONS).map(|_| AtomicU64::new(0)).collect();
        Self { inner, config, clock: Arc::new(SystemClock), answers, generations }
    }

    /// With another clock than the system's for the principals' expiry.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Forgets the answer for these credentials. Once this returns, every later call asks again.
    pub async fn invalidate(&self, credentials: &Credentials) {
        let key = key_of(credentials);
        self.generation_of(&key).fetch_add(1, Ordering::SeqCst);
        self.answers.invalidate(&key).await;
    }

    /// What lies beneath.
    #[must_use]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    fn generation_of(&self, key: &Key) -> &AtomicU64 {
        // A byte is always below `GENERATIONS`.
        &self.generations[usize::from(key[0])]
    }

    fn holds(&self, key: &Key, answer: &Answer) -> bool {
        self.clock.now() < answer.until && answer.generation == self.generation_of(key).load(Ordering::SeqCst)
    }

    async fn ask(&self, key: &Key, credentials: &Credentials) -> Result<Answer> {
        let generation = self.generation_of(key).load(Ordering::SeqCst);
        let principal = self.inner.authenticate(credentials).await?;
        let latest = self.clock.now().after(self.config.time_to_live);
        let until = principal.expires_at.map_or(latest, |expiry| expiry.min(latest));
        Ok(Answer { principal, until, generation })
    }
}

fn key_of(credentials: &Credentials) -> Key {
    let mut digest = Sha256::new();
    for part in [&credentials.token, &credentials.presentation] {
        // The length in front keeps two parts from being read as two others; absent is not the same as empty.
        match part {
            Some(secret) => {
                digest.update([1]);
                digest.update((secret.expose().len() as u64).to_be_bytes());
                digest.update(secret.expose());
            }
            None => digest.update([0]),
        }
    }
    digest.finalize().into()
}

impl<A: fmt::Debug> fmt::Debug for Cached<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .field("entries", &self.answers.entry_count())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<A: Auth> Backend for Cached<A> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }
}

#[async_trait]
impl<A: Auth> Auth for Cached<A> {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        if credentials.token.is_none() && credentials.presentation.is_none() {
            return self.inner.authenticate(credentials).await;
        }
        let key = key_of(credentials);
        for _ in 0..ATTEMPTS {
            let entry = self.answers.entry_by_ref(&key).or_try_insert_with(self.ask(&key, credentials)).await;
            let entry = entry.map_err(for_each_waiter)?;
            // This call's own answer is as new as it can be.
            if entry.is_fresh() || self.holds(&key, entry.value()) {
                return Ok(entry.into_value().principal);
            }
            // Only what is still too old by now: another call may have put a new one there.
            let remove = |entry: Option<moka::Entry<Key, Answer>>| {
                let old = entry.is_some_and(|entry| !self.holds(&key, entry.value()));
                future::ready(if old { Op::Remove } else { Op::Nop })
            };
            self.answers.entry_by_ref(&key).and_compute_with(remove).await;
        }
        self.inner.authenticate(credentials).await
    }

    async fn revalidate(&self, principal: &Principal) -> Result<()> {
        self.inner.revalidate(principal).await
    }
}

/// The cause of an error that several calls share, shown once in a printed chain.
#[derive(Debug)]
struct SharedCause(Arc<Error>);

impl fmt::Display for SharedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Error::Backend { source, .. } => source.fmt(f),
            other => other.fmt(f),
        }
    }
}

impl std::error::Error for SharedCause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Error::Backend { source, .. } => source.source(),
            other => std::error::Error::source(other),
        }
    }
}

/// An error of its own for each of the calls that waited for one answer.
fn for_each_waiter(shared: Arc<Error>) -> Error {
    let shared = match Arc::try_unwrap(shared) {
        Ok(error) => return error,
        Err(shared) => shared,
    };
    match &*shared {
        Error::Unauthenticated(error) => Error::Unauthenticated(error.clone()),
        Error::RateLimited { retry_after } => Error::RateLimited { retry_after: *retry_after },
        Error::Busy { retry_after } => Error::Busy { retry_after: *retry_after },
        Error::Timeout { operation } => Error::Timeout { operation },
        Error::Unsupported { part } => Error::Unsupported { part },
        Error::Forbidden { reason } => Error::Forbidden { reason },
        Error::Draining => Error::Draining,
        Error::Backend { backend, operation, retry, .. } => {
            Error::backend(backend, operation, *retry, SharedCause(Arc::clone(&shared)))
        }
        other => {
            let retry = if other.is_retryable() { Retry::Later } else { Retry::Never };
            Error::backend("cached", "authenticate", retry, SharedCause(Arc::clone(&shared)))
        }
    }
}

#[cfg(test)]
mod tests;

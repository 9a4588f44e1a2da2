//! Who is online, and besides in a key per user, for other services to read.

mod here;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, ConnectionId, Presence, Result, UserId,
    presence::{self, LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
};
use fred::types::Value;
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, timeout};

use self::here::{Entry, Here, Pace};
use crate::{RedisError, backend::Shared, presence::RedisPresence, script::Script};

/// Users whose keys are written at once.
const WRITTEN_AT_ONCE: usize = 64;
/// How long a renewal may write entries, which is well within what the engine waits for it by default. The next one goes on there.
const WRITING: Duration = Duration::from_secs(4);

static LISTED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/listed.lua")));

/// Presence as [`RedisPresence`] keeps it, which alone decides. What is listed follows it: an entry that could not be written is again
/// when its user's next turn comes, with the next renewal mostly, and one that could not be taken out runs out.
pub(crate) struct ListedPresence {
    inner: Arc<dyn Presence>,
    shared: Arc<Shared>,
    prefix: String,
    here: Mutex<Here>,
    /// Of the last renewal, in milliseconds.
    lifetime: AtomicU64,
    /// The last renewal had no answer.
    unanswered: AtomicBool,
    /// How long a renewal may write entries.
    writing: Duration,
}

impl ListedPresence {
    pub(crate) fn new(shared: Arc<Shared>, prefix: String) -> Self {
        Self::over(Arc::new(RedisPresence::new(Arc::clone(&shared))), shared, prefix)
    }

    fn over(inner: Arc<dyn Presence>, shared: Arc<Shared>, prefix: String) -> Self {
        Self {
            inner,
            shared,
            prefix,
            here: Mutex::default(),
            lifetime: AtomicU64::new(millis(presence::DEFAULT_LEASE)),
            unanswered: AtomicBool::new(false),
            writing: WRITING,
        }
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes everybody's entries anew, by turns. A dropped call has had some of them, and the next one goes on there.
    async fn put_all(&self) {
        let turns = self.here().turns();
        let turns = turns.map(|(user, entries)| async move {
            // A key that does not answer would take the time of all behind it.
            let _ = timeout(self.writing / 2, self.put(&user, &entries)).await;
            user
        });
        // In their order: all before the one who was the last have had their turn. Also those whose key cannot be written: they
        // would take the turns of all others.
        let mut done = pin!(stream::iter(turns).buffered(WRITTEN_AT_ONCE));
        while let Some(user) = done.next().await {
            self.here().had_turn(user);
        }
    }

    /// Puts these, and takes out again what went meanwhile: its own removal may have come first.
    async fn put(&self, user: &UserId, entries: &[(ConnectionId, Entry)]) {
        let begun = Instant::now();
        let is_written = self.write(user, entries, &[]).await;
        let ids = || entries.iter().map(|(connection, _)| connection);
        let gone: Vec<_> = {
            let mut here = self.here();
            if is_written {
                here.written(ids(), begun);
            }
            ids().filter(|connection| !here.contains(connection)).cloned().collect()
        };
        if !gone.is_empty() {
            self.write(user, &[], &gone).await;
        }
    }

    /// Whether it was done.
    async fn write(&self, user: &UserId, put: &[(ConnectionId, Entry)], taken: &[ConnectionId]) -> bool {
        let mut arguments: Vec<Value> =
            vec![self.lifetime.load(Ordering::Relaxed).to_string().into(), put.len().to_string().into()];
        for (connection, entry) in put {
            let since = entry.since.as_millis().to_string();
            arguments.extend([
                connection.as_str().into(),
                entry.server.as_str().into(),
                Value::from(since.as_str()),
            ]);
        }
        arguments.extend(taken.iter().map(|connection| connection.as_str().into()));
        let key = [format!("{}{user}", self.prefix)];
        let written = async { LISTED.call(self.shared.client()?, &key, arguments).await };
        let done: std::result::Result<Value, RedisError> = written.await;
        if let Err(error) = &done {
            tracing::debug!(%error, "a user's connections were not listed");
        }
        done.is_ok()
    }

    /// Says so where what is listed stops or begins to tell of all who are here.
    fn tell_pace(&self, lifetime: Duration) {
        let pace = self.here().pace(lifetime);
        match pace {
            Some(Pace::FellBehind(connections)) => tracing::warn!(
                connections,
                "connections that are here ran out of what is listed: their keys were not written anew in time"
            ),
            Some(Pace::CaughtUp) => tracing::info!("all connections are listed again"),
            None => {}
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for ListedPresence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedPresence")
            .field("inner", &self.inner)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for ListedPresence {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }
}

#[async_trait]
impl Presence for ListedPresence {
    async fn renew(&self, lease: &NodeLease, ttl: Duration) -> Result<LeaseStatus> {
        // As the contract has it, all are then registered again: also where the answer to the one before was lost.
        let was_unanswered = self.unanswered.swap(true, Ordering::AcqRel);
        let status = self.inner.renew(lease, ttl).await?;
        self.unanswered.store(false, Ordering::Release);
        if status == LeaseStatus::Superseded {
            return Ok(status);
        }
        self.lifetime.store(millis(ttl), Ordering::Relaxed);
        if status == LeaseStatus::Started || was_unanswered {
            self.here().begin_anew();
            return Ok(status);
        }
        if timeout(self.writing, self.put_all()).await.is_err() {
            tracing::debug!(
                "not all connections could be listed anew in time; the next renewal goes on there"
            );
        }
        self.tell_pace(ttl);
        Ok(status)
    }

    async fn release(&self, lease: &NodeLease) -> Result<()> {
        let released = self.inner.release(lease).await;
        let gone = stream::iter(self.here().take_all());
        let taken = gone.for_each_concurrent(WRITTEN_AT_ONCE, async |(connection, entry)| {
            self.write(&entry.user, &[], &[connection]).await;
        });
        taken.await;
        released
    }

    async fn connected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        let PresenceConnection { user, connection: id, .. } = connection;
        // Known before the answer, so that one that goes meanwhile is known to have gone.
        let (call, entry) = self.here().register(connection);
        let change = self.inner.connected(connection).await;
        match change {
            Ok(PresenceChange::Stale) => self.here().refuse(id, call),
            Ok(_) if self.here().contains(id) => self.put(user, &[(id.clone(), entry)]).await,
            // Nobody knows then: it is listed, until the lease begins anew for that.
            _ => {}
        }
        change
    }

    async fn disconnected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        let PresenceConnection { user, connection: id, .. } = connection;
        let was_here = self.here().take(connection);
        let change = self.inner.disconnected(connection).await;
        // A late registration may have come between.
        if self.here().take(connection) || was_here {
            self.write(user, &[], std::slice::from_ref(id)).await;
        }
        change
    }

    async fn presence(&self, users: &[UserId]) -> Result<Vec<UserPresence>> {
        self.inner.presence(users).await
    }

    async fn sweep(&self, grace: Duration) -> Result<Vec<UserPresence>> {
        self.inner.sweep(grace).await
    }
}

//! Who is online, and besides in a key per user, for other services to read.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, Clock as _, ConnectionId, Presence, Result, SystemClock, Timestamp, UserId,
    presence::{self, LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
};
use fred::types::Value;
use futures::{StreamExt as _, stream};
use tokio::time::timeout;

use crate::{RedisError, backend::Shared, presence::RedisPresence, script::Script};

/// Users whose keys are written at once.
const WRITTEN_AT_ONCE: usize = 64;
/// How long a renewal may write entries, which is well within what the engine waits for it by default. The rest is with the next one.
const WRITING: Duration = Duration::from_secs(4);

static LISTED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/listed.lua")));

/// A connection of this node.
#[derive(Debug, Clone)]
struct Entry {
    user: UserId,
    server: String,
    since: Timestamp,
}

type Entries = HashMap<ConnectionId, Entry>;

/// What this node lists.
#[derive(Default)]
struct Here {
    /// As many as the node has sessions.
    entries: Entries,
    /// Those of the lease's life before, until they are registered anew. Whose end did not come through is never registered again, and
    /// so is forgotten.
    before: Entries,
}

impl Here {
    fn contains(&self, connection: &ConnectionId) -> bool {
        self.entries.contains_key(connection)
    }

    fn take(&mut self, connection: &ConnectionId) -> bool {
        let was_before = self.before.remove(connection).is_some();
        self.entries.remove(connection).is_some() || was_before
    }

    fn begin_anew(&mut self) {
        self.before = std::mem::take(&mut self.entries);
    }
}

/// Presence as [`RedisPresence`] keeps it, which alone decides. What is listed follows it: an entry that could not be written is with
/// the next renewal, and one that could not be taken out runs out.
pub(crate) struct ListedPresence {
    inner: RedisPresence,
    shared: Arc<Shared>,
    prefix: String,
    here: Mutex<Here>,
    /// Of the last renewal, in milliseconds.
    lifetime: AtomicU64,
    /// The last renewal had no answer.
    unanswered: AtomicBool,
}

impl ListedPresence {
    pub(crate) fn new(shared: Arc<Shared>, prefix: String) -> Self {
        let inner = RedisPresence::new(Arc::clone(&shared));
        let lifetime = AtomicU64::new(millis(presence::DEFAULT_LEASE));
        Self { inner, shared, prefix, here: Mutex::default(), lifetime, unanswered: AtomicBool::new(false) }
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts these, and takes out again what went meanwhile: its own removal may have come first.
    async fn put(&self, entries: Entries) {
        let mut by_user: BTreeMap<UserId, Vec<(ConnectionId, Entry)>> = BTreeMap::new();
        for (connection, entry) in entries {
            by_user.entry(entry.user.clone()).or_default().push((connection, entry));
        }
        let written = stream::iter(by_user).for_each_concurrent(WRITTEN_AT_ONCE, async |(user, entries)| {
            self.write(&user, &entries, &[]).await;
            let gone: Vec<_> = {
                let here = self.here();
                let ids = entries.into_iter().map(|(connection, _)| connection);
                ids.filter(|connection| !here.contains(connection)).collect()
            };
            if !gone.is_empty() {
                self.write(&user, &[], &gone).await;
            }
        });
        written.await;
    }

    async fn write(&self, user: &UserId, put: &[(ConnectionId, Entry)], taken: &[ConnectionId]) {
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
        if let Err(error) = done {
            tracing::debug!(%error, "a user's connections were not listed");
        }
    }

    fn take(&self, connection: &ConnectionId) -> bool {
        self.here().take(connection)
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
        let entries = {
            let mut here = self.here();
            here.before.clear();
            here.entries.clone()
        };
        if timeout(WRITING, self.put(entries)).await.is_err() {
            tracing::debug!("not all connections could be listed anew in time");
        }
        Ok(status)
    }

    async fn release(&self, lease: &NodeLease) -> Result<()> {
        let released = self.inner.release(lease).await;
        let Here { entries, before } = std::mem::take(&mut *self.here());
        let gone = stream::iter(before.into_iter().chain(entries));
        let taken = gone.for_each_concurrent(WRITTEN_AT_ONCE, async |(connection, entry)| {
            self.write(&entry.user, &[], &[connection]).await;
        });
        taken.await;
        released
    }

    async fn connected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        let PresenceConnection { user, connection: id, lease, .. } = connection;
        let entry = {
            let mut here = self.here();
            let before = here.before.remove(id).filter(|before| before.user == *user);
            let new = || {
                let since = before.map_or_else(|| SystemClock.now(), |before| before.since);
                Entry { user: user.clone(), server: lease.node.to_string(), since }
            };
            // Known before the answer, so that one that goes meanwhile is known to have gone.
            here.entries.entry(id.clone()).or_insert_with(new).clone()
        };
        let change = self.inner.connected(connection).await;
        match change {
            Ok(PresenceChange::Stale) => {
                self.take(id);
            }
            Ok(_) if self.here().contains(id) => {
                self.put(HashMap::from([(id.clone(), entry)])).await;
            }
            _ => {}
        }
        change
    }

    async fn disconnected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        let PresenceConnection { user, connection: id, .. } = connection;
        let was_here = self.take(id);
        let change = self.inner.disconnected(connection).await;
        // A late registration may have come between.
        if self.take(id) || was_here {
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

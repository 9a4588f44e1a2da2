use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Auth, Backend, Chat, ChatBuilder, ClientMessageId, Content, Draft, Durability, Error,
    Head, MemberChange, MessageLog, NewRoom, Page, Principal, ReadQuery, Result, Retention, Retry, Role,
    RoomId, Rooms, Settings, Storage as _, StoredMessage, UserId,
    auth::{AuthError, Credentials},
    memory::{MemoryFanout, MemoryPresence, MemoryStore},
    rate_limit::{LocalRateLimiter, RateLimits},
};
use tokio::sync::Semaphore;

/// Memory that lets others run at every call, and can be slow, held up, broken, or hung.
#[derive(Debug)]
pub(crate) struct TestLog {
    log: Arc<dyn MessageLog>,
    pub(crate) batches: Mutex<Vec<usize>>,
    /// An append waits for one of these.
    pub(crate) gate: Semaphore,
    pub(crate) latency: Duration,
    /// The next so many appends fail after they have stored.
    pub(crate) failures: AtomicUsize,
    pub(crate) hangs: AtomicBool,
    pub(crate) panics: AtomicBool,
    parallel: usize,
}

impl TestLog {
    pub(crate) fn new(store: &MemoryStore) -> Self {
        Self {
            log: store.message_log(),
            batches: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS / 2),
            latency: Duration::ZERO,
            failures: AtomicUsize::new(0),
            hangs: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            parallel: usize::MAX,
        }
    }

    /// Works on so many appends at once.
    pub(crate) const fn with_parallel(mut self, parallel: usize) -> Self {
        self.parallel = parallel;
        self
    }

    /// Every append waits to be let through.
    pub(crate) fn gated(store: &MemoryStore) -> Self {
        Self { gate: Semaphore::new(0), ..Self::new(store) }
    }
}

#[async_trait]
impl Backend for TestLog {
    fn name(&self) -> &'static str {
        "test"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl MessageLog for TestLog {
    fn durability(&self) -> Durability {
        Durability::Persisted
    }

    fn parallel_appends(&self) -> usize {
        self.parallel
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        self.batches.lock().unwrap().push(drafts.len());
        self.gate.acquire().await.unwrap().forget();
        assert!(!self.panics.load(Ordering::Relaxed), "a panic in a backend");
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(self.latency).await;
        tokio::task::yield_now().await;
        let outcomes = self.log.append(drafts).await;
        tokio::task::yield_now().await;
        let failed =
            self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match failed {
            Ok(_) => Err(Error::backend("test", "append", Retry::Later, "told to fail")),
            Err(_) => outcomes,
        }
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        tokio::task::yield_now().await;
        let page = self.log.read(room, query).await;
        tokio::task::yield_now().await;
        page
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        tokio::task::yield_now().await;
        let heads = self.log.heads(rooms).await;
        tokio::task::yield_now().await;
        heads
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.log.trim(room, retention).await
    }
}

/// Takes the token for the user's id, after a moment.
#[derive(Debug)]
struct ByName;

#[async_trait]
impl Backend for ByName {
    fn name(&self) -> &'static str {
        "by-name"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Auth for ByName {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        tokio::task::yield_now().await;
        let token = credentials.token.as_ref().ok_or(AuthError::Missing)?;
        Ok(Principal::new(UserId::new(token.expose()).map_err(|_| AuthError::Malformed)?))
    }

    async fn revalidate(&self, _: &Principal) -> Result<()> {
        tokio::task::yield_now().await;
        Ok(())
    }
}

pub(crate) fn room() -> RoomId {
    RoomId::new("general").unwrap()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.announce_members = false;
    settings.room_linger = Duration::from_millis(100);
    settings
}

pub(crate) fn builder(store: &MemoryStore, fanout: &MemoryFanout) -> ChatBuilder {
    Chat::builder()
        .log(store.message_log())
        .rooms(store.rooms())
        .fanout(fanout.clone())
        .presence(MemoryPresence::new())
        .auth(ByName)
        .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
        .settings(settings())
}

/// A store with the room and its members.
pub(crate) async fn store(members: &[&str]) -> MemoryStore {
    let store = MemoryStore::new();
    store.rooms().create(NewRoom::new(room())).await.unwrap();
    for member in members {
        store.rooms().change_member(&room(), MemberChange::add(user(member), Role::Member)).await.unwrap();
    }
    store
}

pub(crate) fn draft(sender: &str, client_id: &str) -> Draft {
    Draft::new(room(), user(sender), ClientMessageId::new(client_id).unwrap(), Content::text(client_id))
}

/// All that the room holds.
pub(crate) async fn entries(store: &MemoryStore) -> Vec<StoredMessage> {
    store.message_log().read(&room(), ReadQuery::newest().with_limit(1_000)).await.unwrap().entries
}

/// The client ids of what the room holds, in order.
pub(crate) async fn client_ids(store: &MemoryStore) -> Vec<String> {
    entries(store).await.iter().map(|entry| entry.client_id.to_string()).collect()
}

/// Polls a future `polls` times, letting everything else run in between, and drops it. Gives its output if it was done.
pub(crate) async fn poll_and_drop<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

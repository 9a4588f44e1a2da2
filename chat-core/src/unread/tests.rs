use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::{
    BoxError, Retry, Role, Storage as _, Timestamp,
    memory::{MemoryStore, MemoryUnreadCache},
    testkit::{
        LogNode,
        fixtures::{create_room, fill, room, user},
    },
};

/// Rooms, or a cache, that may be out of reach.
#[derive(Debug)]
struct Flaky<T> {
    inner: T,
    away: AtomicBool,
}

impl<T> Flaky<T> {
    fn new(inner: T) -> Self {
        Self { inner, away: AtomicBool::new(false) }
    }

    fn reach(&self) -> Result<&T> {
        match self.away.load(Ordering::SeqCst) {
            false => Ok(&self.inner),
            true => Err(Error::backend("flaky", "reach", Retry::Later, BoxError::from("away"))),
        }
    }

    fn goes(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }
}

#[async_trait]
impl<T: Backend> Backend for Flaky<T> {
    fn name(&self) -> &'static str {
        "flaky"
    }

    async fn health(&self) -> Result<()> {
        self.reach()?.health().await
    }
}

#[async_trait]
impl UnreadCache for Flaky<MemoryUnreadCache> {
    async fn recall(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<KnownUnread>> {
        self.reach()?.recall(user, rooms).await
    }

    async fn remember(&self, user: &UserId, counts: &[NewUnread]) -> Result<()> {
        self.reach()?.remember(user, counts).await
    }

    async fn hold(&self, user: &UserId, room: &RoomId) -> Result<UnreadHold> {
        self.reach()?.hold(user, room).await
    }

    async fn release(&self, user: &UserId, room: &RoomId, hold: &UnreadHold) -> Result<()> {
        self.reach()?.release(user, room, hold).await
    }
}

struct World {
    node: LogNode,
    cache: Arc<Flaky<MemoryUnreadCache>>,
    cached: CachedUnread<Arc<Flaky<MemoryUnreadCache>>>,
}

impl World {
    async fn new() -> Self {
        let store = MemoryStore::new();
        let node = LogNode { log: store.message_log(), rooms: store.rooms() };
        create_room(&node, "r", &["ann", "bob"]).await;
        fill(&node, "r", "ann", 5).await;
        let cache = Arc::new(Flaky::new(MemoryUnreadCache::new()));
        let cached = CachedUnread::new(store.rooms(), store.message_log(), Arc::clone(&cache));
        Self { node, cache, cached }
    }

    async fn unread(&self) -> u64 {
        self.cached.unread(&user("bob"), &[room("r")]).await.unwrap().remove(0)
    }

    /// What is known by the cache itself.
    async fn known(&self) -> KnownUnread {
        self.cache.inner.recall(&user("bob"), &[room("r")]).await.unwrap().remove(0)
    }

    async fn head(&self) -> Cursor {
        self.node.log.heads(&[room("r")]).await.unwrap().remove(0).unwrap().cursor
    }
}

#[tokio::test]
async fn no_count_fails_while_the_cache_does() {
    let world = World::new().await;
    world.cache.goes(true);
    assert_eq!(world.unread().await, 5);
    world.cache.goes(false);
    assert_eq!((world.unread().await, world.unread().await), (5, 5));
}

/// Otherwise other nodes would go on with the old count.
#[tokio::test]
async fn what_the_cache_cannot_be_told_of_before_is_refused_and_not_done() {
    let world = World::new().await;
    assert_eq!(world.unread().await, 5);
    world.cache.goes(true);
    let error = world.cached.mark_read(&room("r"), &user("bob"), &world.head().await).await.unwrap_err();
    assert!(error.is_retryable());
    let change = MemberChange::remove(user("bob"));
    assert!(world.cached.change_member(&room("r"), change).await.unwrap_err().is_retryable());
    world.cache.goes(false);
    assert_eq!(world.unread().await, 5);
    assert_eq!(world.node.rooms.unread(&user("bob"), &[room("r")]).await.unwrap(), [5]);
}

#[tokio::test]
async fn what_is_refused_ends_its_hold() {
    let world = World::new().await;
    let beyond = Cursor { seq: world.head().await.seq.next(), ..world.head().await };
    world.cached.mark_read(&room("r"), &user("bob"), &beyond).await.unwrap_err();
    assert_eq!(world.unread().await, 5);
    assert!(world.known().await.count.is_some());
}

/// A clock that is turned by hand.
#[derive(Debug, Clone, Default)]
struct Turned(Arc<Mutex<u64>>);

impl crate::Clock for Turned {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(*self.0.lock().unwrap())
    }
}

/// The store may do it later still.
#[tokio::test]
async fn what_may_still_be_done_is_counted_until_it_cannot_be() {
    let clock = Turned::default();
    let cache = MemoryUnreadCache::with_clock(Arc::new(clock.clone()));
    let store = MemoryStore::new();
    let node = LogNode { log: store.message_log(), rooms: store.rooms() };
    create_room(&node, "r", &["ann", "bob"]).await;
    fill(&node, "r", "ann", 5).await;
    let cached = CachedUnread::new(store.rooms(), store.message_log(), cache.clone());
    let late: Result<()> =
        cached.held(&user("bob"), &room("r"), async { Err(Error::Timeout { operation: "mark_read" }) }).await;
    late.unwrap_err();
    let (bob, rooms) = (user("bob"), [room("r")]);
    assert_eq!(cached.unread(&bob, &rooms).await.unwrap(), [5]);
    assert_eq!(cache.recall(&bob, &rooms).await.unwrap(), [KnownUnread::default()]);
    let head = node.log.heads(&rooms).await.unwrap().remove(0).unwrap();
    node.rooms.mark_read(&room("r"), &bob, &head.cursor).await.unwrap();
    assert_eq!(cached.unread(&bob, &rooms).await.unwrap(), [0]);
    *clock.0.lock().unwrap() += u64::try_from(HOLD_TIME.as_millis()).unwrap();
    assert_eq!(cached.unread(&bob, &rooms).await.unwrap(), [0]);
    assert!(cache.recall(&bob, &rooms).await.unwrap()[0].count.is_some());
}

#[tokio::test]
async fn what_is_kept_is_forgotten_in_time() {
    let clock = Turned::default();
    let cache = MemoryUnreadCache::with_clock(Arc::new(clock.clone()));
    let (bob, rooms) = (user("bob"), [room("r")]);
    let version = cache.recall(&bob, &rooms).await.unwrap().remove(0).version.unwrap();
    *clock.0.lock().unwrap() += u64::try_from(MemoryUnreadCache::TIME_TO_LIVE.as_millis()).unwrap();
    assert_ne!(cache.recall(&bob, &rooms).await.unwrap().remove(0).version, Some(version));
    assert_eq!(format!("{cache:?}"), "MemoryUnreadCache { users: 1 }");
}

#[tokio::test]
async fn a_new_role_is_no_reason_to_count_wrongly() {
    let world = World::new().await;
    assert_eq!(world.unread().await, 5);
    let change = MemberChange::add(user("bob"), Role::Moderator);
    world.cached.change_member(&room("r"), change).await.unwrap();
    assert_eq!(world.unread().await, 5);
}

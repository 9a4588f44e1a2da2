//! Chats on one hot log, with Redis between them.

use std::sync::Arc;

use chat_backend_redis::{HotLogConfig, RedisBackend, RedisConfig};
use chat_core::{
    Chat, MemberChange, MessageLog, NewRoom, Role, RoomId, Rooms, Search, Settings, Storage, UserId,
    rate_limit::{LocalRateLimiter, RateLimits},
    testkit::TokenIsUser,
    tiered::{Archive, Tiered, TieredSettings},
};
use chat_test_services::Redis;

/// Of a message: a short one.
pub(crate) const BYTES: usize = 100;

/// The parts of a store that every node shares.
struct Parts {
    log: Arc<dyn MessageLog>,
    rooms: Arc<dyn Rooms>,
    search: Arc<dyn Search>,
}

impl Storage for Parts {
    fn message_log(&self) -> Arc<dyn MessageLog> {
        Arc::clone(&self.log)
    }

    fn rooms(&self) -> Arc<dyn Rooms> {
        Arc::clone(&self.rooms)
    }

    fn search(&self) -> Arc<dyn Search> {
        Arc::clone(&self.search)
    }
}

pub(crate) struct Stage {
    store: Parts,
    archive: Arc<dyn Archive>,
    settings: TieredSettings,
    redis: RedisConfig,
}

impl Stage {
    pub(crate) async fn new(
        store: &(impl Storage + Sync),
        archive: Arc<dyn Archive>,
        settings: TieredSettings,
    ) -> Self {
        let store = Parts { log: store.message_log(), rooms: store.rooms(), search: store.search() };
        let server = Redis::shared().await.unwrap();
        let redis = RedisConfig::from_url(server.url()).unwrap().with_prefix(server.prefix());
        Self { store, archive, settings, redis }
    }

    /// A node with connections of its own.
    pub(crate) async fn node(&self) -> Chat {
        let redis = RedisBackend::connect(self.redis.clone()).await.unwrap();
        let hot = redis.hot_log(HotLogConfig::new());
        let tiered = Tiered::start(hot, Arc::clone(&self.archive), &self.store, self.settings.clone());
        let mut settings = Settings::default();
        settings.announce_members = false;
        Chat::builder()
            .storage(&tiered)
            .fanout(redis.fanout())
            .presence(redis.presence())
            .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
            .auth(TokenIsUser)
            .settings(settings)
            .build()
            .unwrap()
    }
}

pub(crate) fn room(number: usize) -> RoomId {
    RoomId::new(&format!("r{number}")).unwrap()
}

pub(crate) fn reader(number: usize) -> UserId {
    UserId::new(&format!("u{number}")).unwrap()
}

pub(crate) fn system() -> UserId {
    UserId::new("system").unwrap()
}

/// Each with one member.
pub(crate) async fn create_rooms(chat: &Chat, rooms: usize) {
    let system = chat.system(system());
    for number in 0..rooms {
        system.create_room(NewRoom::new(room(number))).await.unwrap();
        let add = MemberChange::add(reader(number), Role::Member);
        system.change_member(&room(number), add).await.unwrap();
    }
}

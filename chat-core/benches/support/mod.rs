//! What the benchmarks share: a chat in memory, users, and how figures are printed.
#![allow(dead_code, reason = "each benchmark is a program of its own and uses a part of this")]

pub(crate) mod quiet;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chat_core::{
    Auth, Backend, Chat, ChatBuilder, MemberChange, NewRoom, Result, Role, RoomId, Settings, Storage as _,
    UserId,
    auth::{AuthError, Credentials, Principal},
    memory::{MemoryFanout, MemoryPresence, MemoryStore},
    rate_limit::{LocalRateLimiter, RateLimits},
};

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Backend for Nobody {
    fn name(&self) -> &'static str {
        "nobody"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Auth for Nobody {
    async fn authenticate(&self, _: &Credentials) -> Result<Principal> {
        Err(AuthError::Missing.into())
    }

    async fn revalidate(&self, _: &Principal) -> Result<()> {
        Ok(())
    }
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn room(n: usize) -> RoomId {
    RoomId::new(&format!("room-{n}")).unwrap()
}

/// Without entries of membership, and with any number of sessions of one user.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.announce_members = false;
    settings.sessions_per_user = 1_000_000;
    settings
}

pub(crate) fn builder(store: &MemoryStore) -> ChatBuilder {
    Chat::builder()
        .log(store.message_log())
        .rooms(store.rooms())
        .fanout(MemoryFanout::new())
        .presence(MemoryPresence::new())
        .auth(Nobody)
        .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
        .settings(settings())
}

/// Rooms `0..count`, each with these members.
pub(crate) async fn rooms(chat: &Chat, count: usize, members: &[UserId]) {
    let system = chat.system(user("system"));
    for n in 0..count {
        system.create_room(NewRoom::new(room(n))).await.unwrap();
        for member in members {
            system.change_member(&room(n), MemberChange::add(member.clone(), Role::Member)).await.unwrap();
        }
    }
}

/// The median of `runs` times, so that one disturbance does not count.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

pub(crate) fn timed(f: impl FnOnce()) -> Duration {
    let start = Instant::now();
    f();
    start.elapsed()
}

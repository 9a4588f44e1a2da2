//! What the benchmarks share: a chat over a file, rooms, texts of a natural length.
#![allow(dead_code, reason = "each benchmark is a program of its own and uses a part of this")]

#[path = "../../src/search/terms.rs"]
pub(crate) mod terms;

use std::path::Path;

use async_trait::async_trait;
use chat_backend_sqlite::{SqliteBackend, SqliteConfig, Synchronous};
use chat_core::{
    Auth, Backend, Chat, MemberChange, NewRoom, Result, Role, RoomId, Settings, Storage as _, UserId,
    auth::{AuthError, Credentials, Principal},
    rate_limit::{LocalRateLimiter, RateLimits},
};
use sqlx::{
    ConnectOptions as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
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

pub(crate) async fn open(path: &Path, synchronous: Synchronous) -> SqliteBackend {
    SqliteBackend::open(SqliteConfig::new(path).with_synchronous(synchronous)).await.unwrap()
}

/// A chat that limits nobody.
pub(crate) fn chat(backend: &SqliteBackend) -> Chat {
    let mut settings = Settings::default();
    settings.announce_members = false;
    let limiter = LocalRateLimiter::new(&RateLimits::unlimited());
    Chat::builder()
        .memory()
        .storage(backend)
        .auth(Nobody)
        .limiter(limiter)
        .settings(settings)
        .build()
        .unwrap()
}

/// A connection of SQLite's own, with the settings that the backend's writer has.
pub(crate) async fn connect(path: &Path, synchronous: Synchronous) -> SqliteConnection {
    let synchronous = match synchronous {
        Synchronous::Full => SqliteSynchronous::Full,
        Synchronous::Normal => SqliteSynchronous::Normal,
        Synchronous::Off => SqliteSynchronous::Off,
    };
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false).synchronous(synchronous);
    let cache = format!("-{}", SqliteConfig::DEFAULT_CACHE_BYTES / 1_024);
    options.pragma("cache_size", cache).disable_statement_logging().connect().await.unwrap()
}

/// Rooms `0..count`, each with these members.
pub(crate) async fn rooms(backend: &SqliteBackend, count: usize, members: &[UserId]) {
    let rooms = backend.rooms();
    for n in 0..count {
        rooms.create(NewRoom::new(room(n))).await.unwrap();
        for member in members {
            rooms.change_member(&room(n), MemberChange::add(member.clone(), Role::Member)).await.unwrap();
        }
    }
}

/// Words that come often, seldom and hardly ever, as in a language.
const WORDS: [&str; 24] = [
    "the", "meeting", "is", "at", "noon", "tomorrow", "please", "bring", "green", "tea", "and", "a",
    "report", "about", "release", "deadline", "회의", "내일", "会議", "東京", "北京", "开会", "😀", "thanks",
];

/// Some 60 characters, different for each number; every thousandth says `pineapple`.
pub(crate) fn text(number: usize) -> String {
    let mut state = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995;
    let mut text = format!("{number}");
    for _ in 0..10 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The square makes the first words frequent.
        let place = usize::try_from(state >> 48).unwrap();
        text.push(' ');
        text.push_str(WORDS[(place * place * WORDS.len()) >> 32]);
    }
    if number.is_multiple_of(1_000) {
        text.push_str(" pineapple");
    }
    text
}

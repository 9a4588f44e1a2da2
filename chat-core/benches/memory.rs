//! Bytes of heap per idle session, alone and with ten rooms joined.
//!
//! `cargo bench -p chat-core --bench memory`. The engine's sessions only: without a gateway's socket and tasks, and without what
//! stores in the same process keep. The rooms exist before the first reading; each session has had one heartbeat.
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

mod support;

use std::time::Duration;

use chat_core::{JoinRequest, Session, SessionEvents, auth::Principal, memory::MemoryStore};
use peak_alloc::PeakAlloc;
use support::quiet::Quiet;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const SESSIONS: usize = 10_000;
const ROOMS: usize = 10;
const HEARTBEAT: Duration = Duration::from_millis(500);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!("heap per idle session, {SESSIONS} sessions");
        one_user().await;
        a_user_each().await;
    });
}

fn quiet_chat(store: &MemoryStore) -> chat_core::Chat {
    let mut settings = support::settings();
    settings.heartbeat_interval = HEARTBEAT;
    support::builder(store).fanout(Quiet).presence(Quiet).settings(settings).build().unwrap()
}

async fn one_user() {
    let store = MemoryStore::new();
    let chat = quiet_chat(&store);
    let users = [support::user("ann")];
    support::rooms(&chat, ROOMS, &users).await;
    measure("devices of one user", &chat, |_| users[0].clone()).await;
}

async fn a_user_each() {
    let store = MemoryStore::new();
    let chat = quiet_chat(&store);
    let users: Vec<_> = (0..SESSIONS).map(|n| support::user(&format!("user-{n}"))).collect();
    support::rooms(&chat, ROOMS, &users).await;
    measure("a user each", &chat, |n| users[n].clone()).await;
}

async fn measure(what: &str, chat: &chat_core::Chat, user: impl Fn(usize) -> chat_core::UserId) {
    // The rooms' own memory is not the sessions'.
    let (first, mut first_events) = chat.connect_as(Principal::new(user(0))).await.unwrap();
    join_all(&first, &mut first_events).await;

    let mut sessions: Vec<(Session, SessionEvents)> = Vec::with_capacity(SESSIONS);
    let start = settled().await;
    for n in 0..SESSIONS {
        sessions.push(chat.connect_as(Principal::new(user(n))).await.unwrap());
    }
    let connected = settled().await;
    for (session, events) in &mut sessions {
        join_all(session, events).await;
    }
    tokio::time::sleep(HEARTBEAT).await;
    for (_, events) in &mut sessions {
        // The heartbeat's own event, with the heads of the rooms.
        assert!(events.next().await.is_some());
        while events.try_next().is_some() {}
    }
    let joined = settled().await;
    let per_session = |bytes: usize| bytes.saturating_sub(start) as f64 / SESSIONS as f64;
    println!(
        "{what:<20} connected {:>6.0} bytes, joined to {ROOMS} rooms {:>6.0} bytes",
        per_session(connected),
        per_session(joined)
    );
}

async fn join_all(session: &Session, events: &mut SessionEvents) {
    for n in 0..ROOMS {
        session.join(JoinRequest::new(support::room(n))).await.unwrap();
    }
    while events.try_next().is_some() {}
}

async fn settled() -> usize {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    PeakAlloc::current_usage(&ALLOCATOR)
}

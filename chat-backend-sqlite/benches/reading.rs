//! What reading costs as history grows: pages at depth, unread numbers, the list of one's rooms, and search, each as a ratio
//! to something in the same run. One room gets 1,001,000 messages (fewer with `CHAT_BENCH_MESSAGES`), 49 others of the same
//! user 1,000 each, and 50 that the user is no member of 1,000 each.
//!
//! `cargo bench -p chat-backend-sqlite --bench reading`
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

mod support;

use std::time::{Duration, Instant};

use chat_backend_sqlite::{SqliteBackend, Synchronous};
use chat_core::{
    ClientMessageId, Content, Cursor, Draft, MemberChange, MessageLog, NewRoom, ReadQuery, Role, RoomId, Seq,
    Storage as _, UserId, View, search::SearchQuery,
};

const OWN_ROOMS: usize = 50;
const SMALL: usize = 1_000;
const BATCH: usize = 1_000;
const RUNS: usize = 200;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let large = std::env::var("CHAT_BENCH_MESSAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(1_001_000);
    let folder = tempfile::tempdir().unwrap();
    let backend = support::open(&folder.path().join("chat.db"), Synchronous::Normal).await;
    let (ann, bob) = (support::user("ann"), support::user("bob"));
    support::rooms(&backend, OWN_ROOMS, &[ann.clone(), bob.clone()]).await;
    let mut number = 0;
    for room in 0..OWN_ROOMS {
        fill(&backend, &support::room(room), &bob, &mut number, SMALL).await;
    }
    let young = (unread(&backend, &ann).await, my_rooms(&backend, &ann).await);
    // What ann must not find: as much again in rooms that are not hers, each message with a word of their own.
    for room in OWN_ROOMS..2 * OWN_ROOMS {
        foreign(&backend, &support::room(room), &bob, &mut number).await;
    }
    let start = Instant::now();
    fill(&backend, &support::room(0), &bob, &mut number, large - SMALL).await;
    println!("{large} messages in one room, written in {:.0?}", start.elapsed());
    let start = Instant::now();
    backend.settle_search().await.unwrap();
    println!("the index needed {:.0?} more", start.elapsed());

    let old = (unread(&backend, &ann).await, my_rooms(&backend, &ann).await);
    println!(
        "unread of {OWN_ROOMS} rooms: {:.0?}, then {:.0?}: {:.2} x",
        young.0,
        old.0,
        ratio(old.0, young.0)
    );
    println!(
        "my rooms, {OWN_ROOMS} of them: {:.0?}, then {:.0?}: {:.2} x",
        young.1,
        old.1,
        ratio(old.1, young.1)
    );
    for view in [View::Log, View::Timeline] {
        let (near, far) = pages(&backend, large as u64, view).await;
        println!(
            "page of 50 ({view:?}), 1,000 back {near:.0?}, {} back {far:.0?}: {:.2} x",
            large - 1_000,
            ratio(far, near)
        );
    }
    let page = page(&backend).await;
    println!("newest page of 50: {page:.0?}; search for 20, against it:");
    for (what, text) in [
        ("a frequent word", "the"),
        ("a rare word", "pineapple"),
        ("two words", "green deadline"),
        ("two characters of Korean", "회의"),
        ("one character of Chinese", "会"),
        ("two letters", "is"),
        ("an emoji", "😀"),
        ("a word of foreign rooms only", "xylophone"),
        ("a word that is nowhere", "zeppelin"),
        ("one message's number", "482915"),
        ("one whose fragments many have", "777777"),
    ] {
        let (time, found) = search(&backend, &ann, text).await;
        println!("  {what}: {time:.0?} for {found} found, {:.1} x", ratio(time, page));
    }
    let bytes = std::fs::metadata(backend.path()).unwrap().len();
    println!("file: {} bytes a message", bytes / number as u64);
    backend.close().await.unwrap();
}

async fn fill(backend: &SqliteBackend, room: &RoomId, sender: &UserId, number: &mut usize, count: usize) {
    let log = backend.message_log();
    for _ in 0..count / BATCH {
        let drafts: Vec<Draft> = (0..BATCH)
            .map(|_| {
                *number += 1;
                let id = ClientMessageId::new(&number.to_string()).unwrap();
                Draft::new(room.clone(), sender.clone(), id, Content::text(&support::text(*number)))
            })
            .collect();
        log.append(&drafts).await.unwrap();
    }
}

async fn foreign(backend: &SqliteBackend, room: &RoomId, sender: &UserId, number: &mut usize) {
    backend.rooms().create(NewRoom::new(room.clone())).await.unwrap();
    backend.rooms().change_member(room, MemberChange::add(sender.clone(), Role::Member)).await.unwrap();
    let drafts: Vec<Draft> = (0..SMALL)
        .map(|_| {
            *number += 1;
            let id = ClientMessageId::new(&number.to_string()).unwrap();
            let text = format!("{} xylophone", support::text(*number));
            Draft::new(room.clone(), sender.clone(), id, Content::text(&text))
        })
        .collect();
    backend.message_log().append(&drafts).await.unwrap();
}

async fn unread(backend: &SqliteBackend, user: &UserId) -> Duration {
    let rooms: Vec<_> = (0..OWN_ROOMS).map(support::room).collect();
    let all = backend.rooms();
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        let unread = all.unread(user, &rooms).await.unwrap();
        times.push(start.elapsed());
        assert!(unread.iter().all(|unread| *unread >= SMALL as u64));
    }
    median(times)
}

async fn my_rooms(backend: &SqliteBackend, user: &UserId) -> Duration {
    let all = backend.rooms();
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        let page = all.rooms_of(user, None, OWN_ROOMS).await.unwrap();
        times.push(start.elapsed());
        assert_eq!(page.rooms.len(), OWN_ROOMS);
    }
    median(times)
}

/// Pages 1,000 back and at the other end of the history, in turns.
async fn pages(backend: &SqliteBackend, large: u64, view: View) -> (Duration, Duration) {
    let (log, room) = (backend.message_log(), support::room(0));
    let head = log.heads(std::slice::from_ref(&room)).await.unwrap().remove(0).unwrap().cursor;
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for run in 0..RUNS as u64 {
        // Never the same page twice in a row.
        let jitter = (run * 37) % 500;
        near.push(before(&*log, &room, &head, large - 1_000 - jitter, view).await);
        far.push(before(&*log, &room, &head, 1_000 - jitter, view).await);
    }
    (median(near), median(far))
}

async fn before(log: &dyn MessageLog, room: &RoomId, head: &Cursor, seq: u64, view: View) -> Duration {
    let cursor = Cursor::new(head.epoch.clone(), Seq::new(seq).unwrap());
    let start = Instant::now();
    let page = log.read(room, ReadQuery::before(cursor).with_view(view)).await.unwrap();
    assert_eq!(page.entries.len(), 50);
    start.elapsed()
}

async fn page(backend: &SqliteBackend) -> Duration {
    let (log, room) = (backend.message_log(), support::room(0));
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        log.read(&room, ReadQuery::newest()).await.unwrap();
        times.push(start.elapsed());
    }
    median(times)
}

async fn search(backend: &SqliteBackend, user: &UserId, text: &str) -> (Duration, usize) {
    let search = backend.search();
    let (mut times, mut found) = (Vec::new(), 0);
    for _ in 0..RUNS / 4 {
        let start = Instant::now();
        found = search.search(SearchQuery::new(user.clone(), text)).await.unwrap().messages.len();
        times.push(start.elapsed());
    }
    (median(times), found)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

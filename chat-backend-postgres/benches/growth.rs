//! What sends and reads cost as history grows: rooms of 1,000 to 10,000,000 messages, each ten times the one before, which stays beside
//! it. Of each, as soon as it is there: one send after the other, the page at its newest end, pages anywhere in it, the 100 messages that
//! a client missed, and the room's unread number. Medians.
//!
//! It prints a line of JSON for each room, times in microseconds. `CHAT_BENCH_MESSAGES` sets the largest room. With 10,000,000 it takes some
//! 5 GB of disk and some minutes, most of which make the history.
//!
//! `cargo bench -p chat-backend-postgres --bench growth`
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

mod history;

use std::time::{Duration, Instant};

use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{AppendOutcome, ClientMessageId, Content, Cursor, Draft, Page, ReadQuery, RoomId, Seq, View};
use chat_test_services::Postgres;
use history::{History, room, user};
use serde_json::json;
use sqlx::Connection as _;
use sqlx::PgConnection;

const SIZES: [u64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const MISSED: usize = 100;
const RUNS: usize = 200;

/// As on a machine that is there for the database: what is loaded need not be written twice.
const SETTINGS: [&str; 3] = ["shared_buffers=256MB", "max_wal_size=8GB", "checkpoint_timeout=30min"];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let most = std::env::var("CHAT_BENCH_MESSAGES").ok().map(|number| number.parse().unwrap());
    let server = Postgres::private_with(&SETTINGS).await.unwrap();
    let database = server.database().await.unwrap();
    let config = PostgresConfig::from_url(database.url()).unwrap();
    let backend = PostgresBackend::connect(config).await.unwrap();
    history::rooms(&backend, 0..SIZES.len(), &[user("ann"), user("bob")]).await;
    let mut history = History::begin(PgConnection::connect(database.url()).await.unwrap()).await;
    for (number, size) in
        SIZES.into_iter().enumerate().filter(|(_, size)| most.is_none_or(|most| *size <= most))
    {
        let took = history.fill(number..number + 1, (0, size), 0, "").await;
        history.settle(server.url()).await;
        eprintln!("{size} messages, made in {took:.0?}");
        let mut measured = measure(&backend, &room(number), size).await;
        let bytes: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
            .fetch_one(&mut history.connection)
            .await
            .unwrap();
        // With all rooms until now, and what finds them.
        measured["database"] = bytes.into();
        println!("{measured}");
    }
    backend.close().await;
}

async fn measure(backend: &PostgresBackend, room: &RoomId, size: u64) -> serde_json::Value {
    let (log, rooms) = (backend.message_log(), backend.rooms());
    let head = log.heads(std::slice::from_ref(room)).await.unwrap().remove(0).unwrap().cursor;
    let at = |seq: u64| Cursor::new(head.epoch.clone(), Seq::new(seq).unwrap());
    let page = async |query: ReadQuery, expected: usize| {
        let page: Page = log.read(room, query.with_view(View::Log)).await.unwrap();
        assert_eq!(page.entries.len(), expected);
    };
    let newest = median(async |_| page(ReadQuery::newest(), 50).await).await;
    let mut random = fastrand::Rng::with_seed(size);
    let anywhere: Vec<u64> = (0..RUNS).map(|_| random.u64(51..=size)).collect();
    let anywhere = median(async |run| {
        let before = anywhere[usize::try_from(run).unwrap()];
        page(ReadQuery::before(at(before)), 50).await;
    });
    let anywhere = anywhere.await;
    let missed = ReadQuery::after(at(size - MISSED as u64)).with_limit(MISSED);
    let missed = median(async |_| page(missed.clone(), MISSED).await).await;
    let unread = median(async |_| {
        let unread = rooms.unread(&user("ann"), std::slice::from_ref(room)).await.unwrap();
        assert_eq!(unread, [size - size / 10]);
    });
    let unread = unread.await;
    // Clients' ids are random: each has a place of its own among those that are there, anywhere in their index.
    let names: Vec<String> = (0..RUNS).map(|run| format!("c{}-{run}", random.u64(1..=size))).collect();
    let send = median(async |run| {
        let name = ClientMessageId::new(&names[usize::try_from(run).unwrap()]).unwrap();
        let draft =
            Draft::new(room.clone(), user("bob"), name, Content::text("a message of the usual length"));
        let outcomes = log.append(&[draft]).await.unwrap();
        assert!(matches!(outcomes[..], [AppendOutcome::New(_)]), "{outcomes:?}");
    });
    let send = send.await;
    json!({ "messages": size, "send": send, "newest": newest, "anywhere": anywhere, "missed": missed, "unread": unread })
}

/// Of how long it takes, in microseconds.
async fn median(mut what: impl AsyncFnMut(u64)) -> f64 {
    let mut times: Vec<Duration> = Vec::new();
    for run in 0..RUNS as u64 {
        let start = Instant::now();
        what(run).await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

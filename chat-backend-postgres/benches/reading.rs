//! What reading costs as history grows: pages at depth, unread numbers, the list of one's rooms, and search, each as a ratio
//! to something in the same run. One room gets 10,001,000 messages (fewer with `CHAT_BENCH_MESSAGES`), the search knows the
//! last 1,000,000 of them (`CHAT_BENCH_SEARCHED`); its user is in 1,000 rooms (`CHAT_BENCH_ROOMS`) with 1,000 messages each,
//! and 50 rooms are there that the user is no member of.
//!
//! At full size it takes some 10 GB of disk and a quarter of an hour.
//!
//! `cargo bench -p chat-backend-postgres --bench reading`
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

mod history;

use std::time::{Duration, Instant};

use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{Cursor, MessageLog, ReadQuery, Seq, UserId, View, search::SearchQuery};
use chat_test_services::{Database, Postgres};
use history::{History, room, user};
use sqlx::{Connection as _, PgConnection, Row as _};

/// Messages of each room but the large one, and how far back the near pages are.
const SMALL: u64 = 1_000;
const FOREIGN: usize = 50;
/// Rooms in a page, and asked for their unread numbers.
const SHOWN: usize = 50;
const RUNS: usize = 200;
/// A search that takes long is not repeated for longer than this.
const LONGEST: Duration = Duration::from_secs(5);

/// As on a machine that is there for the database: what is loaded need not be written twice.
const SETTINGS: [&str; 4] =
    ["shared_buffers=256MB", "max_wal_size=8GB", "checkpoint_timeout=30min", "maintenance_work_mem=256MB"];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run());
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

async fn connect(database: &Database) -> PostgresBackend {
    PostgresBackend::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap()
}

async fn run() {
    let large = number("CHAT_BENCH_MESSAGES", 10_001_000).max(4 * SMALL);
    let searched = number("CHAT_BENCH_SEARCHED", 1_000_000).min(large);
    let rooms = usize::try_from(number("CHAT_BENCH_ROOMS", 1_000)).unwrap().max(SHOWN + 1);

    let server = Postgres::private_with(&SETTINGS).await.unwrap();
    let database = server.database().await.unwrap();
    let backend = connect(&database).await;
    let (ann, bob) = (user("ann"), user("bob"));
    let mut history = History::begin(PgConnection::connect(database.url()).await.unwrap()).await;
    history::rooms(&backend, 0..rooms, &[ann.clone(), bob.clone()]).await;
    history::rooms(&backend, rooms..rooms + FOREIGN, &[bob]).await;
    history.fill(0..rooms, (0, SMALL), SMALL, "").await;
    // What ann must not find: a word of their own in each message.
    history.fill(rooms..rooms + FOREIGN, (0, SMALL), SMALL, "xylophone").await;
    history.settle(server.url()).await;
    let young = (unread(&backend, &ann).await, my_rooms(&backend, &ann).await);

    let time = history.fill(0..1, (SMALL, large), searched, "").await;
    println!("{large} messages in one room, {} rooms beside it; loaded in {time:.0?}", rooms + FOREIGN - 1);
    history.settle(server.url()).await;
    let old = (unread(&backend, &ann).await, my_rooms(&backend, &ann).await);
    let lookups = lookups(&mut history.connection).await;
    println!(
        "unread of {SHOWN} rooms: {:.0?}, then {:.0?}: {:.2} x; {:.2} x as many primary-key lookups",
        young.0,
        old.0,
        ratio(old.0, young.0),
        ratio(old.0, lookups)
    );
    println!(
        "my rooms, {SHOWN} of {rooms}: {:.0?}, then {:.0?}: {:.2} x; {:.2} x one primary-key lookup per row shown ({lookups:.0?})",
        young.1,
        old.1,
        ratio(old.1, young.1),
        ratio(old.1, lookups)
    );
    for view in [View::Log, View::Timeline] {
        let (near, far) = pages(&backend, large, view).await;
        println!(
            "page of 50 ({view:?}), 1,000 back {near:.0?}, {} back {far:.0?}: {:.2} x",
            large - SMALL,
            ratio(far, near)
        );
    }

    let page = page(&backend).await;
    println!("newest page of 50: {page:.0?}; search for 20 in {searched} of the room, against it:");
    searches("without an index", &backend, &ann, page).await;
    backend.close().await;
    // As the log tells whoever runs the database.
    let start = Instant::now();
    history.run("CREATE EXTENSION pg_trgm".to_owned()).await;
    let index = "CREATE INDEX CONCURRENTLY search_words ON chat.search USING gin (body gin_trgm_ops)";
    history.run(index.to_owned()).await;
    println!("the trigram index was made in {:.0?}", start.elapsed());
    let backend = connect(&database).await;
    assert!(backend.search_is_indexed());
    searches("with pg_trgm", &backend, &ann, page).await;

    let size =
        "SELECT pg_total_relation_size('chat.entries')::bigint / (SELECT sum(head) FROM chat.rooms)::bigint";
    let row = sqlx::query(size).fetch_one(&mut history.connection).await.unwrap();
    println!("on the disk, with indexes: {} bytes a message", row.get::<i64, _>(0));
    backend.close().await;
}

async fn unread(backend: &PostgresBackend, user: &UserId) -> Duration {
    let rooms: Vec<_> = (0..SHOWN).map(room).collect();
    let all = backend.rooms();
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        let unread = all.unread(user, &rooms).await.unwrap();
        times.push(start.elapsed());
        // All but ann's own.
        assert!(unread.iter().all(|unread| *unread >= SMALL - SMALL / 10), "{unread:?}");
    }
    median(times)
}

async fn my_rooms(backend: &PostgresBackend, user: &UserId) -> Duration {
    let all = backend.rooms();
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        let page = all.rooms_of(user, None, SHOWN).await.unwrap();
        times.push(start.elapsed());
        assert_eq!(page.rooms.len(), SHOWN);
        assert!(page.rooms.iter().all(|shown| shown.preview.is_some() && shown.unread > 0));
    }
    median(times)
}

/// One after the other, a room each by its number.
async fn lookups(connection: &mut PgConnection) -> Duration {
    let rows = sqlx::query("SELECT room FROM chat.rooms ORDER BY last_activity DESC LIMIT $1")
        .bind(i64::try_from(SHOWN).unwrap())
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    let numbers: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(numbers.len(), SHOWN);
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        for number in &numbers {
            let lookup = sqlx::query("SELECT * FROM chat.rooms WHERE room = $1").bind(number);
            lookup.fetch_one(&mut *connection).await.unwrap();
        }
        times.push(start.elapsed());
    }
    median(times)
}

/// Pages 1,000 back and at the other end of the history, in turns.
async fn pages(backend: &PostgresBackend, large: u64, view: View) -> (Duration, Duration) {
    let (log, room) = (backend.message_log(), room(0));
    let head = log.heads(std::slice::from_ref(&room)).await.unwrap().remove(0).unwrap().cursor;
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for run in 0..RUNS as u64 {
        // Never the same page twice in a row.
        let jitter = (run * 37) % 500;
        near.push(before(&*log, &head, large - SMALL - jitter, view).await);
        far.push(before(&*log, &head, SMALL - jitter, view).await);
    }
    (median(near), median(far))
}

async fn before(log: &dyn MessageLog, head: &Cursor, seq: u64, view: View) -> Duration {
    let cursor = Cursor::new(head.epoch.clone(), Seq::new(seq).unwrap());
    let start = Instant::now();
    let page = log.read(&room(0), ReadQuery::before(cursor).with_view(view)).await.unwrap();
    assert_eq!(page.entries.len(), 50);
    start.elapsed()
}

async fn page(backend: &PostgresBackend) -> Duration {
    let (log, room) = (backend.message_log(), room(0));
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        log.read(&room, ReadQuery::newest()).await.unwrap();
        times.push(start.elapsed());
    }
    median(times)
}

async fn searches(how: &str, backend: &PostgresBackend, user: &UserId, page: Duration) {
    println!("  {how}:");
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
        let (time, found) = search(backend, user, text).await;
        println!("    {what}: {time:.1?} for {found} found, {:.1} x", ratio(time, page));
    }
}

async fn search(backend: &PostgresBackend, user: &UserId, text: &str) -> (Duration, usize) {
    let search = backend.search();
    let (mut times, mut found, begun) = (Vec::new(), 0, Instant::now());
    while times.len() < RUNS / 4 && begun.elapsed() < LONGEST {
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

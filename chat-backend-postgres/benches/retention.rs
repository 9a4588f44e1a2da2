//! What a long history costs those who write and those who tidy up, with the messages in one table and split by room: appends,
//! retention by age, appends beside it, the vacuum afterwards, and a page.
//!
//! `cargo bench -p chat-backend-postgres --bench retention`, and `-- 100 split` for 100 million messages in a split table: that
//! takes 45 GB and an hour
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{
    ClientMessageId, Content, Cursor, Draft, MemberChange, NewRoom, ReadQuery, Retention, Role, RoomId, Seq,
    UserId,
};
use chat_test_services::Postgres;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, raw_sql};

const ROOMS: usize = 1_000;
/// Drafts in a batch, each for another room.
const BATCH: usize = 64;
const DURATION: Duration = Duration::from_secs(10);
const SPLIT: &str = include_str!("../partitioning.sql");
/// What is written need not be written twice, and little of the disk is set aside for it.
const SETTINGS: [&str; 4] =
    ["shared_buffers=1GB", "max_wal_size=2GB", "checkpoint_timeout=30min", "maintenance_work_mem=512MB"];

/// Messages `$from` to `$to` of all rooms, as they would have come: the rooms in turns.
const FILL: &str = "
INSERT INTO chat.entries (room, seq, ordinal, own, id_high, id_low, authority, kind, body_kind, timeline, countable,
    sender, client_id, fingerprint, body)
SELECT r.room, n, n, (n + 1) / 2, (1700000000000 + n) << 16, (r.room << 32) + n, 0, 0, 1, true, true,
    CASE WHEN n % 2 = 0 THEN 'ann' ELSE 'bob' END, 'c' || n, decode(md5(n::text) || md5(r.id), 'hex'), n || ' tea at noon'
FROM generate_series($from::bigint, $to::bigint) AS n CROSS JOIN chat.rooms r";
const COUNT: &str = "
UPDATE chat.rooms SET head = $to, countable = $to, last_activity = 1700000000000 + $to, last_id = (1700000000000 + $to) << 16;
INSERT INTO chat.search_places (room, upto) SELECT r.room, $to FROM chat.rooms r";
/// Indexes of the messages, with the statements that make them. Of a split table those of the whole stand for all.
const INDEXES: &str = "
SELECT CASE WHEN i.indisprimary THEN format('ALTER TABLE chat.entries DROP CONSTRAINT %I', x.relname)
        ELSE format('DROP INDEX chat.%I', x.relname) END AS drop,
    CASE WHEN i.indisprimary THEN 'ALTER TABLE chat.entries ADD PRIMARY KEY (room, timeline, seq)'
        ELSE replace(pg_get_indexdef(x.oid), ' ON ONLY ', ' ON ') END AS make
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = 'chat.entries'::regclass";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let millions = words.iter().find_map(|word| word.parse::<u64>().ok()).unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Postgres::private_with(&SETTINGS).await.unwrap();
        for split in [false, true] {
            if words.is_empty() || words.contains(&if split { "split" } else { "whole" }.to_owned()) {
                one(&server, millions * 1_000_000, split).await;
            }
        }
    });
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn room(n: usize) -> RoomId {
    RoomId::new(&format!("room-{n}")).unwrap()
}

async fn one(server: &Postgres, messages: u64, split: bool) {
    let database = server.database().await.unwrap();
    let config = PostgresConfig::from_url(database.url()).unwrap();
    let backend = PostgresBackend::connect(config.clone()).await.unwrap();
    for n in 0..ROOMS {
        backend.rooms().create(NewRoom::new(room(n))).await.unwrap();
        for member in ["ann", "bob"] {
            backend
                .rooms()
                .change_member(&room(n), MemberChange::add(user(member), Role::Member))
                .await
                .unwrap();
        }
    }
    let mut hands = PgConnection::connect(database.url()).await.unwrap();
    if split {
        raw_sql(SPLIT).execute(&mut hands).await.unwrap();
    }
    let each = messages / ROOMS as u64;
    let start = Instant::now();
    load(&mut hands, each).await;
    let took = start.elapsed();
    let mut superuser = PgConnection::connect(server.url()).await.unwrap();
    raw_sql("CHECKPOINT").execute(&mut superuser).await.unwrap();
    let size: i64 = sqlx::query("SELECT pg_database_size(current_database())")
        .fetch_one(&mut hands)
        .await
        .unwrap()
        .get(0);
    let name = if split { "split" } else { "whole" };
    println!("{name}: {messages} messages in {ROOMS} rooms, {:.1} GB, made in {took:.0?}", size as f64 / 1e9);
    let (rate, _) = appends(&backend, 0, &Arc::new(AtomicBool::new(false)), Some(DURATION)).await;
    println!("{name}: appends in batches of {BATCH} over all rooms: {rate:.0} /s");
    page(&backend, each).await;
    let stop = Arc::new(AtomicBool::new(false));
    let beside = tokio::spawn({
        let (backend, stop) = (backend.clone(), Arc::clone(&stop));
        async move { appends(&backend, 1, &stop, None).await }
    });
    let (start, mut gone) = (Instant::now(), 0);
    for n in 0..ROOMS {
        let keep = each - each / 10;
        let head = backend.message_log().heads(&[room(n)]).await.unwrap().remove(0).unwrap();
        let surplus = head.cursor.seq.get() - each;
        let retention = Retention { max_entries: Some(keep + surplus), not_before: None };
        let after = backend.message_log().trim(&room(n), retention).await.unwrap();
        gone += after.oldest.get() - head.oldest.get();
    }
    let took = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    let (beside, slowest) = beside.await.unwrap();
    println!(
        "{name}: retention took {gone} messages away in {took:.1?}, {:.0} /s; beside it {beside:.0} appends /s, the slowest \
         batch {slowest:.0?}",
        gone as f64 / took.as_secs_f64()
    );
    let tables = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname = 'chat' AND c.relkind = 'r' AND c.relname LIKE 'entries%'";
    let tables: Vec<String> =
        sqlx::query(tables).fetch_all(&mut hands).await.unwrap().iter().map(|row| row.get(0)).collect();
    let (mut all, mut longest) = (Duration::ZERO, Duration::ZERO);
    for table in &tables {
        let start = Instant::now();
        raw_sql(AssertSqlSafe(format!("VACUUM {table}"))).execute(&mut hands).await.unwrap();
        all += start.elapsed();
        longest = longest.max(start.elapsed());
    }
    println!("{name}: vacuum of {} tables: {all:.1?}, the longest {longest:.1?}", tables.len());
    backend.close().await;
    hands.close().await.unwrap();
    let drop = format!("DROP DATABASE {} WITH (FORCE)", database.name());
    raw_sql(AssertSqlSafe(drop)).execute(&mut superuser).await.unwrap();
}

/// Makes the messages first and their indexes then.
async fn load(hands: &mut PgConnection, each: u64) {
    let indexes = sqlx::query(INDEXES).fetch_all(&mut *hands).await.unwrap();
    let statement = |row: &sqlx::postgres::PgRow, column: &str| AssertSqlSafe(row.get::<String, _>(column));
    for index in &indexes {
        raw_sql(statement(index, "drop")).execute(&mut *hands).await.unwrap();
    }
    for from in (1..=each).step_by(1_000) {
        let to = each.min(from + 999);
        let fill = FILL.replace("$from", &from.to_string()).replace("$to", &to.to_string());
        raw_sql(AssertSqlSafe(fill)).execute(&mut *hands).await.unwrap();
    }
    for index in &indexes {
        raw_sql(statement(index, "make")).execute(&mut *hands).await.unwrap();
    }
    raw_sql(AssertSqlSafe(COUNT.replace("$to", &each.to_string()))).execute(&mut *hands).await.unwrap();
    raw_sql("VACUUM (ANALYZE)").execute(&mut *hands).await.unwrap();
}

/// Batches one after the other until it is time; appends a second, and the slowest batch.
async fn appends(
    backend: &PostgresBackend,
    run: usize,
    stop: &AtomicBool,
    during: Option<Duration>,
) -> (f64, Duration) {
    let log = backend.message_log();
    let (start, mut slowest, mut sent) = (Instant::now(), Duration::ZERO, 0_usize);
    while !stop.load(Ordering::Relaxed) && during.is_none_or(|during| start.elapsed() < during) {
        let drafts: Vec<Draft> = (0..BATCH)
            .map(|n| {
                let place = (sent + n).wrapping_mul(7_919) % ROOMS;
                let content = Content::text(&format!("{run} {sent} the meeting is at noon tomorrow"));
                Draft::new(room(place), user("ann"), ClientMessageId::generate(), content)
            })
            .collect();
        let began = Instant::now();
        let outcomes = log.append(&drafts).await.unwrap();
        slowest = slowest.max(began.elapsed());
        assert!(outcomes.iter().all(|outcome| outcome.stored().is_some()), "{outcomes:?}");
        sent += BATCH;
    }
    (sent as f64 / start.elapsed().as_secs_f64(), slowest)
}

/// The median of pages of 50 in the middle of rooms.
async fn page(backend: &PostgresBackend, each: u64) {
    let log = backend.message_log();
    let mut times = Vec::new();
    for n in 0..ROOMS {
        let head = log.heads(&[room(n)]).await.unwrap().remove(0).unwrap();
        let cursor = Cursor::new(head.cursor.epoch, Seq::ZERO.plus(each / 2));
        let start = Instant::now();
        let page = log.read(&room(n), ReadQuery::after(cursor)).await.unwrap();
        times.push(start.elapsed());
        assert_eq!(page.entries.len(), 50);
    }
    times.sort_unstable();
    println!(
        "  a page of 50 in the middle: median {:.2?}, p99 {:.2?}",
        times[ROOMS / 2],
        times[ROOMS * 99 / 100]
    );
}

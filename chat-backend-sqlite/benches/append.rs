//! Appends through a whole `Chat` with 64 senders, each waiting for its answer before it sends again, against bare inserts
//! of the same rows: one connection with the same settings, 64 rows in one statement, a transaction each, nothing checked,
//! nothing numbered; and for every 256 of them the rows of the search index, in a transaction as the backend has them.
//! Both to files in the same folder, in turns.
//!
//! `cargo bench -p chat-backend-sqlite --bench append`, and `-- normal 1000` for one of its settings
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

mod support;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use chat_backend_sqlite::Synchronous;
use chat_core::{ClientMessageId, Content, Draft};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection, sqlite::SqliteRow};

const SENDERS: usize = 64;
const DURATION: Duration = Duration::from_secs(2);
const TURNS: usize = 5;
/// Messages whose rows of the index the backend writes in one transaction.
const INDEX_STEP: usize = 256;

const COLUMNS: &str = "entry, room, seq, timeline, countable, ordinal, own, id, created_at, sender, client_id, \
                       authority, kind, fingerprint, name, target, target_id, body_kind, body";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        for rooms in [1, 1_000] {
            let names = [format!("{synchronous:?}").to_lowercase(), rooms.to_string()];
            if wanted.iter().all(|word| names.contains(word)) {
                runtime.block_on(run(synchronous, rooms));
            }
        }
    }
}

async fn run(synchronous: Synchronous, rooms: usize) {
    let (mut searchable, mut entries) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let folder = tempfile::tempdir().unwrap();
        let (sent, seconds) = chat(folder.path(), synchronous, rooms).await;
        let rows = read_back(folder.path()).await;
        let bare = insert(&folder.path().join("bare.db"), synchronous, &rows, true).await;
        searchable.push((sent / seconds, sent / bare));
        let bare = insert(&folder.path().join("bare-entries.db"), synchronous, &rows, false).await;
        entries.push((sent / seconds, sent / bare));
    }
    println!("{synchronous:?}, {rooms} rooms, {SENDERS} senders, medians of {TURNS}:");
    report("answered and searchable, against bare inserts of the same rows", &mut searchable);
    report("the same, against inserts of the entries without their index", &mut entries);
}

fn report(what: &str, rates: &mut [(f64, f64)]) {
    rates.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let (chat, bare) = rates[rates.len() / 2];
    println!("  {what}: {chat:.0} /s of {bare:.0} /s, {:.1} %", 100.0 * chat / bare);
}

/// How many were sent, and the seconds until all were answered and could be found.
async fn chat(folder: &Path, synchronous: Synchronous, rooms: usize) -> (f64, f64) {
    let backend = support::open(&folder.join("chat.db"), synchronous).await;
    let chat = support::chat(&backend);
    let ann = support::user("ann");
    support::rooms(&backend, rooms, std::slice::from_ref(&ann)).await;
    let start = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (chat, ann) = (chat.clone(), ann.clone());
            tokio::spawn(async move {
                let mut sent = 0;
                while start.elapsed() < DURATION {
                    let number = sender + sent * SENDERS;
                    let content = Content::text(&support::text(number));
                    let draft = Draft::new(
                        support::room(number % rooms),
                        ann.clone(),
                        ClientMessageId::generate(),
                        content,
                    );
                    chat.append(draft).await.unwrap();
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    let mut sent = 0;
    for sender in senders {
        sent += sender.await.unwrap();
    }
    backend.settle_search().await.unwrap();
    let seconds = start.elapsed().as_secs_f64();
    chat.drain(Duration::ZERO, Duration::ZERO).await;
    backend.close().await.unwrap();
    (sent as f64, seconds)
}

/// The rows that the chat stored, as the file has them.
async fn read_back(folder: &Path) -> Vec<SqliteRow> {
    let mut connection = support::connect(&folder.join("chat.db"), Synchronous::Full).await;
    let select = format!("SELECT {COLUMNS} FROM entries ORDER BY entry");
    let rows = sqlx::query(AssertSqlSafe(select)).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows
}

/// The seconds that inserting the rows takes, with or without those of the index.
async fn insert(path: &Path, synchronous: Synchronous, rows: &[SqliteRow], indexed: bool) -> f64 {
    support::open(path, synchronous).await.close().await.unwrap();
    let mut connection = support::connect(path, synchronous).await;
    let terms: Vec<(i64, String)> = rows
        .iter()
        .map(|row| {
            let terms = support::terms::index_terms(row.get(18), row.get::<i64, _>(1).unsigned_abs());
            (row.get(0), terms)
        })
        .collect();
    let start = Instant::now();
    for (rows, terms) in rows.chunks(INDEX_STEP).zip(terms.chunks(INDEX_STEP)) {
        for rows in rows.chunks(SENDERS) {
            insert_entries(&mut connection, rows).await;
        }
        if indexed {
            insert_terms(&mut connection, terms).await;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    connection.close().await.unwrap();
    seconds
}

async fn insert_entries(connection: &mut SqliteConnection, rows: &[SqliteRow]) {
    let one = format!("({})", vec!["?"; 19].join(", "));
    let values = vec![one.as_str(); rows.len()].join(", ");
    let mut transaction = connection.begin().await.unwrap();
    let mut insert = sqlx::query(AssertSqlSafe(format!("INSERT INTO entries ({COLUMNS}) VALUES {values}")));
    for row in rows {
        for number in 0..7 {
            insert = insert.bind(row.get::<i64, _>(number));
        }
        insert = insert.bind(row.get::<&[u8], _>(7)).bind(row.get::<i64, _>(8));
        insert = insert.bind(row.get::<&str, _>(9)).bind(row.get::<&str, _>(10));
        insert = insert.bind(row.get::<i64, _>(11)).bind(row.get::<i64, _>(12)).bind(row.get::<&[u8], _>(13));
        insert = insert.bind(None::<&str>).bind(None::<i64>).bind(None::<&[u8]>);
        insert = insert.bind(row.get::<i64, _>(17)).bind(row.get::<&str, _>(18));
    }
    insert.execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

/// With the backend's own merging, or the index would only look cheap.
async fn insert_terms(connection: &mut SqliteConnection, terms: &[(i64, String)]) {
    let mut transaction = connection.begin().await.unwrap();
    for terms in terms.chunks(32) {
        let values = vec!["(?, ?)"; terms.len()].join(", ");
        let insert = format!("INSERT INTO search (rowid, terms) VALUES {values}");
        let insert = terms.iter().fold(sqlx::query(AssertSqlSafe(insert)), |insert, (entry, terms)| {
            insert.bind(entry).bind(terms)
        });
        insert.execute(&mut *transaction).await.unwrap();
    }
    let merge = "INSERT INTO search (search, rank) VALUES ('merge', 80)";
    sqlx::query(merge).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

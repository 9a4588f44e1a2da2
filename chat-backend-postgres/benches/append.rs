//! Appends through a whole `Chat` with 64 senders, each waiting for its answer before it sends again, against bare inserts
//! of the same rows: one `UNNEST` statement of 64 rows into a table with the same columns and indexes, on one connection
//! to the same server, nothing checked, nothing numbered. With `fsync` and `synchronous_commit`, in turns. Once where the
//! database has `pg_trgm`: then a trigram index of the texts is among the indexes of both, and the chat's time runs until all is
//! searchable. And once without: then its time ends with the last answer, and the search takes its texts beside it. And a single
//! send on an idle system against a bare transaction with one insert.
//!
//! `cargo bench -p chat-backend-postgres --bench append`, and `-- 1000` for one number of rooms
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{
    Auth, Backend, Chat, ClientMessageId, Content, Draft, MemberChange, NewRoom, Result, Role, RoomId,
    Settings, UserId,
    auth::{AuthError, Credentials, Principal},
    rate_limit::{LocalRateLimiter, RateLimits},
};
use chat_test_services::{Database, Postgres};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};

const SENDERS: usize = 64;
const DURATION: Duration = Duration::from_secs(3);
const TURNS: usize = 5;
const SINGLE: usize = 2_000;

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

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Postgres::shared().await.unwrap();
        for rooms in [1, 1_000] {
            if wanted.is_empty() || wanted.contains(&rooms.to_string()) {
                for trigrams in [true, false] {
                    many(server, rooms, trigrams).await;
                }
            }
        }
        if wanted.is_empty() || wanted.contains(&"single".to_owned()) {
            single(server).await;
        }
    });
}

fn user() -> UserId {
    UserId::new("ann").unwrap()
}

fn room(n: usize) -> RoomId {
    RoomId::new(&format!("room-{n}")).unwrap()
}

async fn chat(database: &Database, rooms: usize) -> (PostgresBackend, Chat) {
    let backend = PostgresBackend::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap();
    let all = backend.rooms();
    for n in 0..rooms {
        all.create(NewRoom::new(room(n))).await.unwrap();
        all.change_member(&room(n), MemberChange::add(user(), Role::Member)).await.unwrap();
    }
    let mut settings = Settings::default();
    settings.announce_members = false;
    let chat = Chat::builder()
        .memory()
        .storage(&backend)
        .auth(Nobody)
        .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
        .settings(settings)
        .build()
        .unwrap();
    (backend, chat)
}

fn draft(number: usize, rooms: usize) -> Draft {
    let text = format!("{number} the meeting is at noon tomorrow, please bring green tea");
    Draft::new(room(number % rooms), user(), ClientMessageId::generate(), Content::text(&text))
}

async fn many(server: &Postgres, rooms: usize, trigrams: bool) {
    let mut rates = Vec::new();
    for _ in 0..TURNS {
        let database = server.database().await.unwrap();
        if trigrams {
            let mut connection = PgConnection::connect(database.url()).await.unwrap();
            raw_sql("CREATE EXTENSION pg_trgm").execute(&mut connection).await.unwrap();
        }
        let (backend, chat) = chat(&database, rooms).await;
        let start = Instant::now();
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let chat = chat.clone();
                tokio::spawn(async move {
                    let mut sent = 0;
                    while start.elapsed() < DURATION {
                        chat.append(draft(sender + sent * SENDERS, rooms)).await.unwrap();
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
        let answered = start.elapsed();
        backend.settle_search().await.unwrap();
        let time = if trigrams { start.elapsed() } else { answered };
        chat.drain(Duration::ZERO, Duration::ZERO).await;
        rates.push((sent as f64 / time.as_secs_f64(), bare(&database, sent, trigrams).await));
        backend.close().await;
    }
    rates.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let (chat, bare) = rates[rates.len() / 2];
    println!(
        "{rooms} rooms, {SENDERS} senders, {}, median of {TURNS}: {chat:.0} /s of {bare:.0} /s, {:.1} %",
        if trigrams { "searchable by trigrams" } else { "answered" },
        100.0 * chat / bare
    );
}

const COPY: &str = "CREATE TABLE bare (LIKE chat.entries INCLUDING ALL)";
const LOAD: &str = "CREATE TABLE source AS SELECT row_number() OVER (ORDER BY id_high, id_low) - 1 AS n, e.* FROM chat.entries e";
/// As the search has it.
const TRIGRAMS: &str = "CREATE INDEX ON bare USING gin (body gin_trgm_ops) WITH (fastupdate = on)";
const COLUMNS: &str = "room, seq, ordinal, own, id_high, id_low, authority, kind, body_kind, timeline, countable, sender, \
                       client_id, fingerprint, name, body";

/// Rows of one batch, a column each.
type Batch = (
    Vec<i64>,
    Vec<i64>,
    Vec<i64>,
    Vec<i64>,
    Vec<i64>,
    Vec<i64>,
    Vec<(i16, i16, i16, bool, bool)>,
    Vec<(String, String, Vec<u8>, String)>,
);

/// The rows that the chat stored, inserted once more; rows a second.
async fn bare(database: &Database, count: usize, trigrams: bool) -> f64 {
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    for statement in [COPY, LOAD].into_iter().chain(trigrams.then_some(TRIGRAMS)) {
        raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    let mut batches = Vec::new();
    let select = format!("SELECT {COLUMNS} FROM source WHERE n >= $1 AND n < $2 ORDER BY n");
    for start in (0..count).step_by(SENDERS) {
        let rows = sqlx::query(AssertSqlSafe(select.clone()))
            .bind(start as i64)
            .bind((start + SENDERS) as i64)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        batches.push(columns(&rows));
    }
    let insert = format!(
        "INSERT INTO bare ({COLUMNS}) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], \
         $5::bigint[], $6::bigint[], $7::smallint[], $8::smallint[], $9::smallint[], $10::boolean[], $11::boolean[], \
         $12::text[], $13::text[], $14::bytea[], $15::text[], $16::text[])"
    );
    let start = Instant::now();
    for batch in &batches {
        let (a, b, c, d, e, f, numbers, texts) = batch;
        sqlx::query(AssertSqlSafe(insert.clone()))
            .bind(a)
            .bind(b)
            .bind(c)
            .bind(d)
            .bind(e)
            .bind(f)
            .bind(numbers.iter().map(|n| n.0).collect::<Vec<_>>())
            .bind(numbers.iter().map(|n| n.1).collect::<Vec<_>>())
            .bind(numbers.iter().map(|n| n.2).collect::<Vec<_>>())
            .bind(numbers.iter().map(|n| n.3).collect::<Vec<_>>())
            .bind(numbers.iter().map(|n| n.4).collect::<Vec<_>>())
            .bind(texts.iter().map(|t| t.0.as_str()).collect::<Vec<_>>())
            .bind(texts.iter().map(|t| t.1.as_str()).collect::<Vec<_>>())
            .bind(texts.iter().map(|t| t.2.as_slice()).collect::<Vec<_>>())
            .bind(vec![None::<&str>; texts.len()])
            .bind(texts.iter().map(|t| t.3.as_str()).collect::<Vec<_>>())
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    connection.close().await.unwrap();
    rate
}

fn columns(rows: &[sqlx::postgres::PgRow]) -> Batch {
    use sqlx::Row as _;
    let numbers = |column: &str| rows.iter().map(|row| row.get(column)).collect::<Vec<i64>>();
    (
        numbers("room"),
        numbers("seq"),
        numbers("ordinal"),
        numbers("own"),
        numbers("id_high"),
        numbers("id_low"),
        rows.iter()
            .map(|row| {
                (
                    row.get("authority"),
                    row.get("kind"),
                    row.get("body_kind"),
                    row.get("timeline"),
                    row.get("countable"),
                )
            })
            .collect(),
        rows.iter()
            .map(|row| (row.get("sender"), row.get("client_id"), row.get("fingerprint"), row.get("body")))
            .collect(),
    )
}

async fn single(server: &Postgres) {
    let database = server.database().await.unwrap();
    let (backend, chat) = chat(&database, 1).await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    raw_sql("CREATE TABLE one (id bigint PRIMARY KEY, body text)").execute(&mut connection).await.unwrap();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for number in 0..SINGLE {
        let draft = draft(number, 1);
        let start = Instant::now();
        chat.append(draft).await.unwrap();
        ours.push(start.elapsed());
        let start = Instant::now();
        let mut transaction = connection.begin().await.unwrap();
        let insert =
            sqlx::query("INSERT INTO one VALUES ($1, $2)").bind(number as i64).bind("the meeting is at noon");
        insert.execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        bare.push(start.elapsed());
    }
    ours.sort_unstable();
    bare.sort_unstable();
    for (name, place) in [("p50", SINGLE / 2), ("p99", SINGLE * 99 / 100)] {
        let ratio = ours[place].as_secs_f64() / bare[place].as_secs_f64();
        println!(
            "one send, {name}: {:.0?}, a bare transaction with one insert {:.0?}: {ratio:.2} x",
            ours[place], bare[place]
        );
    }
    backend.close().await;
}

//! How fast one worker stores what waits in the queue, against the PostgreSQL backend's own append of the same messages in batches of
//! the same size, as many at once as the backend works on. In turns, on one server each; with `fsync` and `synchronous_commit`. And how long a message takes from
//! its send to a session at another node, at two rates.
//!
//! `cargo bench -p chat-backend-kafka --bench worker`, and `-- throughput` or `-- latency` for one of them
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

mod world;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_backend_kafka::{
    FanoutConfig, KafkaConfig, KafkaFanout, QueueConfig, QueuedLog, StoredMessages, Worker, WorkerConfig,
};
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{
    Body, Chat, Content, Draft, Event, JoinRequest, MessageLog,
    auth::Principal,
    memory::MemoryPresence,
    rate_limit::{LocalRateLimiter, RateLimits},
};
use chat_test_services::{Database, Kafka, Postgres};
use futures::StreamExt as _;
use tokio::time::{MissedTickBehavior, interval, sleep};
use world::{Nobody, draft, make_rooms, median, room, topics, user};

const MESSAGES: usize = 60_000;
const ROOMS: usize = 1_000;
const PARTITIONS: i32 = 12;
const TURNS: usize = 5;
const LIVE_ROOMS: usize = 20;
const SECONDS: usize = 10;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (kafka, postgres) = (Kafka::private().await.unwrap(), Postgres::shared().await.unwrap());
        if wants("throughput") {
            throughput(&kafka, postgres).await;
        }
        if wants("latency") {
            for a_second in [1_000, 5_000] {
                latency(&kafka, postgres, a_second).await;
            }
        }
    });
}

async fn store(postgres: &Postgres, rooms: usize) -> (Database, PostgresBackend) {
    let database = postgres.database().await.unwrap();
    let store = PostgresBackend::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap();
    make_rooms(&store.rooms(), rooms).await;
    (database, store)
}

async fn throughput(kafka: &Kafka, postgres: &Postgres) {
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let own = own_rate(postgres).await;
        let worker = worker_rate(kafka, postgres).await;
        println!("the backend's own {own:.0}/s, a worker {worker:.0}/s");
        rates.push(worker);
        ratios.push(worker / own);
    }
    println!("worker: {:.0} messages/s, {:.2} of the backend's own", median(&mut rates), median(&mut ratios));
}

async fn own_rate(postgres: &Postgres) -> f64 {
    let (_database, store) = store(postgres, ROOMS).await;
    let log = store.message_log();
    let drafts: Vec<Draft> = (0..MESSAGES).map(|number| draft(number, ROOMS)).collect();
    let batches: Vec<Vec<Draft>> =
        drafts.chunks(WorkerConfig::DEFAULT_MAX_BATCH).map(<[_]>::to_vec).collect();
    let begun = Instant::now();
    let appends = futures::stream::iter(batches).map(|batch| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.append(&batch).await.unwrap() })
    });
    appends.buffer_unordered(log.parallel_appends()).for_each(|done| async { drop(done.unwrap()) }).await;
    MESSAGES as f64 / begun.elapsed().as_secs_f64()
}

/// From the first message that is stored to the last one.
async fn worker_rate(kafka: &Kafka, postgres: &Postgres) -> f64 {
    let config = topics(kafka, PARTITIONS).await;
    let (_database, store) = store(postgres, ROOMS).await;
    let queue = queue(&config, &store).await;
    for first in (0..MESSAGES).step_by(1_000) {
        let drafts: Vec<_> = (first..first + 1_000).map(|number| draft(number, ROOMS)).collect();
        queue.append(&drafts).await.unwrap();
    }
    let group = WorkerConfig::new().with_group(config.topics().messages.clone());
    let worker = Worker::start(&config, group, store.message_log(), None).unwrap();
    let stored = async || {
        let rooms: Vec<_> = (0..ROOMS).map(room).collect();
        let heads = store.message_log().heads(&rooms).await.unwrap();
        heads.into_iter().flatten().map(|head| head.cursor.seq.get()).sum::<u64>()
    };
    let mut at_first = 0;
    while at_first == 0 {
        sleep(Duration::from_millis(5)).await;
        at_first = stored().await;
    }
    let begun = Instant::now();
    while stored().await < MESSAGES as u64 {
        sleep(Duration::from_millis(20)).await;
    }
    let rate = (MESSAGES as u64 - at_first) as f64 / begun.elapsed().as_secs_f64();
    worker.shutdown(Duration::from_secs(10)).await.unwrap();
    rate
}

async fn queue(config: &KafkaConfig, store: &PostgresBackend) -> Arc<QueuedLog> {
    let queue = QueueConfig::new();
    Arc::new(QueuedLog::start(config, queue, store.message_log(), store.rooms()).await.unwrap())
}

async fn latency(kafka: &Kafka, postgres: &Postgres, a_second: usize) {
    let config = topics(kafka, PARTITIONS).await;
    let (_database, store) = store(postgres, LIVE_ROOMS).await;
    let queue = queue(&config, &store).await;
    let group = WorkerConfig::new().with_group(config.topics().messages.clone());
    let worker = Worker::start(&config, group, store.message_log(), None).unwrap();
    let live = FanoutConfig::new().with_stored_messages(StoredMessages::FromWorkers);
    let elsewhere = Chat::builder()
        .storage(&store)
        .log(self::queue(&config, &store).await)
        .fanout(KafkaFanout::connect(&config, live).await.unwrap())
        .presence(MemoryPresence::new())
        .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
        .auth(Nobody)
        .build()
        .unwrap();
    let (session, mut events) = elsewhere.connect_as(Principal::new(user())).await.unwrap();
    for number in 0..LIVE_ROOMS {
        session.join(JoinRequest::new(room(number))).await.unwrap();
    }
    while worker.partitions() == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    let begun = Instant::now();
    let sending = tokio::spawn(async move {
        // Ten of a hundredth of a second at once.
        let mut ticks = interval(Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for tick in 0..SECONDS * 100 {
            ticks.tick().await;
            let each = a_second / 100;
            for number in tick * each..(tick + 1) * each {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move {
                    let mut draft = draft(number, LIVE_ROOMS);
                    draft.content = Content::text(&begun.elapsed().as_micros().to_string());
                    queue.append(&[draft]).await.unwrap();
                });
            }
        }
    });
    let expected = SECONDS * a_second;
    let mut times = Vec::with_capacity(expected);
    while times.len() < expected {
        let event = tokio::time::timeout(Duration::from_secs(30), events.next()).await.unwrap().unwrap();
        let Event::Entry(entry) = event else { continue };
        let Content::Chat { body: Body::Text(sent) } = &entry.value().content else { continue };
        let sent = Duration::from_micros(sent.parse().unwrap());
        times.push((begun.elapsed() - sent).as_secs_f64() * 1e3);
    }
    sending.await.unwrap();
    // Without the first second, in which everybody connects.
    times.drain(..a_second);
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[times.len() * percent / 100];
    println!(
        "at {a_second}/s: p50 {:.1} ms, p99 {:.1} ms from the send to a session elsewhere",
        at(50),
        at(99)
    );
    worker.shutdown(Duration::from_secs(10)).await.unwrap();
}

//! Sends that are answered `Accepted`, 64 senders that each wait for the answer before they send again: through the queue and through
//! a whole chat, against a bare producer of the same records with the same settings. In turns, on one broker.
//!
//! `cargo bench -p chat-backend-kafka --bench queue`
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

mod world;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use chat_backend_kafka::{QueueConfig, QueuedLog};
use chat_core::{
    Chat, Draft, MessageLog, Settings, Storage as _,
    memory::MemoryStore,
    rate_limit::{LocalRateLimiter, RateLimits},
};
use chat_test_services::Kafka;
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use world::{Nobody, draft, make_rooms, median, topics};

const SENDERS: usize = 64;
const ROOMS: usize = 100;
const DURATION: Duration = Duration::from_secs(4);
const TURNS: usize = 5;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let kafka = Kafka::private().await.unwrap();
    let config = topics(&kafka, 6).await;
    let store = MemoryStore::new();
    make_rooms(&store.rooms(), ROOMS).await;
    let queued =
        QueuedLog::start(&config, QueueConfig::new(), store.message_log(), store.rooms()).await.unwrap();
    let queued = Arc::new(queued);
    let chat = chat(&store, Arc::clone(&queued));
    let bare = bare(config.brokers());
    let topic = config.topics().messages.clone();
    let (mut rates, mut ratios, mut of_chat) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let (producer, to) = (bare.clone(), topic.clone());
        let bare = rate(turn, move |draft| produce(producer.clone(), to.clone(), draft)).await;
        let log = Arc::clone(&queued);
        let through_queue = rate(turn, move |draft| {
            let log = Arc::clone(&log);
            async move { drop(log.append(&[draft]).await.unwrap()) }
        })
        .await;
        let sender = chat.clone();
        let through_chat = rate(turn, move |draft| {
            let chat = sender.clone();
            async move { drop(chat.append(draft).await.unwrap()) }
        })
        .await;
        println!("bare {bare:.0}/s, queue {through_queue:.0}/s, whole chat {through_chat:.0}/s");
        rates.push(through_queue);
        ratios.push(through_queue / bare);
        of_chat.push(through_chat / bare);
    }
    println!(
        "accepted: {:.0} sends/s by {SENDERS} senders, {:.2} of bare production; through a whole chat {:.2}",
        median(&mut rates),
        median(&mut ratios),
        median(&mut of_chat)
    );
}

fn chat(store: &MemoryStore, queued: Arc<QueuedLog>) -> Chat {
    let mut settings = Settings::default();
    settings.announce_members = false;
    Chat::builder()
        .memory()
        .storage(store)
        .log(queued)
        .auth(Nobody)
        .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
        .settings(settings)
        .build()
        .unwrap()
}

fn bare(brokers: &str) -> FutureProducer {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers).set("acks", "all").set("enable.idempotence", "true");
    client.set("compression.type", "lz4").set("linger.ms", "1").set("partitioner", "murmur2_random");
    client.create().unwrap()
}

async fn produce(producer: FutureProducer, topic: String, draft: Draft) {
    let payload = format!(r#"{{"v":1,"draft":{}}}"#, serde_json::to_string(&draft).unwrap());
    let headers = OwnedHeaders::new().insert(Header { key: "produced-at", value: Some("1760000000000") });
    let record = FutureRecord::to(&topic).key(draft.room.as_str()).payload(&payload).headers(headers);
    producer.send(record, Duration::ZERO).await.unwrap();
}

/// Sends a second.
async fn rate<F>(turn: usize, send: impl Fn(Draft) -> F + Clone + Send + 'static) -> f64
where
    F: Future<Output = ()> + Send,
{
    let begun = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let send = send.clone();
            tokio::spawn(async move {
                let mut sent = 0;
                while begun.elapsed() < DURATION {
                    let number = (turn * SENDERS + sender) * 1_000_000 + sent;
                    send(draft(number, ROOMS)).await;
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
    sent as f64 / begun.elapsed().as_secs_f64()
}

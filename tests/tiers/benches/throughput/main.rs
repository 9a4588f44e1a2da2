//! What a hot log in Redis takes, through chats, against bare `XADD` of the same bytes; and what goes all the way from a send to a
//! client of another node and into PostgreSQL, with everything on one machine.
//!
//! `cargo bench -p chat-test-tiers --bench throughput`, and `-- 20000` for another number of messages in a turn; with 0 only the way
//! to a client and into PostgreSQL.
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

mod chain;
mod stage;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chat_core::{ClientMessageId, Storage as _, memory::MemoryStore, tiered::TieredSettings};
use chat_test_services::Redis;
use fred::{
    interfaces::ClientLike as _,
    types::{Builder, CustomCommand, Value, config::Config},
};
use stage::{BYTES, Stage, room, system};

const SENDERS: usize = 64;
const MESSAGES: usize = 40_000;
const TURNS: usize = 3;

fn main() {
    let wanted = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(MESSAGES);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        println!("{wanted} messages of {BYTES} bytes, {SENDERS} senders, medians of {TURNS} turns");
        for rooms in [1, 1_000].into_iter().filter(|_| wanted > 0) {
            let (mut bares, mut alone, mut archived) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..TURNS {
                bares.push(bare(wanted, rooms).await);
                alone.push(appends(wanted, rooms, 0).await);
                archived.push(appends(wanted, rooms, 1).await);
            }
            let bare = rate(bares, wanted);
            for (what, times) in [("nothing behind", alone), ("archived into memory", archived)] {
                let rate = rate(times, wanted);
                println!(
                    "{rooms:>5} rooms, {what:>20}: {rate:>8.0} /s, bare XADD {bare:>8.0} /s, ratio {:.2}",
                    rate / bare
                );
            }
        }
        chain::report().await;
    });
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn rate(mut times: Vec<Duration>, messages: usize) -> f64 {
    times.sort();
    messages as f64 / times[times.len() / 2].as_secs_f64()
}

/// Makes so many calls, so many at once.
async fn send<F: Future<Output = ()> + Send + 'static>(
    messages: usize,
    call: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Duration {
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (next, call) = (Arc::clone(&next), call.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= messages {
                        return;
                    }
                    call(number).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    begun.elapsed()
}

/// One stream per room, and as many bytes as an entry of the hot log has.
async fn bare(messages: usize, rooms: usize) -> Duration {
    let server = Redis::shared().await.unwrap();
    let client = Builder::from_config(Config::from_url(server.url()).unwrap()).build().unwrap();
    client.init().await.unwrap();
    let (prefix, payload) = (server.prefix(), "x".repeat(BYTES + 250));
    send(messages, move |number| {
        let (client, payload) = (client.clone(), payload.clone());
        let key = format!("{prefix}:{}", number % rooms);
        async move {
            let xadd = CustomCommand::new("XADD", key.as_str(), false);
            client
                .custom::<Value, _>(xadd, vec![key, "*".to_owned(), "e".to_owned(), payload])
                .await
                .unwrap();
        }
    })
    .await
}

async fn appends(messages: usize, rooms: usize, workers: usize) -> Duration {
    let store = MemoryStore::new();
    let mut settings = TieredSettings::default();
    settings.workers = workers;
    let stage = Stage::new(&store, store.archive(), settings).await;
    let chat = stage.node().await;
    stage::create_rooms(&chat, rooms).await;
    let sender = chat.system(system());
    // Rooms are opened by their first message.
    for number in 0..rooms {
        sender.send_text(&room(number), ClientMessageId::generate(), "hello").await.unwrap();
    }
    let text = "x".repeat(BYTES);
    let took = send(messages, move |number| {
        let (sender, text) = (sender.clone(), text.clone());
        async move {
            sender.send_text(&room(number % rooms), ClientMessageId::generate(), &text).await.unwrap();
        }
    })
    .await;
    drop(store.message_log());
    took
}

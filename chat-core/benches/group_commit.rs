//! Group commit over a log that takes 2 ms for every batch: throughput with 64 senders, each waiting for its answer before
//! it sends again, against what that log can do at all with batches of 64.
//!
//! `cargo bench -p chat-core --bench group_commit`
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Backend, ClientMessageId, Content, Draft, Durability, Head, MessageLog, Page, ReadQuery,
    Result, Retention, RoomId, Storage as _, memory::MemoryStore,
};

const LATENCY: Duration = Duration::from_millis(2);
const SENDERS: usize = 64;
const DURATION: Duration = Duration::from_secs(3);

/// Memory, 2 ms away.
#[derive(Debug)]
struct Slow {
    log: Arc<dyn MessageLog>,
    batches: AtomicUsize,
}

#[async_trait]
impl Backend for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl MessageLog for Slow {
    fn durability(&self) -> Durability {
        self.log.durability()
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        pause(LATENCY).await;
        self.log.append(drafts).await
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        self.log.read(room, query).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        self.log.heads(rooms).await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.log.trim(room, retention).await
    }
}

/// Tokio's timer counts in milliseconds and rounds up; a blocking thread sleeps to the microsecond.
async fn pause(time: Duration) {
    tokio::task::spawn_blocking(move || std::thread::sleep(time)).await.unwrap();
}

fn draft() -> Draft {
    Draft::new(support::room(0), support::user("ann"), ClientMessageId::generate(), Content::text("hello"))
}

fn main() {
    for threads in [1, 2] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
        runtime.block_on(run(threads));
    }
}

async fn run(threads: usize) {
    let store = MemoryStore::new();
    let log = Arc::new(Slow { log: store.message_log(), batches: AtomicUsize::new(0) });
    let chat = support::builder(&store).log(log.clone()).build().unwrap();
    support::rooms(&chat, 1, &[support::user("ann")]).await;

    let limit = {
        let start = Instant::now();
        let mut stored = 0;
        while start.elapsed() < DURATION {
            let drafts: Vec<_> = (0..SENDERS).map(|_| draft()).collect();
            stored += log.append(&drafts).await.unwrap().len();
        }
        stored as f64 / start.elapsed().as_secs_f64()
    };

    log.batches.store(0, Ordering::Relaxed);
    let start = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let chat = chat.clone();
            tokio::spawn(async move {
                let mut sent = 0;
                while start.elapsed() < DURATION {
                    chat.append(draft()).await.unwrap();
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
    let rate = f64::from(sent) / start.elapsed().as_secs_f64();
    println!(
        "{SENDERS} senders, {threads} threads, log of {LATENCY:?}: {rate:.0} /s of at most {limit:.0} /s, {:.1} %, {:.1} drafts per batch",
        100.0 * rate / limit,
        f64::from(sent) / log.batches.load(Ordering::Relaxed) as f64
    );
}

//! What an append to the hot log costs next to a bare `XADD`: 64 senders, each with one message under way, over one connection; each
//! message a call of its own, and all that wait together in one call, as a node sends them. And what a message takes of the
//! server's memory.
//!
//! `cargo bench -p chat-backend-redis --bench hot_log`, and `-- 20000 4` for another number of messages and of rooms
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use chat_backend_redis::{HotLogConfig, RedisBackend, RedisConfig};
use chat_core::{
    ClientMessageId, Epoch, Fingerprint, RoomId, Seq, UserId,
    tiered::{Archived, Claim, Gate, HotAppended, HotBatch, HotDraft, HotLog, NameKey, Opening},
};
use chat_test_services::Redis;
use fred::{
    clients::Client,
    interfaces::ClientLike as _,
    types::{Builder, ClusterHash, CustomCommand, Value, config::Config},
};
use futures::future::join_all;

const SENDERS: usize = 64;
const MESSAGES: usize = 200_000;
const ROOMS: usize = 16;
/// What a short message is when it is encoded.
const PAYLOAD: &[u8] = &[b'x'; 150];

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse().ok());
    let (messages, rooms) = (numbers.next().unwrap_or(MESSAGES), numbers.next().unwrap_or(ROOMS));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(messages, rooms));
}

async fn measure(messages: usize, rooms: usize) {
    let server = Redis::private().await.unwrap();
    println!("{messages} messages of {SENDERS} senders into {rooms} rooms");
    let client = Builder::from_config(Config::from_url(server.url()).unwrap()).build().unwrap();
    client.init().await.unwrap();
    for round in 1..=3 {
        let bare = bare(&server, &client, messages, rooms).await;
        for (what, at_once) in
            [("a call for each", 1), ("half of them together", SENDERS / 2), ("together", SENDERS)]
        {
            let rate = appended(&server, messages, rooms, at_once, 1_000_000).await;
            println!("round {round}: {what}: {:.0} % of bare XADD", 100.0 * rate / bare);
        }
        let rate = appended(&server, messages, rooms, SENDERS, 1_000).await;
        println!(
            "round {round}: together, of what is archived the last 1,000 stay: {:.0} %",
            100.0 * rate / bare
        );
    }
}

async fn bare(server: &Redis, client: &Client, messages: usize, rooms: usize) -> f64 {
    server.ask("FLUSHALL").await.unwrap();
    let next = AtomicUsize::new(0);
    let before = Used::of(server).await;
    join_all((0..SENDERS).map(async |_| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= messages {
                break;
            }
            let command = CustomCommand::new_static("XADD", ClusterHash::FirstKey, false);
            let arguments: Vec<Value> =
                vec![format!("r{}", number % rooms).into(), "*".into(), "e".into(), PAYLOAD.into()];
            client.custom::<Value, _>(command, arguments).await.unwrap();
        }
    }))
    .await;
    before.print(server, "bare XADD", messages).await
}

async fn appended(server: &Redis, messages: usize, rooms: usize, at_once: usize, window: u64) -> f64 {
    server.ask("FLUSHALL").await.unwrap();
    let config = RedisConfig::from_url(server.url()).unwrap();
    let backend = RedisBackend::connect(config).await.unwrap();
    let log = backend.hot_log(HotLogConfig::new().with_max_backlog(1 << 40).with_window(window));
    let mut open = Vec::new();
    for number in 0..rooms {
        open.push(opened(&log, RoomId::new(&format!("r{number}")).unwrap()).await);
    }
    let next = AtomicUsize::new(0);
    let before = Used::of(server).await;
    join_all((0..SENDERS / at_once).map(async |_| {
        loop {
            let first = next.fetch_add(at_once, Ordering::Relaxed);
            if first >= messages {
                break;
            }
            let mut batches: Vec<HotBatch> = Vec::new();
            for number in first..first + at_once {
                let (room, gate, _) = &open[number % rooms];
                match batches.iter_mut().find(|batch| batch.room == *room) {
                    Some(batch) => batch.drafts.push(draft(number)),
                    None => batches.push(HotBatch {
                        room: room.clone(),
                        gate: Some(gate.clone()),
                        drafts: vec![draft(number)],
                    }),
                }
            }
            let mut done = Vec::new();
            for (batch, answer) in batches.iter().zip(log.append(&batches).await.unwrap()) {
                let HotAppended::Done(life, outcomes) = answer else { panic!("{answer:?}") };
                if let Some(chat_core::tiered::HotOutcome::New { seq, .. }) = outcomes.last() {
                    done.push(Archived { room: batch.room.clone(), life, upto: *seq, ticket: None });
                }
            }
            // As an archiver does that takes a thousand entries at once.
            if window < 1_000_000 && first.is_multiple_of(16 * at_once) {
                log.archived(&done).await.unwrap();
            }
        }
    }))
    .await;
    let what = format!("append, {at_once} at once{}", if window < 1_000_000 { ", archived" } else { "" });
    before.print(server, &what, messages).await
}

async fn opened(log: &Arc<dyn HotLog>, room: RoomId) -> (RoomId, Gate, Epoch) {
    let Claim::Yours { token, .. } = log.claim(&room).await.unwrap() else { panic!("it is open") };
    let life = Epoch::generate();
    let opening = Opening {
        room: room.clone(),
        token,
        life: life.clone(),
        base: Seq::ZERO,
        archived: Seq::ZERO,
        oldest: Seq::FIRST,
        last_id: None,
        keep: false,
        lost_after: Seq::ZERO,
    };
    assert!(log.open(opening).await.unwrap());
    let batch = HotBatch { room: room.clone(), gate: None, drafts: vec![draft(0)] };
    let HotAppended::Gate(state) = log.append(&[batch]).await.unwrap().remove(0) else { panic!("no gate") };
    (room, state.gate, life)
}

fn draft(number: usize) -> HotDraft {
    let sender = UserId::new(&format!("user-{}", number % SENDERS)).unwrap();
    HotDraft {
        key: NameKey::new(&sender, &ClientMessageId::new(&number.to_string()).unwrap()),
        fingerprint: Fingerprint([7; 16]),
        sender,
        timeline: true,
        changeable: true,
        change: None,
        refused: false,
        // As a node says that asked the archive: what that costs is not the question here.
        not_archived: None,
        payload: PAYLOAD.into(),
    }
}

/// What was used until now.
struct Used {
    memory: f64,
    processor: f64,
    begun: Instant,
}

impl Used {
    async fn of(server: &Redis) -> Self {
        let info = server.ask("INFO all").await.unwrap();
        let number =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok()).unwrap();
        Self {
            memory: number("used_memory:"),
            processor: number("used_cpu_user:") + number("used_cpu_sys:"),
            begun: Instant::now(),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "for people")]
    async fn print(self, server: &Redis, what: &str, messages: usize) -> f64 {
        let seconds = self.begun.elapsed().as_secs_f64();
        let now = Self::of(server).await;
        let messages = messages as f64;
        println!(
            "{what:>32}: {:>8.0} /s, {:>5.2} µs of the server and {:>4.0} bytes for each",
            messages / seconds,
            1e6 * (now.processor - self.processor) / messages,
            (now.memory - self.memory) / messages,
        );
        messages / seconds
    }
}

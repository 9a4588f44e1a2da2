//! What presence costs the server while nobody comes or goes: whole chats on two nodes, with sessions that stay, and the commands
//! that the server counts meanwhile, those within scripts included.
//!
//! `cargo bench -p chat-backend-redis --bench presence`, and `-- 1000 10` for another number of sessions and of seconds
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chat_backend_redis::{RedisBackend, RedisConfig};
use chat_core::{Chat, auth::Credentials, memory::MemoryStore, testkit::TokenIsUser};
use chat_test_services::Redis;
use futures::{StreamExt as _, stream};
use tokio::time::sleep;

const SESSIONS: usize = 100_000;
const SECONDS: usize = 60;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse().ok());
    let (sessions, seconds) = (numbers.next().unwrap_or(SESSIONS), numbers.next().unwrap_or(SECONDS));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(sessions, seconds));
}

async fn measure(sessions: usize, seconds: usize) {
    let server = Redis::private().await.unwrap();
    let store = MemoryStore::new();
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let backend = RedisBackend::connect(RedisConfig::from_url(server.url()).unwrap()).await.unwrap();
        let chat = Chat::builder()
            .storage(&store)
            .fanout(backend.fanout())
            .presence(backend.presence())
            .auth(TokenIsUser)
            .build()
            .unwrap();
        nodes.push(chat);
    }
    let begun = Instant::now();
    let connected = stream::iter(0..sessions).map(|number| {
        let node = nodes[number % 2].clone();
        async move { node.connect(&Credentials::token(format!("u{number}"))).await.unwrap() }
    });
    let kept: Vec<_> = connected.buffer_unordered(256).collect().await;
    let registered = async || server.ask("HLEN {chat:presence}:connections").await.unwrap();
    while registered().await != sessions.to_string() {
        sleep(Duration::from_millis(200)).await;
    }
    println!("{sessions} sessions on 2 nodes, registered after {:.1?}", begun.elapsed());
    // The last of what their coming set off.
    sleep(Duration::from_secs(10)).await;
    let (before, used) = (calls(&server).await, processor(&server).await);
    sleep(Duration::from_secs(u64::try_from(seconds).unwrap())).await;
    let (after, used) = (calls(&server).await, processor(&server).await - used);
    let mut all = 0.0;
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let per_second = |count: u64| count as f64 / seconds as f64;
    for (command, count) in &after {
        let rate = per_second(count - before.get(command).copied().unwrap_or(0));
        if rate > 0.0 && command != "info" {
            println!("{command:>20}: {rate:>8.2} /s");
            all += rate;
        }
    }
    println!("{:>20}: {all:>8.2} /s, target < 50 /s", "all");
    println!("{:>20}: {:>8.3} % of one core", "processor", 100.0 * used / per_second(1).recip());
    drop(kept);
}

/// How often each command was called.
async fn calls(server: &Redis) -> BTreeMap<String, u64> {
    let stats = server.ask("INFO commandstats").await.unwrap();
    let call = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    stats.lines().filter_map(call).collect()
}

/// Seconds of the processor that the server has used.
async fn processor(server: &Redis) -> f64 {
    let info = server.ask("INFO cpu").await.unwrap();
    let used = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok());
    used("used_cpu_user:").unwrap() + used("used_cpu_sys:").unwrap()
}

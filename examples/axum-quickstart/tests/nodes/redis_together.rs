//! What processes know of each other over Redis.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    client::Client,
    node::Guest,
    notes::Notes,
    redis_stage::{RedisStage, Setting},
    stage::PATIENCE,
};

/// A withdrawn token ends its sessions everywhere within this.
const WITHDRAWN: Duration = Duration::from_secs(1);

fn was_withdrawn(notes: &Notes) -> bool {
    notes.events.iter().any(|event| event["type"] == "closing" && event["code"] == "token_revoked")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_live_goes_over_redis_and_a_withdrawn_token_ends_its_sessions_at_once() {
    let logs = tempfile::tempdir().unwrap();
    let setting = Setting { rate_limits: true, logs: Some(logs.path()), ..Setting::default() };
    let mut stage = RedisStage::open(setting).await;
    stage.all_hear_all(0..4).await;
    stage.all_are_online(PATIENCE).await;
    // Each part of it is really there, and health says so of each. What was taken of a limit is forgotten soon.
    assert_eq!(stage.clients[0].guest.try_ask(stage.nodes[0].address, "GET", "/chat/rooms").await.0, 200);
    let keys = stage.redis.ask("KEYS *").await.unwrap();
    for part in ["{chat:presence}:nodes", "chat:rate:", "chat:credentials:"] {
        assert!(keys.lines().any(|key| key.starts_with(part)), "{part} in {keys}");
    }
    let channels = stage.redis.ask("PUBSUB SHARDCHANNELS chat:*").await.unwrap();
    assert!(channels.contains("tea") && channels.contains(&stage.clients[3].guest.user), "{channels}");

    // Eve is at the first process, the second and the second.
    let eve = Guest::arrive(stage.nodes[0].address, "Eve").await;
    let [one, two] = stage.nodes.each_ref().map(|node| node.address);
    let sessions = [one, two, two].map(|at| Client::start(&eve, &[at], &[]));
    for session in &sessions {
        session.until("connecting", PATIENCE, |notes| notes.connections == 1).await;
    }
    let (asked, begun) = (format!("PUBSUB SHARDNUMSUB chat:user:{}", eve.user), Instant::now());
    while stage.redis.ask(&asked).await.unwrap().lines().last() != Some("2") {
        assert!(begun.elapsed() < PATIENCE, "both processes listen for what concerns Eve");
        sleep(Duration::from_millis(10)).await;
    }
    let withdrawn = Instant::now();
    assert_eq!(eve.try_ask(one, "DELETE", "/guest").await.0, 204);
    for session in &sessions {
        session.until("the end", WITHDRAWN, was_withdrawn).await;
    }
    let took = withdrawn.elapsed();
    println!("a withdrawn token ended three sessions at two processes within {took:.1?}");
    assert!(took <= WITHDRAWN, "{took:?}");
    for at in [one, two] {
        assert_eq!(eve.try_ask(at, "GET", "/chat/rooms").await.0, 401, "the cache lets nobody in");
    }
    sleep(Duration::from_millis(500)).await;
    assert!(sessions.iter().all(|session| session.notes().connections == 1), "and nobody came back");
    drop(sessions);

    // Without Redis health names what is Redis's, messages are stored, and nobody new is let in.
    stage.redis.kill().await.unwrap();
    let health = stage.clients[0].guest.try_ask(two, "GET", "/chat/health").await;
    assert_eq!(health.0, 503);
    for part in ["fanout", "presence", "rate limiter", "revocations"] {
        let error = health.1["parts"][part]["error"].as_str().unwrap_or_default();
        assert!(error.contains("redis"), "{part}: {health:?}");
    }
    for part in ["log", "rooms", "search"] {
        assert_eq!(health.1["parts"][part], json!({"status": "ok"}), "{health:?}");
    }
    stage.clients[0].say(&stage.rooms[0], "said without Redis");
    stage.clients[0].until("the answer", PATIENCE, |notes| notes.outbox.is_empty()).await;
    let (status, problem) = stage.clients[0].guest.try_ask(two, "GET", "/chat/rooms").await;
    assert_eq!((status, &problem["retryable"]), (503, &Value::Bool(true)), "{problem}");
    stage.redis.start().await.unwrap();
    stage.is_back(Instant::now(), "Redis was away").await;
    let password = secret_of(stage.redis.url());
    let database = secret_of(stage.database.url());
    let tokens: Vec<String> = stage.clients.iter().map(|client| client.guest.token.clone()).collect();
    stage.judge().await;

    for log in std::fs::read_dir(logs.path()).unwrap() {
        let log = std::fs::read_to_string(log.unwrap().path()).unwrap();
        assert!(log.contains("TRACE") && log.contains("redis"), "everything is in it");
        for secret in tokens.iter().chain([&password, &database]) {
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "a secret is in the log");
        }
    }
}

fn secret_of(url: &str) -> String {
    let url: url::Url = url.parse().unwrap();
    url.password().unwrap().to_owned()
}

//! The fan-out on a real server: what networks and servers do to it, nodes that are slow, and which events arrive.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod broken;
mod events;
#[path = "../live/mod.rs"]
mod live;
mod slow;

use std::time::Duration;

use chat_backend_redis::RedisBackend;
use chat_test_services::{Proxy, Redis};
use fred::{
    clients::Client,
    interfaces::ClientLike as _,
    types::{Builder, config::Config},
};
use live::{connect, fresh, through};

const PROBE: Duration = Duration::from_millis(300);

async fn shared() -> &'static Redis {
    Redis::shared().await.unwrap()
}

/// A client of the test's own.
async fn by_hand(url: &str) -> Client {
    let mut builder = Builder::from_config(Config::from_url(url).unwrap());
    builder.with_performance_config(|performance| performance.broadcast_channel_capacity = 100_000);
    let client = builder.build().unwrap();
    client.init().await.unwrap();
    client
}

/// Ends the connections that subscribe, and answers how many there were.
async fn end_subscribers(server: &Redis) -> String {
    server.ask("CLIENT KILL TYPE pubsub").await.unwrap()
}

/// A node whose subscriber goes through a proxy, and nothing else of it.
async fn through_a_proxy(server: &Redis) -> (RedisBackend, Proxy) {
    let proxy = Proxy::start(server.address().unwrap()).await.unwrap();
    let at = Config::from_url(&through(server, &proxy)).unwrap();
    let config = fresh(server).with_subscribe_at(at).with_probe(PROBE).with_connect_timeout(PROBE * 3);
    (connect(&config).await, proxy)
}

//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{sync::Arc, time::Duration};

use chat_backend_redis::{RedisBackend, RedisConfig};
use chat_core::{
    CustomKind, Fanout, JsonText, RoomId, UserId,
    fanout::{FanoutEvent, FanoutItem, Publication, Subscription, Topic},
};
use chat_test_services::{Proxy, Redis, RedisCluster};
use futures::StreamExt as _;
use tokio::{
    sync::{Mutex, OnceCell},
    time::{Instant, sleep, timeout},
};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The cluster of this test binary.
async fn cluster() -> &'static RedisCluster {
    static SHARED: OnceCell<RedisCluster> = OnceCell::const_new();
    SHARED.get_or_try_init(RedisCluster::private).await.unwrap()
}

/// What a case runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Single,
    Cluster,
    /// Behind proxies, of a case's own.
    SingleProxied,
    ClusterProxied,
}

/// Gives what is on one fresh prefix for each case.
pub(crate) struct Servers {
    place: Place,
    /// With it, so that connections of nodes that were given out last until the case is done.
    kept: Mutex<Vec<RedisBackend>>,
    proxies: Mutex<Vec<Proxy>>,
    own: Mutex<Option<RedisCluster>>,
}

impl Servers {
    pub(crate) fn at(place: Place) -> Self {
        Self { place, kept: Mutex::default(), proxies: Mutex::default(), own: Mutex::default() }
    }

    pub(crate) async fn backends(&self, count: usize) -> Vec<RedisBackend> {
        let shared = Redis::shared().await.unwrap();
        let url = match self.place {
            Place::Single => shared.url().to_owned(),
            Place::Cluster => cluster().await.url().unwrap(),
            Place::SingleProxied => {
                let proxy = Proxy::start(shared.address().unwrap()).await.unwrap();
                let url = through(shared, &proxy);
                self.proxies.lock().await.push(proxy);
                url
            }
            Place::ClusterProxied => {
                let own = RedisCluster::behind_proxies().await.unwrap();
                let url = own.url().unwrap();
                *self.own.lock().await = Some(own);
                url
            }
        };
        let prefix = shared.prefix();
        let mut backends = Vec::new();
        for _ in 0..count {
            let config = config(&url).with_prefix(&prefix);
            backends.push(RedisBackend::connect(config).await.unwrap());
        }
        self.kept.lock().await.extend(backends.iter().cloned());
        backends
    }

    pub(crate) async fn cut(&self) {
        for proxy in self.proxies.lock().await.iter() {
            proxy.cut().await;
        }
        if let Some(own) = &*self.own.lock().await {
            for proxy in own.proxies() {
                proxy.cut().await;
            }
        }
    }

    pub(crate) async fn mend(&self) {
        for proxy in self.proxies.lock().await.iter() {
            proxy.mend().await;
        }
        if let Some(own) = &*self.own.lock().await {
            for proxy in own.proxies() {
                proxy.mend().await;
            }
        }
    }
}

/// The address of a server, through a proxy.
pub(crate) fn through(server: &Redis, proxy: &Proxy) -> String {
    server.url().replace(&server.address().unwrap(), &proxy.address().to_string())
}

pub(crate) fn config(url: &str) -> RedisConfig {
    RedisConfig::from_url(url).unwrap()
}

/// On a prefix of its own.
pub(crate) fn fresh(server: &Redis) -> RedisConfig {
    config(server.url()).with_prefix(server.prefix())
}

pub(crate) async fn connect(config: &RedisConfig) -> RedisBackend {
    RedisBackend::connect(config.clone()).await.unwrap()
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::Room(room(name))
}

pub(crate) fn signal(text: &str) -> FanoutEvent {
    FanoutEvent::Signal {
        room: room("tea"),
        user: user("ann"),
        name: CustomKind::new("note").unwrap(),
        data: JsonText::new(&format!("\"{text}\"")).unwrap(),
    }
}

pub(crate) async fn publish(fanout: &dyn Fanout, to: &str, event: FanoutEvent) {
    fanout.publish(&[Publication::new(topic(to), event)]).await.unwrap();
}

/// The next event, or none where a loss is told.
pub(crate) async fn next(subscription: &mut Subscription) -> Option<Arc<FanoutEvent>> {
    match timeout(PATIENCE, subscription.next()).await.unwrap().unwrap().unwrap() {
        FanoutItem::Event(event) => Some(event),
        FanoutItem::Missed => None,
    }
}

pub(crate) async fn missed(subscription: &mut Subscription) {
    assert_eq!(next(subscription).await, None, "not told of a loss");
}

/// Publishes until one arrives.
pub(crate) async fn is_live(fanout: &dyn Fanout, to: &str, subscription: &mut Subscription) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // It may be out of reach still.
        let _ = fanout.publish(&[Publication::new(topic(to), signal("live"))]).await;
        match timeout(Duration::from_millis(200), next(subscription)).await {
            Ok(Some(event)) if *event == signal("live") => return,
            _ => assert!(Instant::now() < deadline, "no event within {PATIENCE:?}"),
        }
    }
}

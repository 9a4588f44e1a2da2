//! Which servers carry channels, and a connection to each.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use chat_core::fanout::Topics;
use fred::{
    clients::Client,
    interfaces::ClusterInterface as _,
    types::{
        Value,
        cluster::ClusterRouting,
        config::{Config, Server, ServerConfig},
    },
};
use tokio::{sync::Notify, task::JoinHandle, time::timeout};

use super::{
    link::Link,
    registry::{Registry, Routes, ShardId},
};
use crate::{RedisError, backend::Shared};

/// Slots of a cluster.
const SLOTS: u32 = 16_384;
/// At least so long between two looks, however many ask for one.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);

pub(super) struct Shards {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    topics: Topics,
    moved: Arc<Notify>,
    links: BTreeMap<ShardId, Task>,
}

/// Ends with this value.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shards {
    pub(super) fn new(shared: Arc<Shared>, registry: Arc<Registry>, topics: Topics) -> Self {
        Self { shared, registry, topics, moved: Arc::default(), links: BTreeMap::new() }
    }

    /// Keeps the connections until it is dropped.
    pub(super) async fn run(mut self) -> Infallible {
        if !self.shared.config.server.server.is_clustered() {
            let config = &self.shared.config;
            let server = config.subscribe_at.as_ref().unwrap_or(&config.server).clone();
            let all = Routes::from([(0, Some(ShardId::new()))]);
            self.follow(all, &BTreeMap::from([(ShardId::new(), server)]));
            return std::future::pending().await;
        }
        let mut known = None;
        loop {
            if let Some(routing) = self.look(known.is_none()).await {
                let (routes, servers) = self.routes(&routing);
                if known.as_ref() != Some(&routes) {
                    if known.is_some() {
                        tracing::info!("slots of the cluster have moved");
                    }
                    self.follow(routes.clone(), &servers);
                    known = Some(routes);
                }
            }
            tokio::time::sleep(SHORTEST_LOOK).await;
            // A slot that moves away ends its subscriptions without a word that reaches us.
            let _ = timeout(self.shared.config.probe, self.moved.notified()).await;
        }
    }

    /// How the cluster is now, if that can be found out. The client is told where it knows something else.
    async fn look(&self, first: bool) -> Option<ClusterRouting> {
        let client = self.shared.client().ok()?;
        let cached = client.cached_cluster_state();
        if first && cached.is_some() {
            return cached;
        }
        match slots(client, cached.as_ref()).await {
            Ok(true) => cached,
            Ok(false) => {
                let patience = self.shared.config.connect_timeout;
                // The client's connections are put right meanwhile; if not, it is tried again.
                let _ = timeout(patience, client.sync_cluster()).await;
                client.cached_cluster_state()
            }
            Err(error) => {
                tracing::debug!(%error, "the cluster does not say who carries what");
                None
            }
        }
    }

    fn routes(&self, routing: &ClusterRouting) -> (Routes, BTreeMap<ShardId, Config>) {
        let mut servers = BTreeMap::new();
        for range in routing.slots() {
            let server = ServerConfig::Centralized { server: range.primary.clone() };
            let config = Config { server, database: None, ..self.shared.config.server.clone() };
            servers.insert(name(&range.primary), config);
        }
        (ranges(routing), servers)
    }

    /// From now on these servers carry the channels.
    fn follow(&mut self, routes: Routes, servers: &BTreeMap<ShardId, Config>) {
        let shards = self.registry.route(routes);
        self.links.retain(|shard, _| shards.contains(shard));
        for shard in shards {
            let Some(server) = servers.get(&shard) else { continue };
            self.links.entry(shard.clone()).or_insert_with(|| {
                let parts = (Arc::clone(&self.registry), self.topics.clone(), Arc::clone(&self.moved));
                let link = Link::new(Arc::clone(&self.shared), server.clone(), shard, parts);
                Task(tokio::spawn(async move { match link.run().await {} }))
            });
        }
    }
}

/// Whether the cluster is as the client knows it.
async fn slots(client: &Client, cached: Option<&ClusterRouting>) -> Result<bool, RedisError> {
    let Some(cached) = cached else { return Ok(false) };
    let answer: Value = client.cluster_slots().await?;
    let host = cached.slots().first().map(|range| range.primary.host.clone()).unwrap_or_default();
    let now = ClusterRouting::from_cluster_slots(answer, host)?;
    Ok(ranges(&now) == ranges(cached))
}

fn ranges(routing: &ClusterRouting) -> Routes {
    let mut routes = Routes::from([(0, None)]);
    for range in routing.slots() {
        routes.insert(range.start, Some(name(&range.primary)));
        let after = u32::from(range.end) + 1;
        if let Ok(after) = u16::try_from(after)
            && u32::from(after) < SLOTS
        {
            routes.entry(after).or_insert(None);
        }
    }
    routes
}

fn name(server: &Server) -> ShardId {
    format!("{}:{}", server.host, server.port)
}

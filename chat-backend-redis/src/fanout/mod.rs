//! Live events by channels that belong to a shard.

mod channel;
mod link;
mod payload;
mod publisher;
mod registry;
mod shards;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use chat_core::{
    Backend, Fanout, Result,
    fanout::{Publication, Subscription, Topic, Topics},
};
use tokio::{task::JoinHandle, time::timeout};

use self::{channel::Channels, publisher::Publisher, registry::Registry, shards::Shards};
use crate::{RedisError, RedisErrorKind, backend::Shared};

/// The fan-out of one node. It connects when it is first used.
pub(crate) struct RedisFanout {
    shared: Arc<Shared>,
    topics: Topics,
    registry: Arc<Registry>,
    publisher: OnceLock<Publisher>,
    shards: OnceLock<JoinHandle<()>>,
}

impl RedisFanout {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let registry = Arc::new(Registry::new(Channels::new(shared.keys.prefix())));
        let topics = Topics::watched(shared.config.fanout_buffer, {
            let registry = Arc::clone(&registry);
            move |topic, interest| registry.note(topic, interest)
        });
        Self { shared, topics, registry, publisher: OnceLock::new(), shards: OnceLock::new() }
    }

    /// Starts to connect, once.
    fn listen(&self) {
        self.shards.get_or_init(|| {
            let shards =
                Shards::new(Arc::clone(&self.shared), Arc::clone(&self.registry), self.topics.clone());
            let (topics, registry) = (self.topics.clone(), Arc::clone(&self.registry));
            let mut closed = self.shared.closed.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    _ = closed.wait_for(|closed| *closed) => {}
                    never = shards.run() => match never {},
                }
                end(&topics, &registry);
            })
        });
    }
}

fn end(topics: &Topics, registry: &Registry) {
    registry.close();
    topics.end_all(RedisError::closed().during("listen"));
}

impl Drop for RedisFanout {
    fn drop(&mut self) {
        if let Some(shards) = self.shards.get() {
            shards.abort();
        }
        end(&self.topics, &self.registry);
    }
}

impl fmt::Debug for RedisFanout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisFanout").field("topics", &self.topics).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for RedisFanout {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        if let Some(failure) = self.registry.failure() {
            return Err(failure.during("listen"));
        }
        self.shared.health().await
    }
}

#[async_trait]
impl Fanout for RedisFanout {
    async fn publish(&self, events: &[Publication]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        self.publisher.get_or_init(|| Publisher::start(Arc::clone(&self.shared))).publish(events).await
    }

    async fn subscribe(&self, topic: &Topic) -> Result<Subscription> {
        self.listen();
        // First: what comes from now on waits in it, and dropping it takes the channel back.
        let subscription = self.topics.subscribe(topic);
        let in_force = timeout(self.shared.config.connect_timeout, self.registry.in_force(topic)).await;
        let done = in_force.unwrap_or_else(|_| {
            let late =
                || RedisError::new(RedisErrorKind::Connection, "no connection to subscribe on in time");
            Err(self.registry.failure().unwrap_or_else(late))
        });
        done.map(|()| subscription).map_err(|error| error.during("subscribe"))
    }
}

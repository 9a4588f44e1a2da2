//! Live events by `LISTEN` and `NOTIFY`.

mod channel;
mod interest;
mod listener;
mod pack;
mod publisher;
mod unpack;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use chat_core::{
    Backend, Error, Fanout, Result,
    fanout::{Publication, Subscription, Topic, Topics},
};
use tokio::{task::JoinHandle, time::timeout};

use self::{
    channel::Channels,
    interest::{Channeled, closed_error},
    listener::Listening,
    pack::Encoded,
    publisher::Publisher,
};
use crate::{PostgresError, PostgresErrorKind, backend::Shared};

/// The fan-out of one node. It connects when it is first used.
pub(crate) struct PostgresFanout {
    shared: Arc<Shared>,
    topics: Topics,
    channeled: Arc<Channeled>,
    publisher: OnceLock<Publisher>,
    listener: OnceLock<JoinHandle<()>>,
}

impl PostgresFanout {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let channeled = Arc::new(Channeled::new());
        let topics = Topics::watched(shared.config.fanout_buffer, {
            let channeled = Arc::clone(&channeled);
            move |topic, interest| channeled.note(topic, interest)
        });
        Self { shared, topics, channeled, publisher: OnceLock::new(), listener: OnceLock::new() }
    }

    /// Starts to listen, once.
    fn listen(&self) -> Result<()> {
        let Some(options) = self.shared.listen_options() else {
            return Err(Error::Unsupported {
                part: "fan-out behind a transaction pooler without an address to listen at",
            });
        };
        self.listener.get_or_init(|| {
            let config = &self.shared.config;
            let listening = Listening::new(
                &options,
                Channels::new(self.shared.sql.schema()),
                self.topics.clone(),
                Arc::clone(&self.channeled),
                (config.listen_probe, config.acquire_timeout),
            );
            // Whatever it ends by: a task that is gone without a word would leave subscribers waiting for ever.
            let end = End(self.topics.clone(), Arc::clone(&self.channeled));
            let closed = self.shared.connections.pool.close_event();
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = closed => {}
                    never = listening.run() => match never {},
                }
                drop(end);
            })
        });
        Ok(())
    }
}

/// The end of all subscriptions, when it is dropped.
struct End(Topics, Arc<Channeled>);

impl Drop for End {
    fn drop(&mut self) {
        let Self(topics, channeled) = self;
        channeled.close();
        topics.end_all(closed_error().during("listen"));
    }
}

impl Drop for PostgresFanout {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get() {
            listener.abort();
        }
        drop(End(self.topics.clone(), Arc::clone(&self.channeled)));
    }
}

impl fmt::Debug for PostgresFanout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresFanout").field("topics", &self.topics).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for PostgresFanout {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        if let Some(failure) = self.channeled.failure() {
            return Err(failure.during("listen"));
        }
        self.shared.health().await
    }
}

#[async_trait]
impl Fanout for PostgresFanout {
    async fn publish(&self, events: &[Publication]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let encoded: std::result::Result<Vec<_>, PostgresError> = events.iter().map(Encoded::new).collect();
        let encoded = encoded.map_err(|error| error.during("publish"))?;
        self.publisher.get_or_init(|| Publisher::start(Arc::clone(&self.shared))).publish(encoded).await
    }

    async fn subscribe(&self, topic: &Topic) -> Result<Subscription> {
        self.listen()?;
        // First: what comes from now on waits in it, and dropping it takes the channel back.
        let subscription = self.topics.subscribe(topic);
        let in_force = timeout(self.shared.config.acquire_timeout, self.channeled.in_force(topic)).await;
        let done = in_force.unwrap_or_else(|_| {
            let late =
                || PostgresError::new(PostgresErrorKind::Connection, "no connection to listen on in time");
            Err(self.channeled.failure().unwrap_or_else(late))
        });
        done.map(|()| subscription).map_err(|error| error.during("subscribe"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chat_core::RoomId;
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_listener_that_ends_for_whatever_reason_ends_its_subscriptions() {
        let (topics, channeled) = (Topics::new(8), Arc::new(Channeled::new()));
        let topic = Topic::Room(RoomId::new("tea").unwrap());
        let mut subscription = topics.subscribe(&topic);
        let end = End(topics.clone(), Arc::clone(&channeled));
        let listener = tokio::spawn(async move {
            let _end = end;
            panic!("a mistake");
        });
        assert!(listener.await.is_err_and(|error| error.is_panic()));
        let last = timeout(Duration::from_secs(20), subscription.next()).await.unwrap();
        assert!(matches!(last, Some(Err(_))), "{last:?}");
        assert!(channeled.in_force(&topic).await.is_err(), "nobody waits for it any more");
    }
}

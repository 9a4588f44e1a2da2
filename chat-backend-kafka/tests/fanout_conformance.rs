//! The fan-out keeps its contract, with messages from publishers and with messages from the workers.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::sync::Arc;

use async_trait::async_trait;
use chat_backend_kafka::{FanoutConfig, KafkaConfig, KafkaFanout, Persisted, StoredMessages};
use chat_core::{
    Backend, Fanout, Result,
    fanout::{FanoutEvent, Publication, Subscription, Topic},
    testkit::{FanoutHarness, FanoutInterruptionHarness, FanoutOverflowHarness},
};
use chat_test_services::{Kafka, Proxy};
use live::{PATIENCE, connect, fresh, make_live_topics, next, producer, quick, signal, topic};
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use tokio::{sync::Mutex, time::Instant};

/// Gives what is on fresh topics for each case.
struct Nodes {
    stored_messages: StoredMessages,
    /// A broker of the case's own, behind a proxy.
    proxied: Mutex<Option<(Kafka, Proxy)>>,
    is_proxied: bool,
}

impl Nodes {
    fn new(stored_messages: StoredMessages, is_proxied: bool) -> Self {
        Self { stored_messages, proxied: Mutex::default(), is_proxied }
    }
}

#[async_trait]
impl FanoutHarness for Nodes {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Fanout>> {
        let config = if self.is_proxied {
            // There is one proxy to a broker at a time, and cases run side by side.
            let kafka = Kafka::private().await.unwrap();
            let proxy = kafka.proxy().await.unwrap();
            let names = fresh(&kafka).topics().clone();
            let config = KafkaConfig::new(proxy.address().to_string()).with_topics(names);
            *self.proxied.lock().await = Some((kafka, proxy));
            config
        } else {
            fresh(Kafka::shared().await.unwrap())
        };
        make_live_topics(&config, 3).await;
        let mut nodes = Vec::new();
        for _ in 0..count {
            let node = connect(&config, quick().with_stored_messages(self.stored_messages)).await;
            // The first one takes longer, and on a busy machine longer than a publisher waits.
            let nobody = [Publication::new(topic("nobody"), signal("first"))];
            let begun = Instant::now();
            while let Err(error) = node.publish(&nobody).await {
                assert!(begun.elapsed() < PATIENCE, "{error:?}");
            }
            nodes.push(node);
        }
        let all: Arc<[_]> = nodes.clone().into();
        let node = |fanout| -> Arc<dyn Fanout> {
            match self.stored_messages {
                StoredMessages::FromWorkers => {
                    Arc::new(WithWorker { fanout, worker: Worker::new(&config), all: Arc::clone(&all) })
                }
                _ => fanout,
            }
        };
        nodes.into_iter().map(node).collect()
    }
}

#[async_trait]
impl FanoutOverflowHarness for Nodes {
    fn overflow(&self) -> usize {
        2 * FanoutConfig::DEFAULT_BUFFER
    }
}

#[async_trait]
impl FanoutInterruptionHarness for Nodes {
    async fn cut(&self) {
        self.proxied.lock().await.as_ref().unwrap().1.cut().await;
    }

    async fn mend(&self) {
        self.proxied.lock().await.as_ref().unwrap().1.mend().await;
    }
}

/// A node that has a worker announce what is published of messages.
#[derive(Debug)]
struct WithWorker {
    fanout: Arc<KafkaFanout>,
    worker: Worker,
    all: Arc<[Arc<KafkaFanout>]>,
}

struct Worker {
    producer: FutureProducer,
    topic: String,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Worker {
    fn new(config: &KafkaConfig) -> Self {
        Self { producer: producer(config.brokers()), topic: config.topics().persisted.clone() }
    }

    /// A record as the workers write it.
    async fn write(&self, persisted: &Persisted) {
        let mut value = serde_json::to_value(persisted).unwrap();
        value["v"] = 1.into();
        let outcome = Some(value["outcome"].as_str().unwrap().to_owned());
        let headers = OwnedHeaders::new().insert(Header { key: "outcome", value: outcome.as_ref() });
        let value = value.to_string();
        let record = FutureRecord::to(&self.topic).key(persisted.room().as_str()).payload(&value);
        self.producer.send(record.headers(headers), live::PATIENCE).await.unwrap();
    }
}

#[async_trait]
impl Backend for WithWorker {
    fn name(&self) -> &'static str {
        self.fanout.name()
    }

    async fn health(&self) -> Result<()> {
        self.fanout.health().await
    }
}

#[async_trait]
impl Fanout for WithWorker {
    async fn publish(&self, events: &[Publication]) -> Result<()> {
        for event in events {
            if let FanoutEvent::Message(message) = &*event.event {
                let mut everywhere = Vec::new();
                for node in &*self.all {
                    everywhere.push(node.subscribe(&event.topic).await?);
                }
                self.worker.write(&Persisted::Stored { message: message.clone() }).await;
                // There is no order between the two topics, and a case that has both counts on one.
                for subscription in &mut everywhere {
                    next(subscription).await;
                }
            }
        }
        self.fanout.publish(events).await
    }

    async fn subscribe(&self, topic: &Topic) -> Result<Subscription> {
        self.fanout.subscribe(topic).await
    }
}

mod from_publishers {
    use super::{Nodes, StoredMessages::FromPublishers};

    chat_core::fanout_tests!(Nodes::new(FromPublishers, false));
    chat_core::fanout_overflow_tests!(Nodes::new(FromPublishers, false));
    chat_core::fanout_interruption_tests!(Nodes::new(FromPublishers, true));
}

mod from_workers {
    use super::{Nodes, StoredMessages::FromWorkers};

    chat_core::fanout_tests!(Nodes::new(FromWorkers, false));
    chat_core::fanout_overflow_tests!(Nodes::new(FromWorkers, false));
}

//! Topics as other programs see them.

use std::{collections::BTreeMap, time::Duration};

use chat_backend_kafka::{KafkaConfig, Persisted};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    message::{Headers as _, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};

use super::PATIENCE;

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Record {
    pub(crate) fn persisted(&self) -> Persisted {
        Persisted::decode(Some(&self.value)).unwrap()
    }
}

/// All that is in a topic now.
pub(crate) async fn records(config: &KafkaConfig, topic: &str) -> Vec<Record> {
    let (brokers, topic) = (config.brokers().to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || read(&brokers, &topic)).await.unwrap()
}

fn read(brokers: &str, topic: &str) -> Vec<Record> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers).set("group.id", "chat-test-reader");
    let consumer: BaseConsumer = client.set("enable.auto.commit", "false").create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut assignment = TopicPartitionList::new();
    let mut left = 0;
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE).unwrap();
        left += high - low;
        assignment.add_partition_offset(topic, partition.id(), Offset::Offset(low)).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut records = Vec::new();
    while left > 0 {
        let message = consumer.poll(PATIENCE).expect("a record").unwrap();
        left -= 1;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        records.push(Record {
            partition: message.partition(),
            offset: message.offset(),
            key: text(message.key().unwrap_or_default()),
            value: message.payload().unwrap_or_default().to_vec(),
            headers: headers
                .map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default())))
                .collect(),
        });
    }
    records
}

/// Writes a record that the library did not.
pub(crate) async fn write(config: &KafkaConfig, topic: &str, key: &str, value: &[u8], headers: OwnedHeaders) {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", config.brokers()).set("partitioner", "murmur2_random");
    let producer: FutureProducer = client.create().unwrap();
    let record = FutureRecord::to(topic).key(key).payload(value).headers(headers);
    producer.send(record, Duration::from_secs(30)).await.unwrap();
}

/// Adds partitions to a topic.
pub(crate) async fn grow(config: &KafkaConfig, topic: &str, partitions: usize) {
    let mut client = ClientConfig::new();
    let admin: AdminClient<DefaultClientContext> =
        client.set("bootstrap.servers", config.brokers()).create().unwrap();
    let grown = NewPartitions::new(topic, partitions);
    admin.create_partitions([&grown], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
}

//! What brokers answer once in a while, by a broker that answers as it is told. The rest is tested on a real one.

use rdkafka::{
    mocking::MockCluster,
    producer::{DefaultProducerContext, FutureProducer, FutureRecord},
    types::{RDKafkaApiKey as Request, RDKafkaRespErr as Answer},
};
use tokio::{sync::mpsc, time::timeout};

use super::*;
use crate::TopicNames;

const PATIENCE: Duration = Duration::from_secs(30);

/// What was read: a record's text, or nothing where something was missed.
struct Noted(mpsc::Sender<Option<String>>);

/// What it notes when the tail is dead, and what it panics at.
const DEAD: &str = "it is dead";
const POISON: &str = "poison";

impl Sink for Noted {
    fn record(&mut self, record: &impl Message) {
        let text = String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned();
        assert_ne!(text, POISON);
        drop(self.0.try_send(Some(text)));
    }

    fn flush(&mut self) {}

    fn missed(&mut self) {
        drop(self.0.try_send(None));
    }

    fn died(&mut self, _: &KafkaError) {
        drop(self.0.try_send(Some(DEAD.to_owned())));
    }
}

struct Bench {
    cluster: MockCluster<'static, DefaultProducerContext>,
    config: KafkaConfig,
    writer: Writer,
}

struct Writer {
    producer: FutureProducer,
    topic: String,
}

impl Writer {
    async fn write(&self, partition: i32, text: &str) {
        let record = FutureRecord::<str, str>::to(&self.topic).partition(partition).payload(text);
        self.producer.send(record, PATIENCE).await.unwrap();
    }
}

impl Bench {
    fn new() -> Self {
        Self::with_brokers(1)
    }

    /// The second partition is led by the last broker, the first by the first one.
    fn with_brokers(brokers: i32) -> Self {
        let cluster = MockCluster::new(brokers).unwrap();
        let topic = TopicNames::default().events;
        cluster.create_topic(&topic, 2, 1).unwrap();
        cluster.partition_leader(&topic, 0, Some(1)).unwrap();
        cluster.partition_leader(&topic, 1, Some(brokers)).unwrap();
        let config = KafkaConfig::new(cluster.bootstrap_servers());
        let producer = config.client().create().unwrap();
        Self { cluster, config, writer: Writer { producer, topic } }
    }

    fn tail(&self) -> (Tail, mpsc::Receiver<Option<String>>) {
        let (noted, read) = mpsc::channel(1_000);
        let settings = TailSettings { refresh: Duration::from_millis(100), stall: Duration::from_secs(2) };
        let tail =
            Tail::start(&self.config, vec![self.writer.topic.clone()], settings, Noted(noted)).unwrap();
        (tail, read)
    }
}

async fn next(read: &mut mpsc::Receiver<Option<String>>) -> Option<String> {
    timeout(PATIENCE, read.recv()).await.expect("in time").expect("it reads")
}

#[tokio::test]
async fn it_begins_at_the_ends_however_often_it_has_to_ask() {
    let bench = Bench::new();
    bench.writer.write(0, "before").await;
    bench.writer.write(1, "before").await;
    bench.cluster.request_errors(
        Request::ListOffsets,
        &[Answer::RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, Answer::RD_KAFKA_RESP_ERR_UNKNOWN],
    );
    let (tail, mut read) = bench.tail();
    tail.ready(PATIENCE).await.unwrap();
    bench.writer.write(0, "one").await;
    assert_eq!(next(&mut read).await.as_deref(), Some("one"));
    bench.writer.write(1, "two").await;
    assert_eq!(next(&mut read).await.as_deref(), Some("two"));
    tail.health().unwrap();
}

/// What is read next, whatever was missed before.
async fn next_text(read: &mut mpsc::Receiver<Option<String>>) -> String {
    loop {
        if let Some(text) = next(read).await {
            return text;
        }
    }
}

#[tokio::test]
async fn what_has_a_leader_is_read_anew_without_waiting_for_what_is_away() {
    let bench = Bench::with_brokers(2);
    let (tail, mut read) = bench.tail();
    tail.ready(PATIENCE).await.unwrap();
    bench.writer.write(1, "before").await;
    assert_eq!(next(&mut read).await.as_deref(), Some("before"));
    bench.cluster.broker_down(2).unwrap();
    tail.shared.bell.lost();
    assert_eq!(next(&mut read).await, None);
    bench.writer.write(0, "one").await;
    assert_eq!(next_text(&mut read).await, "one");
    assert!(tail.health().is_err());
    bench.cluster.broker_up(2).unwrap();
    bench.writer.write(1, "two").await;
    assert_eq!(next_text(&mut read).await, "two", "from where it was");
    while tail.health().is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn it_begins_with_what_has_a_leader_and_tells_when_the_rest_comes() {
    let bench = Bench::new();
    bench.writer.write(1, "before").await;
    bench.cluster.partition_leader(&bench.writer.topic, 1, None).unwrap();
    let (tail, mut read) = bench.tail();
    tail.ready(PATIENCE).await.unwrap();
    bench.writer.write(0, "one").await;
    assert_eq!(next(&mut read).await.as_deref(), Some("one"));
    bench.cluster.partition_leader(&bench.writer.topic, 1, Some(1)).unwrap();
    assert_eq!(next(&mut read).await, None);
    bench.writer.write(1, "two").await;
    assert_eq!(next_text(&mut read).await, "two");
    tail.health().unwrap();
}

#[tokio::test]
async fn a_leader_that_moves_is_followed_without_a_word() {
    let bench = Bench::new();
    let (tail, mut read) = bench.tail();
    tail.ready(PATIENCE).await.unwrap();
    bench.cluster.request_errors(
        Request::Fetch,
        &[
            Answer::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Answer::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
            Answer::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        ],
    );
    for text in ["one", "two", "three"] {
        bench.writer.write(0, text).await;
        assert_eq!(next(&mut read).await.as_deref(), Some(text));
    }
}

/// The connection is there, and records are not handed out.
#[tokio::test]
async fn records_that_are_late_are_told_as_missed_and_come_all_the_same() {
    let bench = Bench::new();
    let (tail, mut read) = bench.tail();
    tail.ready(PATIENCE).await.unwrap();
    bench.cluster.request_errors(Request::Fetch, &[Answer::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR; 10_000]);
    bench.writer.write(0, "late").await;
    assert_eq!(next(&mut read).await, None);
    bench.cluster.clear_request_errors(Request::Fetch);
    loop {
        match next(&mut read).await {
            None => {}
            Some(text) => break assert_eq!(text, "late"),
        }
    }
}

/// Faults come in swarms: one error for each partition, and each may be a reason to begin anew.
#[tokio::test]
async fn beginning_anew_again_and_again_neither_loses_nor_repeats_a_record() {
    let bench = Bench::new();
    let (tail, mut read) = bench.tail();
    tail.ready(PATIENCE).await.unwrap();
    for number in 0..40 {
        for _ in 0..5 {
            tail.shared.bell.lost();
            tokio::time::sleep(Duration::from_millis(number % 4)).await;
        }
        bench.writer.write(0, &number.to_string()).await;
    }
    let mut wanted = (0..40).map(|number| number.to_string());
    let mut missed = 0;
    while wanted.len() > 0 {
        match next(&mut read).await {
            None => missed += 1,
            text => assert_eq!(text, wanted.next()),
        }
    }
    assert!(missed > 0, "it began anew");
}

#[tokio::test]
async fn what_is_missing_is_said_by_who_waits_for_it() {
    let mut bench = Bench::new();
    bench.writer.topic = "missing".to_owned();
    let (tail, _read) = bench.tail();
    let error = tail.ready(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(error.kind(), KafkaErrorKind::TopicMissing);
    assert_eq!(tail.health().unwrap_err().kind(), KafkaErrorKind::TopicMissing);
}

async fn is_dead(tail: Tail, mut read: mpsc::Receiver<Option<String>>) {
    assert_eq!(next(&mut read).await.as_deref(), Some(DEAD));
    assert_eq!(tail.health().unwrap_err().kind(), KafkaErrorKind::Fatal);
    assert_eq!(tail.ready(PATIENCE).await.unwrap_err().kind(), KafkaErrorKind::Fatal);
    // Both threads have ended, and what one of them had seen before changes nothing.
    assert!(timeout(PATIENCE, read.recv()).await.unwrap().is_none());
    tail.shared.is_in(State::Live);
    assert!(tail.health().is_err());
}

#[tokio::test]
async fn a_reader_that_panics_is_told_to_all_who_listen() {
    let bench = Bench::new();
    let (tail, read) = bench.tail();
    tail.ready(PATIENCE).await.unwrap();
    bench.writer.write(0, POISON).await;
    is_dead(tail, read).await;
}

#[tokio::test]
async fn a_watcher_that_panics_is_told_to_all_who_listen() {
    let bench = Bench::new();
    let (tail, read) = bench.tail();
    tail.ready(PATIENCE).await.unwrap();
    tail.shared.guard("watches", || panic!("a bug"));
    is_dead(tail, read).await;
}

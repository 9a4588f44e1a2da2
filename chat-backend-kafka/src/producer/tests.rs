use std::sync::atomic::AtomicBool;

use rdkafka::{message::Header, mocking::MockCluster};
use tokio::sync::oneshot;

use super::{settings::DEFAULT_LARGEST, *};

fn outgoing<'a>(payload: &'a [u8]) -> Outgoing<'a> {
    Outgoing { topic: "t", key: b"k", payload, headers: OwnedHeaders::new() }
}

/// Nobody listens there.
fn nowhere(settings: ProducerSettings) -> Producer {
    let config = KafkaConfig::new("127.0.0.1:1").with_delivery_timeout(Duration::from_millis(300));
    Producer::start(&config, settings).unwrap()
}

#[tokio::test]
async fn what_cannot_be_delivered_is_told_as_unknown_and_gives_its_room_back() {
    let settings = ProducerSettings { max_records: 2, ..ProducerSettings::default() };
    let producer = nowhere(settings);
    let sending = producer.send(vec![outgoing(b"1"), outgoing(b"2")]).unwrap();
    let refused = producer.send(vec![outgoing(b"3")]).unwrap_err();
    assert_eq!(refused.kind(), KafkaErrorKind::Busy);
    assert_eq!(sending.await.unwrap_err().kind(), KafkaErrorKind::Timeout);
    producer.flush().await;
    drop(producer.send(vec![outgoing(b"4")]).unwrap());
}

#[tokio::test]
async fn one_that_is_too_large_keeps_those_before_it_from_being_sent() {
    let producer = nowhere(ProducerSettings::default());
    let large = vec![0; DEFAULT_LARGEST];
    let refused = producer.send(vec![outgoing(b"1"), outgoing(&large)]).unwrap_err();
    assert_eq!(refused.kind(), KafkaErrorKind::TooLarge);
    let all = producer.shared.settings.max_records as usize;
    assert_eq!(producer.shared.bound.left(), all, "nothing is on its way");
}

/// What is taken here is never refused there, when others of its call are on their way.
#[tokio::test]
async fn the_largest_that_is_taken_is_taken_by_the_client_as_well() {
    let headers = || OwnedHeaders::new().insert(Header { key: "name", value: Some("some value") });
    let producer = nowhere(ProducerSettings::default());
    let of = |bytes: usize| vec![0; bytes];
    let size = Outgoing { topic: "t", key: b"k", payload: &[], headers: headers() }.size();
    let payload = of(DEFAULT_LARGEST - size);
    let largest = Outgoing { topic: "t", key: b"k", payload: &payload, headers: headers() };
    assert_eq!(producer.room_left(&largest), Some(0));
    let error = producer.send(vec![largest]).unwrap().await.unwrap_err();
    assert_eq!(error.kind(), KafkaErrorKind::Timeout, "nobody listens");
}

#[tokio::test]
async fn asking_about_a_topic_does_not_make_it() {
    let cluster = MockCluster::new(1).unwrap();
    let config = KafkaConfig::new(cluster.bootstrap_servers());
    let producer = Producer::start(&config, ProducerSettings::default()).unwrap();
    for _ in 0..2 {
        let error = producer.health("missing").await.unwrap_err();
        assert!(error.with_causes().to_string().contains("no such topic"), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_never_told_does_not_wait_for_ever_and_the_client_is_made_anew() {
    let fatal = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let never = || {
        let (kept, outcome) = oneshot::channel();
        (kept, Sending::new(outcome, began + GRACE, fatal.clone()))
    };
    // Not the time of each after the other.
    for (kept, sending) in [never(), never(), never()] {
        assert_eq!(sending.await.unwrap_err().kind(), KafkaErrorKind::Timeout);
        assert_eq!((began.elapsed().as_secs(), fatal.load(Ordering::Relaxed)), (GRACE.as_secs(), true));
        drop(kept);
    }
}

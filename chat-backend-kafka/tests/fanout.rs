//! The fan-out finds its way back from what networks, brokers and topics do.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::time::Duration;

use chat_backend_kafka::{ConnectError, KafkaConfig, KafkaErrorKind, KafkaFanout};
use chat_core::{
    Backend as _, Error, Fanout,
    fanout::{FanoutEvent, Publication, Subscription},
};
use chat_test_services::Kafka;
use futures::StreamExt as _;
use live::{
    connect, fresh, is_live, make_live_topics, missed, next, producer, publish, quick, signal, topic, until,
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::DefaultClientContext,
    producer::FutureRecord,
};
use tokio::time::{Instant, sleep, timeout};

fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", kafka.url()).create().unwrap()
}

fn numbered(number: usize) -> FanoutEvent {
    signal(&number.to_string())
}

/// Publishes until the brokers take it; what failed may have been taken, too.
async fn publish_at_last(fanout: &dyn Fanout, to: &str, event: &FanoutEvent) {
    let publication = [Publication::new(topic(to), event.clone())];
    until("it is published", async || fanout.publish(&publication).await.is_ok()).await;
}

/// Reads numbers up to `last`, which may come more than once and must not lack one; answers how many losses were told.
async fn read_through(subscription: &mut Subscription, last: usize) -> usize {
    let (mut expected, mut losses) = (0, 0);
    while expected <= last {
        match next(subscription).await {
            None => losses += 1,
            Some(event) if *event == numbered(expected) => expected += 1,
            Some(event) => assert!((0..expected).any(|number| *event == numbered(number)), "{event:?}"),
        }
    }
    losses
}

#[tokio::test]
async fn a_killed_broker_loses_nothing_that_it_took_and_everybody_is_told() {
    let kafka = Kafka::private().await.unwrap();
    let config = fresh(&kafka);
    make_live_topics(&config, 3).await;
    let (here, there) = (connect(&config, quick()).await, connect(&config, quick()).await);
    let mut subscription = there.subscribe(&topic("tea")).await.unwrap();
    let mut quiet = there.subscribe(&topic("quiet")).await.unwrap();
    for number in 0..20 {
        publish(&*here, "tea", numbered(number)).await;
    }
    kafka.kill().await.unwrap();
    let begun = Instant::now();
    let lost = here.publish(&[Publication::new(topic("tea"), signal("lost"))]).await.unwrap_err();
    assert!(matches!(lost, Error::Timeout { .. }) && begun.elapsed() < Duration::from_secs(5), "{lost:?}");
    until("it is known to be down", async || there.health().await.is_err()).await;
    // Who comes meanwhile is served when it is back.
    let mut late = there.subscribe(&topic("late")).await.unwrap();
    kafka.start().await.unwrap();
    for number in 20..40 {
        publish_at_last(&*here, "tea", &numbered(number)).await;
    }
    publish_at_last(&*here, "late", &numbered(0)).await;
    let mut expected = 0;
    let mut losses = 0;
    while expected < 40 || losses == 0 {
        match next(&mut subscription).await {
            None => losses += 1,
            Some(event) if *event == numbered(expected) => expected += 1,
            // It was told as a timeout: it may be there.
            Some(event) => assert!(*event == signal("lost") || expected > 0, "{event:?}"),
        }
    }
    assert_eq!(missed(&mut quiet).await, 0);
    read_through(&mut late, 0).await;
    until("all is well", async || there.health().await.is_ok()).await;
}

#[tokio::test]
async fn a_paused_broker_costs_a_bounded_wait_and_goes_on_where_it_was() {
    let kafka = Kafka::private().await.unwrap();
    let config = fresh(&kafka).with_connect_timeout(Duration::from_secs(2));
    make_live_topics(&config, 3).await;
    let node = connect(&config, quick()).await;
    let mut subscription = node.subscribe(&topic("tea")).await.unwrap();
    is_live(&*node, "tea", &mut subscription).await;
    kafka.pause().await.unwrap();
    let paused = Instant::now();
    until("it is noticed", async || node.health().await.is_err()).await;
    while paused.elapsed() < Duration::from_secs(20) {
        let begun = Instant::now();
        let late = node.publish(&[Publication::new(topic("tea"), signal("late"))]).await.unwrap_err();
        assert!(late.is_retryable() && begun.elapsed() < Duration::from_secs(5), "{late:?}");
    }
    kafka.resume().await.unwrap();
    missed(&mut subscription).await;
    is_live(&*node, "tea", &mut subscription).await;
    until("all is well", async || node.health().await.is_ok()).await;
}

/// No connection is refused and none ends: only silence.
#[tokio::test]
async fn a_half_open_connection_is_found_and_made_anew() {
    let kafka = Kafka::private().await.unwrap();
    let proxy = kafka.proxy().await.unwrap();
    let direct = fresh(&kafka);
    let behind = KafkaConfig::new(proxy.address().to_string()).with_topics(direct.topics().clone());
    make_live_topics(&direct, 3).await;
    let (here, there) = (connect(&direct, quick()).await, connect(&behind, quick()).await);
    let mut subscription = there.subscribe(&topic("tea")).await.unwrap();
    is_live(&*here, "tea", &mut subscription).await;
    proxy.half_open();
    until("the silence is noticed", async || there.health().await.is_err()).await;
    publish(&*here, "tea", signal("delayed")).await;
    proxy.mend().await;
    let mut items = Vec::new();
    while items.len() < 2 || !items.contains(&None) {
        items.push(next(&mut subscription).await);
    }
    let delayed = |item: &Option<_>| item.as_deref() == Some(&signal("delayed"));
    assert!(items.iter().any(delayed), "Kafka keeps what it took: {items:?}");
    is_live(&*here, "tea", &mut subscription).await;
}

#[tokio::test]
async fn partitions_that_are_added_are_read_from_their_beginning() {
    let kafka = Kafka::shared().await.unwrap();
    let config = fresh(kafka);
    make_live_topics(&config, 3).await;
    let there = connect(&config, quick()).await;
    let rooms: Vec<String> = (0..40).map(|number| format!("r{number}")).collect();
    let mut subscriptions = Vec::new();
    for room in &rooms {
        subscriptions.push(there.subscribe(&topic(room)).await.unwrap());
    }
    let early = connect(&config, quick()).await;
    for (number, room) in rooms.iter().enumerate() {
        publish(&*early, room, numbered(number)).await;
    }
    let more = NewPartitions::new(&config.topics().events, 6);
    let results = admin(kafka).create_partitions([&more], &AdminOptions::new()).await.unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // It knows of them, and the one that reads does not yet.
    let late = connect(&config, quick()).await;
    for (number, room) in rooms.iter().enumerate() {
        publish(&*late, room, numbered(number + 100)).await;
    }
    for (number, subscription) in subscriptions.iter_mut().enumerate() {
        for expected in [number, number + 100] {
            assert_eq!(next(subscription).await.as_deref(), Some(&numbered(expected)));
        }
    }
}

/// A node that was cut off for longer than records are kept.
#[tokio::test]
async fn what_was_removed_before_it_was_read_is_told_and_reading_goes_on() {
    let kafka = Kafka::private().await.unwrap();
    let proxy = kafka.proxy().await.unwrap();
    let direct = fresh(&kafka);
    let behind = KafkaConfig::new(proxy.address().to_string()).with_topics(direct.topics().clone());
    make_live_topics(&direct, 1).await;
    let (here, there) = (connect(&direct, quick()).await, connect(&behind, quick()).await);
    let mut subscription = there.subscribe(&topic("tea")).await.unwrap();
    is_live(&*here, "tea", &mut subscription).await;
    proxy.cut().await;
    for number in 0..50 {
        publish(&*here, "tea", numbered(number)).await;
    }
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(&direct.topics().events, 0, Offset::End).unwrap();
    admin(&kafka).delete_records(&all, &AdminOptions::new()).await.unwrap();
    proxy.mend().await;
    missed(&mut subscription).await;
    publish(&*here, "tea", signal("after")).await;
    loop {
        match next(&mut subscription).await {
            // Of the interruption, and of the loss.
            None => {}
            Some(event) => break assert_eq!(*event, signal("after"), "what was removed did not come"),
        }
    }
}

/// As after a failover that lost all there was, or by an operator.
#[tokio::test]
async fn a_topic_that_was_made_anew_is_read_and_told() {
    let kafka = Kafka::shared().await.unwrap();
    let config = fresh(kafka);
    make_live_topics(&config, 2).await;
    let there = connect(&config, quick()).await;
    let mut subscription = there.subscribe(&topic("tea")).await.unwrap();
    for number in 0..50 {
        publish(&*there, "tea", numbered(number)).await;
    }
    read_through(&mut subscription, 49).await;
    let events = config.topics().events.as_str();
    let deleted = admin(kafka).delete_topics(&[events], &AdminOptions::new()).await.unwrap();
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    until("it is missed", async || there.health().await.is_err()).await;
    // It may still be on its way out.
    until("it is there again", async || {
        let spec = chat_backend_kafka::TopicSpec::new(events, 2);
        chat_backend_kafka::ensure_topics(&config, &[spec]).await.is_ok()
    })
    .await;
    missed(&mut subscription).await;
    is_live(&*there, "tea", &mut subscription).await;
    until("all is well", async || there.health().await.is_ok()).await;
}

#[tokio::test]
async fn three_nodes_each_get_every_event_once_and_in_order() {
    const EVENTS: usize = 300;
    let kafka = Kafka::shared().await.unwrap();
    let config = fresh(kafka);
    make_live_topics(&config, 3).await;
    let mut readers = Vec::new();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let node = connect(&config, quick()).await;
        for room in ["a", "b", "c", "d"] {
            let mut subscription = node.subscribe(&topic(room)).await.unwrap();
            readers.push(tokio::spawn(async move {
                for number in 0..EVENTS {
                    assert_eq!(next(&mut subscription).await.as_deref(), Some(&numbered(number)));
                }
                sleep(Duration::from_millis(300)).await;
                assert!(timeout(Duration::ZERO, subscription.next()).await.is_err(), "one came twice");
            }));
        }
        nodes.push(node);
    }
    for number in 0..EVENTS {
        let events = ["a", "b", "c", "d"].map(|room| Publication::new(topic(room), numbered(number)));
        // One room is always written to by the same node: between nodes there is no order.
        for (node, event) in nodes.iter().cycle().zip(events) {
            node.publish(&[event]).await.unwrap();
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

/// Another program, or a release to come.
#[tokio::test]
async fn a_record_of_nobody_s_is_told_to_everybody_and_holds_nothing_up() {
    let kafka = Kafka::shared().await.unwrap();
    let config = fresh(kafka);
    make_live_topics(&config, 1).await;
    let node = connect(&config, quick()).await;
    let mut subscription = node.subscribe(&topic("tea")).await.unwrap();
    let record = FutureRecord::<str, str>::to(&config.topics().events).payload("who knows");
    producer(kafka.url()).send(record, live::PATIENCE).await.unwrap();
    assert_eq!(missed(&mut subscription).await, 0);
    publish(&*node, "tea", signal("one")).await;
    assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("one")));
}

#[tokio::test]
async fn connecting_says_what_is_not_there() {
    let kafka = Kafka::shared().await.unwrap();
    let config = fresh(kafka).with_connect_timeout(Duration::from_secs(2));
    match KafkaFanout::connect(&config, quick()).await.unwrap_err() {
        ConnectError::Kafka(error) => assert_eq!(error.kind(), KafkaErrorKind::TopicMissing),
        other => panic!("{other}"),
    }
    let nowhere = KafkaConfig::new("127.0.0.1:9").with_connect_timeout(Duration::from_secs(1));
    match KafkaFanout::connect(&nowhere, quick()).await.unwrap_err() {
        ConnectError::Kafka(error) => {
            assert!(error.kind().retry() == chat_core::Retry::Later, "{error:?}");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_was_published_before_a_shutdown_arrives_and_nothing_is_taken_after() {
    let kafka = Kafka::shared().await.unwrap();
    let config = fresh(kafka);
    make_live_topics(&config, 2).await;
    let (here, there) = (connect(&config, quick()).await, connect(&config, quick()).await);
    let mut own = here.subscribe(&topic("tea")).await.unwrap();
    let mut subscription = there.subscribe(&topic("tea")).await.unwrap();
    let events: Vec<_> = (0..500).map(|number| Publication::new(topic("tea"), numbered(number))).collect();
    // Nobody waits for the answer.
    assert!(timeout(Duration::ZERO, here.publish(&events)).await.is_err());
    here.shutdown(Duration::from_secs(5)).await;
    assert_eq!(read_through(&mut subscription, 499).await, 0);
    assert!(matches!(here.publish(&events).await, Err(Error::Draining)));
    while let Some(item) = timeout(live::PATIENCE, own.next()).await.unwrap() {
        if let Err(error) = item {
            assert!(matches!(&error, Error::Backend { .. }) && !error.is_retryable(), "{error:?}");
        }
    }
    assert!(here.subscribe(&topic("tea")).await.unwrap().next().await.unwrap().is_err());
}

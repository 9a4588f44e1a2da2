//! Topics are made as asked for, and one that is not as it must be is named.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::time::Duration;

use chat_backend_kafka::{
    Cleanup, ConnectError, KafkaConfig, KafkaErrorKind, TopicError, TopicNames, TopicSpec, ensure_topics,
    verify_topics,
};
use chat_test_services::Kafka;

fn refused(result: Result<(), ConnectError>) -> TopicError {
    match result.unwrap_err() {
        ConnectError::Topic(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn topics_are_made_once_and_are_as_asked_for() {
    let kafka = Kafka::shared().await.unwrap();
    let names = TopicNames::with_prefix(&kafka.prefix());
    let config = KafkaConfig::new(kafka.url()).with_topics(names.clone());
    let specs = names.specs(6, 1);
    assert!(matches!(refused(verify_topics(&config, &specs).await), TopicError::Missing { .. }));
    // Several programs begin at once.
    let (one, two) = tokio::join!(ensure_topics(&config, &specs), ensure_topics(&config, &specs));
    one.unwrap();
    two.unwrap();
    verify_topics(&config, &specs).await.unwrap();
    // More partitions than asked for were added by somebody.
    verify_topics(&config, &names.specs(3, 1)).await.unwrap();
}

#[tokio::test]
async fn a_topic_that_is_not_as_it_must_be_is_named_and_left_alone() {
    let kafka = Kafka::shared().await.unwrap();
    let config = KafkaConfig::new(kafka.url());
    let name = format!("{}t", kafka.prefix());
    let spec = |partitions| TopicSpec::new(&name, partitions).with_cleanup(Cleanup::Delete);
    ensure_topics(&config, &[spec(3).with_retention(Duration::from_secs(60))]).await.unwrap();
    match refused(verify_topics(&config, &[spec(4)]).await) {
        TopicError::Partitions { topic, wanted: 4, found: 3 } => assert_eq!(topic, name),
        other => panic!("{other}"),
    }
    match refused(verify_topics(&config, &[spec(3).with_replication(2)]).await) {
        TopicError::Replication { wanted: 2, found: 1, .. } => {}
        other => panic!("{other}"),
    }
    let kept_longer = spec(3).with_retention(Duration::from_secs(61));
    match refused(ensure_topics(&config, &[kept_longer]).await) {
        TopicError::Setting { setting, wanted, found, .. } => {
            assert_eq!(
                (setting.as_str(), wanted.as_str(), found.as_str()),
                ("retention.ms", "61000", "60000")
            );
        }
        other => panic!("{other}"),
    }
    let error = refused(ensure_topics(&config, &[TopicSpec::new("no spaces", 1)]).await);
    assert!(matches!(error, TopicError::Name { .. }), "{error}");
    let error = refused(ensure_topics(&config, &[TopicSpec::new(&name, 0)]).await);
    assert!(matches!(error, TopicError::Numbers { .. }), "{error}");
    // More replicas than there are brokers.
    let many = TopicSpec::new(format!("{name}-many"), 1).with_replication(3);
    let error = refused(ensure_topics(&config, &[many]).await);
    assert!(matches!(error, TopicError::Kafka { .. }), "{error}");
}

/// Such a topic would lose messages that were accepted.
#[tokio::test]
async fn a_topic_that_drops_more_than_what_is_old_is_named() {
    let kafka = Kafka::shared().await.unwrap();
    for (setting, value) in [("cleanup.policy", "compact"), ("retention.bytes", "1000000")] {
        let names = TopicNames::with_prefix(&kafka.prefix());
        let config = KafkaConfig::new(kafka.url()).with_topics(names.clone());
        let specs = names.specs(1, 1);
        let drops = specs.clone().map(|spec| {
            let persisted = spec.name == names.persisted;
            if persisted { spec.with_setting(setting, value) } else { spec }
        });
        ensure_topics(&config, &drops).await.unwrap();
        match refused(ensure_topics(&config, &specs).await) {
            TopicError::Setting { topic, setting: found, found: is, .. } => {
                assert_eq!((topic, found.as_str(), is.as_str()), (names.persisted, setting, value));
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn brokers_that_are_away_are_told_in_time() {
    let config = KafkaConfig::new("127.0.0.1:1").with_connect_timeout(Duration::from_millis(300));
    match ensure_topics(&config, &[TopicSpec::new("t", 1)]).await.unwrap_err() {
        ConnectError::Kafka(error) => {
            assert!(matches!(error.kind(), KafkaErrorKind::Connection | KafkaErrorKind::Timeout), "{error}");
        }
        other => panic!("{other}"),
    }
}

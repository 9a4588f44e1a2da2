//! What brokers answer once in a while, by a broker that answers as it is told.

use chat_core::{
    MemberChange, NewRoom, Retry, Role, Storage as _,
    memory::MemoryStore,
    testkit::fixtures::{draft, room, user},
};
use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey as Request, RDKafkaRespErr as Answer},
};

use super::*;

fn brokers() -> (MockCluster<'static, DefaultProducerContext>, KafkaConfig) {
    let cluster = MockCluster::new(1).unwrap();
    let config = KafkaConfig::new(cluster.bootstrap_servers()).with_property("message.max.bytes", "10000");
    cluster.create_topic(&config.topics().messages, 1, 1).unwrap();
    (cluster, config)
}

async fn queue(config: KafkaConfig) -> QueuedLog {
    let store = MemoryStore::new();
    let rooms = store.rooms();
    rooms.create(NewRoom::new(room("r")).with_max_body_chars(20_000)).await.unwrap();
    rooms.change_member(&room("r"), MemberChange::add(user("ann"), Role::Member)).await.unwrap();
    QueuedLog::start(&config, QueueConfig::new(), store.message_log(), rooms).await.unwrap()
}

fn sent(name: &str) -> Draft {
    draft("r", "ann", name, "hello")
}

#[tokio::test]
async fn messages_of_which_some_may_be_there_are_told_as_unknown() {
    let (cluster, config) = brokers();
    let queue = queue(config).await;
    let denied = [Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    cluster.request_errors(Request::Produce, &denied);
    let two = queue.append(&[sent("c1"), sent("c2")]).await.unwrap_err();
    assert!(matches!(two, Error::Timeout { operation: "append" }), "{two:?}");
    cluster.request_errors(Request::Produce, &denied);
    let one = queue.append(&[sent("c3")]).await.unwrap_err();
    assert!(matches!(one, Error::Backend { retry: Retry::Never, .. }), "{one:?}");
}

#[tokio::test]
async fn one_that_no_record_can_hold_leaves_its_neighbours_alone() {
    let (_cluster, config) = brokers();
    let queue = queue(config).await;
    let large = draft("r", "ann", "c2", &"x".repeat(9_500));
    let outcomes = queue.append(&[sent("c1"), large, sent("c3")]).await.unwrap();
    let refused = AppendOutcome::Refused(Refusal::Body(InvalidBody::TooLarge));
    assert_eq!(outcomes, [AppendOutcome::Accepted, refused, AppendOutcome::Accepted]);
}

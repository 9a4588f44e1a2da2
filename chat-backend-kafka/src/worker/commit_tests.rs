//! Commits that fail, by a broker that answers as it is told.

use std::{sync::Arc, time::Duration};

use chat_core::{
    Fanout, MemberChange, MessageLog as _, NewRoom, Role, Storage as _,
    memory::MemoryStore,
    testkit::fixtures::{draft, room, user},
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    mocking::{MockCluster, MockCoordinator},
    types::{RDKafkaApiKey as Request, RDKafkaRespErr as Answer},
};
use tokio::time::{Instant, sleep};

use super::{Worker, WorkerConfig};
use crate::{KafkaConfig, QueueConfig, QueuedLog};

const GROUP: &str = "workers";
const PATIENCE: Duration = Duration::from_secs(40);

/// Nothing follows that would be committed together with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_failed_is_made_again_although_nothing_follows() {
    let cluster = MockCluster::new(1).unwrap();
    let config = KafkaConfig::new(cluster.bootstrap_servers());
    let topics = config.topics().clone();
    for topic in [&topics.messages, &topics.persisted, &topics.dead_letters] {
        cluster.create_topic(topic, 1, 1).unwrap();
    }
    cluster.coordinator(MockCoordinator::Group(GROUP.to_owned()), 1).unwrap();
    let store = MemoryStore::new();
    store.rooms().create(NewRoom::new(room("r"))).await.unwrap();
    store.rooms().change_member(&room("r"), MemberChange::add(user("ann"), Role::Member)).await.unwrap();
    let queue =
        QueuedLog::start(&config, QueueConfig::new(), store.message_log(), store.rooms()).await.unwrap();
    let worker = WorkerConfig::new().with_group(GROUP).with_session_timeout(Duration::from_secs(6));
    let worker = Worker::start(&config, worker, store.message_log(), None::<Arc<dyn Fanout>>).unwrap();

    let mut client = config.client();
    let asking: Arc<BaseConsumer> = Arc::new(client.set("group.id", GROUP).create().unwrap());
    let is_committed = async |wanted: i64| {
        let begun = Instant::now();
        loop {
            let mut list = TopicPartitionList::new();
            list.add_partition(&topics.messages, 0);
            let asking = Arc::clone(&asking);
            let answer = tokio::task::spawn_blocking(move || asking.committed_offsets(list, PATIENCE));
            let answer = answer.await.unwrap().unwrap();
            if answer.elements()[0].offset() == Offset::Offset(wanted) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{wanted} is not committed: {answer:?}, {worker:?}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    // That it begins with the partition.
    is_committed(0).await;
    cluster.request_errors(Request::OffsetCommit, &[Answer::RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE]);
    queue.append(&[draft("r", "ann", "c1", "hello")]).await.unwrap();
    is_committed(1).await;
    worker.shutdown(Duration::from_secs(10)).await.unwrap();
}

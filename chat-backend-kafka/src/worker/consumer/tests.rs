use chat_core::{Error, MessageLog, Storage as _, memory::MemoryStore};

use super::*;
use crate::worker::WorkerConfig;

fn log() -> Arc<dyn MessageLog> {
    MemoryStore::new().message_log()
}

#[tokio::test]
async fn a_thread_that_panics_ends_the_worker_and_its_terms() {
    let shared = Shared::of_test(WorkerConfig::new(), log());
    shared.ledger().begin(0);
    let losses = shared.losses.subscribe();
    let ending = Ending(Arc::clone(&shared));
    let panicked = thread::spawn(move || {
        let _ending = ending;
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert!(matches!(shared.health(), Err(Error::Draining)));
    assert_eq!(shared.ledger().partitions().count(), 0);
    assert!(losses.has_changed().unwrap());
}

#[tokio::test]
async fn a_consumer_that_fails_takes_its_terms_with_it() {
    // Nothing can be read of a topic without a name.
    let topics = crate::TopicNames { messages: String::new(), ..crate::TopicNames::with_prefix("") };
    let shared = Shared::of_test_with(WorkerConfig::new(), topics, log(), None);
    shared.ledger().begin(0);
    let losses = shared.losses.subscribe();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", "127.0.0.1:1").set("group.id", "g");
    let context = Context::new(Arc::clone(&shared));
    let consumer = client.create_with_context::<_, StreamConsumer<Context>>(context).unwrap();
    assert!(matches!(Consuming::new(&shared, consumer, &[]).run().await, End::Failed(_)));
    assert_eq!(shared.ledger().partitions().count(), 0);
    assert!(losses.has_changed().unwrap());
}

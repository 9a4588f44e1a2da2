use std::sync::Arc;

use chat_core::{MessageLog, Storage as _, memory::MemoryStore, testkit::fixtures::draft};
use rdkafka::message::OwnedMessage;

use super::*;
use crate::{record, worker::WorkerConfig};

fn log() -> Arc<dyn MessageLog> {
    MemoryStore::new().message_log()
}

#[tokio::test]
async fn a_record_of_another_version_blocks_its_partition() {
    let shared = Shared::of_test(WorkerConfig::new(), log());
    begin(&shared);
    let good = record::encode_draft(&draft("r", "ann", "c", "hello")).unwrap();
    let none = rdkafka::Timestamp::NotAvailable;
    for (offset, value) in [(0, good.clone()), (1, br#"{"v":2,"letter":1}"#.to_vec()), (2, good)] {
        let record = OwnedMessage::new(Some(value), None, "t".to_owned(), none, 0, offset, None);
        assert_eq!(keep(&shared, &record), Then::GoOn);
    }
    let batch = shared.ledger().next_batch(0).unwrap();
    assert_eq!(batch.iter().map(|item| item.offset).collect::<Vec<_>>(), [0]);
    assert!(batch[0].draft().is_some());
    assert!(shared.health().unwrap_err().with_causes().to_string().contains("version 2"));
    shared.ledger().end(0);
    shared.health().unwrap();
}

/// It has its partition 0, and reads it from 0.
fn begin(shared: &Shared) {
    let mut ledger = shared.ledger();
    ledger.begin(0);
    let term = ledger.term(0).unwrap();
    ledger.release(0, term, 0, false);
}

fn record(offset: i64) -> OwnedMessage {
    let value = record::encode_draft(&draft("r", "ann", "c", "hello")).unwrap();
    OwnedMessage::new(Some(value), None, "t".to_owned(), rdkafka::Timestamp::NotAvailable, 0, offset, None)
}

#[tokio::test]
async fn what_was_passed_over_is_looked_for_once() {
    let shared = Shared::of_test(WorkerConfig::new(), log());
    begin(&shared);
    let keep = |offset| keep(&shared, &record(offset));
    assert_eq!(keep(1), Then::Seek(0, 0), "from its first on");
    assert_eq!([keep(0), keep(1)], [Then::GoOn, Then::GoOn]);
    assert_eq!(keep(5), Then::Seek(0, 2), "and in its midst");
    // Those were removed.
    assert_eq!([keep(4), keep(5)], [Then::GoOn, Then::GoOn]);
    let batch = shared.ledger().next_batch(0).unwrap();
    assert_eq!(batch.iter().map(|item| item.offset).collect::<Vec<_>>(), [0, 1, 4, 5]);
}

#[tokio::test]
async fn what_comes_of_a_partition_that_is_held_is_read_once_it_is_not() {
    let shared = Shared::of_test(WorkerConfig::new(), log());
    shared.ledger().begin(0);
    assert_eq!(keep(&shared, &record(3)), Then::GoOn);
    assert!(shared.ledger().next_batch(0).is_none());
    let term = shared.ledger().term(0).unwrap();
    shared.ledger().release(0, term, 3, true);
    assert_eq!(keep(&shared, &record(4)), Then::Seek(0, 3));
}

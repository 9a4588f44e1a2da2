//! The memory backend keeps the contract of an archive.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use async_trait::async_trait;
use chat_core::{
    Epoch, NewRoom, RoomId, Seq, Storage as _,
    memory::MemoryStore,
    testkit::{ArchiveHarness, ArchiveNode},
    tiered::{Life, LifeOutcome},
};

struct Memory;

#[async_trait]
impl ArchiveHarness for Memory {
    async fn nodes(&self, count: usize) -> Vec<ArchiveNode> {
        let store = MemoryStore::new();
        let node = || ArchiveNode {
            archive: store.archive(),
            log: store.message_log(),
            rooms: store.rooms(),
            search: store.search(),
        };
        (0..count).map(|_| node()).collect()
    }

    async fn settle(&self) {}
}

chat_core::archive_tests!(Memory);

/// What a hot log gave out since the copy is unknown to it.
#[tokio::test]
async fn a_restored_store_knows_no_life() {
    let store = MemoryStore::new();
    let room = RoomId::new("r").unwrap();
    store.rooms().create(NewRoom::new(room.clone())).await.unwrap();
    let archive = store.archive();
    let seen = async || archive.rooms(std::slice::from_ref(&room)).await.unwrap().remove(0).unwrap();
    let before = seen().await;
    let life = |name: &str| Life { epoch: Epoch::new(name).unwrap(), base: Seq::ZERO };
    assert_eq!(archive.begin_life(&room, &before, &life("a")).await.unwrap(), LifeOutcome::Begun);
    store.restore(&store.snapshot());
    let after = seen().await;
    assert_eq!(after.lives, []);
    assert_ne!(after.head.cursor.epoch, before.head.cursor.epoch);
    assert_eq!(archive.begin_life(&room, &before, &life("b")).await.unwrap(), LifeOutcome::Changed);
    assert_eq!(archive.begin_life(&room, &after, &life("b")).await.unwrap(), LifeOutcome::Begun);
}

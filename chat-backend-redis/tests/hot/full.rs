//! A server whose memory is full.

use chat_backend_redis::HotLogConfig;
use chat_core::tiered::HotBatch;
use chat_test_services::Redis;

use super::place::{Base, Place, draft, names, seq};
use crate::live::config;

/// Sends are refused; what gives memory back goes on, and so does what keeps people out.
#[tokio::test]
async fn what_is_archived_leaves_a_server_whose_memory_is_full() {
    let server = Redis::private().await.unwrap();
    let settings = HotLogConfig::new().with_partitions(1).with_window(10);
    let place = Place::closed(&config(server.url()), settings).await;
    place.begin(Base::at(0)).await;
    place.fill(names(1..=100)).await;
    let gate = place.gate().await;
    server.ask("CONFIG SET maxmemory 100kb").await.unwrap();
    let batch = HotBatch { room: place.room.clone(), gate: Some(gate), drafts: vec![draft("more")] };
    let refused = place.log.append(&[batch]).await;
    assert!(refused.is_err(), "{refused:?}");
    place.archive(100).await;
    let room = place.now().await;
    assert_eq!((room.archived, room.first, room.head), (seq(100), seq(91), seq(100)));
    let hold = place.log.hold(&place.room).await.unwrap();
    place.log.release(&place.room, &hold).await.unwrap();
    place.log.close_room(&place.room, &room.life).await.unwrap();
    server.ask("CONFIG SET maxmemory 0").await.unwrap();
    place.begin(Base::at(100)).await;
    place.fill(names(101..=102)).await;
}

//! Unread counts in Redis, where something happens to Redis.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::sync::Arc;

use chat_backend_redis::RedisBackend;
use chat_core::{
    Cursor, Epoch, Head, MemberChange, MessageLog, Rooms, Seq, Storage as _,
    memory::MemoryStore,
    testkit::{
        LogNode,
        fixtures::{create_room, fill},
    },
    unread::{CachedUnread, KnownUnread, NewUnread, UnreadCache, UnreadCount, UnreadVersion},
};
use chat_test_services::Redis;
use live::{config, connect, fresh, room, until, user};

/// A replica need not wait for others to come.
const SOON: [&str; 1] = ["repl-diskless-sync-delay 0"];

async fn recall(cache: &dyn UnreadCache) -> KnownUnread {
    cache.recall(&user("ann"), &[room("r")]).await.unwrap().remove(0)
}

fn count(unread: u64) -> UnreadCount {
    let cursor = Cursor::new(Epoch::new("e").unwrap(), Seq::new(9).unwrap());
    UnreadCount { head: Head { cursor, oldest: Seq::FIRST }, unread }
}

/// Remembers a count, and answers the version.
async fn keep(cache: &dyn UnreadCache, unread: u64) -> UnreadVersion {
    let version = recall(cache).await.version.unwrap();
    let new = NewUnread { room: room("r"), version: version.clone(), count: count(unread) };
    cache.remember(&user("ann"), &[new]).await.unwrap();
    assert_eq!(recall(cache).await.count, Some(count(unread)));
    version
}

async fn reached(backend: &RedisBackend) {
    until("it is reached again", async || chat_core::Backend::health(backend).await.is_ok()).await;
}

/// The hold after it is lost with the end of the server's memory.
#[tokio::test]
async fn a_server_that_is_back_from_an_older_copy_forgets_all_counts() {
    let server = Redis::private().await.unwrap();
    let backend = connect(&config(server.url())).await;
    let cache = backend.unread_cache();
    let version = keep(&*cache, 3).await;
    server.ask("SAVE").await.unwrap();
    let hold = cache.hold(&user("ann"), &room("r")).await.unwrap();
    cache.release(&user("ann"), &room("r"), &hold).await.unwrap();
    server.kill().await.unwrap();
    server.start().await.unwrap();
    reached(&backend).await;
    // What was on its way to it comes after it is back.
    let late = NewUnread { room: room("r"), version: version.clone(), count: count(3) };
    cache.remember(&user("ann"), &[late]).await.unwrap();
    let known = until_recalled(&*cache).await;
    assert!(known.count.is_none() && known.version.is_some() && known.version != Some(version));
}

/// After a pause with which the cache spares a server that did not answer.
async fn until_recalled(cache: &dyn UnreadCache) -> KnownUnread {
    let mut known = KnownUnread::default();
    until("there is a version", async || {
        if let Ok(found) = cache.recall(&user("ann"), &[room("r")]).await {
            known = found.into_iter().next().unwrap();
        }
        known.version.is_some()
    })
    .await;
    known
}

/// It was promoted before it had got the hold.
#[tokio::test]
async fn a_replica_that_is_promoted_forgets_all_counts() {
    let (primary, replica) =
        (Redis::neighbour_with(&SOON).await.unwrap(), Redis::neighbour_with(&SOON).await.unwrap());
    let address = primary.address().unwrap().replace(':', " ");
    let password = primary.url().split([':', '@']).nth(2).unwrap().to_owned();
    replica.ask(&format!("CONFIG SET masterauth {password}")).await.unwrap();
    let cache = connect(&config(primary.url())).await.unread_cache();
    // The server's history has another name once it has a replica.
    replica.ask(&format!("REPLICAOF {address}")).await.unwrap();
    until("the replica follows", async || {
        replica.ask("INFO replication").await.unwrap().contains("master_link_status:up")
    })
    .await;
    keep(&*cache, 3).await;
    assert_eq!(primary.ask("WAIT 1 10000").await.unwrap(), "1");
    replica.ask("REPLICAOF NO ONE").await.unwrap();
    let hold = cache.hold(&user("ann"), &room("r")).await.unwrap();
    cache.release(&user("ann"), &room("r"), &hold).await.unwrap();
    let promoted = connect(&config(replica.url())).await.unread_cache();
    let known = recall(&*promoted).await;
    assert!(known.count.is_none() && known.version.is_some());
}

/// Marks and joins wait; counts do not.
#[tokio::test]
async fn without_redis_all_is_counted_and_nothing_is_marked() {
    let server = Redis::private().await.unwrap();
    let backend = connect(&fresh(&server)).await;
    let store = MemoryStore::new();
    let node = LogNode { log: store.message_log(), rooms: store.rooms() };
    create_room(&node, "r", &["ann", "bob"]).await;
    let at = fill(&node, "r", "bob", 5).await;
    let rooms = CachedUnread::new(store.rooms(), store.message_log(), backend.unread_cache());
    let (ann, of) = (user("ann"), [room("r")]);
    assert_eq!(rooms.unread(&ann, &of).await.unwrap(), [5]);
    server.kill().await.unwrap();
    for _ in 0..3 {
        assert_eq!(rooms.unread(&ann, &of).await.unwrap(), [5]);
    }
    let error = rooms.mark_read(&of[0], &ann, &at[1].cursor).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert!(rooms.change_member(&of[0], MemberChange::remove(ann.clone())).await.is_err());
    assert_eq!(rooms.unread(&ann, &of).await.unwrap(), [5]);
    server.start().await.unwrap();
    reached(&backend).await;
    until("it is marked", async || rooms.mark_read(&of[0], &ann, &at[1].cursor).await.is_ok()).await;
    assert_eq!(rooms.unread(&ann, &of).await.unwrap(), [3]);
}

/// So that a user who asks now and then is not kept for ever.
#[tokio::test]
async fn what_is_kept_of_a_user_runs_out() {
    let server = Redis::shared().await.unwrap();
    let prefix = server.prefix();
    let backend = connect(&config(server.url()).with_prefix(&prefix)).await;
    let cache = backend.unread_cache();
    keep(&*cache, 3).await;
    let hold = cache.hold(&user("bob"), &room("r")).await.unwrap();
    let keys = server.ask(&format!("KEYS {prefix}:unread:*")).await.unwrap();
    let mut left: Vec<u64> = Vec::new();
    for key in keys.lines() {
        left.push(server.ask(&format!("PTTL {key}")).await.unwrap().parse().unwrap());
    }
    left.sort_unstable();
    assert!(left.len() == 2 && (200_000..=300_000).contains(&left[0]), "{keys}: {left:?}");
    assert!((600_000..=601_000).contains(&left[1]), "{left:?}");
    cache.release(&user("bob"), &room("r"), &hold).await.unwrap();
    assert_eq!(server.ask(&format!("KEYS {prefix}:unread:*")).await.unwrap().lines().count(), 1);
}

/// A mark on one node is what the other one counts next, over the same Redis.
#[tokio::test]
async fn nodes_see_each_others_marks_at_once() {
    let server = Redis::shared().await.unwrap();
    let config = fresh(server);
    let store = MemoryStore::new();
    let node = LogNode { log: store.message_log(), rooms: store.rooms() };
    create_room(&node, "r", &["ann", "bob"]).await;
    let mut nodes: Vec<(RedisBackend, Arc<dyn Rooms>)> = Vec::new();
    for _ in 0..2 {
        let backend = connect(&config).await;
        let log: Arc<dyn MessageLog> = store.message_log();
        let rooms = CachedUnread::new(store.rooms(), log, backend.unread_cache());
        nodes.push((backend, Arc::new(rooms)));
    }
    let at = fill(&node, "r", "bob", 50).await;
    for (index, position) in at.iter().enumerate() {
        let (one, other) = (&nodes[index % 2].1, &nodes[(index + 1) % 2].1);
        let left = 50 - index as u64;
        assert_eq!(other.unread(&user("ann"), &[room("r")]).await.unwrap(), [left]);
        one.mark_read(&room("r"), &user("ann"), &position.cursor).await.unwrap();
        assert_eq!(other.unread(&user("ann"), &[room("r")]).await.unwrap(), [left - 1]);
    }
}

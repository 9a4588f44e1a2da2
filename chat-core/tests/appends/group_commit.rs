//! Concurrent appends gather; each is answered for itself.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chat_core::{
    AppendOutcome, ClientMessageId, Content, Draft, Error, MessageLog, NewRoom, RoomId, Storage as _,
    memory::MemoryFanout,
};
use futures::future::join_all;

use crate::support::{TestLog, builder, client_ids, draft, settings, store, user};

#[tokio::test(start_paused = true)]
async fn appends_gather_while_a_batch_is_under_way() {
    let store = store(&["ann"]).await;
    let log = Arc::new(TestLog::gated(&store));
    let chat = builder(&store, &MemoryFanout::new()).log(log.clone()).build().unwrap();
    let appends: Vec<_> = (0..101)
        .map(|n| {
            let chat = chat.clone();
            tokio::spawn(async move { chat.append(draft("ann", &format!("c{n}"))).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    log.gate.add_permits(10);
    for append in join_all(appends).await {
        assert!(matches!(append.unwrap(), Ok(AppendOutcome::New(_))));
    }
    let batches = log.batches.lock().unwrap().clone();
    assert_eq!(batches.iter().sum::<usize>(), 101);
    assert!(batches.len() <= 3, "{batches:?}");
}

/// How many batches 32 rooms' drafts make, that come while the first batch is at a log with this much parallelism.
async fn batches_of_many_rooms(parallel: usize) -> usize {
    let store = store(&["ann"]).await;
    let rooms: Vec<RoomId> = (0..32).map(|n| RoomId::new(&format!("room-{n}")).unwrap()).collect();
    for room in &rooms {
        store.rooms().create(NewRoom::new(room.clone()).with_owner(user("ann"))).await.unwrap();
    }
    let log = Arc::new(TestLog::gated(&store).with_parallel(parallel));
    let chat = builder(&store, &MemoryFanout::new()).log(log.clone()).build().unwrap();
    let appends: Vec<_> = rooms
        .into_iter()
        .map(|room| {
            let id = ClientMessageId::new("c").unwrap();
            let (chat, draft) = (chat.clone(), Draft::new(room, user("ann"), id, Content::text("c")));
            tokio::spawn(async move { chat.append(draft).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    log.gate.add_permits(100);
    for append in join_all(appends).await {
        assert!(matches!(append.unwrap(), Ok(AppendOutcome::New(_))));
    }
    log.batches.lock().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_log_that_does_one_append_at_a_time_gets_larger_batches() {
    assert!(batches_of_many_rooms(usize::MAX).await >= 4);
    assert!(batches_of_many_rooms(1).await <= 2);
    assert!(batches_of_many_rooms(0).await <= 2, "at least one");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_the_queue_is_refused_and_not_stored() {
    let store = store(&["ann"]).await;
    let log = Arc::new(TestLog::gated(&store));
    let mut small = settings();
    small.append_lanes = 1;
    small.append_queue = 4;
    small.append_batch = 4;
    let chat = builder(&store, &MemoryFanout::new()).log(log.clone()).settings(small).build().unwrap();
    let appends: Vec<_> = (0..50)
        .map(|n| {
            let chat = chat.clone();
            tokio::spawn(async move { chat.append(draft("ann", &format!("c{n}"))).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    log.gate.add_permits(50);
    let outcomes: Vec<_> = join_all(appends).await.into_iter().map(Result::unwrap).collect();
    let stored = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let busy = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Busy { .. }))).count();
    assert!(busy >= 40 && stored >= 4, "{busy} busy, {stored} stored");
    assert_eq!(busy + stored, 50);
    assert_eq!(client_ids(&store).await.len(), stored);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_in_bytes_too() {
    let store = store(&["ann"]).await;
    let log = Arc::new(TestLog::gated(&store));
    let mut small = settings();
    small.append_queue_bytes = 100;
    let chat = builder(&store, &MemoryFanout::new()).log(log.clone()).settings(small).build().unwrap();
    let first = tokio::spawn({
        let chat = chat.clone();
        // The body is its client id: about 80 bytes in all.
        async move { chat.append(draft("ann", &"x".repeat(35))).await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(matches!(chat.append(draft("ann", &"y".repeat(35))).await, Err(Error::Busy { .. })));
    log.gate.add_permits(2);
    assert!(matches!(first.await.unwrap(), Ok(AppendOutcome::New(_))));
    // What was answered makes room again.
    assert!(matches!(chat.append(draft("ann", &"y".repeat(35))).await, Ok(AppendOutcome::New(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_senders_order_is_kept_under_load() {
    for seed in 0..20u64 {
        let store = store(&["ann", "bob", "cy"]).await;
        let mut log = TestLog::new(&store);
        log.latency = Duration::from_micros(100 * (seed % 3));
        let chat = builder(&store, &MemoryFanout::new()).log(log).build().unwrap();
        let senders = ["ann", "bob", "cy"].map(|name| {
            let chat = chat.clone();
            tokio::spawn(async move {
                // All at once, without waiting for answers: the order is that of the calls.
                let mut appends = Vec::new();
                for n in 0..60 {
                    let mut append = Box::pin(chat.append(draft(name, &format!("{name}-{n:03}"))));
                    let polled = futures::poll!(append.as_mut());
                    assert!(polled.is_pending());
                    appends.push(append);
                    if fastrand::Rng::with_seed(seed * 1_000 + n).bool() {
                        tokio::task::yield_now().await;
                    }
                }
                join_all(appends).await.into_iter().for_each(|outcome| {
                    assert!(matches!(outcome, Ok(AppendOutcome::New(_))));
                });
            })
        });
        for sender in senders {
            sender.await.unwrap();
        }
        let stored = client_ids(&store).await;
        assert_eq!(stored.len(), 180);
        for name in ["ann", "bob", "cy"] {
            let own: Vec<_> = stored.iter().filter(|id| id.starts_with(name)).collect();
            assert!(own.is_sorted(), "seed {seed}: {own:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_unknown_to_all_its_senders_and_a_repeat_stores_once() {
    let store = store(&["ann"]).await;
    let log = Arc::new(TestLog::new(&store));
    log.failures.store(1, Ordering::Relaxed);
    let chat = builder(&store, &MemoryFanout::new()).log(log.clone()).build().unwrap();
    let send = || join_all((0..10).map(|n| chat.append(draft("ann", &format!("c{n}")))).collect::<Vec<_>>());
    let first = send().await;
    assert!(first.iter().all(|outcome| outcome.as_ref().is_err_and(Error::is_retryable)), "{first:?}");
    let text = first[9].as_ref().unwrap_err();
    assert_eq!(text.to_string(), "test failed during append");
    assert_eq!(std::error::Error::source(text).unwrap().to_string(), "told to fail");
    // It had stored them, which nobody knew.
    let second = send().await;
    assert!(second.iter().all(|outcome| matches!(outcome, Ok(AppendOutcome::Duplicate(_)))), "{second:?}");
    assert_eq!(client_ids(&store).await.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_hangs_or_panics_is_given_up_and_the_lane_goes_on() {
    let store = store(&["ann"]).await;
    let log = Arc::new(TestLog::new(&store));
    let chat = builder(&store, &MemoryFanout::new()).log(log.clone()).build().unwrap();
    log.hangs.store(true, Ordering::Relaxed);
    assert!(matches!(chat.append(draft("ann", "c1")).await, Err(Error::Timeout { .. })));
    log.hangs.store(false, Ordering::Relaxed);
    log.panics.store(true, Ordering::Relaxed);
    assert!(matches!(chat.append(draft("ann", "c1")).await, Err(Error::Backend { .. })));
    log.panics.store(false, Ordering::Relaxed);
    assert!(matches!(chat.append(draft("ann", "c1")).await, Ok(AppendOutcome::New(_))));
}

#[tokio::test(start_paused = true)]
async fn drafts_are_stored_whether_or_not_anybody_waits_and_a_drain_waits_for_them() {
    let store = store(&["ann"]).await;
    let log = Arc::new(TestLog::gated(&store));
    let chat = builder(&store, &MemoryFanout::new()).log(log.clone()).build().unwrap();
    for n in 0..20 {
        let mut append = Box::pin(chat.append(draft("ann", &format!("c{n:02}"))));
        assert!(futures::poll!(append.as_mut()).is_pending());
        drop(append);
    }
    let draining = tokio::spawn({
        let chat = chat.clone();
        async move { chat.drain(Duration::ZERO, Duration::from_secs(1)).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!draining.is_finished());
    log.gate.add_permits(20);
    draining.await.unwrap();
    let stored = client_ids(&store).await;
    assert_eq!(stored.len(), 20);
    assert!(stored.is_sorted(), "{stored:?}");
    assert!(store.message_log().heads(&[crate::support::room()]).await.unwrap()[0].is_some());
}

//! Many writers and readers at once, on several nodes.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::{collections::BTreeSet, time::Duration};

use tokio::task::JoinSet;

use super::reading::{assert_gapless, head, log, read, start};
use crate::{
    AppendOutcome, Cursor, MemberChange, MessageId, ReadQuery, Refusal, StoredMessage,
    testkit::{
        LogHarness, LogNode,
        fixtures::{append, create_room, draft, room, store, user},
    },
};

const ROOMS: [&str; 3] = ["r", "s", "t"];

/// Waits for all, and passes on what made one fail.
async fn finish<T: Send + 'static>(tasks: JoinSet<T>) -> Vec<T> {
    tasks.join_all().await
}

/// Reads on after the last entry seen until `last` entries were seen.
async fn follow(node: LogNode, in_room: &'static str, from: Cursor, last: usize) -> Vec<StoredMessage> {
    let mut seen: Vec<StoredMessage> = Vec::new();
    while seen.len() < last {
        let place = seen.last().map_or_else(|| from.clone(), |entry| entry.position.cursor.clone());
        let page = read(&node, in_room, ReadQuery::after(place).with_limit(7)).await;
        if page.entries.is_empty() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        seen.extend(page.entries);
        // At once, since a reader that missed one would wait for it for ever.
        assert_gapless(&seen);
    }
    seen
}

/// Positions without gaps, ids that grow, every message once, in every room.
pub async fn writers_on_many_nodes_share_one_order(harness: &dyn LogHarness) {
    let nodes = harness.nodes(3).await;
    for name in ROOMS {
        create_room(&nodes[0], name, &["ann", "bob"]).await;
    }
    let mut tasks = JoinSet::new();
    for (number, node) in nodes.iter().enumerate() {
        for task in 0..2 {
            let node = node.clone();
            tasks.spawn(async move {
                for n in 0..20 {
                    let name = ROOMS[(n + task) % 3];
                    let client = format!("{number}-{task}-{n}");
                    store(&node, draft(name, ["ann", "bob"][task], &client, "hello")).await;
                }
            });
        }
    }
    finish(tasks).await;
    let mut total = 0;
    for name in ROOMS {
        let entries = log(&nodes[1], name).await;
        assert_gapless(&entries);
        let keys: BTreeSet<_> =
            entries.iter().map(|entry| (entry.sender.clone(), &entry.client_id)).collect();
        assert_eq!(keys.len(), entries.len(), "a message twice");
        total += entries.len();
    }
    assert_eq!(total, 3 * 2 * 20);
}

/// Whoever was given an entry finds everything that becomes visible later after it.
pub async fn a_reader_that_follows_writers_misses_nothing(harness: &dyn LogHarness) {
    let nodes = harness.nodes(3).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let from = start(&nodes[0], "r").await;
    let mut writers = JoinSet::new();
    let mut readers = JoinSet::new();
    for node in &nodes {
        readers.spawn(follow(node.clone(), "r", from.clone(), 3 * 2 * 30));
    }
    for (number, node) in nodes.iter().enumerate() {
        for task in 0..2 {
            let node = node.clone();
            writers.spawn(async move {
                for n in 0..10 {
                    // Batches take longer to store than they take to number.
                    let batch: Vec<_> = (0..3)
                        .map(|part| draft("r", "ann", &format!("{number}-{task}-{n}-{part}"), "hello"))
                        .collect();
                    let outcomes = node.log.append(&batch).await.unwrap();
                    assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::New(_))));
                }
            });
        }
    }
    finish(writers).await;
    let stored = log(&nodes[0], "r").await;
    assert_gapless(&stored);
    for seen in finish(readers).await {
        assert_eq!(seen, stored);
    }
}

/// A retry that overtakes its first try: one is stored, and all are answered its place.
pub async fn retries_at_once_are_one_message(harness: &dyn LogHarness) {
    let nodes = harness.nodes(3).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    for n in 0..15 {
        let mut tasks = JoinSet::new();
        for task in 0..6 {
            let node = nodes[task % 3].clone();
            tasks.spawn(async move { append(&node, draft("r", "ann", &format!("c{n}"), "hello")).await });
        }
        let outcomes = finish(tasks).await;
        let new = outcomes.iter().filter(|outcome| matches!(outcome, AppendOutcome::New(_))).count();
        assert_eq!(new, 1, "{outcomes:?}");
        let places: BTreeSet<_> = outcomes.iter().filter_map(AppendOutcome::stored).map(|at| at.id).collect();
        assert_eq!(places.len(), 1, "{outcomes:?}");
        assert!(outcomes.iter().all(|outcome| outcome.stored().is_some()), "{outcomes:?}");
    }
    let entries = log(&nodes[0], "r").await;
    assert_gapless(&entries);
    assert_eq!(entries.len(), 15);
}

/// One payload wins; the others are conflicts that name it.
pub async fn payloads_at_once_under_one_client_id_conflict(harness: &dyn LogHarness) {
    let nodes = harness.nodes(3).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    for n in 0..15 {
        let mut tasks = JoinSet::new();
        for (task, node) in nodes.iter().cloned().enumerate() {
            let text = format!("payload {task}");
            tasks.spawn(async move { append(&node, draft("r", "ann", &format!("c{n}"), &text)).await });
        }
        let mut stored: Option<MessageId> = None;
        let mut conflicts = Vec::new();
        for outcome in finish(tasks).await {
            match outcome {
                AppendOutcome::New(position) => {
                    assert!(stored.replace(position.id).is_none(), "two were stored")
                }
                AppendOutcome::Conflict(first) => conflicts.push(first.id),
                other => panic!("neither stored nor a conflict: {other:?}"),
            }
        }
        assert_eq!(conflicts, vec![stored.unwrap(); 2]);
    }
    assert_gapless(&log(&nodes[0], "r").await);
}

/// Batches that name the same rooms in opposite orders do not wait for each other for ever.
pub async fn batches_in_opposite_orders_do_not_lock_each_other(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    for name in ROOMS {
        create_room(&nodes[0], name, &["ann"]).await;
    }
    let mut tasks = JoinSet::new();
    for task in 0..4 {
        let node = nodes[task % 2].clone();
        tasks.spawn(async move {
            for n in 0..15 {
                let mut batch: Vec<_> =
                    ROOMS.iter().map(|name| draft(name, "ann", &format!("{task}-{n}"), "hello")).collect();
                if task >= 2 {
                    batch.reverse();
                }
                let outcomes = node.log.append(&batch).await.unwrap();
                assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::New(_))));
            }
        });
    }
    finish(tasks).await;
    for name in ROOMS {
        let entries = log(&nodes[0], name).await;
        assert_gapless(&entries);
        assert_eq!(entries.len(), 60);
    }
}

/// Once a removal was answered, nothing of the removed member's is stored any more.
pub async fn nothing_is_stored_after_a_removal_was_answered(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let mut writers = JoinSet::new();
    for task in 0..4 {
        let node = nodes[task % 2].clone();
        writers.spawn(async move {
            for n in 0.. {
                match append(&node, draft("r", "ann", &format!("{task}-{n}"), "hello")).await {
                    AppendOutcome::New(_) => tokio::time::sleep(Duration::from_micros(100)).await,
                    AppendOutcome::Refused(Refusal::NotAMember) => return,
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    while log(&nodes[0], "r").await.len() < 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    nodes[0].rooms.change_member(&room("r"), MemberChange::remove(user("ann"))).await.unwrap();
    let stored = log(&nodes[1], "r").await;
    assert_eq!(
        append(&nodes[1], draft("r", "ann", "late", "late")).await,
        AppendOutcome::Refused(Refusal::NotAMember)
    );
    finish(writers).await;
    assert_eq!(log(&nodes[0], "r").await, stored);
}

/// What a head promises is there to be read.
pub async fn heads_never_go_back_while_others_write(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let node = nodes[0].clone();
    let writer = tokio::spawn(async move {
        for n in 0..60 {
            store(&node, draft("r", "ann", &format!("c{n}"), "hello")).await;
        }
    });
    let mut last = 0;
    while last < 60 {
        let end = head(&nodes[1], "r").await.cursor.seq.get();
        assert!(end >= last, "the head went from {last} to {end}");
        let page = read(&nodes[1], "r", ReadQuery::newest()).await;
        let newest = page.entries.last().map_or(0, |entry| entry.seq().get());
        assert!(newest >= end, "the head was {end}, and then the newest entry {newest}");
        assert_eq!(page.head.cursor.seq.get(), newest);
        last = newest;
    }
    writer.await.unwrap();
}

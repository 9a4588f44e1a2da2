//! A file that has reached its size: writing says so and stores nothing by halves, reading goes on, trimming helps.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::path::Path;

use chat_backend_sqlite::{SqliteBackend, SqliteConfig, SqliteErrorKind, Synchronous};
use chat_core::{
    AppendOutcome, Content, Draft, ReactionOp, Retention, Retry, Storage as _,
    search::SearchQuery,
    testkit::fixtures::{about, create_room, draft, reaction, room, user},
};
use support::{audit, kind, node};

const MAX_BYTES: u64 = 1024 * 1024;
/// Each message has words of its own, so that the index has its work, and one that all have.
const BATCH: u64 = 20;

async fn open(path: &Path) -> SqliteBackend {
    // Waiting for the disk is not what this is about.
    let config = SqliteConfig::new(path).with_max_bytes(MAX_BYTES).with_synchronous(Synchronous::Off);
    SqliteBackend::open(config).await.unwrap()
}

fn batch(first: u64) -> Vec<Draft> {
    (first..first + BATCH)
        .map(|number| {
            let text =
                format!("pear {number:x} {:x} {}", number.wrapping_mul(0x9e37_79b9), "filling ".repeat(12));
            draft("r", "ann", &format!("c{number}"), &text)
        })
        .collect()
}

/// Appends until nothing more fits, and answers how many there are.
async fn fill(backend: &SqliteBackend, from: u64) -> u64 {
    for first in (from..).step_by(20) {
        match node(backend).log.append(&batch(first)).await {
            Ok(outcomes) => {
                assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::New(_))));
            }
            Err(error) => {
                assert_eq!(kind(&error), Some(SqliteErrorKind::DiskFull), "{error:?}");
                assert!(error.is_retryable());
                assert!(matches!(error, chat_core::Error::Backend { retry: Retry::Later, .. }), "{error:?}");
                return first;
            }
        }
        assert!(first < 100_000, "it is never full");
    }
    unreachable!()
}

/// Full to the last page: single messages do not fit either.
async fn fill_up(backend: &SqliteBackend) -> u64 {
    let mut next = fill(backend, 0).await;
    loop {
        let one = batch(next).remove(0);
        match node(backend).log.append(&[one]).await {
            Ok(_) => next += 1,
            Err(error) => {
                assert_eq!(kind(&error), Some(SqliteErrorKind::DiskFull), "{error:?}");
                return next;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_refuses_with_a_retryable_error_and_is_read_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let backend = open(&file).await;
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    let stored = fill_up(&backend).await;
    let size = std::fs::metadata(&file).unwrap().len();
    assert!(size <= MAX_BYTES, "{size}");
    let rooms = audit::everything(&backend).await;
    assert_eq!(rooms[&room("r")].entries.len() as u64, stored);
    assert_eq!(node(&backend).rooms.unread(&user("bob"), &[room("r")]).await.unwrap(), [stored]);
    backend.search().search(SearchQuery::new(user("bob"), "pear")).await.unwrap();
    // Whoever tries again with the same client id learns that it was stored, or that it was not.
    let again = node(&backend).log.append(&batch(0)).await.unwrap();
    assert!(again.iter().all(|outcome| matches!(outcome, AppendOutcome::Duplicate(_))));
    chat_core::Backend::health(&backend).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trimming_a_full_file_makes_room_for_new_entries_and_for_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let backend = open(&file).await;
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    let stored = fill_up(&backend).await;
    let (epoch, id) = (support::epoch(&backend, "r").await, room("r"));
    // Little by little, as one who keeps as much as fits.
    for keep in [stored - 1, stored - 2, stored - 60, stored / 2] {
        let retention = Retention { max_entries: Some(keep), not_before: None };
        let head = node(&backend).log.trim(&id, retention).await.unwrap();
        assert_eq!(head.oldest.get(), stored - keep + 1);
    }
    let read = audit::read(&backend, &id).await;
    // Without anything being written since: the index goes on by itself once there is room.
    audit::finds_what_is_there(&backend, &id, &read, &user("bob"), "pear").await;
    let outcomes = node(&backend).log.append(&batch(1_000_000)).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::New(_))));
    let rooms = audit::everything(&backend).await;
    audit::finds_what_is_there(&backend, &id, &rooms[&id], &user("bob"), "pear").await;
    backend.close().await.unwrap();
    let backend = open(&file).await;
    assert_eq!(support::epoch(&backend, "r").await, epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_goes_on_after_a_trim_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let backend = open(&folder.path().join("chat.db")).await;
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    let stored = fill_up(&backend).await;
    let newest = format!("{:x}", (stored - 1).wrapping_mul(0x9e37_79b9));
    let retention = Retention { max_entries: Some(stored / 4), not_before: None };
    node(&backend).log.trim(&room("r"), retention).await.unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let found = backend.search().search(SearchQuery::new(user("bob"), newest.as_str())).await.unwrap();
        if !found.messages.is_empty() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the index stands still");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_closes_and_opens_with_the_same_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let backend = open(&file).await;
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    let stored = fill_up(&backend).await;
    let epoch = support::epoch(&backend, "r").await;
    backend.close().await.unwrap();
    let backend = open(&file).await;
    assert_eq!(support::epoch(&backend, "r").await, epoch);
    let rooms = audit::everything(&backend).await;
    assert_eq!(rooms[&room("r")].entries.len() as u64, stored);
    // And with more space, as if the setting was raised.
    backend.close().await.unwrap();
    let backend = support::open(&file).await;
    fill_one(&backend, stored).await;
    // The index needs space for the last ones, too.
    let head = node(&backend).log.heads(&[room("r")]).await.unwrap().remove(0).unwrap();
    let kept = head.cursor.seq.get() - head.oldest.previous().get();
    let retention = Retention { max_entries: Some(kept / 2), not_before: None };
    node(&backend).log.trim(&room("r"), retention).await.unwrap();
    let rooms = audit::everything(&backend).await;
    audit::finds_what_is_there(&backend, &room("r"), &rooms[&room("r")], &user("bob"), "pear").await;
}

async fn fill_one(backend: &SqliteBackend, number: u64) {
    let outcomes = node(backend).log.append(&batch(number)).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::New(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trim_gets_through_while_many_try_to_append_to_a_full_file() {
    let folder = tempfile::tempdir().unwrap();
    let backend = open(&folder.path().join("chat.db")).await;
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    let stored = fill_up(&backend).await;
    let writers = (0..8u64).map(|writer| {
        let backend = backend.clone();
        tokio::spawn(async move {
            for round in 0..20 {
                let drafts = batch((writer + 1) * 1_000_000 + round * BATCH);
                if let Err(error) = node(&backend).log.append(&drafts).await {
                    assert_eq!(kind(&error), Some(SqliteErrorKind::DiskFull), "{error:?}");
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut oldest = 1;
    for _ in 0..10 {
        let keep = Retention { max_entries: Some(stored / 8), not_before: None };
        let head = node(&backend).log.trim(&room("r"), keep).await.unwrap();
        assert!(head.oldest.get() >= oldest);
        oldest = head.oldest.get();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    audit::everything(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trim_of_changed_messages_needs_no_space() {
    let folder = tempfile::tempdir().unwrap();
    let backend = open(&folder.path().join("chat.db")).await;
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    fill_one(&backend, 0).await;
    let targets = audit::read(&backend, &room("r")).await.entries;
    for (number, target) in targets.iter().enumerate() {
        let id = target.position.id;
        let body = chat_core::Body::text("plum");
        let edit = about("r", "ann", &format!("e{number}"), Content::Edit { target: id, body });
        let like = about("r", "bob", &format!("l{number}"), reaction(id, "👍", ReactionOp::Add));
        let mut drafts = vec![edit, like];
        if number % 3 == 0 {
            drafts.push(about("r", "ann", &format!("d{number}"), Content::Delete { target: id }));
        }
        node(&backend).log.append(&drafts).await.unwrap();
    }
    backend.settle_search().await.unwrap();
    fill(&backend, 100).await;
    let head = node(&backend).log.heads(&[room("r")]).await.unwrap().remove(0).unwrap();
    for keep in (0..head.cursor.seq.get()).rev().step_by(37) {
        let retention = Retention { max_entries: Some(keep), not_before: None };
        node(&backend).log.trim(&room("r"), retention).await.unwrap();
    }
    audit::everything(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_kept_full_and_trimmed_goes_on_for_ever_and_does_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let backend = open(&file).await;
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    let stored = fill(&backend, 0).await;
    let (mut next, mut refused) = (stored, 0);
    while next < 4 * stored {
        match node(&backend).log.append(&batch(next)).await {
            Ok(_) => {
                next += BATCH;
                refused = 0;
            }
            Err(error) => {
                assert_eq!(kind(&error), Some(SqliteErrorKind::DiskFull), "{error:?}");
                refused += 1;
                assert!(refused < 20, "trimming gives no space: {next} of {stored}");
                let head = node(&backend).log.heads(&[room("r")]).await.unwrap().remove(0).unwrap();
                let kept = head.cursor.seq.get() - head.oldest.previous().get();
                let retention = Retention { max_entries: Some(kept * 9 / 10), not_before: None };
                node(&backend).log.trim(&room("r"), retention).await.unwrap();
            }
        }
    }
    let size = std::fs::metadata(&file).unwrap().len();
    assert!(size < MAX_BYTES * 5 / 4, "{size}");
    let retention = Retention { max_entries: Some(stored / 3), not_before: None };
    node(&backend).log.trim(&room("r"), retention).await.unwrap();
    let rooms = audit::everything(&backend).await;
    audit::finds_what_is_there(&backend, &room("r"), &rooms[&room("r")], &user("bob"), "pear").await;
    backend.close().await.unwrap();
    let size = std::fs::metadata(&file).unwrap().len();
    assert!(size <= MAX_BYTES, "{size}");
}

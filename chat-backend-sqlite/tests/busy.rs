//! Another program holds the file's write lock: writing waits for it within bounds, reading goes on.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use chat_backend_sqlite::{SqliteBackend, SqliteConfig};
use chat_core::{
    AppendOutcome, Error, MemberChange, ReadQuery, Role, Storage as _,
    search::SearchQuery,
    testkit::fixtures::{create_room, draft, room, store, user},
};
use sqlx::{Connection as _, SqliteConnection};
use support::{audit, node, shell};

/// With a room and a message in it, everything settled.
async fn open(path: &Path, patience: Duration) -> SqliteBackend {
    let backend = SqliteBackend::open(SqliteConfig::new(path).with_busy_timeout(patience)).await.unwrap();
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    store(&node(&backend), draft("r", "ann", "c1", "pear")).await;
    backend.settle_search().await.unwrap();
    backend
}

async fn lock(path: &Path) -> SqliteConnection {
    let mut shell = shell(path).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut shell).await.unwrap();
    shell
}

async fn unlock(mut shell: SqliteConnection) {
    sqlx::query("ROLLBACK").execute(&mut shell).await.unwrap();
    shell.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_is_busy_after_the_patience_set_and_reading_goes_on() {
    const PATIENCE: Duration = Duration::from_millis(150);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let backend = open(&file, PATIENCE).await;
    let shell = lock(&file).await;
    let began = Instant::now();
    let log = node(&backend).log;
    let drafts = [draft("r", "ann", "c2", "plum"), draft("r", "bob", "c2", "plum")];
    let error = log.append(&drafts).await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    assert!(error.is_retryable());
    assert!(began.elapsed() >= PATIENCE, "it did not wait: {:?}", began.elapsed());
    let change = MemberChange::add(user("cid"), Role::Member);
    let error = node(&backend).rooms.change_member(&room("r"), change).await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");

    let page = log.read(&room("r"), ReadQuery::newest()).await.unwrap();
    assert_eq!(page.entries.len(), 1, "nothing was stored");
    assert_eq!(node(&backend).rooms.unread(&user("bob"), &[room("r")]).await.unwrap(), [1]);
    assert_eq!(node(&backend).rooms.member(&room("r"), &user("cid")).await.unwrap(), None);
    let found = backend.search().search(SearchQuery::new(user("bob"), "pear")).await.unwrap();
    assert_eq!(found.messages.len(), 1);
    chat_core::Backend::health(&backend).await.unwrap();

    unlock(shell).await;
    let outcomes = log.append(&drafts).await.unwrap();
    let seqs: Vec<_> = outcomes.iter().map(|outcome| outcome.stored().unwrap().cursor.seq.get()).collect();
    assert_eq!(seqs, [2, 3], "no position was lost");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::New(_))));
    let rooms = audit::everything(&backend).await;
    audit::finds_what_is_there(&backend, &room("r"), &rooms[&room("r")], &user("bob"), "plum").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_waits_for_a_lock_that_is_let_go_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let backend = open(&file, Duration::from_secs(30)).await;
    let shell = lock(&file).await;
    let waiting: Vec<_> = (0..20)
        .map(|number| {
            let log = node(&backend).log;
            let one = [draft("r", "ann", &format!("w{number}"), "plum")];
            tokio::spawn(async move { log.append(&one).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(waiting.iter().all(|call| !call.is_finished()));
    let page = node(&backend).log.read(&room("r"), ReadQuery::newest()).await.unwrap();
    assert_eq!(page.entries.len(), 1, "reading does not wait");
    unlock(shell).await;
    for call in waiting {
        assert!(matches!(call.await.unwrap().unwrap()[..], [AppendOutcome::New(_)]));
    }
    audit::everything(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_goes_on_by_itself_once_the_lock_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let backend = open(&file, Duration::from_millis(20)).await;
    let drafts: Vec<_> =
        (0..500).map(|n| draft("r", "ann", &format!("l{n}"), &format!("plum {n}"))).collect();
    node(&backend).log.append(&drafts).await.unwrap();
    // The index has four steps to do now; the lock comes in between, if not before.
    let shell = lock(&file).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    unlock(shell).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let found = backend.search().search(SearchQuery::new(user("bob"), "499")).await.unwrap();
        if !found.messages.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "the index stands still");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let rooms = audit::everything(&backend).await;
    audit::finds_what_is_there(&backend, &room("r"), &rooms[&room("r")], &user("bob"), "plum").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_while_the_file_is_locked_loses_nothing_and_gives_the_file_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let backend = open(&file, Duration::from_millis(50)).await;
    let epoch = support::epoch(&backend, "r").await;
    let shell = lock(&file).await;
    backend.close().await.unwrap();
    unlock(shell).await;
    let backend = support::open(&file).await;
    assert_eq!(support::epoch(&backend, "r").await, epoch);
    assert_eq!(audit::everything(&backend).await[&room("r")].entries.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_goes_on_after_a_failure_however_steadily_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let backend = open(&file, Duration::from_millis(20)).await;
    let log = node(&backend).log;
    let drafts: Vec<_> =
        (0..3_000).map(|n| draft("r", "ann", &format!("l{n}"), &format!("plum {n}"))).collect();
    log.append(&drafts).await.unwrap();
    // Longer than the index needs to see that it cannot go on, shorter than it waits before it tries again.
    let shell = lock(&file).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    unlock(shell).await;
    // Never a pause as long as a failed step waits for.
    let deadline = Instant::now() + Duration::from_secs(20);
    for n in 0.. {
        log.append(&[draft("r", "ann", &format!("s{n}"), "steady")]).await.unwrap();
        let query = SearchQuery::new(user("bob"), "2999");
        if !backend.search().search(query).await.unwrap().messages.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "the index stands still after {n} sends");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

//! Closing finishes what was asked for and gives the file up; callers who go away leave nothing half done.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chat_backend_sqlite::{OpenError, SqliteBackend, SqliteConfig, SqliteErrorKind};
use chat_core::{
    AppendOutcome, Backend as _, Draft, Error, MemberChange, NewRoom, ReadQuery, Result, Retention, Retry,
    Role, Storage as _,
    search::SearchQuery,
    testkit::fixtures::{create_room, draft, room, store, user},
};
use support::{audit, kind, node, open};

/// Opens it as soon as it is free.
async fn open_when_free(file: &Path) -> SqliteBackend {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        match SqliteBackend::open(SqliteConfig::new(file)).await {
            Ok(backend) => return backend,
            Err(OpenError::InUse { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        assert!(tokio::time::Instant::now() < deadline, "the file is not given up");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn calls_that_came_before_are_answered_first_however_many_wait() {
    for queue in [1, 3, SqliteConfig::DEFAULT_QUEUE] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chat.db");
        let backend = SqliteBackend::open(SqliteConfig::new(&file).with_queue(queue)).await.unwrap();
        create_room(&node(&backend), "r", &["ann", "bob"]).await;
        let asked = Arc::new(AtomicUsize::new(0));
        let calls: Vec<_> = (0..200)
            .map(|number| {
                let (log, asked) = (node(&backend).log, Arc::clone(&asked));
                tokio::spawn(async move {
                    asked.fetch_add(1, Ordering::Relaxed);
                    log.append(&[draft("r", "ann", &format!("c{number}"), "pear")]).await
                })
            })
            .collect();
        // On one thread: who has counted itself waits in the line already.
        while asked.load(Ordering::Relaxed) < 200 {
            tokio::task::yield_now().await;
        }
        backend.close().await.unwrap();
        for call in calls {
            assert!(matches!(call.await.unwrap().unwrap()[..], [AppendOutcome::New(_)]));
        }
        let backend = open(&file).await;
        let rooms = audit::everything(&backend).await;
        assert_eq!(rooms[&room("r")].entries.len(), 200);
        audit::finds_what_is_there(&backend, &room("r"), &rooms[&room("r")], &user("bob"), "pear").await;
    }
}

#[tokio::test]
async fn later_calls_of_every_kind_say_that_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let backend = open(&folder.path().join("chat.db")).await;
    let (log, rooms) = (node(&backend).log, node(&backend).rooms);
    create_room(&node(&backend), "r", &["ann"]).await;
    let position = store(&node(&backend), draft("r", "ann", "c1", "pear")).await;
    backend.close().await.unwrap();
    let id = room("r");
    let add = MemberChange::add(user("bob"), Role::Member);
    let failures: Vec<Option<Error>> = vec![
        log.append(&[draft("r", "ann", "c2", "pear")]).await.err(),
        log.read(&id, ReadQuery::newest()).await.err(),
        log.heads(std::slice::from_ref(&id)).await.err(),
        log.trim(&id, Retention::default()).await.err(),
        log.health().await.err(),
        rooms.create(NewRoom::new(room("new"))).await.err(),
        rooms.room(&id).await.err(),
        rooms.change_member(&id, add).await.err(),
        rooms.mark_read(&id, &user("ann"), &position.cursor).await.err(),
        rooms.unread(&user("ann"), std::slice::from_ref(&id)).await.err(),
        rooms.rooms_of(&user("ann"), None, 10).await.err(),
        backend.search().search(SearchQuery::new(user("ann"), "pear")).await.err(),
        backend.settle_search().await.err(),
        backend.health().await.err(),
    ];
    for (number, failure) in failures.into_iter().enumerate() {
        let failure = failure.unwrap_or_else(|| panic!("call {number} was answered"));
        assert_eq!(kind(&failure), Some(SqliteErrorKind::Closed), "call {number}: {failure:?}");
        assert!(matches!(failure, Error::Backend { retry: Retry::Never, .. }), "{failure:?}");
    }
}

#[tokio::test]
async fn closing_is_done_when_it_says_so_and_may_be_asked_for_by_many() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    for round in 0..20 {
        let backend = open(&file).await;
        create_room(&node(&backend), &format!("r{round}"), &["ann"]).await;
        // Parts that are still held keep nothing open.
        let (_log, _rooms, _search) = (backend.message_log(), backend.rooms(), backend.search());
        let closing: Vec<_> = (0..4)
            .map(|_| {
                let backend = backend.clone();
                tokio::spawn(async move { backend.close().await })
            })
            .collect();
        for close in closing {
            close.await.unwrap().unwrap();
        }
        backend.close().await.unwrap();
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["chat.db", "chat.db-owner"], "everything is in the one file");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_one_of_many_who_close_at_once_finds_it_closed() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let file = folder.path().join(format!("chat-{round}.db"));
        let backend = open(&file).await;
        let closing: Vec<_> = (0..8)
            .map(|_| {
                let (backend, file) = (backend.clone(), file.clone());
                tokio::spawn(async move {
                    backend.close().await.unwrap();
                    // Another may have opened it again by now, but not this process's first owner.
                    !file.with_extension("db-wal").exists()
                })
            })
            .collect();
        for close in closing {
            assert!(close.await.unwrap(), "it was not closed yet");
        }
        open(&file).await.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_everything_gives_the_file_up_with_all_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let mut epoch = None;
    for round in 0..20 {
        let backend = open_when_free(&file).await;
        create_room(&node(&backend), "r", &["ann"]).await;
        let now = support::epoch(&backend, "r").await;
        assert_eq!(epoch.get_or_insert_with(|| now.clone()), &now);
        let stored = store(&node(&backend), draft("r", "ann", &format!("c{round}"), "pear")).await;
        assert_eq!(stored.cursor.seq.get(), round + 1);
        let part = backend.rooms();
        drop(backend);
        // The last part keeps it.
        part.room(&room("r")).await.unwrap();
        assert!(matches!(SqliteBackend::open(SqliteConfig::new(&file)).await, Err(OpenError::InUse { .. })));
        drop(part);
    }
    audit::everything(&open_when_free(&file).await).await;
}

#[test]
fn a_runtime_that_goes_away_gives_the_file_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    for round in 0..10 {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let backend = runtime.block_on(async {
            let backend = open_when_free(&file).await;
            create_room(&node(&backend), "r", &["ann"]).await;
            store(&node(&backend), draft("r", "ann", &format!("c{round}"), "pear")).await;
            // Some are under way when it goes.
            for number in 0..10 {
                let log = node(&backend).log;
                let one = [draft("r", "ann", &format!("late-{round}-{number}"), "pear")];
                tokio::spawn(async move { log.append(&one).await });
            }
            tokio::time::sleep(Duration::from_micros(round * 300)).await;
            backend
        });
        drop(runtime);
        drop(backend);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let backend = open_when_free(&file).await;
        let rooms = audit::everything(&backend).await;
        let kept = rooms[&room("r")].entries.iter().filter(|entry| entry.client_id.as_str().starts_with('c'));
        assert_eq!(kept.count(), 10, "what was acknowledged is there");
    });
}

/// Appends that are dropped after some time, each with a client id that is used again afterwards.
async fn abandon(backend: &SqliteBackend, seed: u64) -> Vec<Draft> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut abandoned = Vec::new();
    for number in 0..12 {
        let drafts: Vec<_> = (0..random.usize(1..4))
            .map(|part| {
                draft(random.choice(["r", "s"]).unwrap(), "ann", &format!("{seed}-{number}-{part}"), "pear")
            })
            .collect();
        let wait = Duration::from_micros(random.u64(0..3_000));
        let log = node(backend).log;
        let call = tokio::time::timeout(wait, log.append(&drafts)).await;
        let answered: Option<Result<Vec<AppendOutcome>>> = call.ok();
        assert!(answered.is_none_or(|answer| answer.is_ok()));
        abandoned.extend(drafts);
    }
    abandoned
}

async fn resend(backend: &SqliteBackend, abandoned: &[Draft]) {
    for outcome in node(backend).log.append(abandoned).await.unwrap() {
        assert!(matches!(outcome, AppendOutcome::New(_) | AppendOutcome::Duplicate(_)), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_is_done_as_a_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("chat.db")).with_queue(2);
    let backend = SqliteBackend::open(config).await.unwrap();
    for name in ["r", "s"] {
        create_room(&node(&backend), name, &["ann", "bob"]).await;
    }
    let mut expected = 0;
    for round in 0..10 {
        let callers: Vec<_> = (0..4)
            .map(|caller| {
                let backend = backend.clone();
                tokio::spawn(async move { abandon(&backend, round * 4 + caller).await })
            })
            .collect();
        for caller in callers {
            let abandoned = caller.await.unwrap();
            expected += abandoned.len();
            resend(&backend, &abandoned).await;
        }
    }
    let rooms = audit::everything(&backend).await;
    assert_eq!(rooms.values().map(|room| room.entries.len()).sum::<usize>(), expected, "each is there once");
    for (id, read) in &rooms {
        audit::finds_what_is_there(&backend, id, read, &user("bob"), "pear").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_call_and_backend_together_leaves_a_file_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let mut all = Vec::new();
    for seed in 0..25 {
        let backend = open_when_free(&file).await;
        for name in ["r", "s"] {
            create_room(&node(&backend), name, &["ann", "bob"]).await;
        }
        all.extend(abandon(&backend, seed).await);
        drop(backend);
    }
    let backend = open_when_free(&file).await;
    resend(&backend, &all).await;
    let rooms = audit::everything(&backend).await;
    assert_eq!(rooms.values().map(|room| room.entries.len()).sum::<usize>(), all.len(), "each is there once");
}

//! Old entries go by count and by age, by themselves or when told, and only they go.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chat_backend_sqlite::{RetentionPolicy, SqliteBackend, SqliteConfig, Synchronous};
use chat_core::{
    Clock, Content, Retention, RoomId, Timestamp,
    testkit::fixtures::{about, append, create_room, draft, fill, room, store, user},
};
use support::{audit, node};

const DAY: u64 = 86_400;

/// Shows what it was set to.
#[derive(Debug)]
struct SetClock(AtomicU64);

impl SetClock {
    fn at(seconds: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seconds)))
    }

    fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::Relaxed))
    }
}

fn config(path: &Path) -> SqliteConfig {
    // Waiting for the disk is not what this is about.
    SqliteConfig::new(path).with_synchronous(Synchronous::Off)
}

/// The texts that are left of a room.
async fn left(backend: &SqliteBackend, id: &RoomId) -> Vec<String> {
    let entries = audit::read(backend, id).await.entries;
    entries.iter().map(|entry| entry.client_id.to_string()).collect()
}

async fn check(backend: &SqliteBackend) {
    for (id, read) in audit::everything(backend).await {
        audit::finds_what_is_there(backend, &id, &read, &user("bob"), "message").await;
    }
}

#[tokio::test]
async fn by_count_each_room_keeps_its_newest() {
    let folder = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::open(config(&folder.path().join("chat.db"))).await.unwrap();
    for (name, count) in [("empty", 0), ("few", 4), ("enough", 5), ("many", 40)] {
        create_room(&node(&backend), name, &["ann", "bob"]).await;
        if count > 0 {
            fill(&node(&backend), name, "ann", count).await;
        }
    }
    backend.settle_search().await.unwrap();
    let policy = RetentionPolicy::new().with_max_entries(5);
    for _ in 0..2 {
        backend.apply_retention(policy, Timestamp::from_secs(0)).await.unwrap();
        for (name, oldest, count) in [("empty", 1, 0), ("few", 1, 4), ("enough", 1, 5), ("many", 36, 5)] {
            let head = node(&backend).log.heads(&[room(name)]).await.unwrap().remove(0).unwrap();
            assert_eq!(
                (head.oldest.get(), left(&backend, &room(name)).await.len()),
                (oldest, count),
                "{name}"
            );
        }
        check(&backend).await;
    }
    assert_eq!(node(&backend).rooms.unread(&user("bob"), &[room("many")]).await.unwrap(), [5]);
    // What is gone is not taken for a repeat, and gets the next position.
    let again = store(&node(&backend), draft("many", "ann", "c1", "message again")).await;
    assert_eq!(again.cursor.seq.get(), 41);
    check(&backend).await;
}

#[tokio::test]
async fn by_age_only_what_is_too_old_goes() {
    let folder = tempfile::tempdir().unwrap();
    let clock = SetClock::at(100 * DAY);
    let config = config(&folder.path().join("chat.db")).with_clock(clock.clone());
    let backend = SqliteBackend::open(config).await.unwrap();
    for name in ["busy", "silent"] {
        create_room(&node(&backend), name, &["ann", "bob"]).await;
    }
    for day in 0..10 {
        clock.set((100 + day) * DAY);
        store(&node(&backend), draft("busy", "ann", &format!("day-{day}"), "message")).await;
        if day < 3 {
            store(&node(&backend), draft("silent", "ann", &format!("day-{day}"), "message")).await;
        }
    }
    let policy = RetentionPolicy::new().with_max_age(Duration::from_secs(4 * DAY));
    let names = |days: std::ops::Range<u64>| days.map(|day| format!("day-{day}")).collect::<Vec<_>>();
    for (today, busy, silent) in
        [(103, 0..10, 0..3), (105, 1..10, 1..3), (109, 5..10, 0..0), (200, 0..0, 0..0)]
    {
        backend.apply_retention(policy, Timestamp::from_secs(today * DAY)).await.unwrap();
        assert_eq!(left(&backend, &room("busy")).await, names(busy), "on day {today}");
        assert_eq!(left(&backend, &room("silent")).await, names(silent), "on day {today}");
        check(&backend).await;
    }
}

#[tokio::test]
async fn of_count_and_age_either_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let clock = SetClock::at(100 * DAY);
    let config = config(&folder.path().join("chat.db")).with_clock(clock.clone());
    let backend = SqliteBackend::open(config).await.unwrap();
    create_room(&node(&backend), "old", &["ann", "bob"]).await;
    create_room(&node(&backend), "long", &["ann", "bob"]).await;
    fill(&node(&backend), "old", "ann", 3).await;
    clock.set(110 * DAY);
    fill(&node(&backend), "long", "ann", 30).await;
    store(&node(&backend), draft("old", "ann", "new", "message")).await;
    let policy = RetentionPolicy::new().with_max_entries(10).with_max_age(Duration::from_secs(5 * DAY));
    backend.apply_retention(policy, clock.now()).await.unwrap();
    assert_eq!(left(&backend, &room("old")).await, ["new"]);
    assert_eq!(left(&backend, &room("long")).await.len(), 10);
    check(&backend).await;
}

#[tokio::test]
async fn what_was_edited_deleted_and_reacted_to_goes_with_all_that_hangs_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::open(config(&folder.path().join("chat.db"))).await.unwrap();
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    let positions = fill(&node(&backend), "r", "ann", 300).await;
    for (number, position) in positions.iter().enumerate().step_by(3) {
        let target = position.id;
        let content = match number % 4 {
            0 => Content::Delete { target },
            1 => Content::Edit { target, body: chat_core::Body::text("message edited") },
            _ => chat_core::testkit::fixtures::reaction(target, "👍", chat_core::ReactionOp::Add),
        };
        append(&node(&backend), about("r", "ann", &format!("on-{number}"), content)).await;
    }
    // Down to where only changes of what is gone are left, and then to nothing.
    for keep in [350, 200, 101, 60, 1, 0] {
        let policy = RetentionPolicy::new().with_max_entries(keep);
        backend.apply_retention(policy, Timestamp::from_secs(0)).await.unwrap();
        assert_eq!(left(&backend, &room("r")).await.len() as u64, keep);
        check(&backend).await;
    }
    let mut shell = support::shell(backend.path()).await;
    for table in ["entries", "reaction_keys", "reactions", "search"] {
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")));
        let count: i64 = count.fetch_one(&mut shell).await.unwrap();
        assert_eq!(count, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_is_applied_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let config = config(&file)
        .with_retention(RetentionPolicy::new().with_max_entries(10))
        .with_retention_interval(Duration::from_millis(20));
    let backend = SqliteBackend::open(config.clone()).await.unwrap();
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    fill(&node(&backend), "r", "ann", 100).await;
    settles_at_ten(&backend).await;
    for number in 0..20 {
        store(&node(&backend), draft("r", "ann", &format!("more-{number}"), "message")).await;
    }
    settles_at_ten(&backend).await;
    check(&backend).await;
    // It does not keep the file once everything is dropped.
    drop(backend);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while let Err(error) = SqliteBackend::open(config.clone()).await {
        assert!(tokio::time::Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn settles_at_ten(backend: &SqliteBackend) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let head = node(backend).log.heads(&[room("r")]).await.unwrap().remove(0).unwrap();
        if head.cursor.seq.get() - head.oldest.previous().get() == 10 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the policy is not applied");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_age_the_policy_is_applied_by_itself_by_the_clock_that_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let clock = SetClock::at(100 * DAY);
    let config = config(&folder.path().join("chat.db"))
        .with_clock(clock.clone())
        .with_retention(RetentionPolicy::new().with_max_age(Duration::from_secs(DAY)))
        .with_retention_interval(Duration::from_millis(10));
    let backend = SqliteBackend::open(config).await.unwrap();
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    fill(&node(&backend), "r", "ann", 20).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(left(&backend, &room("r")).await.len(), 20, "none is too old");
    clock.set(102 * DAY);
    let ten: Vec<_> = (0..10).map(|n| draft("r", "ann", &format!("new-{n}"), "message")).collect();
    node(&backend).log.append(&ten).await.unwrap();
    settles_at_ten(&backend).await;
    check(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_room_is_trimmed_in_steps_while_appends_go_on() {
    const LONG: u64 = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::open(config(&folder.path().join("chat.db"))).await.unwrap();
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    fill(&node(&backend), "r", "ann", LONG).await;
    let trimming = {
        let log = node(&backend).log;
        tokio::spawn(async move {
            let retention = Retention { max_entries: Some(50), not_before: None };
            log.trim(&room("r"), retention).await.unwrap()
        })
    };
    let (mut stored, mut steps) = (0, std::collections::BTreeSet::new());
    while !trimming.is_finished() {
        store(&node(&backend), draft("r", "bob", &format!("meanwhile-{stored}"), "message")).await;
        let head = node(&backend).log.heads(&[room("r")]).await.unwrap().remove(0).unwrap();
        steps.insert(head.oldest.get());
        stored += 1;
    }
    let head = trimming.await.unwrap();
    assert!(stored > 2 && steps.len() > 2, "it was done at one go: {stored} {steps:?}");
    assert!(head.oldest.get() > LONG - 50 && head.oldest.get() <= LONG + stored - 49, "{head:?} {stored}");
    check(&backend).await;
}

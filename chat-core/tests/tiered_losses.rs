//! What a hot log loses is told, and never given out as something else.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Backend, ClientMessageId, Cursor, Error, Fingerprint, MessageId, Position, ReadQuery,
    Refusal, Result, RoomId, Seq, Storage, UserId,
    memory::{MemoryHotLog, MemoryStore},
    testkit::{
        LogNode,
        fixtures::{create_room, draft, room, seq, store},
    },
    tiered::{
        Admission, Archive, ArchivedRoom, ArchivedTarget, Import, ImportOutcome, Life, LifeOutcome, Tiered,
        TieredSettings,
    },
};
use tokio::sync::Semaphore;

/// An archive of which one import is held up on its way, as by a slow network.
#[derive(Debug)]
struct Held {
    archive: Arc<dyn Archive>,
    armed: AtomicBool,
    /// The next life is held up before it begins, or begins and nobody is told.
    hold_life: AtomicBool,
    hide_life: AtomicBool,
    held: Semaphore,
    go_on: Semaphore,
    outcomes: Mutex<Vec<ImportOutcome>>,
}

#[async_trait]
impl Backend for Held {
    fn name(&self) -> &'static str {
        "held"
    }

    async fn health(&self) -> Result<()> {
        self.archive.health().await
    }
}

#[async_trait]
impl Archive for Held {
    async fn rooms(&self, rooms: &[RoomId]) -> Result<Vec<Option<ArchivedRoom>>> {
        self.archive.rooms(rooms).await
    }

    async fn begin_life(&self, room: &RoomId, seen: &ArchivedRoom, life: &Life) -> Result<LifeOutcome> {
        if self.hold_life.swap(false, Ordering::SeqCst) {
            self.held.add_permits(1);
            self.go_on.acquire().await.unwrap().forget();
        }
        let outcome = self.archive.begin_life(room, seen, life).await;
        if self.hide_life.swap(false, Ordering::SeqCst) {
            return Err(Error::Timeout { operation: "begin life" });
        }
        outcome
    }

    async fn import(&self, imports: &[Import]) -> Result<Vec<ImportOutcome>> {
        let holds = self.armed.swap(false, Ordering::SeqCst);
        if holds {
            self.held.add_permits(1);
            self.go_on.acquire().await.unwrap().forget();
        }
        let outcomes = self.archive.import(imports).await?;
        if holds {
            self.outcomes.lock().unwrap().extend(&outcomes);
        }
        Ok(outcomes)
    }

    async fn admissions(&self, writers: &[(RoomId, UserId)]) -> Result<Vec<Option<Admission>>> {
        self.archive.admissions(writers).await
    }

    async fn copies(
        &self,
        names: &[(RoomId, UserId, ClientMessageId)],
    ) -> Result<Vec<Option<(Position, Fingerprint)>>> {
        self.archive.copies(names).await
    }

    async fn targets(&self, targets: &[(RoomId, MessageId)]) -> Result<Vec<Option<ArchivedTarget>>> {
        self.archive.targets(targets).await
    }

    async fn names(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, UserId, ClientMessageId)>> {
        self.archive.names(room, after, limit).await
    }
}

struct Stage {
    hot: MemoryHotLog,
    store: MemoryStore,
    archive: Arc<Held>,
    tiered: Tiered,
    node: LogNode,
}

/// A room `tea` of ann's, and nobody who archives unless it is asked for.
async fn stage() -> Stage {
    let (hot, store) = (MemoryHotLog::new(), MemoryStore::new());
    let archive = Arc::new(Held {
        archive: store.archive(),
        armed: AtomicBool::new(false),
        hold_life: AtomicBool::new(false),
        hide_life: AtomicBool::new(false),
        held: Semaphore::new(0),
        go_on: Semaphore::new(0),
        outcomes: Mutex::default(),
    });
    let mut settings = TieredSettings::default();
    settings.workers = 0;
    let tiered = Tiered::start(Arc::new(hot.clone()), archive.clone(), &store, settings);
    let node = LogNode { log: tiered.message_log(), rooms: tiered.rooms() };
    create_room(&node, "tea", &["ann", "bob"]).await;
    Stage { hot, store, archive, tiered, node }
}

impl Stage {
    /// Sends these, and answers where the last one is.
    async fn say(&self, texts: &[&str]) -> Cursor {
        let mut last = None;
        for text in texts {
            last = Some(store(&self.node, draft("tea", "ann", text, text)).await.cursor);
        }
        last.unwrap()
    }

    async fn texts(&self) -> Vec<String> {
        let page = self.node.log.read(&room("tea"), ReadQuery::newest().with_limit(1_000)).await.unwrap();
        assert!(page.entries.iter().zip(1..).all(|(entry, number)| entry.seq().get() == number), "no gaps");
        page.entries.iter().map(|entry| format!("{:?}", entry.content.body().unwrap())).collect()
    }

    async fn after(&self, cursor: &Cursor) -> Result<usize> {
        Ok(self.node.log.read(&room("tea"), ReadQuery::after(cursor.clone())).await?.entries.len())
    }
}

fn is_reset<T>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::CursorReset { .. }))
}

#[tokio::test]
async fn after_a_flush_what_was_archived_goes_on_and_what_was_not_is_told() {
    let stage = stage().await;
    let kept = stage.say(&["a", "b", "c"]).await;
    stage.tiered.flush().await.unwrap();
    let lost = stage.say(&["d", "e"]).await;
    stage.hot.lose_everything();
    // Also while nobody has sent anything since.
    assert!(is_reset(&stage.after(&lost).await));
    assert_eq!(stage.after(&kept).await.unwrap(), 0);
    let new = stage.say(&["f", "g", "h"]).await;
    assert_ne!(new.epoch, kept.epoch, "positions are given out again, under another epoch");
    assert_eq!(new.seq.get(), 6);
    assert!(is_reset(&stage.after(&lost).await), "although there is an entry at that position now");
    assert_eq!(stage.after(&kept).await.unwrap(), 3, "who missed nothing goes on");
    stage.tiered.flush().await.unwrap();
    assert_eq!(stage.texts().await.len(), 6);
}

#[tokio::test]
async fn a_failover_that_lost_the_last_entries_keeps_the_others() {
    let stage = stage().await;
    stage.say(&["a"]).await;
    stage.tiered.flush().await.unwrap();
    let kept = stage.say(&["b", "c"]).await;
    let replica = stage.hot.snapshot();
    let lost = stage.say(&["d"]).await;
    stage.hot.restore(&replica);
    // What was not archived and is left is there at once, before anybody sends, however often it is asked for.
    let heads = stage.node.log.heads(&[room("tea"), room("tea")]).await.unwrap();
    assert!(heads.iter().all(|head| head.as_ref().unwrap().cursor.seq == kept.seq), "{heads:?}");
    assert_eq!(stage.after(&kept).await.unwrap(), 0);
    assert!(is_reset(&stage.after(&lost).await));
    let new = stage.say(&["e"]).await;
    assert_eq!(new.seq.get(), 4);
    assert!(is_reset(&stage.after(&lost).await));
    assert_eq!(stage.after(&kept).await.unwrap(), 1);
    stage.tiered.flush().await.unwrap();
    assert_eq!(stage.texts().await, [r#"Text("a")"#, r#"Text("b")"#, r#"Text("c")"#, r#"Text("e")"#]);
    assert!(stage.hot.lost().is_empty());
}

#[tokio::test]
async fn a_failover_behind_the_archive_goes_on_from_the_archive() {
    let stage = stage().await;
    stage.say(&["a"]).await;
    let replica = stage.hot.snapshot();
    let archived = stage.say(&["b", "c"]).await;
    stage.tiered.flush().await.unwrap();
    stage.hot.restore(&replica);
    assert_eq!(stage.after(&archived).await.unwrap(), 0);
    assert_eq!(stage.say(&["d"]).await.seq.get(), 4);
    assert_eq!(stage.after(&archived).await.unwrap(), 1);
    // A repeat of what the hot log no longer knows is one all the same.
    let again = stage.node.log.append(&[draft("tea", "ann", "b", "b")]).await.unwrap();
    assert_eq!(again[0].stored().unwrap().cursor.seq.get(), 2);
    stage.tiered.flush().await.unwrap();
    assert_eq!(stage.texts().await.len(), 4);
}

/// What was read before a loss and arrives at the archive after it must not take positions that were given out again.
#[tokio::test]
async fn an_import_that_is_under_way_when_its_entries_are_lost_is_refused_or_counts() {
    for send_first in [true, false] {
        let stage = stage().await;
        stage.say(&["a"]).await;
        stage.tiered.flush().await.unwrap();
        let seen = stage.say(&["b", "c"]).await;
        stage.archive.armed.store(true, Ordering::SeqCst);
        let flushing = tokio::spawn({
            let tiered = stage.tiered.clone();
            async move { tiered.flush().await }
        });
        stage.archive.held.acquire().await.unwrap().forget();
        stage.hot.lose_everything();
        if send_first {
            stage.say(&["d"]).await;
            stage.archive.go_on.add_permits(1);
            flushing.await.unwrap().unwrap();
            assert_eq!(stage.archive.outcomes.lock().unwrap()[..], [ImportOutcome::Superseded]);
            assert!(is_reset(&stage.after(&seen).await));
            assert_eq!(stage.say(&["e"]).await.seq.get(), 3);
            stage.tiered.flush().await.unwrap();
            assert_eq!(stage.texts().await, [r#"Text("a")"#, r#"Text("d")"#, r#"Text("e")"#]);
        } else {
            stage.archive.go_on.add_permits(1);
            flushing.await.unwrap().unwrap();
            assert_eq!(stage.after(&seen).await.unwrap(), 0, "it was saved in the last moment");
            assert_eq!(stage.say(&["d"]).await.seq.get(), 4);
            assert_eq!(stage.after(&seen).await.unwrap(), 1);
            stage.tiered.flush().await.unwrap();
            assert_eq!(stage.texts().await.len(), 4);
        }
    }
}

/// The archive has noted a life that was never opened: what the hot log still has is good all the same.
#[tokio::test]
async fn a_life_that_began_and_was_never_opened_loses_nothing() {
    let stage = stage().await;
    stage.say(&["a"]).await;
    stage.tiered.flush().await.unwrap();
    let seen = stage.say(&["b", "c"]).await;
    stage.hot.restore(&stage.hot.snapshot());
    stage.archive.hide_life.store(true, Ordering::SeqCst);
    let refused = stage.node.log.append(&[draft("tea", "ann", "d", "d")]).await.unwrap();
    assert_eq!(refused, [AppendOutcome::Refused(Refusal::Busy)]);
    stage.hot.forget_claims();
    assert_eq!(stage.say(&["d"]).await.seq.get(), 4);
    assert_eq!(stage.after(&seen).await.unwrap(), 1);
    stage.tiered.flush().await.unwrap();
    assert_eq!(stage.texts().await.len(), 4);
    assert!(stage.hot.lost().is_empty());
}

/// Who opens a room so slowly that another one does it meanwhile begins no life over that one's.
#[tokio::test]
async fn who_opens_a_room_too_late_ends_no_life_that_is_in_use() {
    let stage = stage().await;
    stage.say(&["a"]).await;
    stage.tiered.flush().await.unwrap();
    stage.hot.lose_everything();
    stage.archive.hold_life.store(true, Ordering::SeqCst);
    let late = tokio::spawn({
        let log = stage.node.log.clone();
        async move { log.append(&[draft("tea", "ann", "late", "late")]).await }
    });
    stage.archive.held.acquire().await.unwrap().forget();
    stage.hot.forget_claims();
    let mut settings = TieredSettings::default();
    settings.workers = 0;
    let other = Tiered::start(Arc::new(stage.hot.clone()), stage.store.archive(), &stage.store, settings);
    let other = LogNode { log: other.message_log(), rooms: other.rooms() };
    let seen = store(&other, draft("tea", "ann", "b", "b")).await.cursor;
    stage.archive.go_on.add_permits(1);
    let late = late.await.unwrap().unwrap();
    assert_eq!(late[0].stored().unwrap().cursor, Cursor::new(seen.epoch.clone(), seq(3)));
    stage.tiered.flush().await.unwrap();
    assert_eq!(stage.after(&seen).await.unwrap(), 1);
    assert_eq!(stage.texts().await.len(), 3);
    assert!(stage.hot.lost().is_empty());
}

/// Many rooms lose what they have while they are written, archived and read, on many seeds: whatever a reader was given stays so,
/// or its cursor is reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_reads_on_sees_one_history_or_is_told_otherwise() {
    for seed in 0..30_u64 {
        let stage = Arc::new(stage().await);
        let writer = tokio::spawn({
            let stage = Arc::clone(&stage);
            async move {
                for number in 0..120 {
                    let text = format!("m{number}");
                    // An unknown outcome is repeated.
                    while stage.node.log.append(&[draft("tea", "ann", &text, &text)]).await.is_err() {}
                    if number % 3 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        let archiver = tokio::spawn({
            let stage = Arc::clone(&stage);
            async move {
                loop {
                    stage.tiered.flush().await.ok();
                    tokio::task::yield_now().await;
                }
            }
        });
        let reader = tokio::spawn(read_on(Arc::clone(&stage)));
        let mut replica = stage.hot.snapshot();
        let random = fastrand::Rng::with_seed(seed);
        lose_again_and_again(&stage, &mut replica, random, &writer).await;
        writer.await.unwrap();
        archiver.abort();
        let _ = archiver.await;
        stage.tiered.flush().await.unwrap();
        reader.abort();
        assert!(reader.await.unwrap_err().is_cancelled(), "seed {seed}: the reader saw something else");
        stage.texts().await;
    }
}

async fn lose_again_and_again(
    stage: &Stage,
    replica: &mut chat_core::memory::MemoryHotSnapshot,
    mut random: fastrand::Rng,
    writer: &tokio::task::JoinHandle<()>,
) {
    while !writer.is_finished() {
        for _ in 0..random.u32(1..60) {
            tokio::task::yield_now().await;
        }
        match random.u8(0..4) {
            0 => stage.hot.lose_everything(),
            1 => stage.hot.restore(replica),
            _ => *replica = stage.hot.snapshot(),
        }
    }
}

/// Follows the room: each entry is of the position after the last one, and what was seen is still there as it was.
async fn read_on(stage: Arc<Stage>) {
    let mut seen: Vec<(Seq, MessageId)> = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let query = cursor.clone().map_or_else(|| ReadQuery::newest().with_limit(1_000), ReadQuery::after);
        match stage.node.log.read(&room("tea"), query).await {
            Ok(page) => {
                for entry in &page.entries {
                    let expected = seen.last().map_or(Seq::FIRST, |(seq, _)| seq.next());
                    assert_eq!(entry.seq(), expected);
                    seen.push((entry.seq(), entry.position.id));
                }
                if let Some(last) = page.entries.last() {
                    cursor = Some(last.position.cursor.clone());
                }
                let all = stage.node.log.read(&room("tea"), ReadQuery::newest().with_limit(1_000)).await;
                if let (Ok(all), Some(cursor)) = (all, &cursor)
                    && all.head.honours(&room("tea"), cursor).is_ok()
                {
                    let now: Vec<_> =
                        all.entries.iter().map(|entry| (entry.seq(), entry.position.id)).collect();
                    assert!(now.starts_with(&seen), "what was seen is as it was");
                }
            }
            Err(Error::CursorReset { .. }) => {
                seen.clear();
                cursor = None;
            }
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

//! Which exchanges of the file clients are told of by a new epoch, and which openings go on as before. And copies made
//! while the file is in use.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::path::{Path, PathBuf};

use chat_backend_sqlite::{SqliteBackend, SqliteConfig, SqliteErrorKind};
use chat_core::{
    Cursor, Epoch, Error, ReadQuery,
    testkit::fixtures::{create_room, draft, fill, room, store},
};
use support::{audit, node, open};
use tempfile::TempDir;

/// A file with a room and 10 entries.
async fn begin(folder: &TempDir) -> (PathBuf, SqliteBackend, Epoch) {
    let file = folder.path().join("chat.db");
    let backend = open(&file).await;
    create_room(&node(&backend), "r", &["ann", "bob"]).await;
    fill(&node(&backend), "r", "ann", 10).await;
    let epoch = support::epoch(&backend, "r").await;
    (file, backend, epoch)
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Opens it and says whether cursors from before are honoured.
async fn honours(file: &Path, before: &Epoch) -> (SqliteBackend, bool) {
    let backend = open(file).await;
    audit::everything(&backend).await;
    let now = support::epoch(&backend, "r").await;
    let cursor = Cursor::new(before.clone(), chat_core::Seq::FIRST);
    let read = node(&backend).log.read(&room("r"), ReadQuery::after(cursor)).await;
    match read {
        Ok(_) => assert_eq!(now, *before),
        Err(Error::CursorReset { .. }) => assert_ne!(now, *before),
        Err(error) => panic!("{error:?}"),
    }
    (backend, now == *before)
}

#[tokio::test]
async fn a_restart_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backend, epoch) = begin(&folder).await;
    let mut backend = Some(backend);
    for number in 0..3 {
        backend.take().unwrap().close().await.unwrap();
        let (again, same) = honours(&file, &epoch).await;
        assert!(same);
        store(&node(&again), draft("r", "ann", &format!("again-{number}"), "x")).await;
        backend = Some(again);
    }
}

#[tokio::test]
async fn a_new_epoch_is_taken_when_asked_for_and_then_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backend, epoch) = begin(&folder).await;
    backend.close().await.unwrap();
    let backend = SqliteBackend::open(SqliteConfig::new(&file).with_new_epoch()).await.unwrap();
    let renewed = support::epoch(&backend, "r").await;
    assert_ne!(renewed, epoch);
    backend.close().await.unwrap();
    assert!(honours(&file, &renewed).await.1);
}

#[tokio::test]
async fn moving_the_file_away_and_back_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backend, epoch) = begin(&folder).await;
    backend.close().await.unwrap();
    let away = folder.path().join("away.db");
    std::fs::rename(&file, &away).unwrap();
    std::fs::rename(&away, &file).unwrap();
    assert!(honours(&file, &epoch).await.1);
}

#[tokio::test]
async fn a_backup_copied_over_the_file_renews_the_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backend, epoch) = begin(&folder).await;
    let copy = folder.path().join("backup.db");
    backend.backup(&copy).await.unwrap();
    backend.close().await.unwrap();
    std::fs::copy(&copy, &file).unwrap();
    let (backend, same) = honours(&file, &epoch).await;
    assert!(!same, "though it holds as much as before: who knows what came after it");
    // Once is enough.
    let renewed = support::epoch(&backend, "r").await;
    backend.close().await.unwrap();
    assert!(honours(&file, &renewed).await.1);
}

#[tokio::test]
async fn a_backup_moved_to_the_place_of_the_file_renews_the_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backend, epoch) = begin(&folder).await;
    let copy = folder.path().join("backup.db");
    backend.backup(&copy).await.unwrap();
    backend.close().await.unwrap();
    std::fs::rename(&copy, &file).unwrap();
    assert!(!honours(&file, &epoch).await.1);
}

#[tokio::test]
async fn a_copy_elsewhere_has_an_epoch_of_its_own_with_or_without_the_witness() {
    for with_witness in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (file, backend, epoch) = begin(&folder).await;
        backend.close().await.unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let copy = elsewhere.path().join("chat.db");
        std::fs::copy(&file, &copy).unwrap();
        if with_witness {
            std::fs::copy(beside(&file, "-owner"), beside(&copy, "-owner")).unwrap();
        }
        let (backend, same) = honours(&copy, &epoch).await;
        // Elsewhere than on Unix a file has no identity to tell a whole copy by.
        assert_eq!(same, with_witness && cfg!(not(unix)), "with its witness: {with_witness}");
        store(&node(&backend), draft("r", "ann", "only-in-the-copy", "x")).await;
        assert!(honours(&file, &epoch).await.1, "the file that was copied goes on");
    }
}

#[tokio::test]
async fn without_the_witness_the_epoch_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backend, epoch) = begin(&folder).await;
    backend.close().await.unwrap();
    std::fs::remove_file(beside(&file, "-owner")).unwrap();
    assert!(!honours(&file, &epoch).await.1);
}

#[tokio::test]
async fn a_witness_that_cannot_be_read_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backend, epoch) = begin(&folder).await;
    backend.close().await.unwrap();
    let witness = std::fs::read(beside(&file, "-owner")).unwrap();
    std::fs::write(beside(&file, "-owner"), &witness[..witness.len() / 2]).unwrap();
    assert!(!honours(&file, &epoch).await.1);
}

#[tokio::test]
async fn an_older_copy_made_while_it_was_stopped_renews_the_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backend, epoch) = begin(&folder).await;
    backend.close().await.unwrap();
    let copy = folder.path().join("older.db");
    std::fs::copy(&file, &copy).unwrap();
    let (backend, same) = honours(&file, &epoch).await;
    assert!(same);
    store(&node(&backend), draft("r", "ann", "later", "x")).await;
    backend.close().await.unwrap();
    std::fs::copy(&copy, &file).unwrap();
    let (backend, same) = honours(&file, &epoch).await;
    assert!(!same, "position 11 was given out and will be again");
    store(&node(&backend), draft("r", "bob", "another", "y")).await;
}

#[tokio::test]
async fn an_older_copy_with_its_own_witness_put_back_by_moving_renews_the_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backend, epoch) = begin(&folder).await;
    backend.close().await.unwrap();
    let copy = folder.path().join("older.db");
    std::fs::copy(&file, &copy).unwrap();
    std::fs::copy(beside(&file, "-owner"), beside(&copy, "-owner")).unwrap();
    let (backend, _) = honours(&file, &epoch).await;
    store(&node(&backend), draft("r", "ann", "later", "x")).await;
    backend.close().await.unwrap();
    std::fs::rename(beside(&copy, "-owner"), beside(&file, "-owner")).unwrap();
    std::fs::rename(&copy, &file).unwrap();
    assert_eq!(honours(&file, &epoch).await.1, cfg!(not(unix)));
}

#[tokio::test]
async fn a_write_ahead_log_that_is_lost_renews_the_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backend, epoch) = begin(&folder).await;
    backend.close().await.unwrap();
    let (backend, _) = honours(&file, &epoch).await;
    store(&node(&backend), draft("r", "ann", "later", "x")).await;
    // As a copy of the one file is that was made while a process had it open.
    let copy = folder.path().join("without-log.db");
    std::fs::copy(&file, &copy).unwrap();
    backend.close().await.unwrap();
    std::fs::copy(&copy, &file).unwrap();
    let (backend, same) = honours(&file, &epoch).await;
    assert!(!same);
    assert_eq!(audit::read(&backend, &room("r")).await.entries.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_while_four_write_is_one_instant_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (_, backend, epoch) = begin(&folder).await;
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let node = node(&backend);
            tokio::spawn(async move {
                for number in 0.. {
                    let drafts: Vec<_> = (0..3)
                        .map(|part| draft("r", "ann", &format!("w{writer}-{number}-{part}"), "pear"))
                        .collect();
                    if node.log.append(&drafts).await.is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    let mut held = 0;
    for number in 0..5 {
        let before = node(&backend).log.heads(&[room("r")]).await.unwrap().remove(0).unwrap().cursor.seq;
        let target = folder.path().join(format!("backup-{number}.db"));
        backend.backup(&target).await.unwrap();
        let after = node(&backend).log.heads(&[room("r")]).await.unwrap().remove(0).unwrap().cursor.seq;
        audit::sound(&target).await;
        let (copy, same) = honours(&target, &epoch).await;
        assert!(!same);
        let head = node(&copy).log.heads(&[room("r")]).await.unwrap().remove(0).unwrap().cursor.seq;
        assert!(before <= head && head <= after, "{before:?} {head:?} {after:?}");
        assert_eq!(head.get() % 3, 1, "a batch is in it whole or not at all");
        let read = audit::read(&copy, &room("r")).await;
        let bob = chat_core::testkit::fixtures::user("bob");
        audit::finds_what_is_there(&copy, &room("r"), &read, &bob, "pear").await;
        copy.close().await.unwrap();
        held = head.get();
    }
    assert!(held > 20, "nobody wrote meanwhile: {held}");
    backend.close().await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// What lies in the folder beside the file itself.
fn others(folder: &TempDir) -> Vec<String> {
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("chat.db"));
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_leaves_nothing_behind_when_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (_, backend, _) = begin(&folder).await;
    let target = folder.path().join("backup.db");
    std::fs::write(&target, "precious").unwrap();
    let refused = backend.backup(&target).await.unwrap_err();
    assert_eq!(refused.kind(), SqliteErrorKind::Other);
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    assert_eq!(others(&folder), ["backup.db"]);

    let nowhere = folder.path().join("no-such-folder").join("backup.db");
    backend.backup(&nowhere).await.unwrap_err();
    assert_eq!(others(&folder), ["backup.db"]);

    // What a process left that was killed is no obstacle.
    std::fs::remove_file(&target).unwrap();
    std::fs::write(beside(&target, ".partial"), "half").unwrap();
    backend.backup(&target).await.unwrap();
    assert_eq!(others(&folder), ["backup.db"]);
    audit::sound(&target).await;
}

#[tokio::test]
async fn a_backup_of_a_closed_file_fails_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (_, backend, _) = begin(&folder).await;
    backend.close().await.unwrap();
    let error = backend.backup(folder.path().join("backup.db")).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Closed);
    assert!(others(&folder).is_empty());
}

#[tokio::test]
async fn a_backup_is_finished_though_its_caller_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let (_, backend, _) = begin(&folder).await;
    for micros in [0, 50, 200, 1_000, 5_000, 20_000] {
        let target = folder.path().join(format!("backup-{micros}.db"));
        let wait = std::time::Duration::from_micros(micros);
        let _ = tokio::time::timeout(wait, backend.backup(&target)).await;
        // It waits for the first, if that was begun; and then there is nothing left to do.
        if let Err(error) = backend.backup(&target).await {
            assert_eq!(error.kind(), SqliteErrorKind::Other, "{error:?}");
        }
        audit::sound(&target).await;
    }
    assert_eq!(others(&folder).len(), 6, "{:?}", others(&folder));
    audit::everything(&backend).await;
}

#[tokio::test]
async fn of_backups_to_one_target_at_once_one_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (_, backend, _) = begin(&folder).await;
    let target = folder.path().join("backup.db");
    let copies: Vec<_> = (0..4)
        .map(|_| {
            let (backend, target) = (backend.clone(), target.clone());
            tokio::spawn(async move { backend.backup(target).await })
        })
        .collect();
    let mut made = 0;
    for copy in copies {
        match copy.await.unwrap() {
            Ok(()) => made += 1,
            Err(error) => assert_eq!(error.kind(), SqliteErrorKind::Other, "{error:?}"),
        }
    }
    assert_eq!(made, 1);
    audit::sound(&target).await;
    assert_eq!(others(&folder), ["backup.db"]);
}

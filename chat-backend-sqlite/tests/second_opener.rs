//! One process owns a file; others are told which.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Child,
};

use chat_backend_sqlite::{OpenError, SqliteBackend, SqliteConfig};
use chat_core::testkit::fixtures::{create_room, draft, store};
use support::{audit, child, node, open};

#[tokio::test]
#[ignore = "it is the other process"]
async fn opens_and_closes_when_told() {
    let Some((file, _)) = child::asked() else { return };
    let mut said = std::io::stderr();
    match SqliteBackend::open(SqliteConfig::new(file)).await {
        Ok(backend) => {
            writeln!(said, "open").unwrap();
            // Its standard input ends when it may close.
            let _ = std::io::read_to_string(std::io::stdin());
            backend.close().await.unwrap();
        }
        Err(OpenError::InUse { owner, .. }) => writeln!(said, "in use by {owner:?}").unwrap(),
        Err(error) => writeln!(said, "{error:?}").unwrap(),
    }
}

/// The other process, and what it said first.
fn other(file: &Path) -> (Child, String) {
    let mut process = child::start("opens_and_closes_when_told", file, 0);
    let mut line = String::new();
    BufReader::new(process.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    (process, line.trim_end().to_owned())
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_which_one_owns_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let backend = open(&file).await;
    let (mut process, said) = other(&file);
    assert_eq!(said, format!("in use by Some({})", std::process::id()));
    assert!(process.wait().unwrap().success());
    create_room(&node(&backend), "r", &["ann"]).await;
    store(&node(&backend), draft("r", "ann", "c1", "the refused one harmed nothing")).await;
    audit::everything(&backend).await;
}

#[tokio::test]
async fn the_error_names_the_file_and_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let (mut process, said) = other(&file);
    assert_eq!(said, "open");
    let refused = SqliteBackend::open(SqliteConfig::new(&file)).await.unwrap_err();
    let expected = format!("{} is in use by another process (process {})", file.display(), process.id());
    assert_eq!(refused.to_string(), expected);
    assert!(
        matches!(&refused, OpenError::InUse { path, owner } if *path == file && *owner == Some(process.id()))
    );
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test]
async fn a_file_is_free_once_its_owner_closed_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let (mut process, said) = other(&file);
    assert_eq!(said, "open");
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
    open(&file).await.close().await.unwrap();
    let (mut process, said) = other(&file);
    assert_eq!(said, "open");
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
}

#[tokio::test]
async fn a_file_is_free_once_its_owner_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    for _ in 0..5 {
        let (mut process, said) = other(&file);
        assert_eq!(said, "open");
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let backend = open(&file).await;
    create_room(&node(&backend), "r", &["ann"]).await;
    audit::everything(&backend).await;
}

#[tokio::test]
async fn a_second_opening_within_the_process_is_refused_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let first = open(&file).await;
    let refused = SqliteBackend::open(SqliteConfig::new(&file)).await.unwrap_err();
    assert!(matches!(refused, OpenError::InUse { owner: Some(pid), .. } if pid == std::process::id()));
    // By another name it is the same file.
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let refused = SqliteBackend::open(SqliteConfig::new(&link)).await.unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
    first.close().await.unwrap();
    open(&file).await;
}

//! What the kit cannot know: the file itself.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    sync::Arc,
};

use chat_core::{
    AppendOutcome, MessageLog as _, ReadQuery,
    testkit::{
        LogNode,
        fixtures::{append, create_room, draft, fill, room, seq, store},
    },
};
use example_custom_backend::FileStore;

fn node(file: &FileStore) -> LogNode {
    LogNode { log: Arc::new(file.clone()), rooms: Arc::new(file.clone()) }
}

#[tokio::test]
async fn what_was_stored_is_there_when_the_file_is_opened_again_cursors_and_names_included() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.jsonl");
    let first = FileStore::open(&path).unwrap();
    create_room(&node(&first), "r", &["ann"]).await;
    let stored = fill(&node(&first), "r", "ann", 3).await;
    drop(first);
    let again = FileStore::open(&path).unwrap();
    let page = again.read(&room("r"), ReadQuery::after(stored[0].cursor.clone())).await.unwrap();
    let positions: Vec<_> = page.entries.into_iter().map(|entry| entry.position).collect();
    assert_eq!(positions, stored[1..]);
    let repeated = append(&node(&again), draft("r", "ann", "c2", "message 2")).await;
    assert_eq!(repeated, AppendOutcome::Duplicate(stored[1].clone()));
    let next = store(&node(&again), draft("r", "ann", "c4", "message 4")).await;
    assert!(next.cursor.seq == seq(4) && next.id > stored[2].id);
}

/// The machine stopped in the middle of a line: nobody was told that it is stored.
#[tokio::test]
async fn half_a_line_is_dropped_and_what_comes_next_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.jsonl");
    let first = FileStore::open(&path).unwrap();
    create_room(&node(&first), "r", &["ann"]).await;
    fill(&node(&first), "r", "ann", 2).await;
    drop(first);
    let whole = fs::read(&path).unwrap();
    for length in 1..80 {
        let line = whole.split_inclusive(|byte| *byte == b'\n').next_back().unwrap();
        fs::write(&path, [&whole[..], &line[..length.min(line.len() - 1)]].concat()).unwrap();
        let again = FileStore::open(&path).unwrap();
        assert_eq!(again.heads(&[room("r")]).await.unwrap()[0].as_ref().unwrap().cursor.seq, seq(2));
    }
    let again = FileStore::open(&path).unwrap();
    store(&node(&again), draft("r", "ann", "c3", "message 3")).await;
    drop(again);
    let again = FileStore::open(&path).unwrap();
    assert_eq!(again.heads(&[room("r")]).await.unwrap()[0].as_ref().unwrap().cursor.seq, seq(3));
}

#[tokio::test]
async fn two_at_once_are_refused_and_so_is_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.jsonl");
    let first = FileStore::open(&path).unwrap();
    assert_eq!(FileStore::open(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(first);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"something else\n").unwrap();
    let error = FileStore::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().starts_with("line 2:"), "{error}");
}

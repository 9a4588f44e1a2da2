//! Reads a whole file and works out a second time, from the log alone, what the backend answers from its numbers.

use std::collections::{BTreeMap, BTreeSet};

use chat_backend_sqlite::SqliteBackend;
use chat_core::{
    Body, Content, Cursor, EntryKind, Head, MessageId, ReactionKey, ReactionOp, ReadQuery, RoomId, Seq,
    Storage as _, StoredMessage, UserId, View, search::SearchQuery, testkit::fixtures::room,
};
use sqlx::{Connection as _, Row as _};

use super::{node, shell};

/// One room as it was read.
#[derive(Debug)]
pub struct RoomRead {
    pub head: Head,
    pub entries: Vec<StoredMessage>,
}

/// What SQLite and its full-text index say about themselves.
pub async fn sound(path: &std::path::Path) {
    let mut connection = shell(path).await;
    let checked = sqlx::query("PRAGMA integrity_check").fetch_all(&mut connection).await.unwrap();
    let said: Vec<String> = checked.iter().map(|row| row.get(0)).collect();
    assert_eq!(said, ["ok"], "{}", path.display());
    sqlx::query("INSERT INTO search (search) VALUES ('integrity-check')")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// Checks everything that can be checked without knowing what was written, and answers all rooms.
pub async fn everything(backend: &SqliteBackend) -> BTreeMap<RoomId, RoomRead> {
    sound(backend.path()).await;
    let mut connection = shell(backend.path()).await;
    let ids = sqlx::query("SELECT id FROM rooms ORDER BY id").fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let mut rooms = BTreeMap::new();
    for id in ids {
        let id = room(id.get(0));
        let read = read(backend, &id).await;
        in_order(&read);
        follows_from_the_log(&read);
        counts_agree(backend, &id, &read).await;
        rooms.insert(id, read);
    }
    let mut all: Vec<_> =
        rooms.values().flat_map(|room| &room.entries).map(|entry| entry.position.id).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "an id twice");
    rooms
}

/// The whole log of a room, page by page.
pub async fn read(backend: &SqliteBackend, id: &RoomId) -> RoomRead {
    let log = node(backend).log;
    let head = log.heads(std::slice::from_ref(id)).await.unwrap().remove(0).unwrap();
    let mut entries: Vec<StoredMessage> = Vec::new();
    let mut after = Cursor::new(head.cursor.epoch.clone(), head.oldest.previous());
    loop {
        let query = ReadQuery::after(after.clone()).with_limit(ReadQuery::MAX_LIMIT);
        let page = log.read(id, query).await.unwrap();
        if let Some(last) = page.entries.last() {
            after = last.position.cursor.clone();
        }
        entries.extend(page.entries);
        if page.reaches_head {
            return RoomRead { head: page.head, entries };
        }
    }
}

/// Gapless from the oldest to the head, ids grow, no client id twice.
fn in_order(read: &RoomRead) {
    let seqs: Vec<u64> = read.entries.iter().map(|entry| entry.seq().get()).collect();
    let expected: Vec<u64> = (read.head.oldest.get()..=read.head.cursor.seq.get()).collect();
    assert_eq!(seqs, expected, "gapless from the oldest to the head");
    assert!(read.entries.windows(2).all(|two| two[0].position.id < two[1].position.id), "ids grow");
    let keys: BTreeSet<_> = read.entries.iter().map(|entry| (&entry.sender, &entry.client_id)).collect();
    assert_eq!(keys.len(), read.entries.len(), "an entry twice");
}

/// What became of a message.
#[derive(Debug, Default, PartialEq)]
struct Fate {
    edited: Option<Seq>,
    said: Option<Body>,
    deleted: Option<Seq>,
    reactions: Vec<(ReactionKey, Vec<UserId>)>,
}

/// Every message is what the entries after it made of it.
fn follows_from_the_log(read: &RoomRead) {
    let mut fates: BTreeMap<MessageId, Fate> = BTreeMap::new();
    for entry in &read.entries {
        let Some(target) = entry.content.target() else { continue };
        let fate = fates.entry(target).or_default();
        assert_eq!(fate.deleted, None, "nothing acts on a deleted message: {entry:?}");
        match &entry.content {
            Content::Edit { body, .. } => {
                (fate.edited, fate.said) = (Some(entry.seq()), Some(body.clone()));
            }
            Content::Delete { .. } => {
                (fate.deleted, fate.said) = (Some(entry.seq()), Some(Body::Removed));
            }
            Content::Reaction { key, op, .. } => react(&mut fate.reactions, key, &entry.sender, *op),
            other => panic!("{other:?} has no target"),
        }
    }
    for entry in &read.entries {
        let fate = fates.remove(&entry.position.id).unwrap_or_default();
        let reactions = fate.reactions.iter().filter(|(_, users)| !users.is_empty());
        assert_eq!(entry.state.edited.map(|edited| edited.seq), fate.edited, "{entry:?}");
        assert_eq!(entry.state.deleted, fate.deleted, "{entry:?}");
        if let Some(said) = &fate.said {
            assert_eq!(entry.content.body(), Some(said), "{entry:?}");
        }
        let stored = entry.state.reactions.iter().map(|one| (&one.key, one.count as usize, &one.users));
        assert!(stored.eq(reactions.map(|(key, users)| (key, users.len(), users))), "{entry:?} {fate:?}");
    }
}

fn react(reactions: &mut Vec<(ReactionKey, Vec<UserId>)>, key: &ReactionKey, user: &UserId, op: ReactionOp) {
    let place = reactions.iter().position(|(known, _)| known == key);
    let place = place.unwrap_or_else(|| {
        reactions.push((key.clone(), Vec::new()));
        reactions.len() - 1
    });
    let users = &mut reactions[place].1;
    match op {
        ReactionOp::Add if !users.contains(user) => users.push(user.clone()),
        ReactionOp::Add => {}
        ReactionOp::Remove => users.retain(|other| other != user),
    }
}

/// Unread and previews are what counting the log gives, for every member.
async fn counts_agree(backend: &SqliteBackend, id: &RoomId, read: &RoomRead) {
    let rooms = node(backend).rooms;
    let timeline = ReadQuery::newest().with_view(View::Timeline).with_limit(1);
    let newest = node(backend).log.read(id, timeline).await.unwrap().entries;
    let expected = read.entries.iter().rfind(|entry| entry.content.kind().in_timeline());
    assert_eq!(newest.first(), expected, "the newest of the timeline");
    for marker in rooms.read_markers(id, None, 1_000).await.unwrap() {
        let unread = read.entries.iter().filter(|entry| {
            entry.seq() > marker.cursor.seq
                && entry.is_countable()
                && entry.state.deleted.is_none()
                && entry.sender != marker.user
        });
        let unread = unread.count() as u64;
        assert_eq!(
            rooms.unread(&marker.user, std::slice::from_ref(id)).await.unwrap(),
            [unread],
            "{marker:?} {id}"
        );
        let page = rooms.rooms_of(&marker.user, None, 200).await.unwrap();
        let listed = page.rooms.iter().find(|listed| listed.room.id == *id).unwrap();
        assert_eq!((listed.unread, listed.preview.as_ref()), (unread, expected), "{marker:?} {id}");
        assert_eq!(listed.head, read.head.cursor);
    }
}

/// A search by this member finds exactly what is there: every message of the room that has the word.
pub async fn finds_what_is_there(
    backend: &SqliteBackend,
    id: &RoomId,
    read: &RoomRead,
    user: &UserId,
    word: &str,
) {
    backend.settle_search().await.unwrap();
    let mut query = SearchQuery::new(user.clone(), word);
    (query.room, query.limit) = (Some(id.clone()), 100);
    let mut found = BTreeSet::new();
    loop {
        let page = backend.search().search(query.clone()).await.unwrap();
        for message in page.messages {
            assert!(found.insert(message.position.id), "found twice: {message:?}");
        }
        query.before = page.next;
        if query.before.is_none() {
            break;
        }
    }
    let has = |entry: &&StoredMessage| match entry.content.body() {
        Some(Body::Text(text)) => {
            entry.content.kind() == EntryKind::Chat && text.split(' ').any(|one| one == word)
        }
        _ => false,
    };
    let there: BTreeSet<_> = read.entries.iter().filter(has).map(|entry| entry.position.id).collect();
    assert_eq!(found, there, "{word} in {id}");
}

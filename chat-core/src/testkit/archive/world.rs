//! An archive with a hot log's part played by the case.
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::ops::Deref;

use crate::{
    AppendOutcome, Content, Draft, Epoch, Fingerprint, Head, MessageId, Position, RoomId, StoredMessage,
    Timestamp,
    testkit::{
        ArchiveHarness, ArchiveNode, LogNode,
        fixtures::{self, about, client_id, create_room, room, seq, user},
        message_log::reading,
    },
    tiered::{ArchivedRoom, Import, ImportEntry, ImportOutcome, Life, LifeOutcome},
};

/// The hot log's clock stands far ahead, so that its ids are greater than those of entries appended directly.
const AHEAD_MILLIS: u64 = 4_000_000_000_000;

/// One server, with short words for what is done on it.
pub(super) struct World {
    pub(super) node: ArchiveNode,
    pub(super) log: LogNode,
}

impl Deref for World {
    type Target = LogNode;

    fn deref(&self) -> &LogNode {
        &self.log
    }
}

/// Several servers with a room `r` of ann and bob.
pub(super) async fn worlds(harness: &dyn ArchiveHarness, count: usize) -> Vec<World> {
    let nodes = harness.nodes(count).await;
    let worlds: Vec<_> = nodes.into_iter().map(|node| World { log: node.log_node(), node }).collect();
    create_room(&worlds[0], "r", &["ann", "bob"]).await;
    worlds
}

/// A server with a room `r` of ann and bob.
pub(super) async fn world(harness: &dyn ArchiveHarness) -> World {
    worlds(harness, 1).await.remove(0)
}

/// A server with a room `r` of ann and bob, in its life `a`.
pub(super) async fn living(harness: &dyn ArchiveHarness) -> World {
    let world = world(harness).await;
    world.begin("r", "a", 0).await;
    world
}

/// The epoch of a life.
pub(super) fn life(name: &str) -> Epoch {
    Epoch::new(name).unwrap()
}

/// The id that the hot log gives out with this position of `r`.
pub(super) fn hot_id(number: u64) -> MessageId {
    id_in(&room("r"), number)
}

/// The id that the hot log gives out with this position of a room: no other room has it.
fn id_in(in_room: &RoomId, number: u64) -> MessageId {
    let name = in_room.as_str().bytes().fold(0, |sum, byte| (sum * 257 + u128::from(byte)) % (1 << 31));
    MessageId::next(
        None,
        Timestamp::from_millis(AHEAD_MILLIS + number * 1_000),
        (name << 32) | u128::from(number),
    )
}

/// These drafts as entries from this position on.
pub(super) fn entries(first: u64, drafts: Vec<Draft>) -> Vec<ImportEntry> {
    let entry = |(number, draft): (u64, Draft)| ImportEntry {
        seq: seq(number),
        id: id_in(&draft.room, number),
        draft,
    };
    (first..).zip(drafts).map(entry).collect()
}

/// Texts of ann at the positions from `first` to `last`, with the client ids `c1`, `c2` … of their positions.
pub(super) fn texts(in_room: &str, first: u64, last: u64) -> Vec<ImportEntry> {
    let draft = |n| fixtures::draft(in_room, "ann", &format!("c{n}"), &format!("message {n}"));
    entries(first, (first..=last).map(draft).collect())
}

/// Entries of one life of a room.
pub(super) fn of_life(in_room: &str, name: &str, entries: Vec<ImportEntry>) -> Import {
    Import { room: room(in_room), life: life(name), entries }
}

impl World {
    /// What is archived of a room that exists.
    pub(super) async fn archived(&self, in_room: &str) -> ArchivedRoom {
        self.node.archive.rooms(&[room(in_room)]).await.unwrap().remove(0).unwrap()
    }

    /// Tries to begin a life.
    pub(super) async fn try_begin(
        &self,
        in_room: &str,
        seen: &ArchivedRoom,
        name: &str,
        base: u64,
    ) -> LifeOutcome {
        let begun = Life { epoch: life(name), base: seq(base) };
        self.node.archive.begin_life(&room(in_room), seen, &begun).await.unwrap()
    }

    /// Begins a life of a room that nobody else changes.
    pub(super) async fn begin(&self, in_room: &str, name: &str, base: u64) {
        let seen = self.archived(in_room).await;
        assert_eq!(self.try_begin(in_room, &seen, name, base).await, LifeOutcome::Begun);
    }

    /// Imports entries of one room.
    pub(super) async fn import(&self, in_room: &str, name: &str, entries: Vec<ImportEntry>) -> ImportOutcome {
        self.node.archive.import(&[of_life(in_room, name, entries)]).await.unwrap().remove(0)
    }

    /// Imports drafts into `r` in its life `a`, from this position on, which must succeed; answers their ids.
    pub(super) async fn take(&self, first: u64, drafts: Vec<Draft>) -> Vec<MessageId> {
        let entries = entries(first, drafts);
        let ids = entries.iter().map(|entry| entry.id).collect();
        let last = entries.last().unwrap().seq;
        assert_eq!(self.import("r", "a", entries).await, ImportOutcome::Stored(last));
        ids
    }

    /// Every entry of `r`, which must be numbered without gaps.
    pub(super) async fn all(&self) -> Vec<StoredMessage> {
        let entries = reading::log(self, "r").await;
        reading::assert_gapless(&entries);
        entries
    }

    /// One entry of `r`, as all ways of reading agree on it.
    pub(super) async fn entry(&self, id: MessageId) -> StoredMessage {
        reading::entry(self, "r", id).await
    }

    /// The head of a room's log.
    pub(super) async fn head(&self, in_room: &str) -> Head {
        reading::head(self, in_room).await
    }

    /// Where something is that was sent under this name.
    pub(super) async fn copy(
        &self,
        in_room: &str,
        sender: &str,
        name: &str,
    ) -> Option<(Position, Fingerprint)> {
        let name = (room(in_room), user(sender), client_id(name));
        self.node.archive.copies(&[name]).await.unwrap().remove(0)
    }

    /// How many entries of `r` are unread.
    pub(super) async fn unread(&self, name: &str) -> u64 {
        self.rooms.unread(&user(name), &[room("r")]).await.unwrap().remove(0)
    }

    /// Appends directly to `r`, under a name.
    pub(super) async fn append(&self, name: &str) -> Position {
        fixtures::store(self, fixtures::draft("r", "ann", name, "appended")).await
    }

    /// Sends a draft directly.
    pub(super) async fn send(&self, draft: Draft) -> AppendOutcome {
        fixtures::append(self, draft).await
    }
}

/// What ann does to a message in `r`.
pub(super) fn by_ann(name: &str, content: Content) -> Draft {
    about("r", "ann", name, content)
}

/// A text of ann's in `r`.
pub(super) fn says(name: &str, text: &str) -> Draft {
    fixtures::draft("r", "ann", name, text)
}

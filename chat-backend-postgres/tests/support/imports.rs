//! The part of a log that stands in front of the schema.

use chat_backend_postgres::PostgresBackend;
use chat_core::{
    ClientMessageId, Content, Draft, Epoch, MessageId, Seq, Timestamp,
    tiered::{Import, ImportEntry, ImportOutcome, Life, LifeOutcome},
};
use chat_test_services::{Database, Postgres};

use super::{connect, draft, make_rooms, room, user};

pub(crate) async fn database() -> Database {
    Postgres::shared_without_fsync().await.unwrap().database().await.unwrap()
}

pub(crate) fn life(name: &str) -> Epoch {
    Epoch::new(name).unwrap()
}

/// An id in room `n`. The clock is far ahead, and the second half uses all its bits.
pub(crate) fn id(n: usize, number: u64) -> MessageId {
    let at = Timestamp::from_millis(4_000_000_000_000 + number);
    MessageId::next(None, at, u128::MAX - n as u128)
}

/// Something of ann's about room `n`.
pub(crate) fn about(n: usize, name: &str, content: Content) -> Draft {
    Draft::new(room(n), user("ann"), ClientMessageId::new(name).unwrap(), content)
}

/// These drafts as entries of room `n` and of life `a`, from this position on.
pub(crate) fn import(n: usize, first: u64, drafts: Vec<Draft>) -> Import {
    let entry = |(seq, draft)| ImportEntry { seq: Seq::new(seq).unwrap(), id: id(n, seq), draft };
    Import { room: room(n), life: life("a"), entries: (first..).zip(drafts).map(entry).collect() }
}

/// Texts of ann's in room `n`, at these positions.
pub(crate) fn texts(n: usize, first: u64, last: u64) -> Import {
    let drafts = (first..=last).map(|seq| draft(room(n), "ann", &format!("text-{seq}")));
    import(n, first, drafts.collect())
}

/// Begins a life of room `n` behind what there is.
pub(crate) async fn begin(node: &PostgresBackend, n: usize, name: &str) -> LifeOutcome {
    let seen = node.archive().rooms(&[room(n)]).await.unwrap().remove(0).unwrap();
    let begun = Life { epoch: life(name), base: seen.head.cursor.seq };
    node.archive().begin_life(&room(n), &seen, &begun).await.unwrap()
}

/// A node with rooms of ann and bob, in their life `a`.
pub(crate) async fn living(url: &str, rooms: usize) -> PostgresBackend {
    let node = connect(url).await;
    make_rooms(&*node.rooms(), rooms, &["ann", "bob"]).await;
    for n in 0..rooms {
        assert_eq!(begin(&node, n, "a").await, LifeOutcome::Begun);
    }
    node
}

pub(crate) fn stored(upto: u64) -> ImportOutcome {
    ImportOutcome::Stored(Seq::new(upto).unwrap())
}

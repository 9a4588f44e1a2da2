//! What the tests share.
#![allow(dead_code, reason = "each test is a program of its own and uses a part of this")]

pub(crate) mod imports;
pub(crate) mod load;

use chat_backend_postgres::{PostgresBackend, PostgresConfig, PostgresError, PostgresErrorKind};
use chat_core::{
    AppendOutcome, ClientMessageId, Content, Cursor, Draft, Error, MemberChange, MessageLog, NewRoom,
    ReadQuery, Role, RoomId, Rooms, Seq, StoredMessage, UserId,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};

pub(crate) async fn connect(url: &str) -> PostgresBackend {
    let config = PostgresConfig::from_url(url).unwrap().with_max_connections(8);
    PostgresBackend::connect(config).await.unwrap()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn room(n: usize) -> RoomId {
    RoomId::new(&format!("room-{n}")).unwrap()
}

pub(crate) fn draft(room: RoomId, sender: &str, id: &str) -> Draft {
    Draft::new(room, user(sender), ClientMessageId::new(id).unwrap(), Content::text(id))
}

/// Rooms `0..count`, with these members.
pub(crate) async fn make_rooms(rooms: &dyn Rooms, count: usize, members: &[&str]) {
    for n in 0..count {
        rooms.create(NewRoom::new(room(n))).await.unwrap();
        for member in members {
            let change = MemberChange::add(user(member), Role::Member);
            rooms.change_member(&room(n), change).await.unwrap();
        }
    }
}

/// Appends one draft, which is new.
pub(crate) async fn append(log: &dyn MessageLog, draft: Draft) -> Cursor {
    match log.append(&[draft]).await.unwrap().remove(0) {
        AppendOutcome::New(position) => position.cursor,
        other => panic!("{other:?}"),
    }
}

/// The whole log of a room, page by page; checks that positions have no gap.
pub(crate) async fn read(log: &dyn MessageLog, room: &RoomId) -> Vec<StoredMessage> {
    let head = log.heads(std::slice::from_ref(room)).await.unwrap().remove(0).unwrap();
    let mut after = Cursor::new(head.cursor.epoch.clone(), Seq::ZERO);
    let mut entries: Vec<StoredMessage> = Vec::new();
    loop {
        let page = log.read(room, ReadQuery::after(after.clone()).with_limit(1_000)).await.unwrap();
        entries.extend(page.entries);
        if page.reaches_head {
            break;
        }
        after = entries.last().unwrap().position.cursor.clone();
    }
    assert!(entries.iter().map(|entry| entry.seq().get()).eq(1..=entries.len() as u64), "no gap");
    assert!(entries.windows(2).all(|two| two[0].position.id < two[1].position.id), "ids grow");
    entries
}

/// A connection of the test's own.
pub(crate) async fn by_hand(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

pub(crate) async fn run(connection: &mut PgConnection, statement: &str) {
    raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await.unwrap();
}

/// What PostgreSQL had to do with an error.
fn cause(error: &Error) -> Option<&PostgresError> {
    std::error::Error::source(error)?.downcast_ref()
}

pub(crate) fn kind(error: &Error) -> Option<PostgresErrorKind> {
    match error {
        Error::Busy { .. } => Some(PostgresErrorKind::Busy),
        _ => cause(error).map(PostgresError::kind),
    }
}

pub(crate) fn sqlstate(error: &Error) -> Option<String> {
    cause(error)?.sqlstate().map(str::to_owned)
}

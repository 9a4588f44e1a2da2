//! Stored rows as the core's types, and the other way round.

use chat_core::{
    ClientMessageId, Content, Cursor, Draft, Edited, Epoch, Fingerprint, Member, MessageId, Position, Room,
    RoomId, RoomKey, Seq, StoredMessage, Timestamp, UserId, rules::stored,
};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::SqliteError;

type Result<T> = std::result::Result<T, SqliteError>;

/// The columns that [`entry`] reads, of `entries e`.
macro_rules! entry_columns {
    () => {
        "e.entry, e.seq, e.id AS message_id, e.created_at AS stored_at, e.sender, e.client_id, e.authority, e.kind, \
         e.name, e.target_id, e.body_kind, e.body, e.edited_seq, e.edited_at, e.deleted_seq, \
         CASE e.reacted WHEN 1 THEN (SELECT json_group_array(json_array(k.key, k.count, \
         json((SELECT json_group_array(user) FROM (SELECT user FROM reactions WHERE reaction = k.reaction \
         ORDER BY since LIMIT 100)))) ORDER BY k.reaction) FROM reaction_keys k \
         WHERE k.entry = e.entry AND k.count > 0) END AS reactions"
    };
}
/// The columns that [`room`] reads, of `rooms r`.
macro_rules! room_columns {
    () => {
        "r.id AS room_id, r.key AS room_key, r.active, r.max_body_chars, r.metadata, r.created_at AS room_created_at"
    };
}
/// The columns that [`member`] reads, of `members m`.
macro_rules! member_columns {
    () => {
        "m.user, m.role, m.joined_at, m.left_at, m.version"
    };
}
pub(crate) use {entry_columns, member_columns, room_columns};

/// SQLite has no unsigned numbers; nothing that is stored reaches the sign.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(crate) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(unsigned(millis))
}

pub(crate) fn seq(value: i64) -> Result<Seq> {
    Seq::new(unsigned(value)).ok_or_else(|| SqliteError::corrupt("a position out of range"))
}

fn invalid(what: &'static str) -> impl FnOnce() -> SqliteError {
    move || SqliteError::corrupt(format!("a stored {what} is not one"))
}

pub(crate) fn message_id(bytes: &[u8]) -> Result<MessageId> {
    let bytes = bytes.try_into().map_err(|_| invalid("message id")())?;
    Ok(MessageId::from_u128(u128::from_be_bytes(bytes)))
}

pub(crate) fn fingerprint(bytes: &[u8]) -> Result<Fingerprint> {
    bytes.try_into().map(Fingerprint).map_err(|_| invalid("fingerprint")())
}

fn user(text: &str) -> Result<UserId> {
    UserId::new(text).map_err(|_| invalid("user id")())
}

fn content(row: &SqliteRow) -> Result<Content> {
    let target: Option<&[u8]> = row.try_get("target_id")?;
    let target = target.map(message_id).transpose()?;
    stored::content(
        row.try_get("kind")?,
        row.try_get("name")?,
        target,
        row.try_get("body_kind")?,
        row.try_get("body")?,
    )
    .ok_or_else(invalid("content"))
}

/// The entry in a row with [`entry_columns`].
pub(crate) fn entry(row: &SqliteRow, room: &RoomId, epoch: &Epoch) -> Result<StoredMessage> {
    let position = Position {
        cursor: Cursor::new(epoch.clone(), seq(row.try_get("seq")?)?),
        id: message_id(row.try_get("message_id")?)?,
        created_at: time(row.try_get("stored_at")?),
    };
    let client_id = ClientMessageId::new(row.try_get("client_id")?).map_err(|_| invalid("client id")())?;
    let draft = Draft::new(room.clone(), user(row.try_get("sender")?)?, client_id, content(row)?)
        .with_authority(stored::authority(row.try_get("authority")?).ok_or_else(invalid("authority"))?);
    let mut entry = StoredMessage::new(draft, position);
    let edited: Option<i64> = row.try_get("edited_seq")?;
    if let Some(by) = edited {
        entry.state.edited = Some(Edited { seq: seq(by)?, at: time(row.try_get("edited_at")?) });
    }
    let deleted: Option<i64> = row.try_get("deleted_seq")?;
    entry.state.deleted = deleted.map(seq).transpose()?;
    let reacted: Option<&str> = row.try_get("reactions")?;
    entry.state.reactions = reacted
        .map_or_else(|| Some(Vec::new()), stored::reactions)
        .ok_or_else(invalid("list of reactions"))?;
    Ok(entry)
}

/// The room in a row with [`room_columns`].
pub(crate) fn room(row: &SqliteRow) -> Result<Room> {
    let key: Option<&str> = row.try_get("room_key")?;
    Ok(Room::from_parts(
        room_id(row.try_get("room_id")?)?,
        key.map(|key| RoomKey::new(key).map_err(|_| invalid("room key")())).transpose()?,
        row.try_get("active")?,
        row.try_get("max_body_chars")?,
        serde_json::from_str(row.try_get("metadata")?).map_err(SqliteError::corrupt)?,
        time(row.try_get("room_created_at")?),
    ))
}

pub(crate) fn room_id(text: &str) -> Result<RoomId> {
    RoomId::new(text).map_err(|_| invalid("room id")())
}

/// The membership in a row with [`member_columns`]; `None` where only a numbered removal was seen.
pub(crate) fn member(row: &SqliteRow) -> Result<Option<Member>> {
    let number: Option<i64> = row.try_get("role")?;
    let Some(number) = number else { return Ok(None) };
    let left: Option<i64> = row.try_get("left_at")?;
    Ok(Some(Member::from_parts(
        user(row.try_get("user")?)?,
        stored::role(number).ok_or_else(invalid("role"))?,
        time(row.try_get("joined_at")?),
        left.map(time),
        row.try_get::<i64, _>("version")?.cast_unsigned(),
    )))
}

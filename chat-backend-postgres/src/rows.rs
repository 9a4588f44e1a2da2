//! Stored rows as the core's types, and the other way round.

use chat_core::{
    ClientMessageId, Cursor, Draft, Edited, Epoch, Fingerprint, Member, MessageId, Position, Room, RoomId,
    RoomKey, Seq, StoredMessage, Timestamp, UserId, rules::stored,
};
use sqlx::{Row as _, postgres::PgRow};

use crate::PostgresError;

type Result<T> = std::result::Result<T, PostgresError>;

/// The columns that [`entry`] reads, of `entries e`.
macro_rules! entry_columns {
    () => {
        "e.seq, e.id_high, e.id_low, e.sender, e.client_id, e.authority, e.kind, e.name, e.target_high, e.target_low, \
         e.body_kind, e.body, e.edited_seq, e.edited_at, e.deleted_seq, \
         CASE WHEN e.reacted THEN (SELECT json_agg(json_build_array(k.key, k.count, \
         (SELECT coalesce(json_agg(u.\"user\" ORDER BY u.since), '[]') FROM (SELECT n.\"user\", n.since \
         FROM $chat.reactions n WHERE n.room = k.room AND n.seq = k.seq AND n.key = k.key \
         ORDER BY n.since LIMIT 100) u)) ORDER BY k.place)::text FROM $chat.reaction_keys k \
         WHERE k.room = e.room AND k.seq = e.seq AND k.count > 0) END AS reactions"
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
        "m.\"user\", m.role, m.joined_at, m.left_at, m.version"
    };
}
pub(crate) use {entry_columns, member_columns, room_columns};

/// PostgreSQL has no unsigned numbers; nothing that is stored reaches the sign.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The numbers of kinds and roles are small.
pub(crate) fn small(value: i64) -> i16 {
    i16::try_from(value).unwrap_or(i16::MAX)
}

pub(crate) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(unsigned(millis))
}

pub(crate) fn seq(value: i64) -> Result<Seq> {
    Seq::new(unsigned(value)).ok_or_else(|| PostgresError::corrupt("a position out of range"))
}

fn invalid(what: &'static str) -> impl FnOnce() -> PostgresError {
    move || PostgresError::corrupt(format!("a stored {what} is not one"))
}

/// A message id: 48 bits of time and 16 of a counter, which do not reach the sign, then 63 random ones, or all 64 where the
/// id was given out elsewhere.
pub(crate) fn message_id(high: i64, low: i64) -> MessageId {
    MessageId::from_u128((u128::from(unsigned(high)) << 64) | u128::from(low.cast_unsigned()))
}

/// The halves of a message id. One of a time past the year 6400 does not [fit](fits); no entry has what it becomes.
pub(crate) fn halves(id: MessageId) -> (i64, i64) {
    let half = |value: u128| u64::try_from(value & u128::from(u64::MAX)).unwrap_or(u64::MAX);
    (integer(half(id.as_u128() >> 64)), half(id.as_u128()).cast_signed())
}

/// Whether a message id comes back out of its halves.
pub(crate) fn fits(id: MessageId) -> bool {
    let (high, low) = halves(id);
    message_id(high, low) == id
}

/// The milliseconds in the first half of a message id.
pub(crate) fn time_of(high: i64) -> Timestamp {
    time(high >> 16)
}

/// The low half of a new message id.
pub(crate) fn random_half() -> i64 {
    fastrand::i64(0..=i64::MAX)
}

pub(crate) fn fingerprint(bytes: &[u8]) -> Result<Fingerprint> {
    bytes.try_into().map(Fingerprint).map_err(|_| invalid("fingerprint")())
}

pub(crate) fn user(text: &str) -> Result<UserId> {
    UserId::new(text).map_err(|_| invalid("user id")())
}

pub(crate) fn position(row: &PgRow, epoch: &Epoch) -> Result<Position> {
    let (high, low) = (row.try_get("id_high")?, row.try_get("id_low")?);
    Ok(Position {
        cursor: Cursor::new(epoch.clone(), seq(row.try_get("seq")?)?),
        id: message_id(high, low),
        created_at: time_of(high),
    })
}

/// The entry in a row with [`entry_columns`].
pub(crate) fn entry(row: &PgRow, room: &RoomId, epoch: &Epoch) -> Result<StoredMessage> {
    let target: (Option<i64>, Option<i64>) = (row.try_get("target_high")?, row.try_get("target_low")?);
    let content = stored::content(
        row.try_get::<i16, _>("kind")?.into(),
        row.try_get("name")?,
        target.0.zip(target.1).map(|(high, low)| message_id(high, low)),
        row.try_get::<i16, _>("body_kind")?.into(),
        row.try_get("body")?,
    )
    .ok_or_else(invalid("content"))?;
    let client_id = ClientMessageId::new(row.try_get("client_id")?).map_err(|_| invalid("client id")())?;
    let authority = stored::authority(row.try_get::<i16, _>("authority")?.into());
    let draft = Draft::new(room.clone(), user(row.try_get("sender")?)?, client_id, content)
        .with_authority(authority.ok_or_else(invalid("authority"))?);
    let mut entry = StoredMessage::new(draft, position(row, epoch)?);
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
pub(crate) fn room(row: &PgRow) -> Result<Room> {
    let key: Option<&str> = row.try_get("room_key")?;
    Ok(Room::from_parts(
        room_id(row.try_get("room_id")?)?,
        key.map(|key| RoomKey::new(key).map_err(|_| invalid("room key")())).transpose()?,
        row.try_get("active")?,
        u32::try_from(row.try_get::<i32, _>("max_body_chars")?).map_err(|_| invalid("limit")())?,
        serde_json::from_str(row.try_get("metadata")?).map_err(PostgresError::corrupt)?,
        time(row.try_get("room_created_at")?),
    ))
}

pub(crate) fn room_id(text: &str) -> Result<RoomId> {
    RoomId::new(text).map_err(|_| invalid("room id")())
}

/// The membership in a row with [`member_columns`]; `None` where only a numbered removal was seen.
pub(crate) fn member(row: &PgRow) -> Result<Option<Member>> {
    let number: Option<i16> = row.try_get("role")?;
    let Some(number) = number else { return Ok(None) };
    let left: Option<i64> = row.try_get("left_at")?;
    Ok(Some(Member::from_parts(
        user(row.try_get("user")?)?,
        stored::role(number.into()).ok_or_else(invalid("role"))?,
        time(row.try_get("joined_at")?),
        left.map(time),
        row.try_get::<i64, _>("version")?.cast_unsigned(),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_comes_back_out_of_its_halves() {
        let id = message_id(0x0123_4567_89ab_cdef, 0x7edc_ba98_7654_3210);
        assert_eq!(halves(id), (0x0123_4567_89ab_cdef, 0x7edc_ba98_7654_3210));
        assert_eq!(id.timestamp(), time_of(0x0123_4567_89ab_cdef));
        let elsewhere = MessageId::from_u128((1 << 100) | (1 << 63) | 1);
        assert!(fits(elsewhere));
        assert_eq!(halves(elsewhere), (1 << 36, i64::MIN + 1));
        // Of no time that comes: no two ids that are kept become the same.
        assert!(!fits(MessageId::from_u128(u128::MAX)));
        assert_eq!(halves(MessageId::from_u128(u128::MAX)), (i64::MAX, -1));
    }
}

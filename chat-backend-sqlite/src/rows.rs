//! Stored rows as the core's types, and the other way round.

use chat_core::{
    Authority, Body, ClientMessageId, Content, Cursor, CustomKind, Draft, Edited, EntryKind, Epoch,
    Fingerprint, JsonText, Member, MessageId, Position, ReactionKey, ReactionOp, Reactions, Role, Room,
    RoomId, RoomKey, Seq, StoredMessage, Timestamp, UserId,
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

pub(crate) const fn role_number(role: Role) -> i64 {
    match role {
        Role::Reader => 0,
        Role::Member => 1,
        Role::Moderator => 2,
        Role::Owner => 3,
    }
}

fn role(number: i64) -> Result<Role> {
    [Role::Reader, Role::Member, Role::Moderator, Role::Owner]
        .into_iter()
        .find(|role| role_number(*role) == number)
        .ok_or_else(invalid("role"))
}

pub(crate) const fn authority_number(authority: Authority) -> i64 {
    match authority {
        Authority::Member => 0,
        Authority::Moderator => 1,
        Authority::System => 2,
    }
}

fn authority(number: i64) -> Result<Authority> {
    [Authority::Member, Authority::Moderator, Authority::System]
        .into_iter()
        .find(|authority| authority_number(*authority) == number)
        .ok_or_else(invalid("authority"))
}

pub(crate) fn kind_number(kind: EntryKind) -> i64 {
    EntryKind::ALL.iter().zip(0..).find(|(known, _)| **known == kind).map_or(-1, |(_, number)| number)
}

/// The kind with this number.
pub(crate) fn kind(number: i64) -> Result<EntryKind> {
    usize::try_from(number)
        .ok()
        .and_then(|index| EntryKind::ALL.get(index).copied())
        .ok_or_else(invalid("kind"))
}

/// A body, or which way a reaction goes, as `body_kind` and `body`.
pub(crate) const BODY_REMOVED: i64 = 3;
const REACTION_ADD: i64 = 4;
const REACTION_REMOVE: i64 = 5;

pub(crate) fn body_columns(content: &Content) -> (i64, Option<&str>) {
    match (content.body(), content) {
        (Some(body), _) => body_parts(body),
        (None, Content::Reaction { op: ReactionOp::Add, .. }) => (REACTION_ADD, None),
        (None, Content::Reaction { op: ReactionOp::Remove, .. }) => (REACTION_REMOVE, None),
        (None, _) => (0, None),
    }
}

pub(crate) fn body_parts(body: &Body) -> (i64, Option<&str>) {
    match body {
        Body::Text(text) => (1, Some(text)),
        Body::Json(json) => (2, Some(json.as_str())),
        Body::Removed => (BODY_REMOVED, None),
    }
}

/// What `name` holds for this content.
pub(crate) fn name_column(content: &Content) -> Option<&str> {
    match content {
        Content::Join { user } | Content::Leave { user } => Some(user.as_str()),
        Content::Reaction { key, .. } => Some(key.as_str()),
        Content::Custom { name, .. } => Some(name.as_str()),
        Content::Chat { .. } | Content::Edit { .. } | Content::Delete { .. } => None,
    }
}

fn body(number: i64, text: Option<&str>) -> Result<Body> {
    match (number, text) {
        (1, Some(text)) => Ok(Body::text(text)),
        (2, Some(text)) => JsonText::new(text).map(Body::Json).map_err(|_| invalid("JSON body")()),
        (BODY_REMOVED, _) => Ok(Body::Removed),
        _ => Err(invalid("body")()),
    }
}

fn content(row: &SqliteRow) -> Result<Content> {
    let name: Option<&str> = row.try_get("name")?;
    let name = || name.ok_or_else(invalid("entry without a name"));
    let target: Option<&[u8]> = row.try_get("target_id")?;
    let target = || target.ok_or_else(invalid("entry without a target")).and_then(message_id);
    let body_kind: i64 = row.try_get("body_kind")?;
    let text: Option<&str> = row.try_get("body")?;
    Ok(match kind(row.try_get("kind")?)? {
        EntryKind::Chat => Content::Chat { body: body(body_kind, text)? },
        EntryKind::Join => Content::Join { user: user(name()?)? },
        EntryKind::Leave => Content::Leave { user: user(name()?)? },
        EntryKind::Edit => Content::Edit { target: target()?, body: body(body_kind, text)? },
        EntryKind::Delete => Content::Delete { target: target()? },
        EntryKind::Reaction => Content::Reaction {
            target: target()?,
            key: ReactionKey::new(name()?).map_err(|_| invalid("reaction")())?,
            op: if body_kind == REACTION_ADD { ReactionOp::Add } else { ReactionOp::Remove },
        },
        EntryKind::Custom => Content::Custom {
            name: CustomKind::new(name()?).map_err(|_| invalid("kind of an application")())?,
            body: body(body_kind, text)?,
        },
    })
}

fn reactions(json: &str) -> Result<Vec<Reactions>> {
    let keys: Vec<(String, u32, Vec<String>)> = serde_json::from_str(json).map_err(SqliteError::corrupt)?;
    let of_key = |(key, count, users): (String, u32, Vec<String>)| {
        let key = ReactionKey::new(&key).map_err(|_| invalid("reaction")())?;
        let users = users.iter().map(|name| user(name)).collect::<Result<_>>()?;
        Ok(Reactions { key, count, users })
    };
    keys.into_iter().map(of_key).collect()
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
        .with_authority(authority(row.try_get("authority")?)?);
    let mut entry = StoredMessage::new(draft, position);
    let edited: Option<i64> = row.try_get("edited_seq")?;
    if let Some(by) = edited {
        entry.state.edited = Some(Edited { seq: seq(by)?, at: time(row.try_get("edited_at")?) });
    }
    let deleted: Option<i64> = row.try_get("deleted_seq")?;
    entry.state.deleted = deleted.map(seq).transpose()?;
    let reacted: Option<&str> = row.try_get("reactions")?;
    entry.state.reactions = reacted.map_or_else(|| Ok(Vec::new()), reactions)?;
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
        role(number)?,
        time(row.try_get("joined_at")?),
        left.map(time),
        row.try_get::<i64, _>("version")?.cast_unsigned(),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They are in files that people have.
    #[test]
    fn stored_numbers_are_the_same_in_every_release() {
        let kinds = EntryKind::ALL.map(|kind| (kind.as_str(), kind_number(kind)));
        let expected = [
            ("chat", 0),
            ("join", 1),
            ("leave", 2),
            ("edit", 3),
            ("delete", 4),
            ("reaction", 5),
            ("custom", 6),
        ];
        assert_eq!(kinds, expected);
        for (number, known) in [(0, Role::Reader), (1, Role::Member), (2, Role::Moderator), (3, Role::Owner)]
        {
            assert_eq!((role_number(known), role(number).unwrap()), (number, known));
        }
        for (number, known) in [(0, Authority::Member), (1, Authority::Moderator), (2, Authority::System)] {
            assert_eq!((authority_number(known), authority(number).unwrap()), (number, known));
        }
        assert_eq!(body_parts(&Body::text("a")), (1, Some("a")));
        assert_eq!(body_parts(&Body::Json(JsonText::new("{}").unwrap())), (2, Some("{}")));
        assert_eq!(body_parts(&Body::Removed), (3, None));
        let (target, key) = (MessageId::from_u128(1), ReactionKey::new("+1").unwrap());
        for (op, number) in [(ReactionOp::Add, 4), (ReactionOp::Remove, 5)] {
            assert_eq!(body_columns(&Content::Reaction { target, key: key.clone(), op }), (number, None));
        }
    }
}

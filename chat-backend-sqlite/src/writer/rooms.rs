//! Rooms, members and read markers.

use chat_core::{
    Cursor, Error, MemberChange, MemberOutcome, NewRoom, ReadMarker, Result, Role, Room, RoomChange, RoomId,
    Seq, Timestamp, UserId,
    rules::{Membership, MembershipChange, stored},
};
use sqlx::Row as _;

use super::{Task, append::json};
use crate::{
    SqliteError,
    rows::{self, integer, member_columns, room_columns},
};

const ROOM: &str = concat!("SELECT r.room, r.head, ", room_columns!(), " FROM rooms r WHERE r.id = ?");
const ROOM_BY_KEY: &str = concat!("SELECT ", room_columns!(), " FROM rooms r WHERE r.key = ?");
const MEMBER: &str =
    concat!("SELECT ", member_columns!(), ", m.read FROM members m WHERE m.room = ? AND m.user = ?");
const NEW_ROOM: &str = "INSERT INTO rooms (id, key, active, max_body_chars, metadata, created_at) \
                        VALUES (?, ?, ?, ?, ?, ?) RETURNING room";
const PUT_MEMBER: &str = "
INSERT INTO members (room, user, role, joined_at, left_at, version, read) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (room, user) DO UPDATE SET
    role = excluded.role, joined_at = excluded.joined_at, left_at = excluded.left_at, version = excluded.version,
    read = max(read, excluded.read),
    read_at = CASE WHEN excluded.left_at IS NULL AND (role IS NULL OR left_at IS NOT NULL) THEN NULL ELSE read_at END";
/// Answers a row if the user is an owner, the version (if any) is new, and the room then has members and no owner.
const TAKES_LAST_OWNER: &str = "
SELECT 1 FROM members m
WHERE m.room = ?1 AND m.user = ?2 AND m.role = ?3 AND m.left_at IS NULL AND (?4 IS NULL OR ?4 > m.version)
  AND NOT EXISTS (SELECT 1 FROM members o
                  WHERE o.room = ?1 AND o.user <> ?2 AND o.role = ?3 AND o.left_at IS NULL)
  AND (?5 OR EXISTS (SELECT 1 FROM members o
                     WHERE o.room = ?1 AND o.user <> ?2 AND o.role IS NOT NULL AND o.left_at IS NULL))";

/// What the store knows of a room that something is done to.
struct Place {
    room: i64,
    head: Seq,
}

type Done<T> = std::result::Result<Result<T>, SqliteError>;

impl Task {
    pub(super) async fn create(&mut self, new: &NewRoom) -> Done<(Room, bool)> {
        if let Some(key) = &new.key
            && let Some(row) =
                sqlx::query(ROOM_BY_KEY).bind(key.as_str()).fetch_optional(&mut self.connection).await?
        {
            return Ok(Ok((rows::room(&row)?, false)));
        }
        if let Some((_, known)) = self.find(&new.id).await? {
            return Ok(match new.key {
                Some(_) => Err(Error::RoomExists { room: new.id.clone() }),
                None => Ok((known, false)),
            });
        }
        let now = self.clock.now();
        let owner = new.owner.clone();
        let room = Room::create(new.clone(), now);
        let row = sqlx::query(NEW_ROOM)
            .bind(room.id.as_str())
            .bind(room.key.as_ref().map(|key| key.as_str()))
            .bind(room.active)
            .bind(room.max_body_chars)
            .bind(json(&room.metadata))
            .bind(integer(now.as_millis()))
            .fetch_one(&mut self.connection)
            .await?;
        if let Some(owner) = owner {
            let place = Place { room: row.try_get("room")?, head: Seq::ZERO };
            self.apply(&place, &MemberChange::add(owner, Role::Owner), now).await?;
        }
        Ok(Ok((room, true)))
    }

    pub(super) async fn update(&mut self, room: &RoomId, change: &RoomChange) -> Done<Room> {
        let Some((place, mut known)) = self.find(room).await? else { return Ok(missing(room)) };
        let RoomChange { metadata, active, max_body_chars } = change.clone();
        known.metadata = metadata.unwrap_or(known.metadata);
        known.active = active.unwrap_or(known.active);
        known.max_body_chars = max_body_chars.unwrap_or(known.max_body_chars);
        sqlx::query("UPDATE rooms SET metadata = ?, active = ?, max_body_chars = ? WHERE room = ?")
            .bind(json(&known.metadata))
            .bind(known.active)
            .bind(known.max_body_chars)
            .bind(place.room)
            .execute(&mut self.connection)
            .await?;
        Ok(Ok(known))
    }

    pub(super) async fn change_member(
        &mut self,
        room: &RoomId,
        change: &MemberChange,
    ) -> Done<MemberOutcome> {
        let now = self.clock.now();
        match self.find(room).await? {
            Some((place, _)) if self.refuses(&place, change).await? => {
                Ok(Err(Error::LastOwner { room: room.clone() }))
            }
            Some((place, _)) => Ok(Ok(self.apply(&place, change, now).await?)),
            None => Ok(missing(room)),
        }
    }

    pub(super) async fn mark_read(
        &mut self,
        room: &RoomId,
        user: &UserId,
        cursor: &Cursor,
    ) -> Done<ReadMarker> {
        let Some((place, _)) = self.find(room).await? else { return Ok(missing(room)) };
        let current = "SELECT read, read_at FROM members \
                       WHERE room = ? AND user = ? AND role IS NOT NULL AND left_at IS NULL";
        let row = sqlx::query(current)
            .bind(place.room)
            .bind(user.as_str())
            .fetch_optional(&mut self.connection)
            .await?;
        let Some(row) = row else {
            return Ok(Err(Error::NotAMember { room: room.clone(), user: user.clone() }));
        };
        let head = Cursor::new(self.epoch.clone(), place.head);
        if cursor.epoch != head.epoch || cursor.seq > head.seq {
            return Ok(Err(Error::CursorReset { room: room.clone(), current: head }));
        }
        let mut read = rows::seq(row.try_get("read")?)?;
        let mut at = row.try_get::<Option<i64>, _>("read_at")?.map(rows::time);
        if cursor.seq > read {
            (read, at) = (cursor.seq, Some(self.clock.now()));
            sqlx::query("UPDATE members SET read = ?, read_at = ? WHERE room = ? AND user = ?")
                .bind(integer(read.get()))
                .bind(at.map(|at| integer(at.as_millis())))
                .bind(place.room)
                .bind(user.as_str())
                .execute(&mut self.connection)
                .await?;
        }
        Ok(Ok(ReadMarker { user: user.clone(), cursor: Cursor::new(self.epoch.clone(), read), at }))
    }

    async fn find(&mut self, room: &RoomId) -> std::result::Result<Option<(Place, Room)>, SqliteError> {
        let row = sqlx::query(ROOM).bind(room.as_str()).fetch_optional(&mut self.connection).await?;
        let Some(row) = row else { return Ok(None) };
        let place = Place { room: row.try_get("room")?, head: rows::seq(row.try_get("head")?)? };
        Ok(Some((place, rows::room(&row)?)))
    }

    /// Whether a change that is to keep an owner takes the last one from members who stay.
    async fn refuses(
        &mut self,
        place: &Place,
        change: &MemberChange,
    ) -> std::result::Result<bool, SqliteError> {
        if !change.keep_owner || change.role == Some(Role::Owner) {
            return Ok(false);
        }
        let refused = sqlx::query(TAKES_LAST_OWNER)
            .bind(place.room)
            .bind(change.user.as_str())
            .bind(stored::role_number(Role::Owner))
            .bind(change.version.map(u64::cast_signed))
            .bind(change.role.is_some())
            .fetch_optional(&mut self.connection)
            .await?;
        Ok(refused.is_some())
    }

    /// Applies a change to what is known of the user, as far as it is not outdated.
    async fn apply(
        &mut self,
        place: &Place,
        change: &MemberChange,
        now: Timestamp,
    ) -> std::result::Result<MemberOutcome, SqliteError> {
        let row = sqlx::query(MEMBER)
            .bind(place.room)
            .bind(change.user.as_str())
            .fetch_optional(&mut self.connection)
            .await?;
        let known = match row {
            Some(row) => Some(Membership {
                member: rows::member(&row)?,
                version: row.try_get::<i64, _>("version")?.cast_unsigned(),
            }),
            None => None,
        };
        let MembershipChange { outcome, stored } = Membership::change(known, change, now);
        if let Some(Membership { member, version }) = stored {
            let added = matches!(outcome, MemberOutcome::Added(_)) || member.is_none();
            // A new member has read what there is; whoever stays keeps their marker, which is never before zero.
            let read = if added { place.head } else { Seq::ZERO };
            sqlx::query(PUT_MEMBER)
                .bind(place.room)
                .bind(change.user.as_str())
                .bind(member.as_ref().map(|member| stored::role_number(member.role)))
                .bind(member.as_ref().map(|member| integer(member.joined_at.as_millis())))
                .bind(member.as_ref().and_then(|member| member.left_at).map(|at| integer(at.as_millis())))
                .bind(version.cast_signed())
                .bind(integer(read.get()))
                .execute(&mut self.connection)
                .await?;
        }
        Ok(outcome)
    }
}

fn missing<T>(room: &RoomId) -> Result<T> {
    Err(Error::RoomNotFound { room: room.clone() })
}

//! Rooms, members and read markers.

use chat_core::{
    Cursor, Error, Member, MemberChange, MemberOutcome, NewRoom, ReadMarker, Result, Role, Room, RoomChange,
    RoomId, Seq, Timestamp, UserId,
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

/// What the store knows of a user in a room.
struct Membership {
    member: Option<Member>,
    version: u64,
}

impl Membership {
    fn role(&self) -> Option<Role> {
        self.member.as_ref().filter(|member| member.is_current()).map(|member| member.role)
    }
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
            .bind(rows::role_number(Role::Owner))
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
        let (outcome, stored) = decide(known, change, now);
        if let Some((member, version)) = stored {
            let added = matches!(outcome, MemberOutcome::Added(_)) || member.is_none();
            // A new member has read what there is; whoever stays keeps their marker, which is never before zero.
            let read = if added { place.head } else { Seq::ZERO };
            sqlx::query(PUT_MEMBER)
                .bind(place.room)
                .bind(change.user.as_str())
                .bind(member.as_ref().map(|member| rows::role_number(member.role)))
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

/// What a change does, and what is to be stored of the user then, if anything: the membership and its version.
fn decide(
    known: Option<Membership>,
    change: &MemberChange,
    now: Timestamp,
) -> (MemberOutcome, Option<(Option<Member>, u64)>) {
    let Some(known) = known else {
        // Only a numbered removal leaves a trace: an addition that comes late must not undo it.
        if change.role.is_none() && change.version.is_none() {
            return (MemberOutcome::Unchanged(None), None);
        }
        let version = change.version.unwrap_or(1);
        let member =
            change.role.map(|role| Member::from_parts(change.user.clone(), role, now, None, version));
        let outcome = member.clone().map_or(MemberOutcome::Unchanged(None), MemberOutcome::Added);
        return (outcome, Some((member, version)));
    };
    if change.version.is_some_and(|version| version <= known.version) {
        return (MemberOutcome::Unchanged(known.member), None);
    }
    let version = change.version.unwrap_or_else(|| known.version.saturating_add(1));
    let was = known.role();
    let mut member = known.member;
    if was == change.role {
        // A numbered change that finds everything as it wants it still outdates the ones before it.
        if change.version.is_none() {
            return (MemberOutcome::Unchanged(member), None);
        }
        if let Some(member) = &mut member {
            member.version = version;
        }
        return (MemberOutcome::Unchanged(member.clone()), Some((member, version)));
    }
    let outcome = match (change.role, member) {
        (Some(role), Some(mut member)) if was.is_some() => {
            (member.role, member.version) = (role, version);
            MemberOutcome::RoleChanged(member)
        }
        (Some(role), _) => {
            MemberOutcome::Added(Member::from_parts(change.user.clone(), role, now, None, version))
        }
        (None, Some(mut member)) => {
            (member.left_at, member.version) = (Some(now), version);
            MemberOutcome::Removed(member)
        }
        (None, None) => MemberOutcome::Unchanged(None),
    };
    let stored = match &outcome {
        MemberOutcome::Added(member)
        | MemberOutcome::RoleChanged(member)
        | MemberOutcome::Removed(member) => Some(member.clone()),
        MemberOutcome::Unchanged(member) => member.clone(),
    };
    (outcome, Some((stored, version)))
}

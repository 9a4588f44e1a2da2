//! What changes rooms, memberships and read markers.

use chat_core::{
    Cursor, Error, MemberChange, MemberOutcome, NewRoom, ReadMarker, Result, Role, Room, RoomChange, RoomId,
    Seq, Timestamp, UserId,
    rules::{Membership, MembershipChange, stored},
};
use sqlx::{Row as _, postgres::PgRow};

use crate::{
    PostgresError,
    backend::Shared,
    lease::Lease,
    rows::{self, integer, member_columns, room_columns, small},
};

type Done<T> = std::result::Result<Result<T>, PostgresError>;

const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

const ROOM_BY_KEY: &str = concat!("SELECT ", room_columns!(), " FROM $chat.rooms r WHERE r.key = $1");
const ROOM_BY_ID: &str = concat!("SELECT ", room_columns!(), " FROM $chat.rooms r WHERE r.id = $1");
/// Under this lock nobody appends to the room, so an entry comes either before the change or after it.
const LOCK_ROOM: &str = concat!(
    "SELECT r.room, r.head, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now, ",
    room_columns!(),
    " FROM $chat.rooms r WHERE r.id = $1 FOR NO KEY UPDATE"
);
const MEMBER: &str = concat!(
    "SELECT ",
    member_columns!(),
    ", m.read FROM $chat.members m WHERE m.room = $1 AND m.\"user\" = $2"
);
/// What nodes know of a room's members holds for as long as `members_at` is the same. A number at random cannot come again
/// after a server was put back.
const PUT_MEMBER: &str = "
WITH changed AS (UPDATE $chat.rooms SET members_at = (random() * 9e18)::bigint WHERE room = $1)
INSERT INTO $chat.members AS m (room, \"user\", role, joined_at, left_at, version, read) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (room, \"user\") DO UPDATE SET
    role = excluded.role, joined_at = excluded.joined_at, left_at = excluded.left_at, version = excluded.version,
    read = greatest(m.read, excluded.read),
    read_at = CASE WHEN excluded.left_at IS NULL AND (m.role IS NULL OR m.left_at IS NOT NULL) THEN NULL ELSE m.read_at END";

/// Has a row where `$2` is the only owner, the change is not outdated (versions have no sign), and somebody stays: they themselves (`$5`) or another.
const TAKES_LAST_OWNER: &str = "
SELECT 1 FROM $chat.members m
WHERE m.room = $1 AND m.\"user\" = $2 AND m.role = $3 AND m.left_at IS NULL AND ($4::bigint IS NULL OR ($4 # (1::bigint << 63)) > (m.version # (1::bigint << 63)))
AND NOT EXISTS (SELECT 1 FROM $chat.members o
    WHERE o.room = $1 AND o.\"user\" <> $2 AND o.role = $3 AND o.left_at IS NULL)
AND ($5 OR EXISTS (SELECT 1 FROM $chat.members o
    WHERE o.room = $1 AND o.\"user\" <> $2 AND o.role IS NOT NULL AND o.left_at IS NULL))";

/// A marker that moves, in one statement and without the room's lock: heads only grow, so one that was given to a reader
/// is there.
const MARK_READ: &str = "
WITH here AS MATERIALIZED (
    SELECT s.epoch, r.room, r.head FROM $chat.rooms r CROSS JOIN $life s WHERE r.id = $1),
moved AS (
    UPDATE $chat.members m SET read = $3, read_at = $5 FROM here h
    WHERE m.room = h.room AND m.\"user\" = $2 AND m.role IS NOT NULL AND m.left_at IS NULL
    AND m.read < $3 AND $3 <= h.head AND $4 = h.epoch RETURNING m.read, m.read_at)
SELECT h.epoch, h.head, m.\"user\" IS NOT NULL AS member,
    coalesce(v.read, m.read) AS read, CASE WHEN v.read IS NULL THEN m.read_at ELSE v.read_at END AS read_at
FROM here h LEFT JOIN $chat.members m ON m.room = h.room AND m.\"user\" = $2 AND m.role IS NOT NULL AND m.left_at IS NULL
LEFT JOIN moved v ON true";

/// What the store knows of a room that something is done to.
struct Place {
    room: i64,
    head: Seq,
    now: Timestamp,
}

impl Shared {
    pub(crate) async fn create(&self, new: &NewRoom) -> Done<(Room, bool)> {
        let mut lease = self.lease().await?;
        lease.begin().await?;
        match self.create_within(&mut lease, new).await {
            Ok(done) => {
                lease.commit().await?;
                Ok(done)
            }
            Err(error) => {
                lease.roll_back().await;
                Err(error)
            }
        }
    }

    async fn create_within(&self, lease: &mut Lease, new: &NewRoom) -> Done<(Room, bool)> {
        let row = format!(
            "INSERT INTO $chat.rooms (id, key, active, max_body_chars, metadata, created_at) \
             VALUES ($1, $2, true, $3, $4, {NOW}) ON CONFLICT DO NOTHING RETURNING room, created_at"
        );
        loop {
            if let Some(key) = &new.key
                && let Some(row) = lease.optional(self.sql.query(ROOM_BY_KEY).bind(key.as_str())).await?
            {
                return Ok(Ok((rows::room(&row)?, false)));
            }
            if let Some(row) = lease.optional(self.sql.query(ROOM_BY_ID).bind(new.id.as_str())).await? {
                return Ok(match new.key {
                    Some(_) => Err(Error::RoomExists { room: new.id.clone() }),
                    None => Ok((rows::room(&row)?, false)),
                });
            }
            let statement = self
                .sql
                .query(&row)
                .bind(new.id.as_str())
                .bind(new.key.as_ref().map(|key| key.as_str()))
                .bind(i32::try_from(new.max_body_chars).unwrap_or(i32::MAX))
                .bind(serde_json::to_string(&new.metadata).unwrap_or_default());
            // Without a row somebody else made it meanwhile, and it is seen now.
            let Some(made) = lease.optional(statement).await? else { continue };
            let now = rows::time(made.try_get("created_at")?);
            if let Some(owner) = new.owner.clone() {
                let place = Place { room: made.try_get("room")?, head: Seq::ZERO, now };
                self.apply(lease, &place, &MemberChange::add(owner, Role::Owner)).await?;
            }
            return Ok(Ok((Room::create(new.clone(), now), true)));
        }
    }

    pub(crate) async fn update(&self, room: &RoomId, change: &RoomChange) -> Done<Room> {
        let update = "UPDATE $chat.rooms SET metadata = $2, active = $3, max_body_chars = $4 WHERE room = $1";
        let mut lease = self.lease().await?;
        lease.begin().await?;
        let Some((place, mut known)) = self.lock(&mut lease, room).await? else {
            lease.commit().await?;
            return Ok(missing(room));
        };
        let RoomChange { metadata, active, max_body_chars } = change.clone();
        known.metadata = metadata.unwrap_or(known.metadata);
        known.active = active.unwrap_or(known.active);
        known.max_body_chars = max_body_chars.unwrap_or(known.max_body_chars);
        let statement = self
            .sql
            .query(update)
            .bind(place.room)
            .bind(serde_json::to_string(&known.metadata).unwrap_or_default())
            .bind(known.active)
            .bind(i32::try_from(known.max_body_chars).unwrap_or(i32::MAX));
        lease.execute(statement).await?;
        lease.commit().await?;
        Ok(Ok(known))
    }

    pub(crate) async fn change_member(&self, room: &RoomId, change: &MemberChange) -> Done<MemberOutcome> {
        let mut lease = self.lease().await?;
        lease.begin().await?;
        let outcome = match self.lock(&mut lease, room).await? {
            Some((place, _)) if self.refuses(&mut lease, &place, change).await? => {
                Err(Error::LastOwner { room: room.clone() })
            }
            Some((place, _)) => Ok(self.apply(&mut lease, &place, change).await?),
            None => missing(room),
        };
        lease.commit().await?;
        Ok(outcome)
    }

    pub(crate) async fn mark_read(&self, room: &RoomId, user: &UserId, cursor: &Cursor) -> Done<ReadMarker> {
        let text = MARK_READ.replace("$5", NOW);
        loop {
            let statement = self
                .sql
                .query(&text)
                .bind(room.as_str())
                .bind(user.as_str())
                .bind(integer(cursor.seq.get()))
                .bind(cursor.epoch.as_str());
            let rows = self.all(statement).await?;
            let Some(row) = rows.first() else { return Ok(missing(room)) };
            match self.marked(row, room, user, cursor).await? {
                // Another marker overtook this one while it waited, and is seen now.
                Ok(marker) if marker.cursor.seq < cursor.seq => {}
                done => return Ok(done),
            }
        }
    }

    async fn marked(&self, row: &PgRow, room: &RoomId, user: &UserId, cursor: &Cursor) -> Done<ReadMarker> {
        if !row.try_get::<bool, _>("member")? {
            return Ok(Err(Error::NotAMember { room: room.clone(), user: user.clone() }));
        }
        let epoch = self.epoch_of(row).await?;
        let head = Cursor::new(epoch.clone(), rows::seq(row.try_get("head")?)?);
        if cursor.epoch != head.epoch || cursor.seq > head.seq {
            return Ok(Err(Error::CursorReset { room: room.clone(), current: head }));
        }
        let read = Cursor::new(epoch, rows::seq(row.try_get("read")?)?);
        let at = row.try_get::<Option<i64>, _>("read_at")?.map(rows::time);
        Ok(Ok(ReadMarker { user: user.clone(), cursor: read, at }))
    }

    async fn lock(
        &self,
        lease: &mut Lease,
        room: &RoomId,
    ) -> std::result::Result<Option<(Place, Room)>, PostgresError> {
        let row = lease.optional(self.sql.query(LOCK_ROOM).bind(room.as_str())).await?;
        let Some(row) = row else { return Ok(None) };
        let place = Place {
            room: row.try_get("room")?,
            head: rows::seq(row.try_get("head")?)?,
            now: rows::time(row.try_get("now")?),
        };
        Ok(Some((place, rows::room(&row)?)))
    }

    /// Whether a change that is to keep an owner takes the last one from members who stay.
    async fn refuses(
        &self,
        lease: &mut Lease,
        place: &Place,
        change: &MemberChange,
    ) -> std::result::Result<bool, PostgresError> {
        if !change.keep_owner || change.role == Some(Role::Owner) {
            return Ok(false);
        }
        let statement = self
            .sql
            .query(TAKES_LAST_OWNER)
            .bind(place.room)
            .bind(change.user.as_str())
            .bind(small(stored::role_number(Role::Owner)))
            .bind(change.version.map(u64::cast_signed))
            .bind(change.role.is_some());
        Ok(lease.optional(statement).await?.is_some())
    }

    /// Applies a change to what is known of the user, as far as it is not outdated.
    async fn apply(
        &self,
        lease: &mut Lease,
        place: &Place,
        change: &MemberChange,
    ) -> std::result::Result<MemberOutcome, PostgresError> {
        let statement = self.sql.query(MEMBER).bind(place.room).bind(change.user.as_str());
        let known = match lease.optional(statement).await? {
            Some(row) => Some(Membership {
                member: rows::member(&row)?,
                version: row.try_get::<i64, _>("version")?.cast_unsigned(),
            }),
            None => None,
        };
        let MembershipChange { outcome, stored } = Membership::change(known, change, place.now);
        if let Some(Membership { member, version }) = stored {
            let added = matches!(outcome, MemberOutcome::Added(_)) || member.is_none();
            // A new member has read what there is; whoever stays keeps their marker, which is never before zero.
            let read = if added { place.head } else { Seq::ZERO };
            let member = member.as_ref();
            let statement = self
                .sql
                .query(PUT_MEMBER)
                .bind(place.room)
                .bind(change.user.as_str())
                .bind(member.map(|member| small(stored::role_number(member.role))))
                .bind(member.map(|member| integer(member.joined_at.as_millis())))
                .bind(member.and_then(|member| member.left_at).map(|at| integer(at.as_millis())))
                .bind(version.cast_signed())
                .bind(integer(read.get()));
            lease.execute(statement).await?;
        }
        Ok(outcome)
    }
}

fn missing<T>(room: &RoomId) -> Result<T> {
    Err(Error::RoomNotFound { room: room.clone() })
}

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    Backend, Cursor, Error, Member, MemberChange, MemberOutcome, NewRoom, ReadMarker, Result, Room,
    RoomChange, RoomId, RoomKey, Rooms, UserId,
    rooms::{ActivityCursor, MembersPage, RoomSummary, RoomsPage},
};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{
    SqliteError,
    backend::Shared,
    rows::{self, entry_columns, integer, member_columns, room_columns, unsigned},
    writer::json,
};

/// The greatest page of members.
const MAX_MEMBERS: usize = 1_000;
/// The greatest page of rooms.
const MAX_ROOMS: usize = 200;

/// Deleted entries of `$sender` after what `m` has read or what is kept, in stretches of 64^`$level` positions: those that
/// begin after it, up to where the next level's take over.
macro_rules! deleted_at {
    ($sender:literal, $level:literal) => {
        concat!(
            "(SELECT coalesce(sum(d.count), 0) FROM deletions d WHERE d.room = r.room AND d.sender = ",
            $sender,
            " AND d.level = ",
            $level,
            " AND d.stretch > (max(m.read, r.oldest - 1) >> (6 * ",
            $level,
            ")) AND d.stretch < ((max(m.read, r.oldest - 1) >> (6 * (",
            $level,
            " + 1))) + 1) << 6)"
        )
    };
}
macro_rules! deleted {
    ($sender:literal) => {
        concat!(
            "(",
            deleted_at!($sender, "0"),
            " + ",
            deleted_at!($sender, "1"),
            " + ",
            deleted_at!($sender, "2"),
            " + ",
            deleted_at!($sender, "3"),
            // The greatest stretches go on to the end.
            " + (SELECT coalesce(sum(d.count), 0) FROM deletions d WHERE d.room = r.room AND d.sender = ",
            $sender,
            " AND d.level = 4 AND d.stretch > (max(m.read, r.oldest - 1) >> 24)))"
        )
    };
}
/// How much of `rooms r` is unread by `members m`: what can be unread after the marker, less their own, less what was
/// deleted. Each number stands in an index or is the sum of few rows, so it costs the same however much is unread.
macro_rules! unread {
    () => {
        concat!(
            "(coalesce(r.countable - (SELECT f.ordinal - f.countable FROM entries f WHERE f.room = r.room ",
            "AND f.timeline = 1 AND f.seq > m.read ORDER BY f.seq LIMIT 1), 0) ",
            "- coalesce(m.own - (SELECT o.own - 1 FROM entries o WHERE o.room = r.room AND o.sender = m.user ",
            "AND o.countable = 1 AND o.seq > m.read ORDER BY o.seq LIMIT 1), 0) ",
            "- CASE r.deleted WHEN 0 THEN 0 ELSE ",
            deleted!("''"),
            " - ",
            deleted!("m.user"),
            " END)"
        )
    };
}

const ROOM: &str = concat!("SELECT ", room_columns!(), " FROM rooms r WHERE r.id = ?");
const ROOM_BY_KEY: &str = concat!("SELECT ", room_columns!(), " FROM rooms r WHERE r.key = ?");
const MEMBERSHIPS: &str = concat!(
    "SELECT j.key AS place, ",
    member_columns!(),
    " FROM json_each(?1) j CROSS JOIN rooms r ON r.id = j.value CROSS JOIN members m ON m.room = r.room AND m.user = ?2"
);
/// Has a row without a member where there is none, and no row where there is no such room.
const MEMBERS: &str = concat!(
    "SELECT m.read, m.read_at, ",
    member_columns!(),
    " FROM rooms r LEFT JOIN members m ON m.room = r.room AND m.role IS NOT NULL AND m.left_at IS NULL ",
    "AND m.user > ?2 WHERE r.id = ?1 ORDER BY m.user LIMIT ?3"
);
const UNREAD: &str = concat!(
    "SELECT j.key AS place, ",
    unread!(),
    " AS unread FROM json_each(?1) j CROSS JOIN rooms r ON r.id = j.value ",
    "CROSS JOIN members m ON m.room = r.room AND m.user = ?2 AND m.role IS NOT NULL AND m.left_at IS NULL"
);
/// First the order over all rooms of the user, then the rest of the few that are shown.
const ROOMS_OF: &str = concat!(
    "WITH places AS MATERIALIZED (SELECT r.room, max(coalesce(r.last_activity, 0), m.joined_at) AS activity, r.id ",
    "FROM members m CROSS JOIN rooms r ON r.room = m.room WHERE m.user = ?1 AND m.role IS NOT NULL AND m.left_at IS NULL ",
    "AND (?2 IS NULL OR (max(coalesce(r.last_activity, 0), m.joined_at), r.id) < (?2, ?3)) ",
    "ORDER BY activity DESC, r.id DESC LIMIT ?4) ",
    "SELECT p.activity, r.head, m.read, ",
    unread!(),
    " AS unread, ",
    room_columns!(),
    ", ",
    member_columns!(),
    ", ",
    entry_columns!(),
    " FROM places p CROSS JOIN rooms r ON r.room = p.room CROSS JOIN members m ON m.room = p.room AND m.user = ?1 ",
    "LEFT JOIN entries e ON e.entry = (SELECT l.entry FROM entries l WHERE l.room = p.room AND l.timeline = 1 ",
    "ORDER BY l.seq DESC LIMIT 1) ORDER BY p.activity DESC, p.id DESC"
);

/// [`Rooms`] in an SQLite file.
#[derive(Debug, Clone)]
pub(crate) struct SqliteRooms {
    shared: Arc<Shared>,
}

impl SqliteRooms {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Rows with the `place` that each answers, as a list with one answer per place.
    async fn by_place<T: Clone>(
        &self,
        statement: &'static str,
        user: &UserId,
        rooms: &[RoomId],
        none: T,
        read: impl Fn(&SqliteRow) -> std::result::Result<T, SqliteError>,
    ) -> std::result::Result<Vec<T>, SqliteError> {
        let mut answers = vec![none; rooms.len()];
        let query = sqlx::query(statement).bind(json(&rooms)).bind(user.as_str());
        for row in query.fetch_all(&self.shared.readers).await? {
            let place = usize::try_from(row.try_get::<i64, _>("place")?).unwrap_or(usize::MAX);
            if let Some(answer) = answers.get_mut(place) {
                *answer = read(&row)?;
            }
        }
        Ok(answers)
    }

    /// Rows of current members after `after`; an error for a room that is not there.
    async fn current(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<Vec<SqliteRow>> {
        let query = sqlx::query(MEMBERS)
            .bind(room.as_str())
            .bind(after.map_or("", UserId::as_str))
            .bind(integer(limit as u64));
        let failed = |error: SqliteError| error.during("members");
        let mut found = query.fetch_all(&self.shared.readers).await.map_err(|error| failed(error.into()))?;
        let Some(first) = found.first() else { return Err(Error::RoomNotFound { room: room.clone() }) };
        let user: Option<&str> = first.try_get("user").map_err(|error| failed(error.into()))?;
        if user.is_none() {
            found.clear();
        }
        Ok(found)
    }

    fn marker(&self, row: &SqliteRow) -> std::result::Result<ReadMarker, SqliteError> {
        let user = UserId::new(row.try_get("user")?).map_err(SqliteError::corrupt)?;
        let cursor = Cursor::new(self.shared.epoch.clone(), rows::seq(row.try_get("read")?)?);
        Ok(ReadMarker { user, cursor, at: row.try_get::<Option<i64>, _>("read_at")?.map(rows::time) })
    }

    fn summary(&self, row: &SqliteRow) -> std::result::Result<RoomSummary, SqliteError> {
        let room = rows::room(row)?;
        let cursor = |seq| Ok::<_, SqliteError>(Cursor::new(self.shared.epoch.clone(), rows::seq(seq)?));
        let preview = match row.try_get::<Option<i64>, _>("entry")? {
            Some(_) => Some(rows::entry(row, &room.id, &self.shared.epoch)?),
            None => None,
        };
        Ok(RoomSummary {
            member: rows::member(row)?.ok_or_else(|| SqliteError::corrupt("a membership without a role"))?,
            read: cursor(row.try_get("read")?)?,
            head: cursor(row.try_get("head")?)?,
            unread: unsigned(row.try_get("unread")?),
            activity: rows::time(row.try_get("activity")?),
            preview,
            room,
        })
    }
}

#[async_trait]
impl Backend for SqliteRooms {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl Rooms for SqliteRooms {
    async fn create(&self, room: NewRoom) -> Result<(Room, bool)> {
        room.check()?;
        self.shared.writer.create(room).await
    }

    async fn room(&self, room: &RoomId) -> Result<Room> {
        let failed = |error: SqliteError| error.during("room");
        let found = sqlx::query(ROOM).bind(room.as_str()).fetch_optional(&self.shared.readers).await;
        match found.map_err(|error| failed(error.into()))? {
            Some(row) => rows::room(&row).map_err(failed),
            None => Err(Error::RoomNotFound { room: room.clone() }),
        }
    }

    async fn room_by_key(&self, key: &RoomKey) -> Result<Option<Room>> {
        let failed = |error: SqliteError| error.during("room by key");
        let found = sqlx::query(ROOM_BY_KEY).bind(key.as_str()).fetch_optional(&self.shared.readers).await;
        let found = found.map_err(|error| failed(error.into()))?;
        found.map(|row| rows::room(&row).map_err(failed)).transpose()
    }

    async fn update(&self, room: &RoomId, change: RoomChange) -> Result<Room> {
        change.check()?;
        self.shared.writer.update(room, change).await
    }

    async fn change_member(&self, room: &RoomId, change: MemberChange) -> Result<MemberOutcome> {
        self.shared.writer.change_member(room, change).await
    }

    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>> {
        Ok(self.memberships(user, std::slice::from_ref(room)).await?.pop().flatten())
    }

    async fn memberships(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<Option<Member>>> {
        let found = self.by_place(MEMBERSHIPS, user, rooms, None, rows::member).await;
        found.map_err(|error| error.during("memberships"))
    }

    async fn members(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<MembersPage> {
        let limit = limit.clamp(1, MAX_MEMBERS);
        let found = self.current(room, after, limit + 1).await?;
        let members = found.iter().take(limit).filter_map(|row| rows::member(row).transpose());
        let members: Vec<Member> = members
            .collect::<std::result::Result<_, _>>()
            .map_err(|error: SqliteError| error.during("members"))?;
        let next = members.last().filter(|_| found.len() > limit).map(|member| member.user.clone());
        Ok(MembersPage { members, next })
    }

    async fn mark_read(&self, room: &RoomId, user: &UserId, cursor: &Cursor) -> Result<ReadMarker> {
        self.shared.writer.mark_read(room, user, cursor).await
    }

    async fn unread(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>> {
        let count = |row: &SqliteRow| Ok(unsigned(row.try_get("unread")?));
        self.by_place(UNREAD, user, rooms, 0, count).await.map_err(|error| error.during("unread"))
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&ActivityCursor>,
        limit: usize,
    ) -> Result<RoomsPage> {
        let failed = |error: SqliteError| error.during("rooms of a user");
        let limit = limit.clamp(1, MAX_ROOMS);
        let query = sqlx::query(ROOMS_OF)
            .bind(user.as_str())
            .bind(after.map(|after| integer(after.at.as_millis())))
            .bind(after.map(|after| after.room.as_str()))
            .bind(integer(limit as u64 + 1));
        let found = query.fetch_all(&self.shared.readers).await.map_err(|error| failed(error.into()))?;
        let rooms = found.iter().take(limit).map(|row| self.summary(row));
        let rooms: Vec<RoomSummary> = rooms.collect::<std::result::Result<_, _>>().map_err(failed)?;
        let next = rooms.last().filter(|_| found.len() > limit).map(RoomSummary::cursor);
        Ok(RoomsPage { rooms, next })
    }

    async fn read_markers(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ReadMarker>> {
        let found = self.current(room, after, limit.clamp(1, MAX_MEMBERS)).await?;
        let markers = found.iter().map(|row| self.marker(row)).collect::<std::result::Result<_, _>>();
        markers.map_err(|error: SqliteError| error.during("read markers"))
    }
}

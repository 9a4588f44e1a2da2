use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    Backend, Cursor, Error, Member, MemberChange, MemberOutcome, NewRoom, ReadMarker, Result, Room,
    RoomChange, RoomId, RoomKey, Rooms, UserId,
    rooms::{ActivityCursor, MembersPage, RoomSummary, RoomsPage},
};
use sqlx::{Row as _, postgres::PgRow};

use crate::{
    PostgresError,
    backend::Shared,
    rows::{self, entry_columns, integer, member_columns, room_columns, unsigned},
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
            "(SELECT coalesce(sum(d.count), 0)::bigint FROM $chat.deletions d WHERE d.room = r.room AND d.sender = ",
            $sender,
            " AND d.level = ",
            $level,
            " AND d.stretch > (greatest(m.read, r.oldest - 1) >> (6 * ",
            $level,
            ")) AND d.stretch < ((greatest(m.read, r.oldest - 1) >> (6 * (",
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
            " + (SELECT coalesce(sum(d.count), 0)::bigint FROM $chat.deletions d WHERE d.room = r.room AND d.sender = ",
            $sender,
            " AND d.level = 4 AND d.stretch > (greatest(m.read, r.oldest - 1) >> 24)))"
        )
    };
}
/// How much of `rooms r` is unread by `members m`: what can be unread after the marker, less their own, less what was
/// deleted. Each number stands in an index or is the sum of few rows, so it costs the same however much is unread.
macro_rules! unread {
    () => {
        concat!(
            "(coalesce(r.countable - (SELECT f.ordinal - f.countable::int FROM $chat.entries f WHERE f.room = r.room ",
            "AND f.timeline AND f.seq > m.read ORDER BY f.seq LIMIT 1), 0) ",
            "- coalesce((SELECT l.own FROM $chat.entries l WHERE l.room = r.room AND l.sender = m.\"user\" AND l.countable ",
            "AND l.seq > m.read ORDER BY l.seq DESC LIMIT 1) ",
            "- (SELECT o.own - 1 FROM $chat.entries o WHERE o.room = r.room AND o.sender = m.\"user\" AND o.countable ",
            "AND o.seq > m.read ORDER BY o.seq LIMIT 1), 0) ",
            "- CASE r.deleted WHEN 0 THEN 0 ELSE ",
            deleted!("''"),
            " - ",
            deleted!("m.\"user\""),
            " END)"
        )
    };
}
macro_rules! current {
    () => {
        "m.role IS NOT NULL AND m.left_at IS NULL"
    };
}

const ROOM: &str = concat!("SELECT ", room_columns!(), " FROM $chat.rooms r WHERE r.id = $1");
const ROOM_BY_KEY: &str = concat!("SELECT ", room_columns!(), " FROM $chat.rooms r WHERE r.key = $1");
const MEMBERSHIPS: &str = concat!(
    "SELECT x.place, ",
    member_columns!(),
    " FROM unnest($1::text[]) WITH ORDINALITY AS x(id, place) JOIN $chat.rooms r ON r.id = x.id ",
    "JOIN $chat.members m ON m.room = r.room AND m.\"user\" = $2"
);
/// Has a row without a member where there is none, and no row where there is no such room.
const MEMBERS: &str = concat!(
    "SELECT s.epoch, m.read, m.read_at, ",
    member_columns!(),
    // By the index, however many the room has.
    " FROM $chat.rooms r CROSS JOIN $life s LEFT JOIN LATERAL (SELECT * FROM $chat.members m WHERE m.room = r.room AND ",
    current!(),
    " AND m.\"user\" > $2 ORDER BY m.\"user\" LIMIT $3) m ON true WHERE r.id = $1 ORDER BY m.\"user\""
);
const UNREAD: &str = concat!(
    "SELECT x.place, ",
    unread!(),
    " AS unread FROM unnest($1::text[]) WITH ORDINALITY AS x(id, place) JOIN $chat.rooms r ON r.id = x.id ",
    "JOIN $chat.members m ON m.room = r.room AND m.\"user\" = $2 AND ",
    current!()
);
/// First the order over all rooms of the user, then the rest of the few that are shown.
const ROOMS_OF: &str = concat!(
    "WITH places AS MATERIALIZED (SELECT r.room, r.id, greatest(r.last_activity, m.joined_at) AS activity ",
    "FROM $chat.members m JOIN $chat.rooms r ON r.room = m.room WHERE m.\"user\" = $1 AND ",
    current!(),
    " AND ($2::bigint IS NULL OR (greatest(r.last_activity, m.joined_at), r.id) < ($2, $3)) ",
    "ORDER BY activity DESC, r.id DESC LIMIT $4) ",
    "SELECT s.epoch, p.activity, r.head, m.read, ",
    unread!(),
    " AS unread, ",
    room_columns!(),
    ", ",
    member_columns!(),
    ", ",
    entry_columns!(),
    " FROM places p CROSS JOIN $life s JOIN $chat.rooms r ON r.room = p.room ",
    "JOIN $chat.members m ON m.room = p.room AND m.\"user\" = $1 ",
    "LEFT JOIN LATERAL (SELECT * FROM $chat.entries l WHERE l.room = p.room AND l.timeline ",
    "ORDER BY l.seq DESC LIMIT 1) e ON true ORDER BY p.activity DESC, p.id DESC"
);

/// [`Rooms`] in PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct PostgresRooms {
    shared: Arc<Shared>,
}

type Found<T> = std::result::Result<T, PostgresError>;

impl PostgresRooms {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Rows with the `place` that each answers, as a list with one answer per place.
    async fn by_place<T: Clone>(
        &self,
        statement: &str,
        user: &UserId,
        rooms: &[RoomId],
        none: T,
        read: impl Fn(&PgRow) -> Found<T>,
    ) -> Found<Vec<T>> {
        let mut answers = vec![none; rooms.len()];
        let ids: Vec<&str> = rooms.iter().map(|room| room.as_str()).collect();
        let statement = self.shared.sql.query(statement).bind(ids).bind(user.as_str());
        for row in self.shared.all(statement).await? {
            let place = usize::try_from(row.try_get::<i64, _>("place")?).unwrap_or(0);
            if let Some(answer) = place.checked_sub(1).and_then(|place| answers.get_mut(place)) {
                *answer = read(&row)?;
            }
        }
        Ok(answers)
    }

    async fn find(&self, statement: &str, name: &str) -> Found<Option<Room>> {
        let rows = self.shared.all(self.shared.sql.query(statement).bind(name)).await?;
        rows.first().map(rows::room).transpose()
    }

    /// Rows of current members after `after`; an error for a room that is not there.
    async fn current(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Found<Result<Vec<PgRow>>> {
        let statement = self
            .shared
            .sql
            .query(MEMBERS)
            .bind(room.as_str())
            .bind(after.map_or("", UserId::as_str))
            .bind(integer(limit as u64));
        let mut found = self.shared.all(statement).await?;
        let Some(first) = found.first() else {
            return Ok(Err(Error::RoomNotFound { room: room.clone() }));
        };
        let user: Option<&str> = first.try_get("user")?;
        if user.is_none() {
            found.clear();
        }
        Ok(Ok(found))
    }

    async fn markers(&self, rows: &[PgRow]) -> Found<Vec<ReadMarker>> {
        let mut markers = Vec::with_capacity(rows.len());
        for row in rows {
            let epoch = self.shared.epoch_of(row).await?;
            let cursor = Cursor::new(epoch, rows::seq(row.try_get("read")?)?);
            let at = row.try_get::<Option<i64>, _>("read_at")?.map(rows::time);
            markers.push(ReadMarker { user: rows::user(row.try_get("user")?)?, cursor, at });
        }
        Ok(markers)
    }

    async fn summary(&self, row: &PgRow) -> Found<RoomSummary> {
        let (room, epoch) = (rows::room(row)?, self.shared.epoch_of(row).await?);
        let cursor = |seq| Ok::<_, PostgresError>(Cursor::new(epoch.clone(), rows::seq(seq)?));
        let preview = match row.try_get::<Option<i64>, _>("seq")? {
            Some(_) => Some(rows::entry(row, &room.id, &epoch)?),
            None => None,
        };
        Ok(RoomSummary {
            member: rows::member(row)?
                .ok_or_else(|| PostgresError::corrupt("a membership without a role"))?,
            read: cursor(row.try_get("read")?)?,
            head: cursor(row.try_get("head")?)?,
            unread: unsigned(row.try_get("unread")?),
            activity: rows::time(row.try_get("activity")?),
            preview,
            room,
        })
    }

    async fn rooms_page(
        &self,
        user: &UserId,
        after: Option<&ActivityCursor>,
        limit: usize,
    ) -> Found<RoomsPage> {
        let statement = self
            .shared
            .sql
            .query(ROOMS_OF)
            .bind(user.as_str())
            .bind(after.map(|after| integer(after.at.as_millis())))
            .bind(after.map(|after| after.room.as_str()))
            .bind(integer(limit as u64 + 1));
        let found = self.shared.all(statement).await?;
        let mut rooms = Vec::with_capacity(found.len().min(limit));
        for row in found.iter().take(limit) {
            rooms.push(self.summary(row).await?);
        }
        let next = rooms.last().filter(|_| found.len() > limit).map(RoomSummary::cursor);
        Ok(RoomsPage { rooms, next })
    }
}

#[async_trait]
impl Backend for PostgresRooms {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl Rooms for PostgresRooms {
    async fn create(&self, room: NewRoom) -> Result<(Room, bool)> {
        room.check()?;
        self.shared.create(&room).await.map_err(|error| error.during("create room"))?
    }

    async fn room(&self, room: &RoomId) -> Result<Room> {
        let found = self.find(ROOM, room.as_str()).await.map_err(|error| error.during("room"))?;
        found.ok_or_else(|| Error::RoomNotFound { room: room.clone() })
    }

    async fn room_by_key(&self, key: &RoomKey) -> Result<Option<Room>> {
        self.find(ROOM_BY_KEY, key.as_str()).await.map_err(|error| error.during("room by key"))
    }

    async fn update(&self, room: &RoomId, change: RoomChange) -> Result<Room> {
        change.check()?;
        self.shared.update(room, &change).await.map_err(|error| error.during("update room"))?
    }

    async fn change_member(&self, room: &RoomId, change: MemberChange) -> Result<MemberOutcome> {
        self.shared.change_member(room, &change).await.map_err(|error| error.during("change member"))?
    }

    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>> {
        Ok(self.memberships(user, std::slice::from_ref(room)).await?.pop().flatten())
    }

    async fn memberships(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<Option<Member>>> {
        let found = self.by_place(MEMBERSHIPS, user, rooms, None, rows::member).await;
        found.map_err(|error| error.during("memberships"))
    }

    async fn members(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<MembersPage> {
        let failed = |error: PostgresError| error.during("members");
        let limit = limit.clamp(1, MAX_MEMBERS);
        let found = self.current(room, after, limit + 1).await.map_err(failed)??;
        let members = found.iter().take(limit).filter_map(|row| rows::member(row).transpose());
        let members: Vec<Member> = members.collect::<Found<_>>().map_err(failed)?;
        let next = members.last().filter(|_| found.len() > limit).map(|member| member.user.clone());
        Ok(MembersPage { members, next })
    }

    async fn mark_read(&self, room: &RoomId, user: &UserId, cursor: &Cursor) -> Result<ReadMarker> {
        self.shared.mark_read(room, user, cursor).await.map_err(|error| error.during("mark read"))?
    }

    async fn unread(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>> {
        let count = |row: &PgRow| Ok(unsigned(row.try_get("unread")?));
        self.by_place(UNREAD, user, rooms, 0, count).await.map_err(|error| error.during("unread"))
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&ActivityCursor>,
        limit: usize,
    ) -> Result<RoomsPage> {
        let page = self.rooms_page(user, after, limit.clamp(1, MAX_ROOMS)).await;
        page.map_err(|error| error.during("rooms of a user"))
    }

    async fn read_markers(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ReadMarker>> {
        let failed = |error: PostgresError| error.during("read markers");
        let found = self.current(room, after, limit.clamp(1, MAX_MEMBERS)).await.map_err(failed)??;
        self.markers(&found).await.map_err(failed)
    }
}

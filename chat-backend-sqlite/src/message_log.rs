use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Backend, Cursor, Draft, Durability, Error, Head, MessageLog, Page, Place, ReadFrom,
    ReadQuery, Result, Retention, RoomId, View, rules::Found,
};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{
    SqliteError,
    backend::Shared,
    rows::{self, entry_columns, integer},
    writer::json,
};

/// One statement is one instant, so the room's ends and its entries agree. It has a row without an entry where the page is
/// empty, and none where there is no such room. `?1` room, `?2` position or `?3` message id, `?4` limit.
macro_rules! read {
    ($entries:literal, $order:literal) => {
        concat!(
            "WITH here AS MATERIALIZED (SELECT r.room, r.head, r.oldest, CASE WHEN ?3 IS NULL THEN ?2 ELSE ",
            "(SELECT seq FROM entries WHERE id = ?3 AND room = r.room) END AS place FROM rooms r WHERE r.id = ?1) ",
            "SELECT h.head, h.oldest, h.place, ",
            "EXISTS (SELECT 1 FROM entries b WHERE b.room = h.room AND b.timeline = 1 AND b.seq <= h.place) AS earlier, ",
            "EXISTS (SELECT 1 FROM entries a WHERE a.room = h.room AND a.timeline = 1 AND a.seq >= h.place) AS later, ",
            entry_columns!(),
            " FROM here h LEFT JOIN entries e ON e.room = h.room AND ",
            $entries,
            $order
        )
    };
}

// Positions have no gaps, so a page of the whole log is a range.
const LOG_AFTER: &str = read!("e.timeline IN (0, 1) AND e.seq > h.place AND e.seq <= h.place + ?4", "");
const LOG_BEFORE: &str = read!("e.timeline IN (0, 1) AND e.seq < h.place AND e.seq >= h.place - ?4", "");
const LOG_NEWEST: &str = read!("e.timeline IN (0, 1) AND e.seq > h.head - ?4", "");
// One more than asked for says whether more follows.
const TIMELINE_AFTER: &str = read!("e.timeline = 1 AND e.seq > h.place", " ORDER BY e.seq LIMIT ?4 + 1");
const TIMELINE_BEFORE: &str =
    read!("e.timeline = 1 AND e.seq < h.place", " ORDER BY e.seq DESC LIMIT ?4 + 1");
const TIMELINE_NEWEST: &str = read!("e.timeline = 1", " ORDER BY e.seq DESC LIMIT ?4 + 1");

const HEADS: &str =
    "SELECT j.key, r.head, r.oldest FROM json_each(?1) j CROSS JOIN rooms r ON r.id = j.value";

/// [`MessageLog`] in an SQLite file. A page costs one index range, at any depth.
#[derive(Debug, Clone)]
pub(crate) struct SqliteLog {
    shared: Arc<Shared>,
}

impl SqliteLog {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn head(&self, row: &SqliteRow) -> std::result::Result<Head, SqliteError> {
        let seq = rows::seq(row.try_get("head")?)?;
        let cursor = Cursor::new(self.shared.epoch.clone(), seq);
        Ok(Head { cursor, oldest: rows::seq(row.try_get("oldest")?)? })
    }

    async fn rows(
        &self,
        statement: &'static str,
        room: &RoomId,
        place: Option<&Place>,
        limit: usize,
    ) -> std::result::Result<Vec<SqliteRow>, SqliteError> {
        let (seq, id) = match place {
            Some(Place::Cursor(cursor)) => (Some(integer(cursor.seq.get())), None),
            Some(Place::Id(id)) => (None, Some(id.as_u128().to_be_bytes().to_vec())),
            None => (None, None),
        };
        let query = sqlx::query(statement).bind(room.as_str()).bind(seq).bind(id);
        Ok(query.bind(integer(limit as u64)).fetch_all(&self.shared.readers).await?)
    }

    /// The page of a room that is there.
    fn page(
        &self,
        room: &RoomId,
        query: &ReadQuery,
        rows: &[SqliteRow],
    ) -> std::result::Result<Result<Page>, SqliteError> {
        let Some(first) = rows.first() else {
            return Ok(Err(Error::RoomNotFound { room: room.clone() }));
        };
        let place: Option<i64> = first.try_get("place")?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            if row.try_get::<Option<i64>, _>("entry")?.is_some() {
                entries.push(rows::entry(row, room, &self.shared.epoch)?);
            }
        }
        let found = Found {
            head: self.head(first)?,
            place: place.map(rows::seq).transpose()?,
            entries,
            earlier: first.try_get("earlier")?,
            later: first.try_get("later")?,
        };
        Ok(found.into_page(room, query))
    }
}

#[async_trait]
impl Backend for SqliteLog {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl MessageLog for SqliteLog {
    fn durability(&self) -> Durability {
        Durability::Persisted
    }

    /// There is one writer.
    fn parallel_appends(&self) -> usize {
        1
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        self.shared.writer.append(drafts).await
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        let limit = query.limit.clamp(1, ReadQuery::MAX_LIMIT);
        let query = query.with_limit(limit);
        let (statement, place) = match (&query.from, query.view) {
            (ReadFrom::After(place), View::Log) => (LOG_AFTER, Some(place)),
            (ReadFrom::After(place), View::Timeline) => (TIMELINE_AFTER, Some(place)),
            (ReadFrom::Before(place), View::Log) => (LOG_BEFORE, Some(place)),
            (ReadFrom::Before(place), View::Timeline) => (TIMELINE_BEFORE, Some(place)),
            (ReadFrom::Newest, View::Log) => (LOG_NEWEST, None),
            (ReadFrom::Newest, View::Timeline) => (TIMELINE_NEWEST, None),
        };
        let failed = |error: SqliteError| error.during("read");
        let rows = self.rows(statement, room, place, limit).await.map_err(failed)?;
        self.page(room, &query, &rows).map_err(failed)?
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        let failed = |error: SqliteError| error.during("heads");
        let found = sqlx::query(HEADS).bind(json(&rooms)).fetch_all(&self.shared.readers).await;
        let mut heads = vec![None; rooms.len()];
        for row in found.map_err(|error| failed(error.into()))? {
            let index: i64 = row.try_get("key").map_err(|error| failed(error.into()))?;
            if let Some(place) = usize::try_from(index).ok().and_then(|index| heads.get_mut(index)) {
                *place = Some(self.head(&row).map_err(failed)?);
            }
        }
        Ok(heads)
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.shared.writer.trim(room, retention).await
    }
}

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Backend, Cursor, Draft, Durability, Epoch, Error, Head, MessageLog, Page, Place, ReadFrom,
    ReadQuery, Result, Retention, RoomId, View, rules::Found,
};
use sqlx::{Row as _, postgres::PgRow};

use crate::{
    PostgresError, append,
    backend::Shared,
    rows::{self, entry_columns, integer},
    to_the_end::ToTheEnd,
};

/// While one batch waits for the disk another one is worked on. More at once only make the batches smaller, and each has its own
/// price: with four of them 64 senders got a third less through.
const PARALLEL_APPENDS: usize = 2;

/// One statement is one instant, so the room's ends and its entries agree. It has a row without an entry where the page is
/// empty, and none where there is no such room. `$1` room, `$2` position or `$3` and `$4` message id, `$5` limit.
macro_rules! read {
    ($entries:literal) => {
        concat!(
            "WITH here AS MATERIALIZED (SELECT s.epoch, r.room, r.head, r.oldest, CASE WHEN $3::bigint IS NULL THEN $2::bigint ",
            "ELSE (SELECT i.seq FROM $chat.entries i WHERE i.id_high = $3 AND i.id_low = $4 AND i.room = r.room) END AS place ",
            "FROM $chat.rooms r CROSS JOIN $life s WHERE r.id = $1), ",
            // Once for the page. By the index, which the order asks for: where there are few rooms, the server takes it that any entry
            // may be one of these, and looks through the table.
            "around AS MATERIALIZED (SELECT h.*, ",
            "(SELECT b.seq FROM $chat.entries b WHERE b.room = h.room AND b.timeline AND b.seq <= h.place ",
            "ORDER BY b.seq DESC LIMIT 1) IS NOT NULL AS earlier, ",
            "(SELECT a.seq FROM $chat.entries a WHERE a.room = h.room AND a.timeline AND a.seq >= h.place ",
            "ORDER BY a.seq LIMIT 1) IS NOT NULL AS later FROM here h) ",
            "SELECT h.epoch, h.head, h.oldest, h.place, h.earlier, h.later, ",
            entry_columns!(),
            " FROM around h LEFT JOIN LATERAL (SELECT * FROM $chat.entries p WHERE p.room = h.room AND ",
            $entries,
            ") e ON true"
        )
    };
}

// Positions have no gaps, so a page of the whole log is a range. With both of its ends and a limit, or else the server, which cannot know
// how short the range is, may look through the table for it.
const LOG_AFTER: &str = read!(
    "p.timeline IN (false, true) AND p.seq > h.place AND p.seq <= h.place + $5 ORDER BY p.seq LIMIT $5"
);
const LOG_BEFORE: &str = read!(
    "p.timeline IN (false, true) AND p.seq < h.place AND p.seq >= h.place - $5 ORDER BY p.seq LIMIT $5"
);
const LOG_NEWEST: &str =
    read!("p.timeline IN (false, true) AND p.seq > h.head - $5 AND p.seq <= h.head ORDER BY p.seq LIMIT $5");
// One more than asked for says whether more follows.
const TIMELINE_AFTER: &str = read!("p.timeline AND p.seq > h.place ORDER BY p.seq LIMIT $5 + 1");
const TIMELINE_BEFORE: &str = read!("p.timeline AND p.seq < h.place ORDER BY p.seq DESC LIMIT $5 + 1");
const TIMELINE_NEWEST: &str = read!("p.timeline ORDER BY p.seq DESC LIMIT $5 + 1");

const HEADS: &str = "
SELECT x.place, s.epoch, r.head, r.oldest FROM unnest($1::text[]) WITH ORDINALITY AS x(id, place)
JOIN $chat.rooms r ON r.id = x.id CROSS JOIN $life s";

/// [`MessageLog`] in PostgreSQL. A page costs one index range, at any depth.
#[derive(Debug, Clone)]
pub(crate) struct PostgresLog {
    shared: Arc<Shared>,
}

impl PostgresLog {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn page(
        &self,
        statement: &str,
        room: &RoomId,
        place: Option<&Place>,
        query: &ReadQuery,
    ) -> std::result::Result<Result<Page>, PostgresError> {
        let seq = match place {
            Some(Place::Cursor(cursor)) => Some(integer(cursor.seq.get())),
            _ => None,
        };
        let id = match place {
            Some(Place::Id(id)) => Some(rows::halves(*id)),
            _ => None,
        };
        let statement = self
            .shared
            .sql
            .query(statement)
            .bind(room.as_str())
            .bind(seq)
            .bind(id.map(|(high, _)| high))
            .bind(id.map(|(_, low)| low))
            .bind(integer(query.limit as u64));
        let rows = self.shared.all(statement).await?;
        let Some(first) = rows.first() else {
            return Ok(Err(Error::RoomNotFound { room: room.clone() }));
        };
        let epoch = self.shared.epoch_of(first).await?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.try_get::<Option<i64>, _>("seq")?.is_some() {
                entries.push(rows::entry(row, room, &epoch)?);
            }
        }
        let place: Option<i64> = first.try_get("place")?;
        let found = Found {
            head: head(first, epoch)?,
            place: place.map(rows::seq).transpose()?,
            entries,
            earlier: first.try_get("earlier")?,
            later: first.try_get("later")?,
        };
        Ok(found.into_page(room, query))
    }

    async fn all_heads(&self, rooms: &[RoomId]) -> std::result::Result<Vec<Option<Head>>, PostgresError> {
        let ids: Vec<&str> = rooms.iter().map(|room| room.as_str()).collect();
        let found = self.shared.all(self.shared.sql.query(HEADS).bind(ids)).await?;
        let mut heads = vec![None; rooms.len()];
        for row in &found {
            let place = usize::try_from(row.try_get::<i64, _>("place")?).unwrap_or(0);
            if let Some(answer) = place.checked_sub(1).and_then(|place| heads.get_mut(place)) {
                *answer = Some(head(row, self.shared.epoch_of(row).await?)?);
            }
        }
        Ok(heads)
    }
}

/// The ends of a room in a row with `head` and `oldest`.
pub(crate) fn head(row: &PgRow, epoch: Epoch) -> std::result::Result<Head, PostgresError> {
    let cursor = Cursor::new(epoch, rows::seq(row.try_get("head")?)?);
    Ok(Head { cursor, oldest: rows::seq(row.try_get("oldest")?)? })
}

impl Shared {
    /// The epoch in a row: if another node has begun a new one, this one follows.
    pub(crate) async fn epoch_of(&self, row: &PgRow) -> std::result::Result<Epoch, PostgresError> {
        let text: &str = row.try_get("epoch")?;
        let known = self.epochs.current();
        if known.as_str() == text {
            return Ok(known);
        }
        self.epochs.renew(&self.connections, &self.sql, None).await?;
        Epoch::new(text).map_err(PostgresError::corrupt)
    }
}

#[async_trait]
impl Backend for PostgresLog {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl MessageLog for PostgresLog {
    fn durability(&self) -> Durability {
        self.shared.durability
    }

    fn parallel_appends(&self) -> usize {
        PARALLEL_APPENDS
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        // A caller who goes away leaves no transaction half done.
        let work = ToTheEnd::new(append::append(Arc::clone(&self.shared), drafts.to_vec()));
        work.await.map_err(|error| error.during("append"))
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
        self.page(statement, room, place, &query).await.map_err(|error| error.during("read"))?
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        self.all_heads(rooms).await.map_err(|error| error.during("heads"))
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        crate::trim::trim(&self.shared, room, &retention).await.map_err(|error| error.during("trim"))?
    }
}

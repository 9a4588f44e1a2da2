//! Full-text search: the index gives candidates, newest first; each is compared with the text itself.

pub(crate) mod terms;

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    Backend, Error, MessageId, Result, Search, StoredMessage,
    search::{SearchPage, SearchQuery},
};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{
    SqliteError,
    backend::Shared,
    rows::{self, entry_columns, integer},
};

/// The greatest page.
const MAX_LIMIT: usize = 100;
/// Up to so many rooms, the index itself leaves out all others. With more, membership is checked candidate by candidate.
const MAX_ROOMS_IN_INDEX: usize = 256;
/// Candidates looked at for one page. A page that ends here may be short, and says where to go on.
const MAX_CANDIDATES: usize = 2_000;

/// Numbers of the rooms that a user is a member of: one more than go into a query. `?2`: only this room.
const ROOMS: &str = "
SELECT r.room FROM members m JOIN rooms r ON r.room = m.room
WHERE m.user = ?1 AND m.role IS NOT NULL AND m.left_at IS NULL AND (?2 IS NULL OR r.id = ?2) LIMIT ?3";

/// Candidates before an entry, newest first. Membership is part of the same instant as the message.
const CANDIDATES: &str = concat!(
    "SELECT r.id AS room_id, ",
    entry_columns!(),
    " FROM search s CROSS JOIN entries e ON e.entry = s.rowid CROSS JOIN rooms r ON r.room = e.room ",
    "WHERE s.search MATCH ?1 AND s.rowid < ?2 AND EXISTS (SELECT 1 FROM members m WHERE m.room = e.room ",
    "AND m.user = ?3 AND m.role IS NOT NULL AND m.left_at IS NULL) AND (?4 IS NULL OR e.room = ?4) ",
    "ORDER BY s.rowid DESC LIMIT ?5"
);

/// The first entry with this id or a greater one: ids grow with entries over all rooms.
const ENTRY_OF: &str = "SELECT entry FROM entries WHERE id >= ? ORDER BY id LIMIT 1";

type Found<T> = std::result::Result<T, SqliteError>;

/// [`Search`] in an SQLite file.
#[derive(Debug, Clone)]
pub(crate) struct SqliteSearch {
    shared: Arc<Shared>,
}

impl SqliteSearch {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The rooms to be searched, or `None` if there are too many to name.
    async fn rooms(&self, query: &SearchQuery) -> Found<Option<Vec<i64>>> {
        let rows = sqlx::query(ROOMS)
            .bind(query.user.as_str())
            .bind(query.room.as_ref().map(|room| room.as_str()))
            .bind(integer(MAX_ROOMS_IN_INDEX as u64 + 1))
            .fetch_all(&self.shared.readers)
            .await?;
        let rooms = rows.iter().map(|row| Ok(row.try_get("room")?)).collect::<Found<Vec<i64>>>()?;
        Ok(Some(rooms).filter(|rooms| rooms.len() <= MAX_ROOMS_IN_INDEX))
    }

    async fn entry_of(&self, before: Option<MessageId>) -> Found<i64> {
        let Some(before) = before else { return Ok(i64::MAX) };
        let row = sqlx::query(ENTRY_OF)
            .bind(before.as_u128().to_be_bytes().to_vec())
            .fetch_optional(&self.shared.readers)
            .await?;
        row.map_or(Ok(i64::MAX), |row| Ok(row.try_get("entry")?))
    }

    async fn page(&self, query: &SearchQuery, words: &[String], rooms: Option<&[i64]>) -> Found<SearchPage> {
        let numbers: Vec<u64> = rooms.unwrap_or_default().iter().map(|room| room.unsigned_abs()).collect();
        let limit = query.limit.clamp(1, MAX_LIMIT);
        let Some(expression) = terms::match_expression(words, &numbers) else {
            return Ok(SearchPage { messages: Vec::new(), next: None });
        };
        let only = query.room.is_some().then(|| rooms.and_then(<[i64]>::first)).flatten();
        let mut before = self.entry_of(query.before).await?;
        let mut messages: Vec<StoredMessage> = Vec::new();
        let mut looked_at = 0;
        loop {
            // One more than is missing says whether more follows.
            let wanted = limit + 1 - messages.len();
            let rows = sqlx::query(CANDIDATES)
                .bind(&expression)
                .bind(before)
                .bind(query.user.as_str())
                .bind(only)
                .bind(integer(wanted as u64))
                .fetch_all(&self.shared.readers)
                .await?;
            looked_at += rows.len();
            for row in &rows {
                messages.extend(self.matching(row, words)?);
            }
            if messages.len() > limit {
                messages.truncate(limit);
                let next = messages.last().map(|message| message.position.id);
                return Ok(SearchPage { messages, next });
            }
            let Some(last) = rows.last().filter(|_| rows.len() == wanted) else {
                return Ok(SearchPage { messages, next: None });
            };
            before = last.try_get("entry")?;
            if looked_at >= MAX_CANDIDATES {
                return Ok(SearchPage {
                    messages,
                    next: Some(rows::message_id(last.try_get("message_id")?)?),
                });
            }
        }
    }

    /// The message of a candidate, if its text has all the words.
    fn matching(&self, row: &SqliteRow, words: &[String]) -> Found<Option<StoredMessage>> {
        let text: Option<&str> = row.try_get("body")?;
        if !text.is_some_and(|text| terms::matches(text, words)) {
            return Ok(None);
        }
        let room = rows::room_id(row.try_get("room_id")?)?;
        rows::entry(row, &room, &self.shared.epoch).map(Some)
    }
}

#[async_trait]
impl Backend for SqliteSearch {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl Search for SqliteSearch {
    async fn search(&self, query: SearchQuery) -> Result<SearchPage> {
        let words = terms::words(&query.text);
        if words.is_empty() || query.text.chars().count() > SearchQuery::MAX_TEXT_CHARS {
            let max = SearchQuery::MAX_TEXT_CHARS as u64;
            return Err(Error::LimitExceeded { what: "search text characters, not blank", max });
        }
        let failed = |error: SqliteError| error.during("search");
        let rooms = self.rooms(&query).await.map_err(failed)?;
        if rooms.as_ref().is_some_and(Vec::is_empty) {
            return match query.room {
                Some(room) => Err(Error::NotAMember { room, user: query.user }),
                None => Ok(SearchPage { messages: Vec::new(), next: None }),
            };
        }
        self.page(&query, &words, rooms.as_deref()).await.map_err(failed)
    }
}

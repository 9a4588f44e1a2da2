//! Full-text search: the index gives candidates, newest first; each is compared with the text itself.

pub(crate) mod terms;

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    Backend, Error, MessageId, Result, Search, StoredMessage, UserId,
    search::{SearchPage, SearchQuery, matches},
};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{
    SqliteError,
    backend::Shared,
    rows::{self, entry_columns, integer},
    writer::json,
};

/// The greatest page.
const MAX_LIMIT: usize = 100;
/// Up to so many rooms, the index leaves out all others from the start. Each costs some 50 µs per query (a million messages,
/// November 2026), so with more it is first tried without.
const FEW_ROOMS: usize = 16;
/// Up to so many rooms, it leaves out all others when the newest candidates did not fill the page.
const SOME_ROOMS: usize = 256;
/// Candidates taken from the index at first when it knows the rooms, and when it does not.
const FEW_CANDIDATES: usize = 128;
const MANY_CANDIDATES: usize = 1_024;
/// The next ones are so many times as many: to ask the index again costs more than to read on in it.
const GROWTH: usize = 4;
/// But not more than these at once.
const MOST_CANDIDATES: usize = 4_096;
/// Candidates looked at for one page. A page that ends here may be short, and says where to go on.
const MAX_CANDIDATES: usize = 16_384;

/// Numbers of the rooms that a user is a member of: one more than go into a query. `?2`: only this room.
const ROOMS: &str = "
SELECT r.room FROM members m CROSS JOIN rooms r ON r.room = m.room
WHERE m.user = ?1 AND m.role IS NOT NULL AND m.left_at IS NULL AND (?2 IS NULL OR r.id = ?2) LIMIT ?3";

/// The newest candidates before an entry, as one list.
const CANDIDATES: &str = "
SELECT json_group_array(n) AS entries, min(n) AS lowest, count(*) AS count FROM
(SELECT rowid AS n FROM search WHERE search MATCH ?1 AND rowid < ?2 ORDER BY rowid DESC LIMIT ?3)";

/// Those of them that the user may read, with nothing but what is compared.
const READABLE: &str = "
SELECT e.entry, e.body FROM json_each(?1) j CROSS JOIN entries e ON e.entry = j.value
WHERE EXISTS (SELECT 1 FROM members m WHERE m.room = e.room AND m.user = ?2 AND m.role IS NOT NULL AND m.left_at IS NULL)
AND (?3 IS NULL OR e.room = ?3) AND e.entry < ?4 ORDER BY e.entry DESC LIMIT ?5";

/// Those that match. Membership is of the same instant as the message.
const FOUND: &str = concat!(
    "SELECT r.id AS room_id, ",
    entry_columns!(),
    " FROM json_each(?1) j CROSS JOIN entries e ON e.entry = j.value CROSS JOIN rooms r ON r.room = e.room ",
    "WHERE EXISTS (SELECT 1 FROM members m WHERE m.room = e.room AND m.user = ?2 ",
    "AND m.role IS NOT NULL AND m.left_at IS NULL) ORDER BY e.entry DESC"
);

/// The id of this entry, or of the next one that is kept.
const ID_OF: &str = "SELECT id FROM entries WHERE entry >= ? ORDER BY entry LIMIT 1";

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
            .bind(integer(SOME_ROOMS as u64 + 1))
            .fetch_all(&self.shared.readers)
            .await?;
        let rooms = rows.iter().map(|row| Ok(row.try_get("room")?)).collect::<Found<Vec<i64>>>()?;
        Ok(Some(rooms).filter(|rooms| rooms.len() <= SOME_ROOMS))
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
        let limit = query.limit.clamp(1, MAX_LIMIT);
        let only = query.room.is_some().then(|| rooms.and_then(<[i64]>::first)).flatten().copied();
        let numbers: Option<Vec<u64>> =
            rooms.map(|rooms| rooms.iter().map(|room| room.unsigned_abs()).collect());
        let mut restricted = numbers.as_ref().is_some_and(|rooms| rooms.len() <= FEW_ROOMS);
        let mut before = self.entry_of(query.before).await?;
        let mut found = Vec::new();
        let (mut looked_at, mut growth) = (0, 1);
        loop {
            let among = numbers.as_deref().filter(|_| restricted).unwrap_or_default();
            let Some(expression) = terms::match_expression(words, among) else {
                return Ok(SearchPage { messages: Vec::new(), next: None });
            };
            let first = if restricted { FEW_CANDIDATES } else { MANY_CANDIDATES };
            let most = (first * growth).min(MOST_CANDIDATES);
            growth *= GROWTH;
            let candidates = sqlx::query(CANDIDATES)
                .bind(expression)
                .bind(before)
                .bind(integer(most as u64))
                .fetch_one(&self.shared.readers)
                .await?;
            // The one more says whether more follows.
            let list = candidates.try_get("entries")?;
            self.compare(query, words, only, list, before, &mut found).await?;
            if found.len() > limit {
                found.truncate(limit);
                let messages = self.messages(&found, &query.user, words).await?;
                let next = found.last().copied();
                let next = if let Some(last) = next { self.id_of(last).await? } else { None };
                return Ok(SearchPage { messages, next });
            }
            let count = usize::try_from(candidates.try_get::<i64, _>("count")?).unwrap_or(0);
            looked_at += count;
            let done = count < most;
            if done || looked_at >= MAX_CANDIDATES {
                let messages = self.messages(&found, &query.user, words).await?;
                let next = if done { None } else { self.id_of(candidates.try_get("lowest")?).await? };
                return Ok(SearchPage { messages, next });
            }
            before = candidates.try_get("lowest")?;
            restricted = numbers.is_some();
        }
    }

    /// Adds to `found` the candidates whose text has all the words and that the user may read, newest first, until there
    /// is one more than asked for.
    async fn compare(
        &self,
        query: &SearchQuery,
        words: &[String],
        only: Option<i64>,
        candidates: &str,
        mut before: i64,
        found: &mut Vec<i64>,
    ) -> Found<()> {
        let wanted = query.limit.clamp(1, MAX_LIMIT) + 1;
        // Mostly each of them matches.
        let mut at_once = wanted.saturating_sub(found.len());
        loop {
            let rows = sqlx::query(READABLE)
                .bind(candidates)
                .bind(query.user.as_str())
                .bind(only)
                .bind(before)
                .bind(integer(at_once as u64))
                .fetch_all(&self.shared.readers)
                .await?;
            for row in &rows {
                before = row.try_get("entry")?;
                if is_match(row, words)? {
                    found.push(before);
                    if found.len() >= wanted {
                        return Ok(());
                    }
                }
            }
            if rows.len() < at_once {
                return Ok(());
            }
            at_once *= GROWTH;
        }
    }

    /// The messages found, as they are now: what was changed, deleted or closed to the user meanwhile is left out.
    async fn messages(&self, found: &[i64], user: &UserId, words: &[String]) -> Found<Vec<StoredMessage>> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let rows =
            sqlx::query(FOUND).bind(json(&found)).bind(user.as_str()).fetch_all(&self.shared.readers).await?;
        let mut messages = Vec::with_capacity(rows.len());
        for row in &rows {
            if is_match(row, words)? {
                let room = rows::room_id(row.try_get("room_id")?)?;
                messages.push(rows::entry(row, &room, &self.shared.epoch)?);
            }
        }
        Ok(messages)
    }

    async fn id_of(&self, entry: i64) -> Found<Option<MessageId>> {
        let row = sqlx::query(ID_OF).bind(entry).fetch_optional(&self.shared.readers).await?;
        row.map(|row| rows::message_id(row.try_get("id")?)).transpose()
    }
}

/// Whether the text of a row has all the words.
fn is_match(row: &SqliteRow, words: &[String]) -> Found<bool> {
    let text: Option<&str> = row.try_get("body")?;
    Ok(text.is_some_and(|text| matches(text, words)))
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
        let words = query.words()?;
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

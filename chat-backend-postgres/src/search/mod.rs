//! Full-text search over a folded copy of the texts. With the extension `pg_trgm` in the database there is an index over it.

mod keep_up;
pub(crate) mod trigrams;

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    Backend, Epoch, Error, Result, Search, StoredMessage,
    search::{SearchPage, SearchQuery, matches},
};
use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};

pub(crate) use self::keep_up::{Unsearchable, keep_up, settle};
use crate::{
    PostgresError,
    backend::Shared,
    rows::{self, entry_columns},
};

/// The greatest page.
const MAX_LIMIT: usize = 100;

/// The text of each message is compared once more as it is now: the copy may be behind a deletion, or a trim.
const SEARCH: &str = concat!(
    "SELECT st.epoch, r.id AS room_id, f.id_high AS here_high, f.id_low AS here_low, e.seq IS NOT NULL AS there, ",
    entry_columns!(),
    " FROM (SELECT s.room, s.seq, s.id_high, s.id_low FROM $chat.search s ",
    "WHERE s.room IN (SELECT m.room FROM $chat.members m WHERE m.\"user\" = $1 AND m.role IS NOT NULL AND m.left_at IS NULL) ",
    "AND ($2::text IS NULL OR s.room = (SELECT o.room FROM $chat.rooms o WHERE o.id = $2)) ",
    "AND ($3::bigint IS NULL OR (s.id_high, s.id_low) < ($3, $4)) AND s.body LIKE ALL ($5) ",
    "ORDER BY s.id_high DESC, s.id_low DESC LIMIT $6) f ",
    "LEFT JOIN $chat.entries e ON e.room = f.room AND e.timeline AND e.seq = f.seq JOIN $chat.rooms r ON r.room = f.room ",
    "CROSS JOIN $life st ORDER BY f.id_high DESC, f.id_low DESC"
);
const IS_MEMBER: &str = "
SELECT EXISTS (SELECT 1 FROM $chat.members m JOIN $chat.rooms r ON r.room = m.room
    WHERE r.id = $1 AND m.\"user\" = $2 AND m.role IS NOT NULL AND m.left_at IS NULL) AS member";

type Found<T> = std::result::Result<T, PostgresError>;

/// [`Search`] in PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct PostgresSearch {
    shared: Arc<Shared>,
}

impl PostgresSearch {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn page(&self, query: &SearchQuery, words: &[String]) -> Found<Result<SearchPage>> {
        let limit = query.limit.clamp(1, MAX_LIMIT);
        if let Some(room) = &query.room {
            let statement = self.shared.sql.query(IS_MEMBER).bind(room.as_str()).bind(query.user.as_str());
            let rows = self.shared.all(statement).await?;
            if !rows.first().map_or(Ok(false), |row| row.try_get("member"))? {
                let (room, user) = (room.clone(), query.user.clone());
                return Ok(Err(Error::NotAMember { room, user }));
            }
        }
        let text = self.shared.sql.text(&search_for(words.len()));
        let patterns: Vec<String> = words.iter().map(|word| pattern(word)).collect();
        let (first, others) =
            patterns.split_first().map_or(("%", &[][..]), |(first, others)| (first.as_str(), others));
        let mut messages: Vec<StoredMessage> = Vec::new();
        let mut before = query.before;
        loop {
            // One more than is missing says whether more follows.
            let wanted = limit + 1 - messages.len();
            let halves = before.map(rows::halves);
            // Planned anew for these words: whether the index helps depends on how many messages have them.
            let mut statement = sqlx::query(AssertSqlSafe(text.clone()))
                .persistent(false)
                .bind(query.user.as_str())
                .bind(query.room.as_ref().map(|room| room.as_str()))
                .bind(halves.map(|(high, _)| high))
                .bind(halves.map(|(_, low)| low))
                .bind(first)
                .bind(rows::integer(wanted as u64));
            for other in others {
                statement = statement.bind(other);
            }
            let found = self.shared.all(statement).await?;
            for row in &found {
                before = Some(rows::message_id(row.try_get("here_high")?, row.try_get("here_low")?));
                if !row.try_get::<bool, _>("there")? {
                    continue;
                }
                let message = self.message(row).await?;
                if is_match(&message, words) {
                    messages.push(message);
                }
            }
            if messages.len() > limit {
                messages.truncate(limit);
                let next = messages.last().map(|message| message.position.id);
                return Ok(Ok(SearchPage { messages, next }));
            }
            if found.len() < wanted {
                return Ok(Ok(SearchPage { messages, next: None }));
            }
        }
    }

    async fn message(&self, row: &PgRow) -> Found<StoredMessage> {
        let epoch: Epoch = self.shared.epoch_of(row).await?;
        let room = rows::room_id(row.try_get("room_id")?)?;
        rows::entry(row, &room, &epoch)
    }
}

/// The statement for so many words, `$5` and from `$7` on: the index knows what to do with each of them, and not with all of a
/// list.
fn search_for(words: usize) -> String {
    let others = (7..7 + words.saturating_sub(1)).map(|number| format!(" AND s.body LIKE ${number}"));
    SEARCH.replace("LIKE ALL ($5)", &format!("LIKE $5{}", others.collect::<String>()))
}

/// A word anywhere in the text.
fn pattern(word: &str) -> String {
    let mut pattern = String::with_capacity(word.len() + 2);
    pattern.push('%');
    for char in word.chars() {
        if matches!(char, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern.push('%');
    pattern
}

fn is_match(message: &StoredMessage, words: &[String]) -> bool {
    use chat_core::Body;
    message.state.deleted.is_none()
        && match message.content.body() {
            Some(Body::Text(text)) => matches(text, words),
            Some(Body::Json(json)) => matches(json.as_str(), words),
            Some(Body::Removed) | None => false,
        }
}

#[async_trait]
impl Backend for PostgresSearch {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl Search for PostgresSearch {
    async fn search(&self, query: SearchQuery) -> Result<SearchPage> {
        let words = query.words()?;
        self.page(&query, &words).await.map_err(|error| error.during("search"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_a_condition_of_its_own() {
        assert!(search_for(1).contains("AND s.body LIKE $5 ORDER BY"));
        assert!(search_for(3).contains("AND s.body LIKE $5 AND s.body LIKE $7 AND s.body LIKE $8 ORDER BY"));
    }

    #[test]
    fn what_means_something_in_a_pattern_is_only_a_character() {
        assert_eq!(pattern("50%_\\"), "%50\\%\\_\\\\%");
    }
}

//! The search index follows behind the log: an append does not wait for it, and what is missing is known by one number
//! that is stored with it, so nothing is forgotten when the process dies in between.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _};
use tokio::time::Instant;

use super::Task;
use crate::{SqliteError, rows::integer, search::terms};

/// Messages indexed in one transaction: some milliseconds' worth, which a call that arrives meanwhile waits at most.
const STEP: i64 = 256;
/// Or this much text, if that comes first: a body of the greatest size takes some tenths of a second.
const STEP_BYTES: i64 = 64 * 1024;
/// The index waits for a pause this long in what is asked, unless it is far behind: larger steps cost less per message.
const PAUSE: Duration = Duration::from_millis(5);
/// After a failure, such as a full disk, it is tried again so much later, or after a trim.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// So far behind, appends wait for the index now and then, or it would never be done under steady load.
const FAR_BEHIND: i64 = 4_096;
/// Rows are inserted so many at a time: two forms, so that each is prepared once.
const ROWS_AT_ONCE: [usize; 2] = [32, 1];

/// The index is a stack of sorted runs; each step merges about as much as it adds, where SQLite by itself would now and
/// then merge for a tenth of a second ([manual](https://www.sqlite.org/fts5.html#the_merge_command)).
pub(super) const MERGE: &str = "INSERT INTO search (search, rank) VALUES ('merge', ?)";
/// 112 bytes a message make 7 pages a step; a run is merged several times over its life.
pub(super) const MERGE_PAGES: i64 = 80;

const NEXT: &str = "
SELECT entry, room, body FROM (
    SELECT entry, room, body, sum(octet_length(body)) OVER (ORDER BY entry) AS total FROM entries
    WHERE entry > ?1 AND entry <= ?1 + ?2 AND body IS NOT NULL AND kind IN (0, 6) AND deleted_seq IS NULL
) WHERE total - octet_length(body) <= ?3 ORDER BY entry";

/// How far the index is.
#[derive(Debug)]
pub(super) struct Progress {
    indexed: i64,
    /// After a failure: no step is taken before.
    retry_at: Option<Instant>,
}

impl Progress {
    pub(super) const fn new(indexed: i64) -> Self {
        Self { indexed, retry_at: None }
    }

    /// How long nobody may ask for anything before a step is taken; `None` if there is nothing to do.
    pub(super) fn pause(&self, last: i64) -> Option<Duration> {
        let after_failure = |at: Instant| at.saturating_duration_since(Instant::now());
        (self.indexed < last).then(|| self.retry_at.map_or(PAUSE, after_failure))
    }

    /// A step failed and its time to be tried again has come: however much is asked, or it would never be.
    fn is_due(&self, last: i64) -> bool {
        self.indexed < last && self.retry_at.is_some_and(|at| at <= Instant::now())
    }

    /// There may be space again.
    pub(super) const fn try_again(&mut self) {
        self.retry_at = None;
    }

    fn is_far_behind(&self, last: i64) -> bool {
        self.retry_at.is_none() && last - self.indexed > FAR_BEHIND
    }
}

impl Task {
    /// Replaces what the index has of an entry; what it has not reached yet it will see as it is then.
    pub(super) async fn reindex(&mut self, entry: i64, terms: Option<&str>) -> Result<(), SqliteError> {
        if entry > self.index.indexed {
            return Ok(());
        }
        sqlx::query("DELETE FROM search WHERE rowid = ?").bind(entry).execute(&mut self.connection).await?;
        if let Some(terms) = terms {
            sqlx::query("INSERT INTO search (rowid, terms) VALUES (?, ?)")
                .bind(entry)
                .bind(terms)
                .execute(&mut self.connection)
                .await?;
        }
        Ok(())
    }

    /// One step of catching up. A failure is logged; the index stays where it was.
    pub(super) async fn index_some(&mut self) {
        if let Err(error) = self.try_index_some().await {
            if self.index.retry_at.is_none() {
                tracing::warn!(%error, "the search index cannot go on; it is tried again every second");
            }
            self.index.retry_at = Some(Instant::now() + PAUSE_AFTER_FAILURE);
        }
    }

    /// As many steps as keep up with so many new entries, if it is far behind; one step if the last one failed a while ago.
    pub(super) async fn keep_up(&mut self, stored: usize) {
        if self.index.is_due(self.counters.last_entry) {
            self.index_some().await;
        }
        let mut left = i64::try_from(stored).unwrap_or(i64::MAX).saturating_add(STEP);
        while left > 0 && self.index.is_far_behind(self.counters.last_entry) {
            self.index_some().await;
            left -= STEP;
        }
    }

    /// One step; true once there is nothing left to do.
    pub(super) async fn settle_some(&mut self) -> Result<bool, SqliteError> {
        if self.index.indexed < self.counters.last_entry {
            self.try_index_some().await?;
        }
        Ok(self.index.indexed >= self.counters.last_entry)
    }

    async fn try_index_some(&mut self) -> Result<(), SqliteError> {
        let done = self.index_step().await;
        if done.is_err() {
            // After some failures SQLite has rolled back by itself: then there is nothing to roll back.
            let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
        }
        done
    }

    async fn index_step(&mut self) -> Result<(), SqliteError> {
        let (from, mut to) = (self.index.indexed, (self.index.indexed + STEP).min(self.counters.last_entry));
        // Plain statements, as for the log: a transaction of sqlx's own would not notice that SQLite rolled it back.
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        let (mut terms, mut bytes) = (Vec::new(), 0);
        for row in
            sqlx::query(NEXT).bind(from).bind(STEP).bind(STEP_BYTES).fetch_all(&mut self.connection).await?
        {
            let (entry, room): (i64, i64) = (row.try_get("entry")?, row.try_get("room")?);
            let text: &str = row.try_get("body")?;
            terms.push((entry, terms::index_terms(text, room.unsigned_abs())));
            bytes += integer(text.len() as u64);
            if bytes > STEP_BYTES {
                to = entry;
                break;
            }
        }
        let mut rest = terms.as_slice();
        for rows in ROWS_AT_ONCE {
            while let Some((some, others)) = rest.split_at_checked(rows) {
                let values = vec!["(?, ?)"; rows].join(", ");
                let mut insert =
                    sqlx::query(AssertSqlSafe(format!("INSERT INTO search (rowid, terms) VALUES {values}")));
                for (entry, terms) in some {
                    insert = insert.bind(entry).bind(terms);
                }
                insert.execute(&mut self.connection).await?;
                rest = others;
            }
        }
        sqlx::query("UPDATE store SET indexed_entry = ?").bind(to).execute(&mut self.connection).await?;
        sqlx::query(MERGE).bind(MERGE_PAGES).execute(&mut self.connection).await?;
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        self.index.indexed = to;
        self.index.retry_at = None;
        Ok(())
    }
}

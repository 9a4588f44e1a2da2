//! The search index follows behind the log: an append does not wait for it, and what is missing is known by one number
//! that is stored with it, so nothing is forgotten when the process dies in between.

use std::time::Duration;

use sqlx::{Connection as _, Row as _};

use super::Task;
use crate::{SqliteError, search::terms};

/// Messages indexed in one transaction: few enough that a call that arrives meanwhile waits some milliseconds.
const STEP: i64 = 128;
/// So far behind, appends wait for the index now and then, or it would never be done under steady load.
const FAR_BEHIND: i64 = 8_192;

/// After a failure it is tried again so much later, or after the next write.
const RETRY_AFTER: Duration = Duration::from_secs(1);

const NEXT: &str = "
SELECT entry, room, body FROM entries
WHERE entry > ?1 AND entry <= ?1 + ?2 AND body IS NOT NULL AND kind IN (0, 6) AND deleted_seq IS NULL
ORDER BY entry";

/// How far the index is.
#[derive(Debug)]
pub(super) struct Progress {
    indexed: i64,
    /// It failed: not tried again before something is written, or some time has passed.
    failed_at: Option<i64>,
    /// It failed the last time: that was logged.
    failing: bool,
}

impl Progress {
    pub(super) const fn new(indexed: i64) -> Self {
        Self { indexed, failed_at: None, failing: false }
    }

    /// There is something to do.
    pub(super) fn behind(&self, last: i64) -> bool {
        self.indexed < last && self.failed_at != Some(last)
    }

    /// How long to wait for something to do, before it is tried again; `None` if it did not fail.
    pub(super) fn wait_after_failure(&self, last: i64) -> Option<Duration> {
        (self.indexed < last && self.failed_at.is_some()).then_some(RETRY_AFTER)
    }

    /// There may be space again, or a lock may be gone.
    pub(super) const fn try_again(&mut self) {
        self.failed_at = None;
    }

    pub(super) fn is_far_behind(&self, last: i64) -> bool {
        self.behind(last) && last - self.indexed > FAR_BEHIND
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
            if !self.index.failing {
                tracing::warn!(%error, "the search index cannot go on; it will try again and again");
            }
            self.index.failing = true;
            self.index.failed_at = Some(self.counters.last_entry);
        }
    }

    /// Catches up with everything.
    pub(super) async fn index_all(&mut self) -> Result<(), SqliteError> {
        while self.index.indexed < self.counters.last_entry {
            self.try_index_some().await?;
        }
        Ok(())
    }

    async fn try_index_some(&mut self) -> Result<(), SqliteError> {
        let (from, to) = (self.index.indexed, (self.index.indexed + STEP).min(self.counters.last_entry));
        let mut transaction = self.connection.begin().await?;
        for row in sqlx::query(NEXT).bind(from).bind(STEP).fetch_all(&mut *transaction).await? {
            let room: i64 = row.try_get("room")?;
            sqlx::query("INSERT INTO search (rowid, terms) VALUES (?, ?)")
                .bind(row.try_get::<i64, _>("entry")?)
                .bind(terms::index_terms(row.try_get("body")?, room.unsigned_abs()))
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("UPDATE store SET indexed_entry = ?").bind(to).execute(&mut *transaction).await?;
        transaction.commit().await?;
        self.index.indexed = to;
        self.index.failed_at = None;
        self.index.failing = false;
        Ok(())
    }
}

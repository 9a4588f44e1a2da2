//! Removes the oldest entries of a room, some at a time.

use chat_core::{Cursor, Error, Head, Result, Retention, RoomId, Seq};
use sqlx::{AssertSqlSafe, Row as _};

use super::{
    Task,
    index::{MERGE, MERGE_PAGES},
};
use crate::{
    SqliteError,
    rows::{self, integer},
};

/// Entries removed in one transaction: some milliseconds' worth, which is what others wait for it at most.
const STEP: u64 = 1_000;

/// Free pages given back to the file system after a step: about as many as a step frees.
const GIVE_BACK: &str = "PRAGMA incremental_vacuum(256)";
/// Removing needs space before it gives some back: the search index notes what is gone, and puts its parts together now
/// and then. In a file that has reached its size, a trim may take an eighth more, and so many pages.
const EXTRA_PAGES: u64 = 4_096;

/// The first entry that is young enough; entries are in the order they were stored, whatever the clock did.
const FIRST_YOUNG: &str = "
SELECT seq FROM (
    SELECT seq, created_at FROM entries WHERE room = ?1 AND timeline IN (0, 1) AND seq >= ?2 AND seq < ?3 ORDER BY seq
) WHERE created_at >= ?4 ORDER BY seq LIMIT 1";

/// All that hangs on the entries of a room with positions before another.
const REMOVE: [&str; 4] = [
    "DELETE FROM search WHERE rowid IN (SELECT entry FROM entries WHERE room = ?1 AND timeline = 1 AND seq < ?2)",
    "DELETE FROM reactions WHERE reaction IN (SELECT reaction FROM reaction_keys WHERE entry IN \
     (SELECT entry FROM entries WHERE room = ?1 AND timeline = 1 AND seq < ?2 AND reacted = 1))",
    "DELETE FROM reaction_keys WHERE entry IN \
     (SELECT entry FROM entries WHERE room = ?1 AND timeline = 1 AND seq < ?2 AND reacted = 1)",
    "DELETE FROM entries WHERE room = ?1 AND timeline IN (0, 1) AND seq < ?2",
];

/// Stretches that lie before what is kept.
const FORGET_DELETIONS: &str = "DELETE FROM deletions WHERE room = ?1 AND stretch < (?2 >> (6 * level))";

impl Task {
    /// Lets the file grow past its size, for a trim.
    pub(super) async fn allow_for_trim(&mut self) {
        if let Some(pages) = self.max_pages {
            self.allow(pages.saturating_add(pages / 8).saturating_add(EXTRA_PAGES)).await;
        }
    }

    /// Back to what was set: free pages past it are given up. A file that is still larger may not grow.
    pub(super) async fn allow_for_rest(&mut self) {
        let Some(pages) = self.max_pages else { return };
        if let Err(error) = self.give_up_pages(pages).await {
            tracing::warn!(%error, "the file could not be made smaller; the next trim will try again");
        }
        self.allow(pages).await;
    }

    async fn give_up_pages(&mut self, pages: u64) -> std::result::Result<(), SqliteError> {
        let count: i64 =
            sqlx::query("PRAGMA page_count").fetch_one(&mut self.connection).await?.try_get("page_count")?;
        let excess = count.unsigned_abs().saturating_sub(pages);
        if excess > 0 {
            let statement = format!("PRAGMA incremental_vacuum({excess})");
            sqlx::query(AssertSqlSafe(statement)).persistent(false).execute(&mut self.connection).await?;
        }
        Ok(())
    }

    async fn allow(&mut self, pages: u64) {
        let statement = format!("PRAGMA max_page_count = {pages}");
        if let Err(error) = sqlx::query(AssertSqlSafe(statement)).execute(&mut self.connection).await {
            tracing::warn!(%error, "the bound on the file could not be set");
        }
    }

    /// One step. The second half of the answer: nothing is left to remove.
    pub(super) async fn trim(
        &mut self,
        room: &RoomId,
        retention: &Retention,
    ) -> std::result::Result<Result<(Head, bool)>, SqliteError> {
        let found = sqlx::query("SELECT room, head, oldest FROM rooms WHERE id = ?")
            .bind(room.as_str())
            .fetch_optional(&mut self.connection)
            .await?;
        let Some(found) = found else { return Ok(Err(Error::RoomNotFound { room: room.clone() })) };
        let number: i64 = found.try_get("room")?;
        let (head, oldest) = (rows::seq(found.try_get("head")?)?, rows::seq(found.try_get("oldest")?)?);
        // Up to here, and not further, in this step.
        let end = oldest.plus(STEP).min(head.next());
        let by_count =
            retention.max_entries.map_or(oldest, |max| Seq::ZERO.plus(head.get().saturating_sub(max)).next());
        let by_time = match retention.not_before {
            Some(time) => self.first_young(number, oldest, end, integer(time.as_millis())).await?,
            None => oldest,
        };
        let first_kept = by_count.max(by_time).clamp(oldest, end);
        if first_kept > oldest {
            for statement in REMOVE {
                sqlx::query(statement)
                    .bind(number)
                    .bind(integer(first_kept.get()))
                    .execute(&mut self.connection)
                    .await?;
            }
            // What is gone from the index takes space until its runs are merged.
            sqlx::query(MERGE).bind(MERGE_PAGES).execute(&mut self.connection).await?;
            sqlx::query("UPDATE rooms SET oldest = ? WHERE room = ?")
                .bind(integer(first_kept.get()))
                .bind(number)
                .execute(&mut self.connection)
                .await?;
        }
        let done = first_kept < end || end > head;
        if done {
            // Once for all steps: it looks through everything that was ever deleted in the room.
            let forget = sqlx::query(FORGET_DELETIONS).bind(number).bind(integer(first_kept.get()));
            forget.execute(&mut self.connection).await?;
        }
        Ok(Ok((Head { cursor: Cursor::new(self.epoch.clone(), head), oldest: first_kept }, done)))
    }

    /// The position of the first entry from `oldest` on that is young enough; `end` if none before it is.
    async fn first_young(
        &mut self,
        room: i64,
        oldest: Seq,
        end: Seq,
        time: i64,
    ) -> std::result::Result<Seq, SqliteError> {
        let row = sqlx::query(FIRST_YOUNG)
            .bind(room)
            .bind(integer(oldest.get()))
            .bind(integer(end.get()))
            .bind(time)
            .fetch_optional(&mut self.connection)
            .await?;
        row.map_or(Ok(end), |row| rows::seq(row.try_get("seq")?))
    }

    /// Lets the file shrink; that it does not is no failure of the trim.
    pub(super) async fn give_pages_back(&mut self) {
        if let Err(error) = sqlx::query(GIVE_BACK).execute(&mut self.connection).await {
            tracing::debug!(%error, "free pages stay in the file");
        }
    }
}

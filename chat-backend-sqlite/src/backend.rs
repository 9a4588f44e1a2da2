use std::{
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, Clock, Epoch, MessageLog, Result, Retention, RoomId, Rooms, Search, Storage, Timestamp,
};
use sqlx::{Row as _, SqlitePool};

use crate::{
    OpenError, RetentionPolicy, SqliteConfig, SqliteError,
    backup::Copier,
    message_log::SqliteLog,
    open,
    rooms::SqliteRooms,
    rows::{self, integer},
    search::SqliteSearch,
    writer::Writer,
};

/// Rooms looked at in one query of the retention policy.
const ROOMS_AT_ONCE: i64 = 500;

/// Rooms of which something is older or more than the policy keeps.
const TO_TRIM: &str = "
SELECT r.room, r.id FROM rooms r
WHERE r.room > ?1 AND r.head >= r.oldest AND (r.head - r.oldest + 1 > ?2 OR
    (SELECT e.created_at FROM entries e WHERE e.room = r.room AND e.timeline IN (0, 1) AND e.seq = r.oldest) < ?3)
ORDER BY r.room LIMIT ?4";

/// One SQLite file with rooms, their logs and a search index; cheap to clone.
///
/// Writing goes through one task, reading through a few connections beside it. The file is owned by this process from
/// [`open`](Self::open) until [`close`](Self::close), or until the last clone and the last part are dropped.
#[derive(Debug, Clone)]
pub struct SqliteBackend {
    pub(crate) shared: Arc<Shared>,
}

/// What all parts hold.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) epoch: Epoch,
    pub(crate) readers: SqlitePool,
    pub(crate) writer: Writer,
    pub(crate) copier: Copier,
}

impl SqliteBackend {
    /// Opens the file, or makes it, and brings it to this release's schema. Needs a running Tokio runtime.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another process (or another opening in this one) owns it; see [`OpenError`] for the
    /// rest. Nothing is changed then, except that a migration that succeeded stays.
    pub async fn open(config: SqliteConfig) -> std::result::Result<Self, OpenError> {
        let (policy, interval, clock) =
            (config.retention, config.retention_interval, Arc::clone(&config.clock));
        let shared = Arc::new(open::open(config).await?);
        if !policy.keeps_everything() {
            tokio::spawn(keep_to(policy, interval, clock, Arc::downgrade(&shared)));
        }
        Ok(Self { shared })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Writes a copy of everything as it is now to `target`, which must not be there yet, while reading and writing go on.
    /// The copy is whole or not there; it is finished even if the caller goes away. [`restore`](Self::restore) puts it back;
    /// it starts with a new epoch, so that clients who have seen more than it holds are told.
    ///
    /// # Errors
    /// When `target` is there, cannot be written, or the disk is full.
    pub async fn backup(&self, target: impl AsRef<Path>) -> std::result::Result<(), SqliteError> {
        self.shared.copier.write(&self.shared.readers, target.as_ref()).await
    }

    /// Puts a [`backup`](Self::backup) in the place of the file at `target`, which may be missing. What was in it is gone.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while a process owns the file; [`OpenError::File`] when either cannot be read or written: the
    /// old file may then have lost what a crash left beside it, and no more.
    pub fn restore(backup: impl AsRef<Path>, target: impl AsRef<Path>) -> std::result::Result<(), OpenError> {
        crate::backup::restore(backup.as_ref(), target.as_ref())
    }

    /// Returns once everything stored before can be found. The index follows some milliseconds behind the log.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn settle_search(&self) -> Result<()> {
        self.shared.writer.settle_index().await
    }

    /// Removes what the policy does not keep, of every room, now.
    ///
    /// # Errors
    /// When the file cannot be read or written; what was removed until then stays removed.
    pub async fn apply_retention(&self, policy: RetentionPolicy, now: Timestamp) -> Result<()> {
        self.shared.apply_retention(policy, now).await
    }

    /// Finishes what was asked for, moves everything into the one file and gives it up. Calls that come later fail.
    ///
    /// # Errors
    /// When the disk fails; everything that was acknowledged is stored all the same.
    pub async fn close(&self) -> Result<()> {
        self.shared.writer.close().await
    }
}

impl Storage for SqliteBackend {
    fn message_log(&self) -> Arc<dyn MessageLog> {
        Arc::new(SqliteLog::new(Arc::clone(&self.shared)))
    }

    fn rooms(&self) -> Arc<dyn Rooms> {
        Arc::new(SqliteRooms::new(Arc::clone(&self.shared)))
    }

    fn search(&self) -> Arc<dyn Search> {
        Arc::new(SqliteSearch::new(Arc::clone(&self.shared)))
    }
}

#[async_trait]
impl Backend for SqliteBackend {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

impl Shared {
    /// Whether the file can be read and the writer is there.
    pub(crate) async fn health(&self) -> Result<()> {
        if !self.writer.is_open() {
            return Err(SqliteError::closed().during("health"));
        }
        let read = sqlx::query("SELECT epoch FROM store").fetch_one(&self.readers).await;
        read.map(drop).map_err(|error| SqliteError::from(error).during("health"))
    }

    async fn apply_retention(&self, policy: RetentionPolicy, now: Timestamp) -> Result<()> {
        let not_before = policy.max_age.map(|age| {
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            Timestamp::from_millis(now.as_millis().saturating_sub(age))
        });
        let retention = Retention { max_entries: policy.max_entries, not_before };
        let mut after = 0;
        loop {
            let rooms = self.to_trim(&retention, after).await.map_err(|error| error.during("retention"))?;
            let Some((last, _)) = rooms.last() else { return Ok(()) };
            after = *last;
            for (_, room) in rooms {
                self.writer.trim(&room, retention.clone()).await?;
            }
        }
    }

    async fn to_trim(
        &self,
        retention: &Retention,
        after: i64,
    ) -> std::result::Result<Vec<(i64, RoomId)>, SqliteError> {
        let found = sqlx::query(TO_TRIM)
            .bind(after)
            .bind(retention.max_entries.map_or(i64::MAX, integer))
            .bind(retention.not_before.map_or(0, |time| integer(time.as_millis())))
            .bind(ROOMS_AT_ONCE)
            .fetch_all(&self.readers)
            .await?;
        found.iter().map(|row| Ok((row.try_get("room")?, rows::room_id(row.try_get("id")?)?))).collect()
    }
}

/// Applies the policy now and then, until the backend is gone.
async fn keep_to(policy: RetentionPolicy, interval: Duration, clock: Arc<dyn Clock>, shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(shared) = shared.upgrade().filter(|shared| shared.writer.is_open()) else { return };
        if let Err(error) = shared.apply_retention(policy, clock.now()).await {
            tracing::warn!(%error, "old entries could not be removed; it is tried again later");
        }
    }
}

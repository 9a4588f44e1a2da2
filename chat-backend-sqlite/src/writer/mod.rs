//! The one task that writes. Calls wait in a bounded queue; all that wait are done in one transaction, so a commit, and
//! the disk it waits for, is shared by as many as there are. A caller who goes away changes nothing: what it asked for is
//! done as a whole or not at all.

mod append;
mod index;
mod job;
mod rooms;
mod transaction;
mod trim;

pub(crate) use self::append::json;

use std::sync::Arc;

use chat_core::{
    AppendOutcome, Clock, Cursor, Draft, Epoch, Head, MemberChange, MemberOutcome, MessageId, NewRoom,
    ReadMarker, Result, Retention, Room, RoomChange, RoomId, UserId,
};
use sqlx::{Connection as _, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot, watch};

use self::{
    index::Progress,
    job::{Answer, Job, Request},
};
use crate::{SqliteError, SqliteErrorKind, owner::Owner};

/// A transaction takes at most this many entries, so that those who wait for its end do not wait long.
const MAX_DRAFTS: usize = 1_024;
/// And at most this many calls.
const MAX_JOBS: usize = 512;

/// How to reach the task.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
    ended: watch::Receiver<Option<Ended>>,
}

/// How the task ended.
type Ended = std::result::Result<(), SqliteError>;

/// What the task has.
#[derive(Debug)]
pub(crate) struct WriterParts {
    pub(crate) connection: SqliteConnection,
    /// Closed at the end, so that the last connection is the one that may tidy up.
    pub(crate) readers: SqlitePool,
    pub(crate) owner: Owner,
    pub(crate) epoch: Epoch,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Counters,
    pub(crate) indexed_entry: i64,
    pub(crate) max_pages: Option<u64>,
}

/// What is given out across rooms, as of the last commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) last_entry: i64,
    pub(crate) last_id: Option<MessageId>,
}

struct Task {
    connection: SqliteConnection,
    readers: SqlitePool,
    owner: Owner,
    epoch: Epoch,
    clock: Arc<dyn Clock>,
    counters: Counters,
    index: Progress,
    max_pages: Option<u64>,
    jobs: mpsc::Receiver<Job>,
}

impl Writer {
    /// Starts the task. It ends, with everything written, when every [`Writer`] is dropped or one of them says so.
    pub(crate) fn start(parts: WriterParts, queue: usize) -> Self {
        let (sender, jobs) = mpsc::channel(queue);
        let WriterParts { connection, readers, owner, epoch, clock, counters, indexed_entry, max_pages } =
            parts;
        let index = Progress::new(indexed_entry);
        let task = Task { connection, readers, owner, epoch, clock, counters, index, max_pages, jobs };
        let (end, ended) = watch::channel(None);
        tokio::spawn(async move {
            let result = task.run().await;
            end.send_replace(Some(result));
        });
        Self { jobs: sender, ended }
    }

    async fn ask<T>(
        &self,
        operation: &'static str,
        request: impl FnOnce(oneshot::Sender<Result<T>>) -> Request,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let closed = || SqliteError::closed().during(operation);
        self.jobs.send(Job { operation, request: request(reply) }).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(crate) async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let drafts = drafts.to_vec();
        self.ask("append", |reply| Request::Append(drafts, reply)).await
    }

    pub(crate) async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        // In steps, so that appends are not held up for as long as the whole takes.
        loop {
            let (room, retention) = (room.clone(), retention.clone());
            let (head, done) = self.ask("trim", |reply| Request::Trim(room, retention, reply)).await?;
            if done {
                return Ok(head);
            }
        }
    }

    pub(crate) async fn create(&self, room: NewRoom) -> Result<(Room, bool)> {
        self.ask("create room", |reply| Request::Create(room, reply)).await
    }

    pub(crate) async fn update(&self, room: &RoomId, change: RoomChange) -> Result<Room> {
        self.ask("update room", |reply| Request::Update(room.clone(), change, reply)).await
    }

    pub(crate) async fn change_member(&self, room: &RoomId, change: MemberChange) -> Result<MemberOutcome> {
        self.ask("change member", |reply| Request::ChangeMember(room.clone(), change, reply)).await
    }

    pub(crate) async fn mark_read(
        &self,
        room: &RoomId,
        user: &UserId,
        cursor: &Cursor,
    ) -> Result<ReadMarker> {
        self.ask("mark read", |reply| Request::MarkRead(room.clone(), user.clone(), cursor.clone(), reply))
            .await
    }

    /// Returns once everything stored before can be found.
    pub(crate) async fn settle_index(&self) -> Result<()> {
        // In steps, as a trim.
        while !self.ask("index", Request::SettleIndex).await? {}
        Ok(())
    }

    /// Writes what waits and ends the task; whoever asks, and whenever, waits for the end.
    pub(crate) async fn close(&self) -> Result<()> {
        // Where it cannot be sent the task is ending, or has ended.
        let _ = self.jobs.send(Job { operation: "close", request: Request::Close }).await;
        let mut ended = self.ended.clone();
        let ended = match ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Ok(())),
            // Its runtime went away.
            Err(_) => Err(SqliteError::closed()),
        };
        ended.map_err(|error| error.during("close"))
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.jobs.is_closed()
    }
}

impl Task {
    async fn run(mut self) -> Ended {
        let mut batch = Vec::new();
        while self.gather(&mut batch).await {
            if self.serve(std::mem::take(&mut batch)).await {
                break;
            }
        }
        self.jobs.close();
        let ended = self.end().await;
        if let Err(error) = &ended {
            tracing::warn!(error = %error, cause = ?error, "the SQLite file was not closed cleanly");
        }
        ended
    }

    /// Waits for work and takes what there is; without any, the index catches up. False when nobody can ask any more.
    async fn gather(&mut self, batch: &mut Vec<Job>) -> bool {
        loop {
            let next = match self.index.pause(self.counters.last_entry) {
                Some(pause) => tokio::time::timeout(pause, self.jobs.recv()).await,
                None => Ok(self.jobs.recv().await),
            };
            match next {
                Ok(Some(job)) => {
                    batch.push(job);
                    break;
                }
                Ok(None) => return false,
                Err(_) => self.index_some().await,
            }
        }
        let mut drafts = batch.iter().map(Job::drafts).sum::<usize>();
        while batch.len() < MAX_JOBS && drafts < MAX_DRAFTS {
            let Ok(job) = self.jobs.try_recv() else { break };
            drafts += job.drafts();
            batch.push(job);
        }
        true
    }

    /// Does a batch and answers it. True if the task is to end.
    async fn serve(&mut self, mut work: Vec<Job>) -> bool {
        let closing = !extract(&mut work, |job| matches!(job.request, Request::Close)).is_empty();
        let settle = extract(&mut work, |job| matches!(job.request, Request::SettleIndex(_)));
        // First, and not together with what needs space: a trim may be what makes it.
        let trims = extract(&mut work, |job| matches!(job.request, Request::Trim(..)));
        if !trims.is_empty() {
            self.allow_for_trim().await;
            self.serve_together(trims).await;
            self.give_pages_back().await;
            self.allow_for_rest().await;
            self.index.try_again();
        }
        let before = self.counters.last_entry;
        self.serve_together(work).await;
        self.keep_up(usize::try_from(self.counters.last_entry - before).unwrap_or(0)).await;
        if !settle.is_empty() {
            let settled = self.settle_some().await;
            for job in settle {
                match &settled {
                    Ok(done) => job.answer(Answer::Settled(*done)),
                    Err(error) => job.fail(error),
                }
            }
        }
        closing
    }

    /// Does all of them in one transaction.
    async fn serve_together(&mut self, work: Vec<Job>) {
        match self.commit(&work).await {
            Ok(answers) => work.into_iter().zip(answers).for_each(|(job, answer)| job.answer(answer)),
            // One of them may be to blame, or they fit one by one: each for itself.
            Err(error)
                if work.len() > 1
                    && matches!(
                        error.kind(),
                        SqliteErrorKind::Other | SqliteErrorKind::DiskFull | SqliteErrorKind::Corrupt
                    ) =>
            {
                for job in work {
                    self.serve_alone(job).await;
                }
            }
            Err(error) => work.into_iter().for_each(|job| job.fail(&error)),
        }
    }

    async fn serve_alone(&mut self, job: Job) {
        match self.commit(std::slice::from_ref(&job)).await {
            Ok(mut answers) => match answers.pop() {
                Some(answer) => job.answer(answer),
                None => job.fail(&SqliteError::closed()),
            },
            Err(error) => job.fail(&error),
        }
    }

    /// Everything on the disk, in one file.
    async fn end(mut self) -> Ended {
        // For the next opening's sake alone; a full file has no space for it.
        if let Err(error) = sqlx::query("PRAGMA optimize").execute(&mut self.connection).await {
            tracing::debug!(%error, "the planner's statistics were not renewed");
        }
        self.readers.close().await;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut self.connection).await?;
        self.connection.close().await?;
        self.owner.end().map_err(|error| SqliteError::new(SqliteErrorKind::Disk, error))
    }
}

fn extract(jobs: &mut Vec<Job>, mut wanted: impl FnMut(&Job) -> bool) -> Vec<Job> {
    jobs.extract_if(.., |job| wanted(job)).collect()
}

//! One transaction for a batch of requests.

use chat_core::Draft;

use super::{
    Task,
    job::{Answer, Job, Request},
};
use crate::SqliteError;

impl Task {
    /// Does all of `jobs` and commits, or does nothing. The answers are in the order of the jobs.
    pub(super) async fn commit(&mut self, jobs: &[Job]) -> Result<Vec<Answer>, SqliteError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let counters = self.counters;
        let done = self.try_commit(jobs).await;
        if done.is_err() {
            self.counters = counters;
            // After some failures SQLite has rolled back by itself: then there is nothing to roll back.
            let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
            return done;
        }
        self.witness();
        done
    }

    async fn try_commit(&mut self, jobs: &[Job]) -> Result<Vec<Answer>, SqliteError> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        // Those who ask at the same time asked in no order; rooms and members go first, and then all entries at once.
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            answers.push(self.answer(&job.request).await?);
        }
        let drafts: Vec<&Draft> = jobs
            .iter()
            .flat_map(|job| match &job.request {
                Request::Append(drafts, _) => drafts.as_slice(),
                _ => &[],
            })
            .collect();
        if !drafts.is_empty() {
            let mut outcomes = self.append(&drafts).await?.into_iter();
            for (answer, job) in answers.iter_mut().zip(jobs) {
                if let Answer::Append(own) = answer {
                    own.extend(outcomes.by_ref().take(job.drafts()));
                }
            }
        }
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        Ok(answers)
    }

    async fn answer(&mut self, request: &Request) -> Result<Answer, SqliteError> {
        Ok(match request {
            Request::Append(drafts, _) => Answer::Append(Vec::with_capacity(drafts.len())),
            Request::Create(room, _) => Answer::Create(self.create(room).await?),
            Request::Update(room, change, _) => Answer::Update(self.update(room, change).await?),
            Request::ChangeMember(room, change, _) => {
                Answer::ChangeMember(self.change_member(room, change).await?)
            }
            Request::MarkRead(room, user, cursor, _) => {
                Answer::MarkRead(self.mark_read(room, user, cursor).await?)
            }
            Request::Trim(room, retention, _) => Answer::Trim(self.trim(room, retention).await?),
            Request::SettleIndex(_) | Request::Close => Answer::Done,
        })
    }

    /// Lets the witness know what was committed, before anybody is answered.
    fn witness(&mut self) {
        if let Err(error) = self.owner.committed(self.counters.last_entry) {
            tracing::warn!(%error, "the file beside the database cannot be written: a restored backup may go unnoticed");
        }
    }
}

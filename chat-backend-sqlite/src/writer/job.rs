//! What the task is asked for, and how it answers.

use chat_core::{
    AppendOutcome, Cursor, Draft, Head, MemberChange, MemberOutcome, NewRoom, ReadMarker, Result, Retention,
    Room, RoomChange, RoomId, UserId,
};
use tokio::sync::oneshot;

use crate::SqliteError;

type Reply<T> = oneshot::Sender<Result<T>>;

#[derive(Debug)]
pub(super) struct Job {
    pub(super) operation: &'static str,
    pub(super) request: Request,
}

#[derive(Debug)]
pub(super) enum Request {
    Append(Vec<Draft>, Reply<Vec<AppendOutcome>>),
    Create(NewRoom, Reply<(Room, bool)>),
    Update(RoomId, RoomChange, Reply<Room>),
    ChangeMember(RoomId, MemberChange, Reply<MemberOutcome>),
    MarkRead(RoomId, UserId, Cursor, Reply<ReadMarker>),
    /// The second half of the answer: nothing is left to do.
    Trim(RoomId, Retention, Reply<(Head, bool)>),
    /// The answer: nothing is left to do.
    SettleIndex(Reply<bool>),
    /// Answered by the end of the task, to all who wait for it.
    Close,
}

/// What a transaction found for one request; sent once it is committed.
#[derive(Debug)]
pub(super) enum Answer {
    Append(Vec<AppendOutcome>),
    Create(Result<(Room, bool)>),
    Update(Result<Room>),
    ChangeMember(Result<MemberOutcome>),
    MarkRead(Result<ReadMarker>),
    Trim(Result<(Head, bool)>),
    Settled(bool),
    Done,
}

impl Job {
    /// How many entries it would store.
    pub(super) fn drafts(&self) -> usize {
        match &self.request {
            Request::Append(drafts, _) => drafts.len(),
            _ => 0,
        }
    }

    /// Answers; a caller who went away is no matter.
    pub(super) fn answer(self, answer: Answer) {
        match (self.request, answer) {
            (Request::Append(_, reply), Answer::Append(outcomes)) => drop(reply.send(Ok(outcomes))),
            (Request::Create(_, reply), Answer::Create(result)) => drop(reply.send(result)),
            (Request::Update(_, _, reply), Answer::Update(result)) => drop(reply.send(result)),
            (Request::ChangeMember(_, _, reply), Answer::ChangeMember(result)) => drop(reply.send(result)),
            (Request::MarkRead(_, _, _, reply), Answer::MarkRead(result)) => drop(reply.send(result)),
            (Request::Trim(_, _, reply), Answer::Trim(result)) => drop(reply.send(result)),
            (Request::SettleIndex(reply), Answer::Settled(done)) => drop(reply.send(Ok(done))),
            (Request::Close, Answer::Done) => {}
            (request, answer) => {
                tracing::error!(?answer, "an answer that nobody asked for");
                drop(request);
            }
        }
    }

    /// Answers that nothing was done.
    pub(super) fn fail(self, error: &SqliteError) {
        let error = error.clone().during(self.operation);
        match self.request {
            Request::Append(_, reply) => drop(reply.send(Err(error))),
            Request::Create(_, reply) => drop(reply.send(Err(error))),
            Request::Update(_, _, reply) => drop(reply.send(Err(error))),
            Request::ChangeMember(_, _, reply) => drop(reply.send(Err(error))),
            Request::MarkRead(_, _, _, reply) => drop(reply.send(Err(error))),
            Request::Trim(_, _, reply) => drop(reply.send(Err(error))),
            Request::SettleIndex(reply) => drop(reply.send(Err(error))),
            Request::Close => {}
        }
    }
}

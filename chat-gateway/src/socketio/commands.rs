//! What clients ask for, one thing after the other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chat_core::{Content, Error, JoinRequest, RoomId, Session};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    Answer, Asked, Dialect, Done, Request,
    dialect::problem,
    emit::{Reply, Stuck, Wire},
    socket::Mount,
};
use crate::{Problem, observe, pace::Pace};

/// When a client that asks for more than can wait may ask again.
const BUSY_RETRY: Duration = Duration::from_millis(200);
/// So many joins of one room may wait for their answers.
const JOINS_PER_ROOM: usize = 8;

/// An event as it came.
pub(super) struct Received {
    pub(super) event: String,
    pub(super) data: Value,
    pub(super) reply: Reply,
    share: Option<OwnedSemaphorePermit>,
}

impl Received {
    pub(super) const fn new(event: String, data: Value, reply: Reply) -> Self {
        Self { event, data, reply, share: None }
    }

    /// With its share of the bytes that may wait.
    pub(super) fn with_share(mut self, share: OwnedSemaphorePermit) -> Self {
        self.share = Some(share);
        self
    }

    fn asked<'a>(&'a self, session: &'a Session) -> Asked<'a> {
        Asked { event: &self.event, data: &self.data, wants_ack: self.reply.is_wanted(), session }
    }
}

/// Joins whose answers come with the events, by room, with their tags. Joining a room again takes the place of what was asked
/// before, so the answer to the later one is that to both.
#[derive(Default)]
pub(super) struct Joins(Mutex<HashMap<RoomId, Vec<(u64, Received)>>>);

impl Joins {
    /// False where too many wait for this room already.
    fn begin(&self, room: &RoomId, tag: u64, received: Received) -> Result<(), Received> {
        let mut joins = self.lock();
        let waiting = joins.entry(room.clone()).or_default();
        if waiting.len() >= JOINS_PER_ROOM {
            return Err(received);
        }
        waiting.push((tag, received));
        Ok(())
    }

    /// Those up to this one.
    pub(super) fn up_to(&self, room: &RoomId, tag: u64) -> Vec<Received> {
        self.split(room, |waiting| *waiting <= tag)
    }

    fn one(&self, room: &RoomId, tag: u64) -> Vec<Received> {
        self.split(room, |waiting| *waiting == tag)
    }

    fn split(&self, room: &RoomId, is_meant: impl Fn(&u64) -> bool) -> Vec<Received> {
        let mut joins = self.lock();
        let (meant, others): (Vec<_>, Vec<_>) =
            joins.remove(room).unwrap_or_default().into_iter().partition(|(tag, _)| is_meant(tag));
        if !others.is_empty() {
            joins.insert(room.clone(), others);
        }
        meant.into_iter().map(|(_, received)| received).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RoomId, Vec<(u64, Received)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells how something went.
pub(super) async fn tell(
    dialect: &dyn Dialect,
    session: &Session,
    wire: &Wire,
    received: &Received,
    done: Result<Done, Problem>,
) -> Result<(), Stuck> {
    if let Err(problem) = &done {
        observe::error(problem.code);
    }
    match dialect.answer(&received.asked(session), done) {
        Answer::Ack(data) if received.reply.is_wanted() => wire.acknowledge(&received.reply, &data).await,
        Answer::Event(emit) => wire.say(&emit).await,
        Answer::Ack(_) | Answer::Nothing => Ok(()),
    }
}

/// Refuses what does not fit the queue: at once or not at all, so that nothing of it is kept.
pub(super) fn answer_busy(dialect: &dyn Dialect, session: &Session, received: &Received) {
    let busy = Problem::from(Error::Busy { retry_after: BUSY_RETRY });
    observe::error(busy.code);
    if let Answer::Ack(data) = dialect.answer(&received.asked(session), Err(busy)) {
        received.reply.try_send(&data);
    }
}

pub(super) struct Commands {
    pub(super) mount: Arc<Mount>,
    pub(super) session: Session,
    pub(super) wire: Arc<Wire>,
    pub(super) joins: Arc<Joins>,
}

impl Commands {
    /// Works on events until the client is gone.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Received>) {
        let mut tag = 0;
        let mut pace = Pace::new(&self.mount.config.limits);
        while let Some(received) = queue.recv().await {
            let done = match pace.admit().await {
                Err(retry_after) => Err(Problem::from(Error::RateLimited { retry_after })),
                Ok(()) => self.mount.dialect.request(&received.asked(&self.session)),
            };
            let told = match done {
                Err(problem) => self.tell(&received, Err(problem)).await,
                Ok(Request::Join { room, after }) => {
                    tag += 1;
                    self.join(room, after, tag, received).await
                }
                Ok(request) => {
                    let done = self.execute(request).await;
                    self.tell(&received, done).await
                }
            };
            if told == Err(Stuck::TooSlow) {
                self.session.close();
            }
            if told.is_err() {
                return;
            }
        }
    }

    async fn tell(&self, received: &Received, done: Result<Done, Problem>) -> Result<(), Stuck> {
        tell(&*self.mount.dialect, &self.session, &self.wire, received, done).await
    }

    /// The answer comes with the events, before the first entry.
    async fn join(
        &self,
        room: RoomId,
        after: Option<chat_core::Cursor>,
        tag: u64,
        received: Received,
    ) -> Result<(), Stuck> {
        observe::command("join");
        if let Err(received) = self.joins.begin(&room, tag, received) {
            let busy = Problem::from(Error::Busy { retry_after: BUSY_RETRY });
            return self.tell(&received, Err(busy)).await;
        }
        let mut request = JoinRequest::new(room.clone()).with_tag(tag);
        request.cursor = after;
        let Err(error) = self.session.join(request).await else { return Ok(()) };
        for received in self.joins.one(&room, tag) {
            self.tell(&received, Err(problem(&error))).await?;
        }
        Ok(())
    }

    async fn execute(&self, request: Request) -> Result<Done, Problem> {
        let session = &self.session;
        Ok(match request {
            Request::Join { .. } => Done::Nothing,
            Request::Leave { room } => {
                observe::command("leave");
                session.leave(&room);
                for received in self.joins.up_to(&room, u64::MAX) {
                    let left = Problem::new("not_joined", "the room was left meanwhile");
                    // The client's next answer would find it stuck as well.
                    let _ = self.tell(&received, Err(left)).await;
                }
                Done::Left { room }
            }
            Request::Send { room, client_id, content } => {
                observe::command(name_of(&content));
                let actor = session.actor().map_err(|error| problem(&error))?;
                let sent = actor.send(&room, client_id.clone(), content.clone()).await;
                let sent = sent.map_err(|error| problem(&error))?;
                Done::Sent { room, client_id, sent, content }
            }
            Request::Typing { room, active } => {
                observe::command("typing");
                session.typing(&room, active).await.map_err(|error| problem(&error))?;
                Done::Nothing
            }
            Request::Read { room, cursor } => {
                observe::command("read");
                let actor = session.actor().map_err(|error| problem(&error))?;
                actor.mark_read(&room, &cursor).await.map_err(|error| problem(&error))?;
                Done::Nothing
            }
            Request::Alive => {
                observe::command("ping");
                Done::Nothing
            }
            Request::Call(call) => {
                observe::command("call");
                Done::Called(call.await?)
            }
        })
    }
}

const fn name_of(content: &Content) -> &'static str {
    match content {
        Content::Edit { .. } => "edit",
        Content::Delete { .. } => "delete",
        Content::Reaction { .. } => "react",
        _ => "send",
    }
}

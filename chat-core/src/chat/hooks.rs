//! What an application may add to the path of a message and the life of a session.

use std::{fmt, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt;
use tokio::sync::mpsc;
use tracing::warn;

use crate::{
    ConnectionId, Draft, Error, Result, RoomId, StoredMessage, UserId, auth::Principal, chat::Parts,
    message::Content,
};

/// The application's answer to a message that is about to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Store it as it is.
    Accept,
    /// Store this instead. A repeated send is still recognised by what the sender sent.
    Rewrite(Content),
    /// Do not store it; the sender is told the reason.
    Reject(String),
}

/// Called by the engine; each call is bounded by [`Settings::hook_timeout`](crate::Settings::hook_timeout), a panic in it
/// is caught, and none holds up a room.
#[async_trait]
pub trait Hooks: fmt::Debug + Send + Sync + 'static {
    /// Before a draft of a user goes to the log, in the sender's own call: only that sender waits. If it takes too long
    /// or panics, the draft is not stored and the sender is told to try again.
    async fn before_append(&self, draft: &Draft) -> Verdict {
        let _ = draft;
        Verdict::Accept
    }

    /// After an entry was stored for the first time, on the node that stored it, in the order of each room. At most once:
    /// what does not fit the queue ([`Settings::hook_queue`](crate::Settings::hook_queue)) is passed over and logged.
    ///
    /// Not for what a log only accepts ([`AppendOutcome::Accepted`](crate::AppendOutcome::Accepted)): it is stored elsewhere, by whoever
    /// takes it out of the queue.
    async fn after_append(&self, message: &StoredMessage) {
        let _ = message;
    }

    /// Whether [`members_offline`](Self::members_offline) is wanted for this message. It costs a walk over the members
    /// of the room, behind the queue of after-append hooks, so the default is never.
    fn wants_members_offline(&self, message: &StoredMessage) -> bool {
        let _ = message;
        false
    }

    /// These members (without the sender) are offline: the place for push notifications. Called with up to 500 at a
    /// time.
    async fn members_offline(&self, message: &StoredMessage, users: &[UserId]) {
        let _ = (message, users);
    }

    /// A session began.
    async fn connected(&self, principal: &Principal, connection: &ConnectionId) {
        let _ = (principal, connection);
    }

    /// A session ended.
    async fn disconnected(&self, principal: &Principal, connection: &ConnectionId) {
        let _ = (principal, connection);
    }
}

/// Runs one hook within its bounds; `None` if it took too long or panicked.
async fn bounded<T>(name: &'static str, limit: Duration, call: impl Future<Output = T> + Send) -> Option<T> {
    match tokio::time::timeout(limit, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(_)) => warn!(hook = name, "hook panicked"),
        Err(_) => warn!(hook = name, "hook took too long"),
    }
    None
}

/// Something for the hooks that run behind a queue.
#[derive(Debug)]
enum Work {
    Stored(Arc<StoredMessage>),
    Connected(Arc<Principal>, ConnectionId),
    Disconnected(Arc<Principal>, ConnectionId),
}

/// The queue in front of the hooks that nobody waits for.
#[derive(Debug, Default)]
pub(crate) struct HookQueue {
    work: Option<mpsc::Sender<Work>>,
}

/// Members asked about at a time.
const MEMBERS_PER_CALL: usize = 500;

impl HookQueue {
    /// Starts the worker, if there are hooks. It ends when the queue is dropped.
    pub(crate) fn start(parts: &Arc<Parts>) -> Self {
        let Some(hooks) = parts.hooks.clone() else { return Self::default() };
        let (work, mut queue) = mpsc::channel(parts.settings.hook_queue);
        let parts = parts.clone();
        tokio::spawn(async move {
            while let Some(work) = queue.recv().await {
                run(&parts, &*hooks, work).await;
            }
        });
        Self { work: Some(work) }
    }

    fn push(&self, work: impl FnOnce() -> Work) {
        let Some(queue) = &self.work else { return };
        if queue.try_send(work()).is_err() {
            warn!("the queue of hooks is full; one call is passed over");
        }
    }

    pub(crate) fn stored(&self, message: &StoredMessage) {
        self.push(|| Work::Stored(Arc::new(message.clone())));
    }

    pub(crate) fn connected(&self, principal: &Arc<Principal>, connection: &ConnectionId) {
        self.push(|| Work::Connected(principal.clone(), connection.clone()));
    }

    pub(crate) fn disconnected(&self, principal: &Arc<Principal>, connection: &ConnectionId) {
        self.push(|| Work::Disconnected(principal.clone(), connection.clone()));
    }
}

async fn run(parts: &Parts, hooks: &dyn Hooks, work: Work) {
    let limit = parts.settings.hook_timeout;
    match work {
        Work::Stored(message) => {
            bounded("after_append", limit, hooks.after_append(&message)).await;
            if hooks.wants_members_offline(&message)
                && let Err(error) = tell_offline_members(parts, hooks, &message).await
            {
                warn!(error = %error.with_causes(), "members who are offline could not be told");
            }
        }
        Work::Connected(principal, connection) => {
            bounded("connected", limit, hooks.connected(&principal, &connection)).await;
        }
        Work::Disconnected(principal, connection) => {
            bounded("disconnected", limit, hooks.disconnected(&principal, &connection)).await;
        }
    }
}

async fn tell_offline_members(parts: &Parts, hooks: &dyn Hooks, message: &StoredMessage) -> Result<()> {
    let room: &RoomId = &message.room;
    let mut after = None;
    loop {
        let page = parts.call("members", parts.rooms.members(room, after.as_ref(), MEMBERS_PER_CALL)).await?;
        let users: Vec<UserId> = page
            .members
            .into_iter()
            .map(|member| member.user)
            .filter(|user| *user != message.sender)
            .collect();
        let presence = parts.call("presence", parts.presence.presence(&users)).await?;
        let offline: Vec<UserId> = presence.into_iter().filter(|p| !p.online).map(|p| p.user).collect();
        if !offline.is_empty() {
            let call = hooks.members_offline(message, &offline);
            bounded("members_offline", parts.settings.hook_timeout, call).await;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Asks the hook about a draft and applies its verdict.
pub(crate) async fn before_append(parts: &Parts, mut draft: Draft) -> Result<Draft> {
    let Some(hooks) = &parts.hooks else { return Ok(draft) };
    let limit = parts.settings.hook_timeout;
    match bounded("before_append", limit, hooks.before_append(&draft)).await {
        Some(Verdict::Accept) => Ok(draft),
        Some(Verdict::Rewrite(content)) => {
            draft.rewrite(content);
            Ok(draft)
        }
        Some(Verdict::Reject(reason)) => Err(Error::Rejected { reason }),
        None => Err(Error::Timeout { operation: "before_append hook" }),
    }
}

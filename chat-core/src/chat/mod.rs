//! What an application holds: built once from its parts, cheap to clone.

mod actor;
mod bindings;
mod builder;
mod changes;
mod group_commit;
mod health;
mod hooks;
mod keeper;
mod parts;
mod publisher;
mod settings;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tracing::debug;

pub use self::{
    actor::{Actor, Sent},
    builder::{BuildError, BuildErrors, ChatBuilder},
    health::{Health, PartHealth},
    hooks::{Hooks, Verdict},
    settings::Settings,
};
use self::{
    bindings::BindingKeeper, changes::Changes, group_commit::GroupCommit, keeper::PresenceKeeper,
    publisher::Publisher,
};
pub(crate) use self::{hooks::HookQueue, parts::Parts};
use crate::{
    AppendOutcome, ConnectionId, Draft, Error, NodeId, Result,
    auth::{AuthError, Credentials, Principal, Revocation},
    fanout::{FanoutEvent, Publication, Topic},
    hub::Hub,
    session::{CloseReason, Session, SessionCore, SessionEvents},
};

/// The engine: server-side calls for the application, sessions for its clients.
#[derive(Debug, Clone)]
pub struct Chat {
    inner: Arc<Inner>,
}

/// What all clones and sessions share. When the last of them is gone, so are the engine's tasks.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) parts: Arc<Parts>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) group_commit: GroupCommit,
    pub(crate) changes: Changes,
    pub(crate) publisher: Publisher,
    bindings: BindingKeeper,
    hooks: Arc<HookQueue>,
    presence: Arc<PresenceKeeper>,
    /// True once the node takes no new sessions.
    draining: watch::Sender<bool>,
    _shutdown: watch::Sender<()>,
}

impl Chat {
    /// Starts with nothing set.
    #[must_use]
    pub fn builder() -> ChatBuilder {
        ChatBuilder::default()
    }

    fn start(parts: Parts, node: NodeId) -> Self {
        let parts = Arc::new(parts);
        let (shutdown, stopped) = watch::channel(());
        let hub = Hub::new(parts.clone(), stopped.clone());
        let hooks = Arc::new(HookQueue::start(&parts));
        let group_commit = GroupCommit::start(&parts, &hub, &hooks);
        let presence = PresenceKeeper::start(&parts, &hub, node, &stopped);
        tokio::spawn(look_after(parts.clone(), hub.clone(), stopped));
        let publisher = Publisher::start(&parts);
        let draining = watch::Sender::new(false);
        let changes = Changes::new();
        let bindings = BindingKeeper::new(&parts);
        let inner = Inner {
            parts,
            hub,
            group_commit,
            changes,
            publisher,
            bindings,
            hooks,
            presence,
            draining,
            _shutdown: shutdown,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Lets a client in.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], also where another session has what this one would be bound to and keeps it;
    /// [`Error::Draining`] once [`drain`](Self::drain) was called; a backend's error.
    ///
    /// # Cancel safety
    /// A dropped call leaves no session behind.
    pub async fn connect(&self, credentials: &Credentials) -> Result<(Session, SessionEvents)> {
        let principal = self.authenticate(credentials).await?;
        self.connect_as(principal).await
    }

    /// Lets a client in whom the application has authenticated itself.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub async fn connect_as(&self, principal: Principal) -> Result<(Session, SessionEvents)> {
        if *self.inner.draining.borrow() {
            return Err(Error::Draining);
        }
        let principal = Arc::new(principal);
        let presence = self.inner.presence.connection(&principal.user, ConnectionId::generate());
        let core = SessionCore::new(self.inner.hub.next_session_id(), principal.clone(), presence);
        let (session, events) = Session::new(self.inner.clone(), core.clone());
        // From here on dropping `events` undoes everything.
        self.inner.hub.add_session(&core);
        self.inner.presence.came(&core);
        self.inner.hooks.connected(&principal, core.connection());
        // Asked after registering: a revocation from here on ends the session.
        let parts = &self.inner.parts;
        match parts.call("revalidate", parts.auth.revalidate(&principal)).await {
            Err(error @ Error::Unauthenticated(_)) => return Err(error),
            Err(error) => debug!(%error, "a new session could not be revalidated"),
            Ok(()) => {}
        }
        // Taken after registering, too: whoever takes it from this session ends it.
        if let Some(previous) = self.inner.bindings.claim(&core).await? {
            self.inner.hub.supersede(&principal.user, &previous);
            let told = FanoutEvent::Superseded { connection: previous };
            self.inner.publisher.send(vec![Publication::new(Topic::User(principal.user.clone()), told)]);
        }
        if *self.inner.draining.borrow() {
            return Err(Error::Draining);
        }
        Ok((session, events))
    }

    /// Checks credentials, without a session.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; a backend's error.
    pub async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        let parts = &self.inner.parts;
        let principal = parts.call("authenticate", parts.auth.authenticate(credentials)).await?;
        if principal.expires_at.is_some_and(|at| at <= parts.clock.now()) {
            return Err(AuthError::Expired.into());
        }
        Ok(principal)
    }

    /// What `principal` may do, checked call by call: for requests without a session.
    #[must_use]
    pub fn actor(&self, principal: Principal) -> Actor {
        Actor::new(self.inner.clone(), Arc::new(principal), None)
    }

    /// The service itself: may do everything, is checked for nothing but the log's own rules. `user` is the name under
    /// which it writes.
    #[must_use]
    pub fn system(&self, user: crate::UserId) -> Actor {
        Actor::system(self.inner.clone(), user)
    }

    /// Appends a draft as it is, together with others that are under way, and tells the room. Its client id is not to be one
    /// of the engine's own ([`ClientMessageId::RESERVED`](crate::ClientMessageId::RESERVED)).
    ///
    /// # Errors
    /// [`Error::Busy`] if too much waits; the log's error or [`Error::Timeout`], after which it is unknown whether the
    /// draft was stored: repeat it with the same client id.
    ///
    /// # Cancel safety
    /// A draft that was taken is stored once, whether or not the caller still waits.
    pub async fn append(&self, draft: Draft) -> Result<AppendOutcome> {
        self.inner.group_commit.append(draft).await
    }

    /// Withdraws credentials: no new session with them, and open ones end, on every node.
    ///
    /// # Errors
    /// [`Error::Unsupported`] without a revocation store; the store's error, after which nothing is withdrawn.
    pub async fn revoke(&self, revocation: Revocation) -> Result<()> {
        let parts = &self.inner.parts;
        let store = parts.revocations.as_ref().ok_or(Error::Unsupported { part: "a revocation store" })?;
        parts.call("revoke", store.revoke(&revocation)).await?;
        let topic = Topic::User(revocation.user.clone());
        let told = [Publication::new(topic, FanoutEvent::Revoked(revocation))];
        // The store has it: nodes that are not told find it when they ask again.
        if let Err(error) = parts.call("publish", parts.fanout.publish(&told)).await {
            debug!(%error, "a revocation was stored but not announced");
        }
        Ok(())
    }

    /// How each part is doing.
    pub async fn health(&self) -> Health {
        health::check(&self.inner.parts).await
    }

    /// Sessions on this node.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.inner.hub.session_count()
    }

    /// The bounds and intervals in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.parts.settings
    }

    /// This node's name.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        self.inner.presence.node()
    }

    /// Whether [`drain`](Self::drain) was called: nobody is let in any more. For answers to balancers.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.inner.draining.borrow()
    }

    /// Ends this node's service: takes no new sessions, asks each one to reconnect at a random time within `window`, and
    /// waits until all are gone, at most `patience`. Afterwards this node's presence is given up. Sends that were taken
    /// are stored.
    pub async fn drain(&self, window: Duration, patience: Duration) {
        self.inner.draining.send_replace(true);
        for session in self.inner.hub.sessions() {
            session.close(CloseReason::Draining, Some(window.mul_f64(fastrand::f64())));
        }
        let deadline = Instant::now() + patience;
        while self.inner.hub.session_count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.inner.changes.flush(self.inner.parts.settings.call_timeout).await;
        self.inner.group_commit.flush().await;
        self.inner.bindings.flush().await;
        self.inner.presence.release().await;
    }
}

impl Inner {
    /// A session's events are no longer listened to.
    pub(crate) fn end_session(&self, core: &Arc<SessionCore>) {
        core.finish();
        self.hub.remove_session(core);
        self.presence.went(core);
        self.bindings.release(core);
        self.hooks.disconnected(&core.principal(), core.connection());
    }
}

/// Compares heads and asks again about sessions, for as long as the engine is there.
async fn look_after(parts: Arc<Parts>, hub: Arc<Hub>, mut stopped: watch::Receiver<()>) {
    let mut heads_at = Instant::now() + parts.settings.head_check_interval;
    let mut recheck_at = Instant::now() + parts.settings.recheck_interval;
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = tokio::time::sleep_until(heads_at) => {
                hub.check_heads().await;
                heads_at = Instant::now() + parts.settings.head_check_interval;
            }
            () = tokio::time::sleep_until(recheck_at) => {
                hub.recheck_all().await;
                recheck_at = Instant::now() + parts.settings.recheck_interval;
            }
        }
    }
}

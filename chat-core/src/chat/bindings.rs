//! One session per binding: taken when a session begins, given up when it ends. In between [`Hub`](crate::hub::Hub) renews it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::runtime::Handle;
use tracing::debug;

use crate::{
    ConnectionId, Result,
    auth::{AuthError, Binding, BindingClaim},
    chat::Parts,
    session::SessionCore,
};

#[derive(Debug)]
pub(super) struct BindingKeeper {
    parts: Arc<Parts>,
    /// Releases under way. Each takes at most `call_timeout`.
    releasing: Arc<AtomicUsize>,
}

impl BindingKeeper {
    pub(super) fn new(parts: &Arc<Parts>) -> Self {
        Self { parts: parts.clone(), releasing: Arc::default() }
    }

    /// Takes what the session is bound to, if it is to anything. Answers the connection that had it until now.
    pub(super) async fn claim(&self, session: &SessionCore) -> Result<Option<ConnectionId>> {
        let (Some(store), Some(binding)) = (&self.parts.bindings, Binding::of(&session.principal())) else {
            return Ok(None);
        };
        let settings = &self.parts.settings;
        let (policy, time) = (settings.binding_policy, settings.binding_time_to_live());
        let claim = store.claim(&binding, session.connection(), policy, time);
        match self.parts.call("claim a binding", claim).await? {
            BindingClaim::Granted { previous } => {
                session.set_bound();
                Ok(previous)
            }
            BindingClaim::Refused { .. } => Err(AuthError::InUse.into()),
        }
    }

    /// Gives it up, in the background; what is not given up runs out.
    pub(super) fn release(&self, session: &SessionCore) {
        let (Some(store), Some(binding)) = (&self.parts.bindings, Binding::of(&session.principal())) else {
            return;
        };
        // A session's events may be dropped anywhere.
        let Ok(runtime) = Handle::try_current() else { return };
        self.releasing.fetch_add(1, Ordering::Relaxed);
        let (parts, store, releasing) = (self.parts.clone(), store.clone(), self.releasing.clone());
        let connection = session.connection().clone();
        runtime.spawn(async move {
            if let Err(error) = parts.call("release a binding", store.release(&binding, &connection)).await {
                debug!(%error, "a binding was not given up; it will run out");
            }
            releasing.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Waits until everything that ended has been given up: whoever is asked to come back at another node is let in there.
    pub(super) async fn flush(&self) {
        while self.releasing.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

//! One connected client, with no transport in it: commands in, events out.

mod catch_up;
mod core;
mod events;
mod join;
mod page_share;
mod pump;

use std::{fmt, sync::Arc};

pub(crate) use self::{core::SessionCore, page_share::PageShare};
pub use self::{
    events::{CloseReason, Closing, Event, Hole, JoinOutcome, JoinRequest, Joined, LeftReason, LiveNotice},
    pump::SessionEvents,
};
use crate::{
    ConnectionId, CustomKind, Error, JsonText, Result, RoomId, UserId,
    auth::{Action, AuthError, Credentials, Principal},
    chat::{Actor, Inner},
    fanout::FanoutEvent,
    mutation::Mutation,
};

/// The commands of one connected client. Cheap to clone; the session lives as long as its [`SessionEvents`].
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
    core: Arc<SessionCore>,
}

impl Session {
    pub(crate) fn new(inner: Arc<Inner>, core: Arc<SessionCore>) -> (Self, SessionEvents) {
        let events = SessionEvents::new(inner.clone(), core.clone());
        (Self { inner, core }, events)
    }

    /// Whose session this is.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.core.user
    }

    /// This connection, unique for all time.
    #[must_use]
    pub fn connection(&self) -> &ConnectionId {
        self.core.connection()
    }

    /// Who was let in, with the latest credentials.
    #[must_use]
    pub fn principal(&self) -> Arc<Principal> {
        self.core.principal()
    }

    /// Everything this user may do that is not about this connection: send, read, manage.
    ///
    /// # Errors
    /// [`Error::SessionClosed`].
    pub fn actor(&self) -> Result<Actor> {
        self.check_open()?;
        Ok(Actor::new(self.inner.clone(), self.core.principal(), Some(self.core.clone())))
    }

    fn check_open(&self) -> Result<()> {
        if self.core.is_closing() {
            return Err(Error::SessionClosed);
        }
        // The listener may be too slow to have noticed.
        let parts = &self.inner.parts;
        let expired = self.core.principal().expires_at.is_some_and(|at| at <= parts.clock.now());
        if expired && !parts.settings.is_mutated(Mutation::IgnoreExpiry) {
            return Err(AuthError::Expired.into());
        }
        Ok(())
    }

    /// Stops following a room; events of it that were taken already may still come. False if it was not joined.
    pub fn leave(&self, room: &RoomId) -> bool {
        match self.core.take_room(room) {
            Some(link) => {
                link.detach();
                true
            }
            None => false,
        }
    }

    /// Whether this session follows the room.
    #[must_use]
    pub fn has_joined(&self, room: &RoomId) -> bool {
        self.core.has_joined(room)
    }

    /// Tells the others in a joined room that the user types, or stopped. Never stored; may be lost.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the room is not joined; [`Error::Forbidden`], [`Error::RateLimited`].
    pub async fn typing(&self, room: &RoomId, active: bool) -> Result<()> {
        let (room, user) = (room.clone(), self.core.user.clone());
        self.signal_event(room.clone(), FanoutEvent::Typing { room, user, active }).await
    }

    /// Tells the others in a joined room something of the application's own. Never stored; may be lost.
    ///
    /// # Errors
    /// As for [`typing`](Self::typing); [`Error::LimitExceeded`] for data of more than 4 KiB.
    pub async fn signal(&self, room: &RoomId, name: CustomKind, data: JsonText) -> Result<()> {
        const MAX_BYTES: usize = 4 * 1024;
        if data.as_str().len() > MAX_BYTES {
            return Err(Error::LimitExceeded { what: "bytes of a signal", max: MAX_BYTES as u64 });
        }
        let (room, user) = (room.clone(), self.core.user.clone());
        self.signal_event(room.clone(), FanoutEvent::Signal { room, user, name, data }).await
    }

    async fn signal_event(&self, room: RoomId, event: FanoutEvent) -> Result<()> {
        if !self.core.has_joined(&room) {
            return Err(Error::invalid("room", "join it first"));
        }
        self.actor()?.publish_signal(&room, Action::Signal, event).await
    }

    /// Takes new credentials for the same user, before or after the old ones were said to expire.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if they are no good or somebody else's; the session goes on with what it had.
    pub async fn renew(&self, credentials: &Credentials) -> Result<Arc<Principal>> {
        if self.core.is_closing() {
            return Err(Error::SessionClosed);
        }
        let parts = &self.inner.parts;
        let principal = parts.call("authenticate", parts.auth.authenticate(credentials)).await?;
        if principal.user != self.core.user || principal.bound_to != self.core.principal().bound_to {
            return Err(AuthError::OtherUser.into());
        }
        let principal = Arc::new(principal);
        self.core.set_principal(principal.clone());
        Ok(principal)
    }

    /// Ends the session: its last event is [`Event::Closing`].
    pub fn close(&self) {
        self.core.close(CloseReason::Closed, None);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("user", &self.core.user)
            .field("connection", self.core.connection())
            .finish()
    }
}

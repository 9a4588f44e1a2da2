//! Asking again about what was true when a session or a subscription began: for when the event that said otherwise was lost.

use std::sync::Arc;

use futures::StreamExt;
use tracing::debug;

use crate::{
    Error, RoomId,
    auth::{Binding, BindingClaim, BindingPolicy},
    hub::{Hub, Lane},
    session::{CloseReason, LeftReason, SessionCore},
};

/// Sessions asked about at the same time.
const AT_ONCE: usize = 16;

impl Hub {
    /// Asks about every session: are its credentials still good, is its binding still its own, is its user still a member of
    /// its rooms.
    pub(crate) async fn recheck_all(&self) {
        futures::stream::iter(self.sessions())
            .for_each_concurrent(AT_ONCE, |session| async move {
                self.ask_auth(&session).await;
                self.renew_binding(&session).await;
                self.ask_memberships(&session).await;
            })
            .await;
    }

    /// Asks about one session's credentials and its binding, in the background.
    pub(crate) fn revalidate(self: &Arc<Self>, session: &Arc<SessionCore>) {
        let (hub, session) = (self.clone(), session.clone());
        tokio::spawn(async move {
            hub.ask_auth(&session).await;
            hub.renew_binding(&session).await;
        });
    }

    /// Asks about the memberships behind one room's subscriptions, in the background.
    pub(crate) fn recheck_lane(self: &Arc<Self>, lane: &Arc<Lane>) {
        let (hub, lane) = (self.clone(), lane.clone());
        tokio::spawn(async move {
            for user in lane.users() {
                let parts = &hub.parts;
                match parts.call("member", parts.rooms.member(&lane.room, &user)).await {
                    Ok(Some(member)) => lane.member_read(&member, parts),
                    Ok(None) => {}
                    Err(error) => {
                        debug!(%error, "memberships could not be looked up; they are asked about again later");
                        break;
                    }
                }
            }
        });
    }

    async fn ask_auth(&self, session: &SessionCore) {
        let principal = session.principal();
        match self.parts.call("revalidate", self.parts.auth.revalidate(&principal)).await {
            Err(Error::Unauthenticated(_))
                if !self.parts.settings.is_mutated(crate::mutation::Mutation::IgnoreExpiry) =>
            {
                session.close(CloseReason::Revoked, None);
            }
            Ok(()) => {}
            // Not knowing ends no session.
            Err(error) => debug!(%error, "a session could not be revalidated"),
        }
    }

    /// Holds on to what the session is bound to, and ends the session where another one holds it.
    async fn renew_binding(&self, session: &SessionCore) {
        let (Some(store), Some(binding)) = (&self.parts.bindings, Binding::of(&session.principal())) else {
            return;
        };
        // One that is ending gives it up, and must not take it again; one that begins takes it itself.
        if session.is_closing() || !session.is_bound() {
            return;
        }
        let time = self.parts.settings.binding_time_to_live();
        // What ran out, or was forgotten by the store, is taken again.
        let claim = store.claim(&binding, session.connection(), BindingPolicy::OlderStays, time);
        match self.parts.call("renew a binding", claim).await {
            Ok(BindingClaim::Refused { .. }) => session.close(CloseReason::Superseded, None),
            // It ended meanwhile, and may have given the binding up before this took it.
            Ok(BindingClaim::Granted { .. }) if session.is_closing() => {
                let release = store.release(&binding, session.connection());
                if let Err(error) = self.parts.call("release a binding", release).await {
                    debug!(%error, "a binding was not given up; it will run out");
                }
            }
            Ok(BindingClaim::Granted { .. }) => {}
            // Not knowing ends no session.
            Err(error) => debug!(%error, "a binding could not be renewed"),
        }
    }

    async fn ask_memberships(&self, session: &Arc<SessionCore>) {
        let links = session.links();
        let rooms: Vec<RoomId> = links.iter().map(|link| link.lane.room.clone()).collect();
        if rooms.is_empty() {
            return;
        }
        match self.parts.call("memberships", self.parts.rooms.memberships(&session.user, &rooms)).await {
            Ok(members) => {
                for (link, member) in links.iter().zip(members) {
                    match member {
                        Some(member) => link.lane.member_read(&member, &self.parts),
                        // The room is gone, or forgot its members.
                        None if link.rests_on_membership() => link.end(LeftReason::Removed),
                        None => {}
                    }
                }
            }
            Err(error) => debug!(%error, "a session's memberships could not be looked up"),
        }
    }
}

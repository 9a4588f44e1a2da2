use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::Principal;
use crate::{Backend, ConnectionId, Result, UserId};

/// What a session is bound to, and whose it is: one credential presentation.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Binding {
    /// Whose.
    pub user: UserId,
    /// To what, as in [`Principal::bound_to`].
    pub to: String,
}

impl Binding {
    /// What this principal's session is bound to, if it is to anything.
    #[must_use]
    pub fn of(principal: &Principal) -> Option<Self> {
        principal.bound_to.clone().map(|to| Self { user: principal.user.clone(), to })
    }
}

impl fmt::Debug for Binding {
    /// Without what it is bound to, which may be as good as the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Which of two sessions with one binding stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BindingPolicy {
    /// The newer one: a client that comes back takes the place of the connection that it lost.
    #[default]
    NewerWins,
    /// The older one, for as long as it lasts: a credential that was copied opens nothing while its owner is connected. After
    /// the crash of a node its sessions' bindings are taken until they run out.
    OlderStays,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingClaim {
    /// It is the connection's now.
    Granted {
        /// The other connection that held it until now: that one is to be ended.
        previous: Option<ConnectionId>,
    },
    /// It stays with another connection.
    Refused {
        /// With this one.
        holder: ConnectionId,
    },
}

/// Remembers which connection holds a binding, so that each has at most one session on all nodes together.
///
/// A binding that is neither renewed nor released is free after its time to live. Times are the store's own.
#[async_trait]
pub trait SessionBindings: Backend {
    /// Takes a binding for a connection, in one atomic step. From two calls at the same time, on whichever nodes, one is the
    /// later one: with [`BindingPolicy::NewerWins`] it is told of the other.
    ///
    /// With [`BindingPolicy::OlderStays`] this is granted where nobody else holds the binding. A connection that holds it
    /// already keeps it, for another time to live.
    ///
    /// # Cancel safety
    /// A dropped call may have taken it: release it.
    async fn claim(
        &self,
        binding: &Binding,
        connection: &ConnectionId,
        policy: BindingPolicy,
        time_to_live: Duration,
    ) -> Result<BindingClaim>;

    /// Gives a binding up. Nothing changes where another connection holds it.
    async fn release(&self, binding: &Binding, connection: &ConnectionId) -> Result<()>;
}

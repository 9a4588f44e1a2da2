use std::sync::Arc;

use crate::{
    Auth, Clock, Fanout, MessageLog, NodeId, Presence, Rooms, Search, Storage, SystemClock,
    auth::{Authorize, Revocable, RevocationStore, RoleAuthorizer, SessionBindings},
    chat::{Chat, Hooks, Settings, parts::Parts},
    rate_limit::{LocalRateLimiter, RateLimiter, RateLimits},
};

/// What stands in the way of building a [`Chat`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A part was not given.
    #[error("{part} is missing: call .{method}(…)")]
    MissingPart {
        /// Which.
        part: &'static str,
        /// The builder's method that takes it.
        method: &'static str,
    },
    /// A bound or interval of zero would let nothing through.
    #[error("the setting {setting} must be greater than zero")]
    ZeroSetting {
        /// Which.
        setting: &'static str,
    },
    /// A lease that is not renewed in time would run out again and again.
    #[error("presence_renewal must be shorter than presence_lease")]
    RenewalTooSlow,
    /// The engine has tasks of its own.
    #[error("build the chat inside a Tokio runtime")]
    NoRuntime,
}

/// Everything that stands in the way, at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct BuildErrors(pub Vec<BuildError>);

/// Puts a [`Chat`] together. Log, rooms, fan-out, presence and auth are needed; the rest has a default.
#[derive(Debug, Default)]
pub struct ChatBuilder {
    log: Option<Arc<dyn MessageLog>>,
    rooms: Option<Arc<dyn Rooms>>,
    fanout: Option<Arc<dyn Fanout>>,
    presence: Option<Arc<dyn Presence>>,
    auth: Option<Arc<dyn Auth>>,
    authorizer: Option<Arc<dyn Authorize>>,
    limiter: Option<Arc<dyn RateLimiter>>,
    search: Option<Arc<dyn Search>>,
    revocations: Option<Arc<dyn RevocationStore>>,
    bindings: Option<Arc<dyn SessionBindings>>,
    hooks: Option<Arc<dyn Hooks>>,
    clock: Option<Arc<dyn Clock>>,
    node: Option<NodeId>,
    settings: Settings,
}

macro_rules! part {
    ($(#[$doc:meta])* $method:ident: $role:ident) => {
        $(#[$doc])*
        #[must_use]
        pub fn $method(mut self, $method: impl $role) -> Self {
            self.$method = Some(Arc::new($method));
            self
        }
    };
}

impl ChatBuilder {
    /// Messages, rooms and search from one store.
    #[must_use]
    pub fn storage(self, storage: &impl Storage) -> Self {
        self.log(storage.message_log()).rooms(storage.rooms()).search(storage.search())
    }

    part!(
        /// Where messages are kept. Needed.
        log: MessageLog
    );
    part!(
        /// Where rooms and members are kept. Needed.
        rooms: Rooms
    );
    part!(
        /// What carries live events between nodes. Needed.
        fanout: Fanout
    );
    part!(
        /// Who is online. Needed.
        presence: Presence
    );
    part!(
        /// Who somebody is. Needed.
        auth: Auth
    );
    part!(
        /// Who may do what. By default a [`RoleAuthorizer`].
        authorizer: Authorize
    );
    part!(
        /// How often somebody may do something. By default a [`LocalRateLimiter`] with its default limits.
        limiter: RateLimiter
    );
    part!(
        /// Finds messages. By default there is no search.
        search: Search
    );
    part!(
        /// Remembers withdrawn credentials, and is asked whenever somebody is let in and regularly afterwards: the auth
        /// need not be [`Revocable`] itself. By default nothing can be withdrawn.
        revocations: RevocationStore
    );
    part!(
        /// Sees to it that what a session is bound to ([`Principal::bound_to`](crate::Principal::bound_to)) has no other
        /// session on any node, as [`Settings::binding_policy`] says. While it is out of reach nobody with a binding is let in.
        /// Requests without a session and principals without a binding are not affected. By default nothing is looked at.
        bindings: SessionBindings
    );
    part!(
        /// The application's own steps. By default none.
        hooks: Hooks
    );
    part!(
        /// The wall clock. By default the operating system's.
        clock: Clock
    );

    /// Memory for everything but auth: nothing outlives the process. For development and tests.
    #[cfg(feature = "memory")]
    #[must_use]
    pub fn memory(self) -> Self {
        self.storage(&crate::memory::MemoryStore::new())
            .fanout(crate::memory::MemoryFanout::new())
            .presence(crate::memory::MemoryPresence::new())
    }

    /// This node's name. By default a new one.
    #[must_use]
    pub fn node(mut self, node: NodeId) -> Self {
        self.node = Some(node);
        self
    }

    /// Bounds and intervals.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Starts the engine.
    ///
    /// # Errors
    /// Every missing part and wrong setting at once, or that there is no Tokio runtime here.
    pub fn build(self) -> Result<Chat, BuildErrors> {
        let mut problems = Vec::new();
        self.settings.check(&mut problems);
        if tokio::runtime::Handle::try_current().is_err() {
            problems.push(BuildError::NoRuntime);
        }
        let mut missing = |absent: bool, part, method| {
            if absent {
                problems.push(BuildError::MissingPart { part, method });
            }
        };
        missing(self.log.is_none(), "a MessageLog", "log");
        missing(self.rooms.is_none(), "Rooms", "rooms");
        missing(self.fanout.is_none(), "a Fanout", "fanout");
        missing(self.presence.is_none(), "Presence", "presence");
        missing(self.auth.is_none(), "an Auth", "auth");
        let (Some(log), Some(rooms), Some(fanout), Some(presence), Some(auth), true) =
            (self.log, self.rooms, self.fanout, self.presence, self.auth, problems.is_empty())
        else {
            return Err(BuildErrors(problems));
        };
        // What was withdrawn opens nothing, whoever forgot to say so of the auth.
        let auth = match &self.revocations {
            Some(store) => Arc::new(Revocable::new(auth, store.clone())),
            None => auth,
        };
        let parts = Parts {
            log,
            rooms,
            fanout,
            presence,
            auth,
            authorizer: self.authorizer.unwrap_or_else(|| Arc::new(RoleAuthorizer::new())),
            limiter: self.limiter.unwrap_or_else(|| Arc::new(LocalRateLimiter::new(&RateLimits::default()))),
            search: self.search,
            revocations: self.revocations,
            bindings: self.bindings,
            hooks: self.hooks,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
            settings: self.settings,
        };
        Ok(Chat::start(parts, self.node.unwrap_or_else(NodeId::generate)))
    }
}

use std::{future::Future, sync::Arc};

use crate::{
    Auth, Clock, Error, Fanout, MessageLog, Presence, Result, Rooms, Search,
    auth::{Authorize, RevocationStore, SessionBindings},
    chat::{Hooks, Settings},
    rate_limit::RateLimiter,
};

/// What the engine was built from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) log: Arc<dyn MessageLog>,
    pub(crate) rooms: Arc<dyn Rooms>,
    pub(crate) fanout: Arc<dyn Fanout>,
    pub(crate) presence: Arc<dyn Presence>,
    pub(crate) auth: Arc<dyn Auth>,
    pub(crate) authorizer: Arc<dyn Authorize>,
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) search: Option<Arc<dyn Search>>,
    pub(crate) revocations: Option<Arc<dyn RevocationStore>>,
    pub(crate) bindings: Option<Arc<dyn SessionBindings>>,
    pub(crate) hooks: Option<Arc<dyn Hooks>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
}

impl Parts {
    /// Bounds a backend's call.
    pub(crate) async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        match tokio::time::timeout(self.settings.call_timeout, call).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { operation }),
        }
    }
}

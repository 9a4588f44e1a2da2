//! The sessions of one service.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::request::Parts;
use futures::future::{BoxFuture, join};

use super::{
    Close, SockJsConfig, SockJsSession,
    core::Core,
    pages::Iframe,
    places::{Full, Place, Places},
    session::Opening,
};

type Handler = Box<dyn Fn(SockJsSession) -> BoxFuture<'static, ()> + Send + Sync>;

/// One service: its settings, its handler, and the sessions whose requests have to find them.
pub(super) struct Service {
    pub(super) config: Arc<SockJsConfig>,
    pub(super) iframe: Iframe,
    handler: Handler,
    sessions: Mutex<HashMap<String, Arc<Core>>>,
    places: Arc<Places>,
}

impl Service {
    pub(super) fn new(config: SockJsConfig, handler: Handler) -> Arc<Self> {
        Arc::new(Self {
            iframe: Iframe::new(&config.client_url, &config.origins),
            places: Places::new(config.sessions, config.sessions_per_peer),
            config: Arc::new(config),
            handler,
            sessions: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Core>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn place(&self, request: &Parts) -> Result<Place, Full> {
        self.places.take((self.config.peer)(request))
    }

    /// The session of this name.
    pub(super) fn session(&self, id: &str) -> Option<Arc<Core>> {
        self.lock().get(id).cloned()
    }

    /// The session of this name, a new one if there is none.
    pub(super) fn session_or_new(
        self: &Arc<Self>,
        id: &str,
        request: &Parts,
        opening: impl FnOnce() -> Opening,
    ) -> Result<Arc<Core>, Full> {
        let mut sessions = self.lock();
        if let Some(core) = sessions.get(id) {
            return Ok(core.clone());
        }
        let place = self.place(request)?;
        let (core, incoming) = Core::new(&self.config);
        sessions.insert(id.to_owned(), core.clone());
        drop(sessions);
        let session = SockJsSession::new(core.clone(), incoming, opening());
        let entry = Entry { service: self.clone(), id: id.to_owned(), core: core.clone() };
        tokio::spawn(async move {
            let handled = entry.service.handle(session, &entry.core);
            let kept = async {
                entry.core.abandoned().await;
                entry.remove();
            };
            join(handled, kept).await;
            drop((entry, place));
        });
        Ok(core)
    }

    /// Runs the handler. The session ends with it.
    pub(super) async fn handle(&self, session: SockJsSession, core: &Core) {
        let _ends = Ends(core);
        (self.handler)(session).await;
    }
}

/// Closes a session when its handler returns, however it does.
struct Ends<'a>(&'a Core);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.close(Close::GO_AWAY);
    }
}

/// A session's name, for as long as its task lives.
struct Entry {
    service: Arc<Service>,
    id: String,
    core: Arc<Core>,
}

impl Entry {
    fn remove(&self) {
        let mut sessions = self.service.lock();
        // The name may be another session's by now.
        if sessions.get(&self.id).is_some_and(|core| Arc::ptr_eq(core, &self.core)) {
            sessions.remove(&self.id);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.remove();
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("config", &self.config).finish_non_exhaustive()
    }
}

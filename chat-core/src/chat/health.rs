use std::time::Duration;

use futures::future::join_all;

use crate::{Backend, Error, chat::Parts};

/// A part that has not answered by then is reported as failing.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the parts are doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Each part, in a fixed order.
    pub parts: Vec<PartHealth>,
}

/// How one part is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHealth {
    /// Its role: `log`, `rooms`, `fanout`, `presence`, `auth`, `search`, `revocations`,
    /// `bindings`, `rate limiter`.
    pub part: &'static str,
    /// The backend that fills it; where that stands in front of another one that fails, that one.
    pub backend: &'static str,
    /// What is wrong; `None` if nothing is.
    pub error: Option<String>,
}

impl Health {
    /// Every part works.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.parts.iter().all(|part| part.error.is_none())
    }
}

pub(super) async fn check(parts: &Parts) -> Health {
    let mut backends: Vec<(&'static str, &dyn Backend)> = vec![
        ("log", &*parts.log),
        ("rooms", &*parts.rooms),
        ("fanout", &*parts.fanout),
        ("presence", &*parts.presence),
        ("auth", &*parts.auth),
        ("rate limiter", &*parts.limiter),
    ];
    if let Some(search) = &parts.search {
        backends.push(("search", &**search));
    }
    if let Some(revocations) = &parts.revocations {
        backends.push(("revocations", &**revocations));
    }
    if let Some(bindings) = &parts.bindings {
        backends.push(("bindings", &**bindings));
    }
    let checks = backends.into_iter().map(|(part, backend)| async move {
        let (backend, error) = match tokio::time::timeout(PATIENCE, backend.health()).await {
            Ok(Ok(())) => (backend.name(), None),
            Ok(Err(error @ Error::Backend { backend, .. })) => (backend, Some(error.to_string())),
            Ok(Err(error)) => (backend.name(), Some(error.to_string())),
            Err(_) => (backend.name(), Some("no answer in time".to_owned())),
        };
        PartHealth { part, backend, error }
    });
    Health { parts: join_all(checks).await }
}

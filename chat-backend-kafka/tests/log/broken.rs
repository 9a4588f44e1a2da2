//! A store that fails on demand.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Backend, Body, Content, Draft, Durability, Error, Head, MessageLog, Page, ReadQuery,
    Result, Retention, Retry, RoomId,
};

/// How it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It is out of reach.
    Away,
    /// It never answers.
    Hangs,
    /// It cannot store this text, and says so of the whole batch.
    PoisonedBy(&'static str),
    /// It panics at this text.
    PanicsAt(&'static str),
    /// It stores nothing, and says that this will not change, though it is well otherwise.
    Denies,
}

#[derive(Debug)]
pub(crate) struct Broken {
    inner: Arc<dyn MessageLog>,
    fault: Mutex<Fault>,
    pub(crate) calls: AtomicUsize,
}

impl Broken {
    pub(crate) fn new(inner: Arc<dyn MessageLog>) -> Arc<Self> {
        Arc::new(Self { inner, fault: Mutex::new(Fault::None), calls: AtomicUsize::new(0) })
    }

    pub(crate) fn fails(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn fault(&self) -> Fault {
        self.fault.lock().unwrap().clone()
    }
}

fn says(draft: &Draft, wanted: &str) -> bool {
    matches!(&draft.content, Content::Chat { body: Body::Text(text) } if **text == *wanted)
}

#[async_trait]
impl Backend for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn health(&self) -> Result<()> {
        match self.fault() {
            Fault::Away | Fault::Hangs => Err(Error::backend("broken", "health", Retry::Later, "away")),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl MessageLog for Broken {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let failed = |retry, reason: &str| Err(Error::backend("broken", "append", retry, reason.to_owned()));
        match self.fault() {
            Fault::Away => return failed(Retry::Later, "away"),
            Fault::Hangs => std::future::pending::<()>().await,
            Fault::PoisonedBy(text) if drafts.iter().any(|draft| says(draft, text)) => {
                return failed(Retry::Never, "poison");
            }
            Fault::PanicsAt(text) => {
                assert!(!drafts.iter().any(|draft| says(draft, text)), "panics on purpose");
            }
            Fault::Denies => return failed(Retry::Never, "denied"),
            Fault::None | Fault::PoisonedBy(_) => {}
        }
        self.inner.append(drafts).await
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        self.inner.read(room, query).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        self.inner.heads(rooms).await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.inner.trim(room, retention).await
    }
}

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Backend, Draft, Durability, Head, MessageLog, Page, ReadQuery, Result, Retention, RoomId,
};

/// Counts what is asked of a log.
#[derive(Debug)]
pub(crate) struct CountingLog {
    log: Arc<dyn MessageLog>,
    pub(crate) reads: AtomicUsize,
    pub(crate) heads: AtomicUsize,
    /// Reads do not answer.
    pub(crate) hangs: AtomicBool,
}

impl CountingLog {
    pub(crate) fn new(log: Arc<dyn MessageLog>) -> Arc<Self> {
        Arc::new(Self {
            log,
            reads: AtomicUsize::new(0),
            heads: AtomicUsize::new(0),
            hangs: AtomicBool::new(false),
        })
    }
}

#[async_trait]
impl Backend for CountingLog {
    fn name(&self) -> &'static str {
        "counting"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl MessageLog for CountingLog {
    fn durability(&self) -> Durability {
        self.log.durability()
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        self.log.append(drafts).await
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        // As from a store that takes its time, so that others ask meanwhile.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        self.log.read(room, query).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        self.heads.fetch_add(1, Ordering::Relaxed);
        self.log.heads(rooms).await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.log.trim(room, retention).await
    }
}

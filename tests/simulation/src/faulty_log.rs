use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Authority, Backend, ClientMessageId, Draft, Durability, Head, MessageLog, Page, ReadQuery,
    Result, Retention, RoomId,
};

use crate::{dice::Dice, faulty_fanout::broken, history::History, scenario::Weakness};

/// A log that is slow, fails before or after it has done its work, and hangs.
#[derive(Debug)]
pub(crate) struct FaultyLog {
    pub(crate) log: Arc<dyn MessageLog>,
    pub(crate) dice: Dice,
    /// Told of what is stored, unless the log does that itself.
    pub(crate) history: Option<History>,
    pub(crate) dead: Arc<AtomicBool>,
    pub(crate) weakness: Option<Weakness>,
}

/// Longer than the engine waits.
const HANG: Duration = Duration::from_secs(30);

impl FaultyLog {
    fn weakened(&self, drafts: &[Draft]) -> Vec<Draft> {
        let weaken = |draft: &Draft| {
            let mut draft = draft.clone();
            match self.weakness {
                Some(Weakness::NoDedup) => draft.client_id = ClientMessageId::generate(),
                Some(Weakness::NoMembershipCheck) => draft.authority = Authority::System,
                _ => {}
            }
            draft
        };
        drafts.iter().map(weaken).collect()
    }

    async fn trouble(&self, operation: &'static str, percent: u64) -> Result<()> {
        tokio::time::sleep(self.dice.millis(0..12)).await;
        if self.dead.load(Ordering::Relaxed) || self.dice.fault(percent) {
            return Err(broken(operation));
        }
        if self.dice.fault(1) {
            tokio::time::sleep(HANG).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for FaultyLog {
    fn name(&self) -> &'static str {
        "faulty"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl MessageLog for FaultyLog {
    fn durability(&self) -> Durability {
        Durability::Persisted
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        self.trouble("append", 5).await?;
        let outcomes = self.log.append(&self.weakened(drafts)).await?;
        if let Some(history) = &self.history {
            history.stored(drafts, &outcomes);
        }
        // Done, and nobody is told.
        self.trouble("append", 5).await?;
        Ok(outcomes)
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        self.trouble("read", 5).await?;
        let page = self.log.read(room, query).await;
        self.trouble("read", 1).await?;
        page
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        self.trouble("heads", 5).await?;
        let heads = self.log.heads(rooms).await;
        self.trouble("heads", 1).await?;
        heads
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.log.trim(room, retention).await
    }
}

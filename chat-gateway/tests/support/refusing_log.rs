//! A durable queue whose worker stores nothing, and says so.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Backend, Chat, ChatBuilder, Draft, Durability, Head, MessageLog, Page, ReadQuery, Refusal,
    Result, Retention, RoomId, SendFailure, Storage as _,
    fanout::{Fanout, FanoutEvent, Publication, Topic},
    memory::{MemoryFanout, MemoryStore},
};

#[derive(Debug)]
struct RefusingLog {
    log: Arc<dyn MessageLog>,
    fanout: MemoryFanout,
}

/// A chat in memory whose log accepts everything and stores nothing.
pub(crate) fn chat() -> ChatBuilder {
    let (store, fanout) = (MemoryStore::new(), MemoryFanout::new());
    let log = RefusingLog { log: store.message_log(), fanout: fanout.clone() };
    Chat::builder().memory().storage(&store).log(log).fanout(fanout)
}

#[async_trait]
impl Backend for RefusingLog {
    fn name(&self) -> &'static str {
        "refusing"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl MessageLog for RefusingLog {
    fn durability(&self) -> Durability {
        Durability::Accepted
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        let failed = drafts.iter().map(|draft| {
            let event = FanoutEvent::SendFailed {
                room: draft.room.clone(),
                client_id: draft.client_id.clone(),
                user: draft.sender.clone(),
                reason: SendFailure::Refused(Refusal::Busy),
            };
            Publication::new(Topic::User(draft.sender.clone()), event)
        });
        self.fanout.publish(&failed.collect::<Vec<_>>()).await?;
        Ok(vec![AppendOutcome::Accepted; drafts.len()])
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        self.log.read(room, query).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        self.log.heads(rooms).await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.log.trim(room, retention).await
    }
}

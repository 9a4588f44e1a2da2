use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Backend, Clock as _, Draft, Durability, Head, MessageLog, Page, ReadQuery, Result,
    Retention, RoomId, SystemClock,
};

use crate::{
    record::Record,
    store::{FileStore, NAME},
};

#[async_trait]
impl Backend for FileStore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn health(&self) -> Result<()> {
        self.run("health", |open| open.check("health")).await
    }
}

#[async_trait]
impl MessageLog for FileStore {
    fn durability(&self) -> Durability {
        Durability::Persisted
    }

    /// One file, one writer: what waits is better gathered into one batch, which is one wait for the disk.
    fn parallel_appends(&self) -> usize {
        1
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        let drafts = drafts.to_vec();
        self.run("append", move |open| {
            let (outcomes, records) = open.state.decide(&drafts, SystemClock.now());
            open.commit("append", records)?;
            Ok(outcomes)
        })
        .await
    }

    async fn read(&self, room: &RoomId, mut query: ReadQuery) -> Result<Page> {
        let room = room.clone();
        query.limit = query.limit.clamp(1, ReadQuery::MAX_LIMIT);
        self.run("read", move |open| {
            open.state.room(&room)?.find(&query, &open.state.epoch).into_page(&room, &query)
        })
        .await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        let rooms = rooms.to_vec();
        self.run("heads", move |open| {
            let state = &open.state;
            Ok(rooms.iter().map(|room| state.rooms.get(room).map(|room| room.head(&state.epoch))).collect())
        })
        .await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        let room = room.clone();
        self.run("trim", move |open| {
            let oldest = open.state.room(&room)?.kept_by(&retention);
            open.commit("trim", vec![Record::Trim { room: room.clone(), oldest }])?;
            Ok(open.state.room(&room)?.head(&open.state.epoch))
        })
        .await
    }
}

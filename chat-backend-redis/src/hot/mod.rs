//! The newest entries of rooms, in front of an archive: every step one script. The rules are in `scripts/hot`.

mod append;
mod archiver;
mod config;
mod partition;
mod replicas;
mod rooms;
mod scripts;
mod wire;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
};

use async_trait::async_trait;
use chat_core::{
    Backend, Durability, Epoch, Result, RoomId, Seq, View,
    tiered::{
        Archived, Claim, DeadLetter, Hold, HotAppended, HotBatch, HotFrom, HotLog, HotPage, HotState, Lag,
        NameKey, Opening, Pending, Take, Unlearned,
    },
};

pub use config::HotLogConfig;

use crate::{RedisError, backend::Shared};
use partition::Partitions;
use replicas::Replicas;

/// The hot log of one prefix.
pub(crate) struct RedisHotLog {
    partitions: Partitions,
    config: HotLogConfig,
    /// Which partition is asked first for what waits.
    turn: AtomicUsize,
}

impl RedisHotLog {
    pub(crate) fn new(shared: Arc<Shared>, config: HotLogConfig) -> Self {
        let replicas = config.replicas.map(|(count, wait)| Replicas::new(count, wait));
        let partitions = Partitions::new(shared, config.partitions, replicas);
        Self { partitions, config, turn: AtomicUsize::new(0) }
    }
}

impl fmt::Debug for RedisHotLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisHotLog")
            .field("prefix", &self.partitions.shared.keys.prefix())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The error of a call.
fn during(operation: &'static str) -> impl FnOnce(RedisError) -> chat_core::Error {
    move |error| error.during(operation)
}

#[async_trait]
impl Backend for RedisHotLog {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.partitions.shared.health().await
    }
}

#[async_trait]
impl HotLog for RedisHotLog {
    fn durability(&self) -> Durability {
        Durability::Accepted
    }

    async fn rooms(&self, rooms: &[RoomId]) -> Result<Vec<HotState>> {
        self.states(rooms).await.map_err(during("rooms"))
    }

    async fn append(&self, batches: &[HotBatch]) -> Result<Vec<HotAppended>> {
        self.append_all(batches).await
    }

    async fn page(&self, room: &RoomId, from: HotFrom, view: View, limit: usize) -> Result<HotPage> {
        self.read_page(room, from, view, limit).await.map_err(during("page"))
    }

    async fn claim(&self, room: &RoomId) -> Result<Claim> {
        self.ask_claim(room).await.map_err(during("claim"))
    }

    async fn open(&self, opening: Opening) -> Result<bool> {
        self.open_room(opening).await.map_err(during("open"))
    }

    async fn close_room(&self, room: &RoomId, life: &Epoch) -> Result<()> {
        self.close(room, life).await.map_err(during("close_room"))
    }

    async fn hold(&self, room: &RoomId) -> Result<Hold> {
        self.begin_hold(room).await.map_err(during("hold"))
    }

    async fn release(&self, room: &RoomId, hold: &Hold) -> Result<()> {
        self.end_hold(room, hold).await.map_err(during("release"))
    }

    async fn trim(&self, room: &RoomId, life: &Epoch, oldest: Seq) -> Result<()> {
        self.trim_room(room, life, oldest).await.map_err(during("trim"))
    }

    async fn take(&self, worker: &str, take: Take) -> Result<Vec<Pending>> {
        self.take_rooms(worker, take).await.map_err(during("take"))
    }

    async fn pending(&self, rooms: &[RoomId], max_entries: usize) -> Result<Vec<Pending>> {
        self.look(rooms, max_entries).await.map_err(during("pending"))
    }

    async fn pending_rooms(&self) -> Result<Vec<RoomId>> {
        self.waiting_rooms().await.map_err(during("pending_rooms"))
    }

    async fn archived(&self, done: &[Archived]) -> Result<()> {
        self.note(done).await.map_err(during("archived"))
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Result<()> {
        self.put_aside(letters).await.map_err(during("bury"))
    }

    async fn unlearned(&self, room: &RoomId) -> Result<Option<Unlearned>> {
        self.ask_unlearned(room).await.map_err(during("unlearned"))
    }

    async fn learn(
        &self,
        room: &RoomId,
        life: &Epoch,
        after: Seq,
        upto: Seq,
        names: &[NameKey],
    ) -> Result<()> {
        self.learn_names(room, life, (after, upto), names).await.map_err(during("learn"))
    }

    async fn lag(&self) -> Result<Lag> {
        self.sum_up().await.map_err(during("lag"))
    }
}

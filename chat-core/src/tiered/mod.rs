//! A fast log in front of a durable one: what was just sent is answered by a [`HotLog`], and moved into an [`Archive`] a
//! moment later.
//!
//! [`Tiered`] is the [`Storage`] that a chat is built with. Appends go to the hot log alone; it asks the archive only who
//! may write, and for repeats and targets that the hot log has forgotten. Reads within the hot log's window do not touch the
//! archive; older pages come from there as a whole. A task on each node moves entries into the archive, in batches, and in
//! the order of each room.
//!
//! # When the hot log loses entries
//! A hot log that was restarted, failed over or flushed says so: its rooms are closed. A room is opened anew at the last
//! position that still exists, here or in the archive, and begins another *life* with an epoch of its own. A cursor of an
//! earlier life holds as long as all it has seen is still there; otherwise it is reset ([`Error::CursorReset`]), as after any
//! loss. Lives are written down in the archive before the hot log goes on, so that what was read from an earlier one and
//! arrives late is refused.
//!
//! # What it needs
//! Everything that changes rooms and members must go through [`Storage::rooms`] of this: the hot log believes what it
//! learned of a writer until it asks again otherwise, every 15 seconds. Nothing else may append to the archive's log.

mod admit;
mod append;
mod archive;
mod archiver;
mod asking;
mod flush;
mod gates;
mod hot;
mod lives;
mod meter;
mod opening;
mod payload;
mod read;
mod rooms;
mod waiting;
mod window;

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};

pub use archive::{
    Admission, Archive, ArchivedRoom, ArchivedTarget, Import, ImportEntry, ImportOutcome, Life, LifeOutcome,
};
pub use hot::{
    Claim, Gate, GateState, Hold, HotAppended, HotBatch, HotChange, HotDraft, HotEntry, HotFrom, HotLog,
    HotOutcome, HotPage, HotRoom, HotState, HotWindow, NameKey, Opening,
};
pub use waiting::{Archived, DeadLetter, Lag, Pending, Take, Unlearned};

use self::{archiver::Learner, asking::Asking, gates::Gates, opening::Whereabouts};
use crate::{
    AppendOutcome, Backend, Draft, Durability, Error, Head, MessageLog, Page, ReadQuery, Result, Retention,
    RoomId, Rooms, Search, Storage,
};

/// The name in errors and reports.
const NAME: &str = "tiered";
/// Batches that gather while others are under way are cheaper by the entry; more of them only make each smaller.
const PARALLEL_APPENDS: usize = 2;

/// How entries are moved into the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TieredSettings {
    /// Tasks of this node that move entries. 0 for a node that leaves it to others; default 2.
    pub workers: usize,
    /// Entries are moved when so many wait; default 100.
    pub batch_entries: usize,
    /// Or when one has waited so long; default 500 ms.
    pub batch_age: Duration,
    /// At most so many rooms are taken at once; default 64.
    pub max_rooms: usize,
    /// At most so many entries of each; default 250.
    pub max_entries: usize,
    /// What a worker took and did not finish within this time is taken over by others; default 30 s.
    pub take_over: Duration,
}

impl Default for TieredSettings {
    fn default() -> Self {
        Self {
            workers: 2,
            batch_entries: 100,
            batch_age: Duration::from_millis(500),
            max_rooms: 64,
            max_entries: 250,
            take_over: Duration::from_secs(30),
        }
    }
}

/// A [`HotLog`] in front of an [`Archive`]: log, rooms and search of a chat. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Tiered {
    shared: Arc<Shared>,
}

/// What all parts of it have.
struct Shared {
    /// For what goes on when its caller has gone away.
    me: Weak<Self>,
    hot: Arc<dyn HotLog>,
    archive: Arc<dyn Archive>,
    log: Arc<dyn MessageLog>,
    rooms: Arc<dyn Rooms>,
    search: Arc<dyn Search>,
    settings: TieredSettings,
    gates: Gates,
    asking: Asking,
    /// Who asks about writers before it is needed: one at a time.
    renewal: Arc<Semaphore>,
    learner: Learner,
    /// This node has appended something.
    appended: Arc<Notify>,
}

impl Tiered {
    /// Puts `hot` in front of `store`, whose archive is `archive`, and starts the tasks that move entries. They end with the
    /// last clone of this and of what it gave out.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn start(
        hot: Arc<dyn HotLog>,
        archive: Arc<dyn Archive>,
        store: &impl Storage,
        settings: TieredSettings,
    ) -> Self {
        let shared = Arc::new_cyclic(|me| Shared {
            me: me.clone(),
            hot,
            archive,
            log: store.message_log(),
            rooms: store.rooms(),
            search: store.search(),
            settings,
            gates: Gates::new(),
            asking: Asking::default(),
            renewal: Arc::new(Semaphore::new(1)),
            learner: Learner::default(),
            appended: Arc::default(),
        });
        archiver::start(&shared);
        Self { shared }
    }

    /// How far the archive is behind, over all nodes.
    ///
    /// # Errors
    /// The hot log's.
    pub async fn lag(&self) -> Result<Lag> {
        self.shared.hot.lag().await
    }

    /// Returns once everything is archived that waited when this was called: for a service that goes down for good, or turns
    /// to a store without a hot log in front.
    ///
    /// # Errors
    /// The hot log's or the archive's.
    pub async fn flush(&self) -> Result<()> {
        let waiting = self.shared.hot.pending_rooms().await?;
        self.shared.flush(&waiting).await
    }
}

impl Storage for Tiered {
    fn message_log(&self) -> Arc<dyn MessageLog> {
        Arc::new(TieredLog { shared: Arc::clone(&self.shared) })
    }

    fn rooms(&self) -> Arc<dyn Rooms> {
        Arc::new(rooms::TieredRooms::new(Arc::clone(&self.shared)))
    }

    fn search(&self) -> Arc<dyn Search> {
        Arc::new(rooms::TieredSearch::new(Arc::clone(&self.shared)))
    }
}

impl fmt::Debug for Tiered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shared, f)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiered")
            .field("hot", &self.hot)
            .field("archive", &self.archive)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// [`MessageLog`] of a [`Tiered`].
#[derive(Debug)]
struct TieredLog {
    shared: Arc<Shared>,
}

#[async_trait]
impl Backend for TieredLog {
    fn name(&self) -> &'static str {
        self.shared.hot.name()
    }

    async fn health(&self) -> Result<()> {
        self.shared.hot.health().await
    }
}

#[async_trait]
impl MessageLog for TieredLog {
    fn durability(&self) -> Durability {
        self.shared.hot.durability()
    }

    fn parallel_appends(&self) -> usize {
        PARALLEL_APPENDS
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        self.shared.append(drafts).await
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        let limit = query.limit.clamp(1, ReadQuery::MAX_LIMIT);
        self.shared.read(room, &query.with_limit(limit)).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        self.shared.heads(rooms).await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.shared.trim(room, retention).await
    }
}

impl Shared {
    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        // What is not archived cannot be trimmed there.
        self.flush(std::slice::from_ref(room)).await?;
        let kept = self.log.trim(room, retention).await?;
        let place = self.whereabouts(std::slice::from_ref(room)).await?.pop().flatten();
        match place.ok_or_else(|| Error::RoomNotFound { room: room.clone() })? {
            Whereabouts::Hot(hot) => {
                self.hot.trim(room, &hot.life, kept.oldest).await?;
                Ok(Head { oldest: kept.oldest, ..hot.head() })
            }
            Whereabouts::Archived(known) => Ok(known.visible_head()),
        }
    }
}

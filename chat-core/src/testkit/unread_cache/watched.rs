//! A store that answers late, and notes what it would have counted at each instant.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures::FutureExt as _;

use crate::{
    AppendOutcome, Backend, Cursor, Draft, Durability, Head, Member, MemberChange, MemberOutcome, MessageLog,
    NewRoom, Page, ReadMarker, ReadQuery, Result, Retention, Room, RoomChange, RoomId, RoomKey, Rooms,
    Storage as _, UserId,
    memory::MemoryStore,
    rooms::{ActivityCursor, MembersPage, RoomsPage},
};

/// What each of the users has unread in each of the rooms, from the beginning on.
pub(super) type Instant = Vec<Vec<u64>>;

/// Whatever it does is done at one instant, some time after the call and some time before the answer.
#[derive(Debug)]
pub(super) struct Watched {
    log: Arc<dyn MessageLog>,
    rooms: Arc<dyn Rooms>,
    users: Vec<UserId>,
    of: Vec<RoomId>,
    instants: Mutex<Vec<Instant>>,
    counted: AtomicUsize,
}

impl Watched {
    pub(super) fn new(users: Vec<UserId>, of: Vec<RoomId>) -> Self {
        let store = MemoryStore::new();
        let (log, rooms) = (store.message_log(), store.rooms());
        Self { log, rooms, users, of, instants: Mutex::default(), counted: AtomicUsize::new(0) }
    }

    fn instants(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.instants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the present instant.
    pub(super) fn now(&self) -> usize {
        self.instants().len().saturating_sub(1)
    }

    /// Those from one to another, both included.
    pub(super) fn between(&self, first: usize, last: usize) -> Vec<Instant> {
        self.instants()[first..=last].to_vec()
    }

    /// How many counts were asked for.
    pub(super) fn counted(&self) -> usize {
        self.counted.load(Ordering::SeqCst)
    }

    /// Memory answers at once.
    fn at_once<T>(call: impl Future<Output = T>) -> T {
        match call.now_or_never() {
            Some(done) => done,
            None => panic!("memory does not wait"),
        }
    }

    async fn late<T>(&self, call: impl Future<Output = T> + Send) -> T {
        pause().await;
        let done = {
            let _instants = self.instants();
            Self::at_once(call)
        };
        pause().await;
        done
    }

    /// Does what changes counts, and notes them.
    async fn change<T>(&self, call: impl Future<Output = T> + Send) -> T {
        pause().await;
        let done = {
            let mut instants = self.instants();
            let done = Self::at_once(call);
            let counts = |user| Self::at_once(self.rooms.unread(user, &self.of)).unwrap_or_default();
            let now: Instant = self.users.iter().map(counts).collect();
            instants.push(now);
            done
        };
        pause().await;
        done
    }
}

/// Mostly short, so that calls meet.
async fn pause() {
    match fastrand::u8(..8) {
        0 => tokio::time::sleep(std::time::Duration::from_micros(fastrand::u64(..1_500))).await,
        1..=4 => tokio::task::yield_now().await,
        _ => {}
    }
}

#[async_trait]
impl Backend for Watched {
    fn name(&self) -> &'static str {
        "watched"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl MessageLog for Watched {
    fn durability(&self) -> Durability {
        self.log.durability()
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        self.change(self.log.append(drafts)).await
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        self.late(self.log.read(room, query)).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        self.late(self.log.heads(rooms)).await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.change(self.log.trim(room, retention)).await
    }
}

#[async_trait]
impl Rooms for Watched {
    async fn create(&self, room: NewRoom) -> Result<(Room, bool)> {
        self.change(self.rooms.create(room)).await
    }

    async fn room(&self, room: &RoomId) -> Result<Room> {
        self.late(self.rooms.room(room)).await
    }

    async fn room_by_key(&self, key: &RoomKey) -> Result<Option<Room>> {
        self.late(self.rooms.room_by_key(key)).await
    }

    async fn update(&self, room: &RoomId, change: RoomChange) -> Result<Room> {
        self.change(self.rooms.update(room, change)).await
    }

    async fn change_member(&self, room: &RoomId, change: MemberChange) -> Result<MemberOutcome> {
        self.change(self.rooms.change_member(room, change)).await
    }

    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>> {
        self.late(self.rooms.member(room, user)).await
    }

    async fn memberships(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<Option<Member>>> {
        self.late(self.rooms.memberships(user, rooms)).await
    }

    async fn members(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<MembersPage> {
        self.late(self.rooms.members(room, after, limit)).await
    }

    async fn mark_read(&self, room: &RoomId, user: &UserId, cursor: &Cursor) -> Result<ReadMarker> {
        self.change(self.rooms.mark_read(room, user, cursor)).await
    }

    async fn unread(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>> {
        self.counted.fetch_add(rooms.len(), Ordering::SeqCst);
        self.late(self.rooms.unread(user, rooms)).await
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&ActivityCursor>,
        limit: usize,
    ) -> Result<RoomsPage> {
        self.late(self.rooms.rooms_of(user, after, limit)).await
    }

    async fn read_markers(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ReadMarker>> {
        self.late(self.rooms.read_markers(room, after, limit)).await
    }
}

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_core::{
    Backend, Cursor, Member, MemberChange, MemberOutcome, NewRoom, ReadMarker, Result, Room, RoomChange,
    RoomId, RoomKey, Rooms, UserId,
    rooms::{ActivityCursor, MembersPage, RoomsPage},
};

/// Changes take so long before they are stored, and as long again until that is answered.
#[derive(Debug)]
pub(crate) struct SlowRooms {
    pub(crate) rooms: Arc<dyn Rooms>,
    pub(crate) latency: Duration,
}

impl SlowRooms {
    async fn slowly<T>(&self, change: impl Future<Output = Result<T>> + Send) -> Result<T> {
        tokio::time::sleep(self.latency).await;
        let changed = change.await;
        tokio::time::sleep(self.latency).await;
        changed
    }
}

#[async_trait]
impl Backend for SlowRooms {
    fn name(&self) -> &'static str {
        "slow"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Rooms for SlowRooms {
    async fn create(&self, room: NewRoom) -> Result<(Room, bool)> {
        self.rooms.create(room).await
    }

    async fn room(&self, room: &RoomId) -> Result<Room> {
        self.rooms.room(room).await
    }

    async fn room_by_key(&self, key: &RoomKey) -> Result<Option<Room>> {
        self.rooms.room_by_key(key).await
    }

    async fn update(&self, room: &RoomId, change: RoomChange) -> Result<Room> {
        self.slowly(self.rooms.update(room, change)).await
    }

    async fn change_member(&self, room: &RoomId, change: MemberChange) -> Result<MemberOutcome> {
        self.slowly(self.rooms.change_member(room, change)).await
    }

    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>> {
        self.rooms.member(room, user).await
    }

    async fn memberships(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<Option<Member>>> {
        self.rooms.memberships(user, rooms).await
    }

    async fn members(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<MembersPage> {
        self.rooms.members(room, after, limit).await
    }

    async fn mark_read(&self, room: &RoomId, user: &UserId, cursor: &Cursor) -> Result<ReadMarker> {
        self.slowly(self.rooms.mark_read(room, user, cursor)).await
    }

    async fn unread(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>> {
        self.rooms.unread(user, rooms).await
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&ActivityCursor>,
        limit: usize,
    ) -> Result<RoomsPage> {
        self.rooms.rooms_of(user, after, limit).await
    }

    async fn read_markers(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ReadMarker>> {
        self.rooms.read_markers(room, after, limit).await
    }
}

//! The log and the rooms of a [`SqliteStore`], as the engine's nodes see them.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Backend, Cursor, Draft, Durability, Head, MemberChange, MessageLog, NewRoom, Page,
    ReadQuery, Result, Retention, Room, RoomId, RoomKey, Rooms, Storage as _, UserId,
    rooms::{ActivityCursor, Member, MemberOutcome, MembersPage, ReadMarker, RoomChange, RoomsPage},
};

use crate::sqlite_store::SqliteStore;

/// Log and rooms of one file.
#[derive(Debug)]
pub(crate) struct SqliteParts(pub(crate) Arc<SqliteStore>);

#[async_trait]
impl Backend for SqliteParts {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    async fn health(&self) -> Result<()> {
        self.0.ask(|store| async move { store.health().await }).await
    }
}

#[async_trait]
impl MessageLog for SqliteParts {
    fn durability(&self) -> Durability {
        Durability::Persisted
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        self.0.append(drafts.to_vec()).await
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        let room = room.clone();
        self.0.ask(|store| async move { store.message_log().read(&room, query).await }).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        let rooms = rooms.to_vec();
        self.0.ask(|store| async move { store.message_log().heads(&rooms).await }).await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        let room = room.clone();
        self.0.ask(|store| async move { store.message_log().trim(&room, retention).await }).await
    }
}

#[async_trait]
impl Rooms for SqliteParts {
    async fn create(&self, room: NewRoom) -> Result<(Room, bool)> {
        self.0.ask(|store| async move { store.rooms().create(room).await }).await
    }

    async fn room(&self, room: &RoomId) -> Result<Room> {
        let room = room.clone();
        self.0.ask(|store| async move { store.rooms().room(&room).await }).await
    }

    async fn room_by_key(&self, key: &RoomKey) -> Result<Option<Room>> {
        let key = key.clone();
        self.0.ask(|store| async move { store.rooms().room_by_key(&key).await }).await
    }

    async fn update(&self, room: &RoomId, change: RoomChange) -> Result<Room> {
        let room = room.clone();
        self.0.ask(|store| async move { store.rooms().update(&room, change).await }).await
    }

    async fn change_member(&self, room: &RoomId, change: MemberChange) -> Result<MemberOutcome> {
        let room = room.clone();
        self.0.ask(|store| async move { store.rooms().change_member(&room, change).await }).await
    }

    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>> {
        let (room, user) = (room.clone(), user.clone());
        self.0.ask(|store| async move { store.rooms().member(&room, &user).await }).await
    }

    async fn memberships(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<Option<Member>>> {
        let (user, rooms) = (user.clone(), rooms.to_vec());
        self.0.ask(|store| async move { store.rooms().memberships(&user, &rooms).await }).await
    }

    async fn members(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<MembersPage> {
        let (room, after) = (room.clone(), after.cloned());
        self.0
            .ask(move |store| async move { store.rooms().members(&room, after.as_ref(), limit).await })
            .await
    }

    async fn mark_read(&self, room: &RoomId, user: &UserId, cursor: &Cursor) -> Result<ReadMarker> {
        let (room, user, cursor) = (room.clone(), user.clone(), cursor.clone());
        self.0.ask(|store| async move { store.rooms().mark_read(&room, &user, &cursor).await }).await
    }

    async fn unread(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>> {
        let (user, rooms) = (user.clone(), rooms.to_vec());
        self.0.ask(|store| async move { store.rooms().unread(&user, &rooms).await }).await
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&ActivityCursor>,
        limit: usize,
    ) -> Result<RoomsPage> {
        let (user, after) = (user.clone(), after.cloned());
        self.0
            .ask(move |store| async move { store.rooms().rooms_of(&user, after.as_ref(), limit).await })
            .await
    }

    async fn read_markers(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ReadMarker>> {
        let (room, after) = (room.clone(), after.cloned());
        let work = move |store: chat_backend_sqlite::SqliteBackend| async move {
            store.rooms().read_markers(&room, after.as_ref(), limit).await
        };
        self.0.ask(work).await
    }
}

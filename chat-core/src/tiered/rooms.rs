//! Rooms in front of which a hot log stands: lists and counts show what is not archived yet, and the hot log learns of who
//! may no longer write.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Shared, lives::show, opening::Whereabouts};
use crate::{
    Backend, Cursor, Error, Member, MemberChange, MemberOutcome, NewRoom, ReadMarker, Result, Room,
    RoomChange, RoomId, RoomKey, Rooms, Search, StoredMessage, UserId,
    rooms::{ActivityCursor, MembersPage, RoomsPage},
    search::{SearchPage, SearchQuery},
};

/// [`Rooms`] of a [`Tiered`](super::Tiered) log.
#[derive(Debug)]
pub(super) struct TieredRooms {
    shared: Arc<Shared>,
}

impl TieredRooms {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Does what changes who may write, so that every node notices with its next append. Nodes that look while it is under
    /// way believe what they see for less than a second; so it is if this call is dropped.
    async fn guarded<T>(&self, room: &RoomId, change: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let hold = self.shared.hot.hold(room).await?;
        let done = change.await;
        self.shared.hot.release(room, &hold).await?;
        done
    }

    async fn place(&self, room: &RoomId) -> Result<Whereabouts> {
        let place = self.shared.whereabouts(std::slice::from_ref(room)).await?.pop().flatten();
        place.ok_or_else(|| Error::RoomNotFound { room: room.clone() })
    }
}

impl Shared {
    /// Shows entries of several rooms in the epochs that readers see.
    pub(super) async fn show_all<'m>(
        &self,
        messages: impl Iterator<Item = &'m mut StoredMessage> + Send,
    ) -> Result<()> {
        let messages: Vec<_> = messages.collect();
        let mut rooms: Vec<RoomId> = messages.iter().map(|message| message.room.clone()).collect();
        rooms.sort_unstable();
        rooms.dedup();
        if rooms.is_empty() {
            return Ok(());
        }
        let places = self.whereabouts(&rooms).await?;
        for message in messages {
            if let Ok(index) = rooms.binary_search(&message.room)
                && let Some(Some(place)) = places.get(index)
            {
                show(message, place.epoch());
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for TieredRooms {
    fn name(&self) -> &'static str {
        self.shared.rooms.name()
    }

    async fn health(&self) -> Result<()> {
        self.shared.rooms.health().await
    }
}

#[async_trait]
impl Rooms for TieredRooms {
    async fn create(&self, room: NewRoom) -> Result<(Room, bool)> {
        self.shared.rooms.create(room).await
    }

    async fn room(&self, room: &RoomId) -> Result<Room> {
        self.shared.rooms.room(room).await
    }

    async fn room_by_key(&self, key: &RoomKey) -> Result<Option<Room>> {
        self.shared.rooms.room_by_key(key).await
    }

    async fn update(&self, room: &RoomId, change: RoomChange) -> Result<Room> {
        self.guarded(room, self.shared.rooms.update(room, change)).await
    }

    async fn change_member(&self, room: &RoomId, change: MemberChange) -> Result<MemberOutcome> {
        if change.role.is_some() {
            // Their read marker starts at the head that the archive knows. Nobody loses a right to write.
            self.shared.flush(std::slice::from_ref(room)).await?;
            return self.shared.rooms.change_member(room, change).await;
        }
        self.guarded(room, self.shared.rooms.change_member(room, change)).await
    }

    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>> {
        self.shared.rooms.member(room, user).await
    }

    async fn memberships(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<Option<Member>>> {
        self.shared.rooms.memberships(user, rooms).await
    }

    async fn members(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<MembersPage> {
        self.shared.rooms.members(room, after, limit).await
    }

    async fn mark_read(&self, room: &RoomId, user: &UserId, cursor: &Cursor) -> Result<ReadMarker> {
        let place = self.place(room).await?;
        if let Whereabouts::Hot(hot) = &place
            && cursor.seq > hot.archived
            && cursor.seq <= hot.head
        {
            self.shared.flush(std::slice::from_ref(room)).await?;
        }
        let missing = || Error::RoomNotFound { room: room.clone() };
        let known = self.shared.archived_room(room).await?.ok_or_else(missing)?;
        let head = place.head();
        let seq = if cursor.epoch == head.cursor.epoch && cursor.seq <= head.cursor.seq {
            cursor.seq
        } else {
            if let Whereabouts::Hot(hot) = &place
                && !self.shared.lives_on(room, hot, &known).await?
            {
                return Err(Error::CursorReset { room: room.clone(), current: known.visible_head().cursor });
            }
            known.position(room, cursor, &head)?
        };
        let archived = Cursor::new(known.head.cursor.epoch, seq);
        let mut marker = self.shared.rooms.mark_read(room, user, &archived).await?;
        marker.cursor.epoch = head.cursor.epoch;
        Ok(marker)
    }

    async fn unread(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>> {
        self.shared.flush(rooms).await?;
        self.shared.rooms.unread(user, rooms).await
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&ActivityCursor>,
        limit: usize,
    ) -> Result<RoomsPage> {
        self.shared.flush_rooms_of(user).await?;
        let mut page = self.shared.rooms.rooms_of(user, after, limit).await?;
        let previews = page.rooms.iter_mut().filter_map(|summary| summary.preview.as_mut());
        self.shared.show_all(previews).await?;
        Ok(page)
    }

    async fn read_markers(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ReadMarker>> {
        let mut markers = self.shared.rooms.read_markers(room, after, limit).await?;
        let epoch = self.place(room).await?.epoch().clone();
        for marker in &mut markers {
            marker.cursor.epoch = epoch.clone();
        }
        Ok(markers)
    }
}

/// [`Search`] of a [`Tiered`](super::Tiered) log: over what is archived, which it first sees to.
#[derive(Debug)]
pub(super) struct TieredSearch {
    shared: Arc<Shared>,
}

impl TieredSearch {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[async_trait]
impl Backend for TieredSearch {
    fn name(&self) -> &'static str {
        self.shared.search.name()
    }

    async fn health(&self) -> Result<()> {
        self.shared.search.health().await
    }
}

#[async_trait]
impl Search for TieredSearch {
    async fn search(&self, query: SearchQuery) -> Result<SearchPage> {
        self.shared.flush_rooms_of(&query.user).await?;
        let mut page = self.shared.search.search(query).await?;
        self.shared.show_all(page.messages.iter_mut()).await?;
        Ok(page)
    }
}

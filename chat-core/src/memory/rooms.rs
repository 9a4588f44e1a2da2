use async_trait::async_trait;

use super::{MemoryStore, room_state::RoomState, store::State};
use crate::{
    Backend, Cursor, Epoch, Error, Member, MemberChange, MemberOutcome, NewRoom, ReadMarker, Result, Role,
    Room, RoomChange, RoomId, RoomKey, Rooms, Timestamp, UserId,
    rooms::{ActivityCursor, MembersPage, RoomSummary, RoomsPage},
};

/// The greatest page of members and of read markers.
const MAX_MEMBERS: usize = 1_000;
/// The greatest page of a user's rooms.
const MAX_ROOMS: usize = 200;

/// [`Rooms`] in memory, over a [`MemoryStore`].
///
/// Where a key and an id name two rooms, [`create`](Rooms::create) answers the one with the key. Asking by id without
/// a key answers the room whatever key it has. A numbered removal of somebody who never was a member is remembered, so
/// that the older addition which it overtook stays without effect. The activity of a room does not go back when its
/// entries are trimmed.
#[derive(Debug, Clone)]
pub struct MemoryRooms {
    store: MemoryStore,
}

impl MemoryRooms {
    /// The rooms of `store`.
    #[must_use]
    pub const fn new(store: MemoryStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Backend for MemoryRooms {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Rooms for MemoryRooms {
    async fn create(&self, room: NewRoom) -> Result<(Room, bool)> {
        room.check()?;
        let mut state = self.store.lock();
        let by_key = room.key.as_ref().and_then(|key| state.keys.get(key));
        if let Some(known) = by_key.and_then(|id| state.rooms.get(id)) {
            return Ok((known.room.clone(), false));
        }
        if let Some(known) = state.rooms.get(&room.id) {
            return match room.key {
                Some(_) => Err(Error::RoomExists { room: room.id }),
                None => Ok((known.room.clone(), false)),
            };
        }
        let now = self.store.clock().now();
        let owner = room.owner.clone();
        let room = Room::create(room, now);
        if let Some(key) = &room.key {
            state.keys.insert(key.clone(), room.id.clone());
        }
        let mut known = RoomState::new(room.clone());
        if let Some(owner) = owner {
            known.change_member(&MemberChange::add(owner.clone(), Role::Owner), now);
            state.rooms_of.entry(owner).or_default().insert(room.id.clone());
        }
        state.rooms.insert(room.id.clone(), known);
        Ok((room, true))
    }

    async fn room(&self, room: &RoomId) -> Result<Room> {
        Ok(self.store.lock().room(room)?.room.clone())
    }

    async fn room_by_key(&self, key: &RoomKey) -> Result<Option<Room>> {
        let state = self.store.lock();
        Ok(state.keys.get(key).and_then(|id| state.rooms.get(id)).map(|known| known.room.clone()))
    }

    async fn update(&self, room: &RoomId, change: RoomChange) -> Result<Room> {
        change.check()?;
        let mut state = self.store.lock();
        let room = &mut state.room_mut(room)?.room;
        let RoomChange { metadata, active, max_body_chars } = change;
        if let Some(metadata) = metadata {
            room.metadata = metadata;
        }
        room.active = active.unwrap_or(room.active);
        room.max_body_chars = max_body_chars.unwrap_or(room.max_body_chars);
        Ok(room.clone())
    }

    async fn change_member(&self, room: &RoomId, change: MemberChange) -> Result<MemberOutcome> {
        let mut state = self.store.lock();
        let now = self.store.clock().now();
        let known = state.room_mut(room)?;
        if known.refuses(&change) {
            return Err(Error::LastOwner { room: room.clone() });
        }
        let outcome = known.change_member(&change, now);
        match &outcome {
            MemberOutcome::Added(member) => {
                state.rooms_of.entry(member.user.clone()).or_default().insert(room.clone());
            }
            MemberOutcome::Removed(member) => {
                if let Some(rooms) = state.rooms_of.get_mut(&member.user) {
                    rooms.remove(room);
                    if rooms.is_empty() {
                        state.rooms_of.remove(&member.user);
                    }
                }
            }
            MemberOutcome::RoleChanged(_) | MemberOutcome::Unchanged(_) => {}
        }
        Ok(outcome)
    }

    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>> {
        Ok(self.store.lock().rooms.get(room).and_then(|known| known.member(user)).cloned())
    }

    async fn memberships(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<Option<Member>>> {
        let state = self.store.lock();
        Ok(rooms
            .iter()
            .map(|room| state.rooms.get(room).and_then(|known| known.member(user)).cloned())
            .collect())
    }

    async fn members(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<MembersPage> {
        let limit = limit.clamp(1, MAX_MEMBERS);
        let state = self.store.lock();
        let current =
            state.room(room)?.current_after(after).filter_map(|(_, membership)| membership.current());
        let mut members: Vec<_> = current.take(limit + 1).cloned().collect();
        let more = members.len() > limit;
        members.truncate(limit);
        let next = members.last().filter(|_| more).map(|member| member.user.clone());
        Ok(MembersPage { members, next })
    }

    async fn mark_read(&self, room: &RoomId, user: &UserId, cursor: &Cursor) -> Result<ReadMarker> {
        let mut state = self.store.lock();
        let now = self.store.clock().now();
        let epoch = state.epoch.clone();
        let known = state.room_mut(room)?;
        let current = Cursor::new(epoch.clone(), known.log.last());
        let membership = known.membership_mut(user).filter(|membership| membership.current().is_some());
        let membership =
            membership.ok_or_else(|| Error::NotAMember { room: room.clone(), user: user.clone() })?;
        if cursor.epoch != current.epoch || cursor.seq > current.seq {
            return Err(Error::CursorReset { room: room.clone(), current });
        }
        membership.mark(cursor.seq, now);
        Ok(membership.marker(user, &epoch))
    }

    async fn unread(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>> {
        let state = self.store.lock();
        let unread = |room: &RoomId| {
            let known = state.rooms.get(room)?;
            Some(known.log.unread(user, known.current(user)?.read()))
        };
        Ok(rooms.iter().map(|room| unread(room).unwrap_or(0)).collect())
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&ActivityCursor>,
        limit: usize,
    ) -> Result<RoomsPage> {
        let limit = limit.clamp(1, MAX_ROOMS);
        let state = self.store.lock();
        // A message in a room of thousands must not touch thousands of lists, so the order is found when it is asked for.
        let mut places = state.places_of(user);
        places.retain(|place| after.is_none_or(|after| place < after));
        if places.len() > limit {
            places.select_nth_unstable_by(limit, |a, b| b.cmp(a));
        }
        let more = places.len() > limit;
        places.truncate(limit);
        places.sort_unstable_by(|a, b| b.cmp(a));
        let next = places.last().filter(|_| more).cloned();
        let rooms = places
            .into_iter()
            .filter_map(|place| state.rooms.get(&place.room)?.summary(&state.epoch, user, place.at));
        Ok(RoomsPage { rooms: rooms.collect(), next })
    }

    async fn read_markers(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ReadMarker>> {
        let state = self.store.lock();
        let current = state.room(room)?.current_after(after).take(limit.clamp(1, MAX_MEMBERS));
        Ok(current.map(|(user, membership)| membership.marker(user, &state.epoch)).collect())
    }
}

impl State {
    /// Where each of the user's rooms stands in their list, in no order.
    fn places_of(&self, user: &UserId) -> Vec<ActivityCursor> {
        let rooms = self.rooms_of.get(user).into_iter().flatten().filter_map(|room| self.rooms.get(room));
        let places = rooms.filter_map(|known| {
            let joined = known.current(user)?.current()?.joined_at;
            let at = known.log.last_activity().map_or(joined, |last| last.max(joined));
            Some(ActivityCursor { at, room: known.room.id.clone() })
        });
        places.collect()
    }
}

impl RoomState {
    fn summary(&self, epoch: &Epoch, user: &UserId, activity: Timestamp) -> Option<RoomSummary> {
        let membership = self.current(user)?;
        Some(RoomSummary {
            room: self.room.clone(),
            member: membership.current()?.clone(),
            read: membership.marker(user, epoch).cursor,
            head: self.log.head(epoch).cursor,
            unread: self.log.unread(user, membership.read()),
            preview: self.log.preview(&self.room.id, epoch),
            activity,
        })
    }
}

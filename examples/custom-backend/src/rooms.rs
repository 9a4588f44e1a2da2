//! Rooms and members, which the log has to check in the step that stores a message: so they are in the same file, under the same lock.

use async_trait::async_trait;
use chat_core::{
    Clock as _, Cursor, Error, Member, MemberChange, MemberOutcome, NewRoom, ReadMarker, Result, Role, Room,
    RoomChange, RoomId, RoomKey, Rooms, SystemClock, UserId,
    rooms::{ActivityCursor, MembersPage, RoomSummary, RoomsPage},
    rules::Membership,
};

use crate::{
    record::Record,
    room::{RoomState, UserState},
    store::{FileStore, Open},
};

const MAX_MEMBERS: usize = 1_000;
const MAX_ROOMS: usize = 200;

impl RoomState {
    /// Current members by user id, after `after`.
    fn members_after<'s>(
        &'s self,
        after: Option<&'s UserId>,
    ) -> impl Iterator<Item = (&'s UserId, &'s UserState, &'s Member)> {
        let users = self.users.iter().filter(move |(user, _)| after.is_none_or(|after| *user > after));
        users.filter_map(|(user, state)| Some((user, state, state.current()?)))
    }

    /// Whether a change that is to keep an owner takes the last one from members who stay.
    fn refuses(&self, change: &MemberChange) -> bool {
        let Some(known) = self.users.get(&change.user).filter(|_| change.keep_owner) else { return false };
        let outdated = change.version.is_some_and(|version| version <= known.known.version);
        let is_owner = known.current().is_some_and(|member| member.role == Role::Owner);
        if outdated || !is_owner || change.role == Some(Role::Owner) {
            return false;
        }
        let others = || self.members_after(None).filter(|(user, ..)| **user != change.user);
        let somebody_stays = change.role.is_some() || others().next().is_some();
        somebody_stays && !others().any(|(.., member)| member.role == Role::Owner)
    }
}

impl Open {
    fn change(&mut self, room: &RoomId, change: &MemberChange) -> Result<MemberOutcome> {
        let known = self.state.room(room)?;
        if known.refuses(change) {
            return Err(Error::LastOwner { room: room.clone() });
        }
        let before = known.users.get(&change.user).map(|state| state.known.clone());
        let made = Membership::change(before, change, SystemClock.now());
        if let Some(Membership { member, version }) = made.stored {
            let record = Record::Member { room: room.clone(), user: change.user.clone(), member, version };
            self.commit("change a member", vec![record])?;
        }
        Ok(made.outcome)
    }

    fn create(&mut self, new: NewRoom) -> Result<(Room, bool)> {
        let by_key = new.key.as_ref().and_then(|key| self.state.keys.get(key));
        let known = by_key.or(Some(&new.id)).and_then(|id| self.state.rooms.get(id));
        if let Some(known) = known {
            if by_key.is_none() && new.key.is_some() {
                return Err(Error::RoomExists { room: new.id });
            }
            return Ok((known.room.clone(), false));
        }
        let (owner, now) = (new.owner.clone(), SystemClock.now());
        let room = Room::create(new, now);
        let mut records = vec![Record::Room(room.clone())];
        if let Some(user) = owner {
            let change = MemberChange::add(user.clone(), Role::Owner);
            if let Some(Membership { member, version }) = Membership::change(None, &change, now).stored {
                records.push(Record::Member { room: room.id.clone(), user, member, version });
            }
        }
        self.commit("create a room", records)?;
        Ok((room, true))
    }

    fn mark(&mut self, room: &RoomId, user: &UserId, cursor: &Cursor) -> Result<ReadMarker> {
        let known = self.state.room(room)?;
        let stranger = || Error::NotAMember { room: room.clone(), user: user.clone() };
        let read = known.current(user).ok_or_else(stranger)?.read;
        let current = known.head(&self.state.epoch).cursor;
        if cursor.epoch != current.epoch || cursor.seq > current.seq {
            return Err(Error::CursorReset { room: room.clone(), current });
        }
        if cursor.seq > read {
            let at = SystemClock.now();
            let record = Record::Read { room: room.clone(), user: user.clone(), seq: cursor.seq, at };
            self.commit("mark as read", vec![record])?;
        }
        let marked = self.state.room(room)?.current(user).ok_or_else(stranger)?;
        Ok(marked.marker(user, &self.state.epoch))
    }

    fn rooms_of(&self, user: &UserId, after: Option<&ActivityCursor>, limit: usize) -> RoomsPage {
        let epoch = &self.state.epoch;
        let summaries = self.state.rooms.values().filter_map(|known| {
            let state = known.current(user)?;
            let member = state.current()?.clone();
            Some(RoomSummary {
                room: known.room.clone(),
                activity: known.activity(member.joined_at),
                member,
                read: state.marker(user, epoch).cursor,
                head: known.head(epoch).cursor,
                unread: known.unread(user),
                preview: known.preview(epoch),
            })
        });
        let mut rooms: Vec<_> =
            summaries.filter(|room| after.is_none_or(|after| room.cursor() < *after)).collect();
        rooms.sort_unstable_by_key(|room| std::cmp::Reverse(room.cursor()));
        let more = rooms.len() > limit;
        rooms.truncate(limit);
        let next = rooms.last().filter(|_| more).map(RoomSummary::cursor);
        RoomsPage { rooms, next }
    }
}

#[async_trait]
impl Rooms for FileStore {
    async fn create(&self, room: NewRoom) -> Result<(Room, bool)> {
        room.check()?;
        self.run("create a room", move |open| open.create(room)).await
    }

    async fn room(&self, room: &RoomId) -> Result<Room> {
        let room = room.clone();
        self.run("read a room", move |open| Ok(open.state.room(&room)?.room.clone())).await
    }

    async fn room_by_key(&self, key: &RoomKey) -> Result<Option<Room>> {
        let key = key.clone();
        self.run("read a room", move |open| {
            let known = open.state.keys.get(&key).and_then(|id| open.state.rooms.get(id));
            Ok(known.map(|known| known.room.clone()))
        })
        .await
    }

    async fn update(&self, room: &RoomId, change: RoomChange) -> Result<Room> {
        change.check()?;
        let room = room.clone();
        self.run("change a room", move |open| {
            let mut room = open.state.room(&room)?.room.clone();
            let RoomChange { metadata, active, max_body_chars } = change;
            room.metadata = metadata.unwrap_or(room.metadata);
            room.active = active.unwrap_or(room.active);
            room.max_body_chars = max_body_chars.unwrap_or(room.max_body_chars);
            open.commit("change a room", vec![Record::Room(room.clone())])?;
            Ok(room)
        })
        .await
    }

    async fn change_member(&self, room: &RoomId, change: MemberChange) -> Result<MemberOutcome> {
        let room = room.clone();
        self.run("change a member", move |open| open.change(&room, &change)).await
    }

    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>> {
        Ok(self.memberships(user, std::slice::from_ref(room)).await?.pop().flatten())
    }

    async fn memberships(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<Option<Member>>> {
        let (user, rooms) = (user.clone(), rooms.to_vec());
        self.run("read members", move |open| {
            let member = |room: &RoomId| open.state.rooms.get(room)?.users.get(&user)?.known.member.clone();
            Ok(rooms.iter().map(member).collect())
        })
        .await
    }

    async fn members(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<MembersPage> {
        let (room, after, limit) = (room.clone(), after.cloned(), limit.clamp(1, MAX_MEMBERS));
        self.run("read members", move |open| {
            let current = open.state.room(&room)?.members_after(after.as_ref());
            let mut members: Vec<_> = current.map(|(.., member)| member.clone()).take(limit + 1).collect();
            let more = members.len() > limit;
            members.truncate(limit);
            let next = members.last().filter(|_| more).map(|member| member.user.clone());
            Ok(MembersPage { members, next })
        })
        .await
    }

    async fn mark_read(&self, room: &RoomId, user: &UserId, cursor: &Cursor) -> Result<ReadMarker> {
        let (room, user, cursor) = (room.clone(), user.clone(), cursor.clone());
        self.run("mark as read", move |open| open.mark(&room, &user, &cursor)).await
    }

    async fn unread(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>> {
        let (user, rooms) = (user.clone(), rooms.to_vec());
        self.run("count unread", move |open| {
            let unread = |room: &RoomId| open.state.rooms.get(room).map_or(0, |room| room.unread(&user));
            Ok(rooms.iter().map(unread).collect())
        })
        .await
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&ActivityCursor>,
        limit: usize,
    ) -> Result<RoomsPage> {
        let (user, after, limit) = (user.clone(), after.cloned(), limit.clamp(1, MAX_ROOMS));
        self.run("list rooms", move |open| Ok(open.rooms_of(&user, after.as_ref(), limit))).await
    }

    async fn read_markers(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ReadMarker>> {
        let (room, after, limit) = (room.clone(), after.cloned(), limit.clamp(1, MAX_MEMBERS));
        self.run("read markers", move |open| {
            let current = open.state.room(&room)?.members_after(after.as_ref()).take(limit);
            Ok(current.map(|(user, state, _)| state.marker(user, &open.state.epoch)).collect())
        })
        .await
    }
}

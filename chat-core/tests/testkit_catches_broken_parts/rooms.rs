use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chat_core::{
    Backend, Cursor, Member, MemberChange, MemberOutcome, MessageLog, NewRoom, ReadMarker, ReadQuery, Result,
    Role, Room, RoomChange, RoomId, RoomKey, Rooms, Storage as _, UserId,
    memory::MemoryStore,
    rooms::{ActivityCursor, MembersPage, RoomsPage},
    testkit::{LogHarness, LogNode, rooms as cases},
};

use super::{catches, panics};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    UnreadCountsOwn,
    UnreadIgnoresDeletes,
    MarkerGoesBack,
    VersionsIgnored,
    OwnersGo,
    OwnersAreLookedAtFirst,
    CreatesByCheckThenWrite,
    OwnerIsASecondStep,
    LeftRoomsHaveUnread,
}

#[derive(Debug)]
struct BrokenRooms {
    rooms: Arc<dyn Rooms>,
    log: Arc<dyn MessageLog>,
    by_key: Mutex<HashMap<RoomKey, Room>>,
    fault: Option<Fault>,
}

impl BrokenRooms {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    async fn recount(&self, user: &UserId, room: &RoomId) -> Result<u64> {
        let markers = self.rooms.read_markers(room, None, 1_000).await?;
        let Some(marker) = markers.into_iter().find(|marker| marker.user == *user) else { return Ok(0) };
        let page = self.log.read(room, ReadQuery::after(marker.cursor).with_limit(1_000)).await?;
        let counts = page.entries.iter().filter(|entry| {
            entry.is_countable()
                && (self.has(Fault::UnreadCountsOwn) || entry.sender != *user)
                && (self.has(Fault::UnreadIgnoresDeletes) || entry.state.deleted.is_none())
        });
        Ok(counts.count() as u64)
    }
}

#[async_trait]
impl Backend for BrokenRooms {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Rooms for BrokenRooms {
    async fn create(&self, mut room: NewRoom) -> Result<(Room, bool)> {
        match (self.fault, room.key.clone()) {
            (Some(Fault::CreatesByCheckThenWrite), Some(key)) => {
                let known = self.by_key.lock().unwrap().get(&key).cloned();
                if let Some(known) = known {
                    return Ok((known, false));
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                room.key = None;
                let (mut made, created) = self.rooms.create(room).await?;
                made.key = Some(key.clone());
                self.by_key.lock().unwrap().insert(key, made.clone());
                Ok((made, created))
            }
            (Some(Fault::OwnerIsASecondStep), _) => {
                let owner = room.owner.take();
                let answer = self.rooms.create(room).await?;
                if let Some(owner) = owner {
                    self.rooms.change_member(&answer.0.id, MemberChange::add(owner, Role::Owner)).await?;
                }
                Ok(answer)
            }
            _ => self.rooms.create(room).await,
        }
    }

    async fn room(&self, room: &RoomId) -> Result<Room> {
        self.rooms.room(room).await
    }

    async fn room_by_key(&self, key: &RoomKey) -> Result<Option<Room>> {
        self.rooms.room_by_key(key).await
    }

    async fn update(&self, room: &RoomId, change: RoomChange) -> Result<Room> {
        self.rooms.update(room, change).await
    }

    async fn change_member(&self, room: &RoomId, mut change: MemberChange) -> Result<MemberOutcome> {
        if self.has(Fault::VersionsIgnored) {
            change.version = None;
        }
        if self.has(Fault::OwnersGo) {
            change.keep_owner = false;
        }
        if self.has(Fault::OwnersAreLookedAtFirst) && std::mem::take(&mut change.keep_owner) {
            let members = self.rooms.members(room, None, 1_000).await?.members;
            let owners = members.iter().filter(|member| member.role == Role::Owner).count();
            tokio::task::yield_now().await;
            change.keep_owner = owners < 2;
        }
        self.rooms.change_member(room, change).await
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
        let mut marker = self.rooms.mark_read(room, user, cursor).await?;
        if self.has(Fault::MarkerGoesBack) {
            marker.cursor = cursor.clone();
        }
        Ok(marker)
    }

    async fn unread(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>> {
        let mut unread = self.rooms.unread(user, rooms).await?;
        for (room, unread) in rooms.iter().zip(&mut unread) {
            match self.fault {
                Some(Fault::UnreadCountsOwn | Fault::UnreadIgnoresDeletes) => {
                    *unread = self.recount(user, room).await?;
                }
                Some(Fault::LeftRoomsHaveUnread) if *unread == 0 => {
                    let member = self.rooms.member(room, user).await?;
                    *unread += u64::from(member.is_some_and(|member| !member.is_current()));
                }
                _ => {}
            }
        }
        Ok(unread)
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

struct Broken {
    fault: Option<Fault>,
}

impl Broken {
    fn new(fault: Option<Fault>) -> Self {
        Self { fault }
    }
}

#[async_trait]
impl LogHarness for Broken {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        let store = MemoryStore::new();
        let log = store.message_log();
        let (rooms, by_key) = (store.rooms(), Mutex::default());
        let rooms = Arc::new(BrokenRooms { rooms, log: log.clone(), by_key, fault: self.fault });
        (0..count).map(|_| LogNode { log: log.clone(), rooms: rooms.clone() }).collect()
    }
}

catches! {
    unread_that_counts_own_messages: Broken, Fault::UnreadCountsOwn, cases::unread::own_entries_are_not_unread;
    unread_that_ignores_deletes:
        Broken, Fault::UnreadIgnoresDeletes, cases::unread::deleting_what_is_unread_lowers_the_number;
    unread_that_ignores_deletes_in_a_random_story:
        Broken, Fault::UnreadIgnoresDeletes, cases::unread::a_random_story_always_gives_what_a_recount_gives;
    unread_of_somebody_who_left:
        Broken, Fault::LeftRoomsHaveUnread, cases::unread::somebody_who_left_has_nothing_unread;
    a_marker_that_goes_back: Broken, Fault::MarkerGoesBack, cases::read::a_marker_never_moves_back;
    versions_that_are_ignored:
        Broken, Fault::VersionsIgnored, cases::versions::versions_that_arrive_in_any_order_end_in_the_newest;
    equal_versions_that_apply_twice:
        Broken, Fault::VersionsIgnored, cases::versions::a_change_with_an_equal_version_is_ignored;
    an_only_owner_who_may_go:
        Broken, Fault::OwnersGo, cases::members::the_only_owner_of_others_stays_where_an_owner_is_kept;
    owners_who_are_counted_before_they_leave:
        Broken, Fault::OwnersAreLookedAtFirst, cases::members::owners_who_leave_at_once_leave_one;
    two_rooms_for_one_key:
        Broken, Fault::CreatesByCheckThenWrite, cases::create::many_creations_of_one_key_at_once_make_one_room;
    an_owner_added_in_a_second_step:
        Broken, Fault::OwnerIsASecondStep, cases::create::the_owner_of_a_creation_that_lost_becomes_no_member;
}

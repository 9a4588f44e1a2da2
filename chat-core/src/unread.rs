//! Unread counts that are remembered, and never used for another instant than the one they hold for.
//!
//! A count depends on the room's log and on the user's membership with its marker, and on nothing else. So a cache keeps it
//! together with the ends of the log ([`Head`]) and with a version that every mark and every change of the membership ends. It is
//! used only while both are what they are *now*. How long it is kept is a matter of space, not of truth.
//!
//! Worth having where the heads of rooms cost less than their counts: in front of [`Tiered`](crate::tiered::Tiered), where the hot log
//! knows heads, and a count first moves into the archive what waits. A database that is asked for heads might as well count.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tracing::debug;

use crate::{
    Backend, Cursor, Error, Head, Member, MemberChange, MemberOutcome, MessageLog, NewRoom, ReadMarker,
    Result, Room, RoomChange, RoomId, RoomKey, Rooms, UserId,
    rooms::{ActivityCursor, MembersPage, RoomsPage},
};

/// Under which a count may be remembered. It ends with the next hold; texts are never used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnreadVersion(String);

impl UnreadVersion {
    /// For a cache that gives it out.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names one hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnreadHold(String);

impl UnreadHold {
    /// For a cache that gives it out.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many entries of a room are unread, and the log for which that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadCount {
    /// The ends of the log.
    pub head: Head,
    /// How many.
    pub unread: u64,
}

/// What a cache knows of one user in one room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownUnread {
    /// What was remembered under the present version.
    pub count: Option<UnreadCount>,
    /// The present version; `None` where nothing can be remembered for the moment.
    pub version: Option<UnreadVersion>,
}

/// A count to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUnread {
    /// Of which room.
    pub room: RoomId,
    /// From a [`recall`](UnreadCache::recall) that had answered before the entries were counted.
    pub version: UnreadVersion,
    /// With ends that were asked for before the entries were counted.
    pub count: UnreadCount,
}

/// Keeps unread counts for all nodes.
///
/// # Contract
/// - A count is recalled only while no [`hold`](Self::hold) of its user and room was begun since its version was given out.
/// - While a hold lasts there is neither a count nor a version. One that is never released ends by itself, not before
///   [`HOLD_TIME`].
/// - A cache that may have lost something forgets what it had then.
/// - Whatever it forgets costs a count, nothing more.
#[async_trait]
pub trait UnreadCache: Backend {
    /// What is known of `user` in these rooms, in their order. A room without a version gets one, unless it is held or the user has too
    /// many.
    async fn recall(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<KnownUnread>>;

    /// Remembers those counts whose versions are still the present ones, in the place of what was there.
    async fn remember(&self, user: &UserId, counts: &[NewUnread]) -> Result<()>;

    /// Forgets what is known of `user` in `room`, and begins a hold. Several may last at once.
    async fn hold(&self, user: &UserId, room: &RoomId) -> Result<UnreadHold>;

    /// Ends a hold. Without effect where it has ended.
    async fn release(&self, user: &UserId, room: &RoomId, hold: &UnreadHold) -> Result<()>;
}

/// A hold lasts so long where nobody releases it: longer than any store works on a call that nobody waits for any more.
pub const HOLD_TIME: std::time::Duration = std::time::Duration::from_secs(600);

/// [`Rooms`] whose [`unread`](Rooms::unread) comes from an [`UnreadCache`] where that is right, and otherwise from the rooms beneath.
///
/// A count that is known costs one call for the heads and one to the cache, at the same time. One that is not is counted beneath, and
/// remembered with one call more. While the cache or the log's heads fail, all are counted beneath: no count fails for it.
///
/// A mark and a change of a membership tell the cache before and afterwards. They are refused with its error, and nothing
/// is changed, where it cannot be told *before*: other nodes would go on with the old count. Where their outcome is not known, or it cannot be
/// told afterwards, that user's entries of the room are counted beneath for [`HOLD_TIME`].
///
/// While entries are trimmed behind a hot log, which is two steps, one call may count them and the next one not, and the other way round.
///
/// Marks and memberships must be changed through this on all nodes. The counts in [`rooms_of`](Rooms::rooms_of) are part of one answer of the
/// store, and not taken from the cache.
pub struct CachedUnread<C> {
    rooms: Arc<dyn Rooms>,
    log: Arc<dyn MessageLog>,
    cache: C,
}

impl<C: UnreadCache> CachedUnread<C> {
    /// Remembers what `rooms` counts of the entries in `log`.
    #[must_use]
    pub const fn new(rooms: Arc<dyn Rooms>, log: Arc<dyn MessageLog>, cache: C) -> Self {
        Self { rooms, log, cache }
    }

    /// Does what may change the user's count in a room.
    async fn held<T>(
        &self,
        user: &UserId,
        room: &RoomId,
        change: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let hold = self.cache.hold(user, room).await?;
        let done = change.await;
        if is_over(&done)
            && let Err(error) = self.cache.release(user, room, &hold).await
        {
            debug!(%error, "an unread count is not remembered for a while");
        }
        done
    }

    /// What is remembered and holds, and the versions and ends for what has to be counted; `None` if that cannot be known.
    async fn known(&self, user: &UserId, rooms: &[RoomId]) -> Option<Vec<Known>> {
        let (known, heads) = tokio::join!(self.cache.recall(user, rooms), self.log.heads(rooms));
        let known = known.inspect_err(|error| debug!(%error, "unread counts are not recalled")).ok()?;
        // The store's own error, if it has one, is told by counting.
        let heads = heads.ok()?;
        if known.len() != rooms.len() || heads.len() != rooms.len() {
            return None;
        }
        let known = known.into_iter().zip(heads).map(|(known, head)| match (known.count, head) {
            // What was counted for these ends holds for the instant at which it was recalled: the ends were the same before and
            // after it.
            (Some(count), Some(head)) if count.head == head => Known::Count(count.unread),
            (_, head) => Known::Missing(known.version.zip(head)),
        });
        Some(known.collect())
    }
}

/// Of one room.
enum Known {
    Count(u64),
    /// Under what it can be remembered once it is counted.
    Missing(Option<(UnreadVersion, Head)>),
}

/// Nothing more is going to happen: it was done, or refused. Of another failure the store may still be at it.
const fn is_over<T>(done: &Result<T>) -> bool {
    matches!(
        done,
        Ok(_)
            | Err(Error::RoomNotFound { .. }
                | Error::NotAMember { .. }
                | Error::CursorReset { .. }
                | Error::CursorExpired { .. }
                | Error::LastOwner { .. })
    )
}

impl<C: fmt::Debug> fmt::Debug for CachedUnread<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedUnread")
            .field("rooms", &self.rooms)
            .field("log", &self.log)
            .field("cache", &self.cache)
            .finish()
    }
}

#[async_trait]
impl<C: UnreadCache> Backend for CachedUnread<C> {
    fn name(&self) -> &'static str {
        self.rooms.name()
    }

    /// That of the rooms beneath, and of the cache, without which nobody marks and nobody joins.
    async fn health(&self) -> Result<()> {
        self.rooms.health().await?;
        self.cache.health().await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<C: UnreadCache> Rooms for CachedUnread<C> {
    async fn create(&self, room: NewRoom) -> Result<(Room, bool)> {
        // Nothing is remembered of a room that is not there.
        self.rooms.create(room).await
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

    async fn change_member(&self, room: &RoomId, change: MemberChange) -> Result<MemberOutcome> {
        let user = change.user.clone();
        self.held(&user, room, self.rooms.change_member(room, change)).await
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
        self.held(user, room, self.rooms.mark_read(room, user, cursor)).await
    }

    async fn unread(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>> {
        if rooms.is_empty() {
            return Ok(Vec::new());
        }
        let Some(known) = self.known(user, rooms).await else {
            return self.rooms.unread(user, rooms).await;
        };
        let missing: Vec<RoomId> = known
            .iter()
            .zip(rooms)
            .filter(|(known, _)| matches!(known, Known::Missing(_)))
            .map(|(_, room)| room.clone())
            .collect();
        let counted = match &missing[..] {
            [] => Vec::new(),
            missing => self.rooms.unread(user, missing).await?,
        };
        let (mut counted, mut new) = (counted.into_iter(), Vec::new());
        let mut counts = Vec::with_capacity(rooms.len());
        for (known, room) in known.into_iter().zip(rooms) {
            counts.push(match known {
                Known::Count(unread) => unread,
                Known::Missing(place) => {
                    let unread = counted.next().unwrap_or(0);
                    if let Some((version, head)) = place {
                        let count = UnreadCount { head, unread };
                        new.push(NewUnread { room: room.clone(), version, count });
                    }
                    unread
                }
            });
        }
        if !new.is_empty()
            && let Err(error) = self.cache.remember(user, &new).await
        {
            debug!(%error, "unread counts are not remembered");
        }
        Ok(counts)
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

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chat_core::{
    Backend, Result, RoomId, UserId,
    memory::MemoryUnreadCache,
    testkit::{UnreadCacheHarness, unread_cache},
    unread::{KnownUnread, NewUnread, UnreadCache, UnreadHold, UnreadVersion},
};

use super::{catches, panics};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    HoldsNothing,
    ForgetsAfterwardsOnly,
    ForgetsBeforehandOnly,
    RemembersUnderAnyVersion,
    OneReleaseEndsAll,
    AnswersAnotherRoom,
    RemembersTheFirst,
}

#[derive(Debug)]
struct Broken {
    fault: Option<Fault>,
}

impl Broken {
    fn new(fault: Option<Fault>) -> Self {
        Self { fault }
    }
}

#[derive(Debug)]
struct BrokenCache {
    cache: MemoryUnreadCache,
    fault: Option<Fault>,
    holds: Arc<Mutex<Vec<(UserId, RoomId, UnreadHold)>>>,
}

impl BrokenCache {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

#[async_trait]
impl UnreadCacheHarness for Broken {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn UnreadCache>> {
        let (cache, holds) = (MemoryUnreadCache::new(), Arc::default());
        let node = |_| {
            let (cache, holds) = (cache.clone(), Arc::clone(&holds));
            Arc::new(BrokenCache { cache, fault: self.fault, holds }) as Arc<dyn UnreadCache>
        };
        (0..count).map(node).collect()
    }
}

#[async_trait]
impl Backend for BrokenCache {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl UnreadCache for BrokenCache {
    async fn recall(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<KnownUnread>> {
        let mut known = self.cache.recall(user, rooms).await?;
        if self.has(Fault::AnswersAnotherRoom) {
            known.reverse();
        }
        Ok(known)
    }

    async fn remember(&self, user: &UserId, counts: &[NewUnread]) -> Result<()> {
        let mut counts = counts.to_vec();
        for new in &mut counts {
            let known = self.cache.recall(user, std::slice::from_ref(&new.room)).await?.remove(0);
            if self.has(Fault::RemembersUnderAnyVersion) {
                new.version = known.version.unwrap_or(UnreadVersion::new(String::new()));
            } else if self.has(Fault::RemembersTheFirst) {
                new.count = known.count.unwrap_or(new.count.clone());
            }
        }
        self.cache.remember(user, &counts).await
    }

    async fn hold(&self, user: &UserId, room: &RoomId) -> Result<UnreadHold> {
        match self.fault {
            Some(Fault::HoldsNothing | Fault::ForgetsAfterwardsOnly) => {
                Ok(UnreadHold::new(fastrand::u64(..).to_string()))
            }
            Some(Fault::ForgetsBeforehandOnly) => {
                let hold = self.cache.hold(user, room).await?;
                self.cache.release(user, room, &hold).await?;
                Ok(hold)
            }
            _ => {
                let hold = self.cache.hold(user, room).await?;
                self.holds.lock().unwrap().push((user.clone(), room.clone(), hold.clone()));
                Ok(hold)
            }
        }
    }

    async fn release(&self, user: &UserId, room: &RoomId, hold: &UnreadHold) -> Result<()> {
        match self.fault {
            Some(Fault::HoldsNothing | Fault::ForgetsBeforehandOnly) => Ok(()),
            Some(Fault::OneReleaseEndsAll) => {
                let holds = std::mem::take(&mut *self.holds.lock().unwrap());
                for (user, room, hold) in holds {
                    self.cache.release(&user, &room, &hold).await?;
                }
                Ok(())
            }
            _ => self.cache.release(user, room, hold).await,
        }
    }
}

catches! {
    a_cache_without_holds:
        Broken, Fault::HoldsNothing, unread_cache::keeping::a_hold_ends_the_version_and_forgets_the_count;
    a_cache_without_holds_in_a_race:
        Broken, Fault::HoldsNothing, unread_cache::racing::every_count_is_that_of_an_instant_of_its_call;
    a_cache_that_forgets_afterwards_only: Broken, Fault::ForgetsAfterwardsOnly,
        unread_cache::keeping::while_it_is_held_there_is_neither_count_nor_version;
    a_cache_that_forgets_beforehand_only: Broken, Fault::ForgetsBeforehandOnly,
        unread_cache::keeping::while_it_is_held_there_is_neither_count_nor_version;
    a_cache_that_forgets_beforehand_only_in_a_race: Broken, Fault::ForgetsBeforehandOnly,
        unread_cache::racing::every_count_is_that_of_an_instant_of_its_call;
    a_cache_that_looks_at_no_version: Broken, Fault::RemembersUnderAnyVersion,
        unread_cache::keeping::a_count_of_before_a_hold_is_not_remembered_after_it;
    a_cache_that_looks_at_no_version_in_a_race: Broken, Fault::RemembersUnderAnyVersion,
        unread_cache::racing::every_count_is_that_of_an_instant_of_its_call;
    a_cache_with_one_hold_for_all:
        Broken, Fault::OneReleaseEndsAll, unread_cache::keeping::holds_at_once_last_until_each_is_released;
    a_cache_that_mixes_rooms_up: Broken, Fault::AnswersAnotherRoom,
        unread_cache::keeping::rooms_are_answered_in_the_order_that_was_asked_for;
    a_cache_that_keeps_the_first_count: Broken, Fault::RemembersTheFirst,
        unread_cache::keeping::a_count_of_other_ends_takes_the_place_of_the_one_before;
}

//! Which subscriptions follow which room, and how far each has got.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chat_core::{Cursor, RoomId};

use super::{Route, Subscription};

#[derive(Debug, Default)]
pub(super) struct Routes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rooms: BTreeMap<RoomId, Room>,
    queues: BTreeMap<String, Vec<Subscription>>,
    last_tag: u64,
}

#[derive(Debug, Default)]
struct Room {
    /// How far the session has got.
    at: Option<Cursor>,
    followers: Vec<Follower>,
}

#[derive(Debug)]
struct Follower {
    subscription: Subscription,
    /// The last entry it was sent, or has.
    seen: Option<Cursor>,
    /// The join that is not answered yet: what comes before is not meant for it.
    awaits: Option<u64>,
    /// What its next message has to say of what it was not sent.
    resync: Option<&'static str>,
}

impl Follower {
    fn knows(&self, cursor: &Cursor) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.epoch == cursor.epoch && seen.seq >= cursor.seq)
    }

    /// Whether it has not seen this yet. From here on it has.
    fn takes(&mut self, cursor: &Cursor) -> bool {
        if self.awaits.is_some() || self.knows(cursor) {
            return false;
        }
        self.seen = Some(cursor.clone());
        true
    }
}

impl Routes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a room from a cursor on, or from now on. The tag of the join that this needs, if it does.
    pub(super) fn follow(
        &self,
        room: &RoomId,
        subscription: Subscription,
        cursor: Option<Cursor>,
    ) -> Option<u64> {
        let mut state = self.lock();
        state.last_tag += 1;
        let tag = state.last_tag;
        let room = state.rooms.entry(room.clone()).or_default();
        // A room that is joined needs no other join for what is new.
        let awaits = (room.followers.is_empty() || cursor.is_some()).then_some(tag);
        let seen = cursor.or_else(|| room.at.clone());
        room.followers.push(Follower { subscription, seen, awaits, resync: None });
        awaits
    }

    pub(super) fn listen(&self, queue: String, subscription: Subscription) {
        self.lock().queues.entry(queue).or_default().push(subscription);
    }

    /// Ends a subscription. True if nobody follows the room any more.
    pub(super) fn end(&self, route: &Route, subscription: &Subscription) -> bool {
        let mut state = self.lock();
        match route {
            Route::Room(room) => {
                let Some(followed) = state.rooms.get_mut(room) else { return false };
                followed.followers.retain(|follower| follower.subscription != *subscription);
                let nobody = followed.followers.is_empty();
                if nobody {
                    state.rooms.remove(room);
                }
                nobody
            }
            Route::Queue(queue) => {
                if let Some(listeners) = state.queues.get_mut(queue) {
                    listeners.retain(|listener| listener != subscription);
                    if listeners.is_empty() {
                        state.queues.remove(queue);
                    }
                }
                false
            }
        }
    }

    /// The server ended it. True if somebody followed the room.
    pub(super) fn left(&self, room: &RoomId) -> bool {
        self.lock().rooms.remove(room).is_some()
    }

    /// A join is answered: at this cursor, and with a page if what was asked for could not be.
    pub(super) fn joined(&self, room: &RoomId, tag: u64, cursor: &Cursor, is_new: bool) {
        let mut state = self.lock();
        let Some(room) = state.rooms.get_mut(room) else { return };
        if is_new {
            room.at = Some(cursor.clone());
        }
        for follower in &mut room.followers {
            if follower.awaits == Some(tag) {
                follower.awaits = None;
            }
            if is_new && follower.seen.is_none() {
                follower.seen = Some(cursor.clone());
            }
        }
    }

    /// Something is not sent to those who do not know of `before`. Their next message says so, whichever it is.
    pub(super) fn resync(&self, room: &RoomId, before: &Cursor, what: &'static str) {
        let mut state = self.lock();
        let followers = state.rooms.get_mut(room).map(|room| room.followers.iter_mut());
        for follower in followers.into_iter().flatten() {
            // A new life is the greater news.
            if follower.awaits.is_none() && !follower.knows(before) && follower.resync != Some("reset") {
                follower.resync = Some(what);
            }
        }
    }

    /// What this message to a subscription has to say of what was not sent; once.
    pub(super) fn take_resync(&self, room: &RoomId, subscription: &Subscription) -> Option<&'static str> {
        let mut state = self.lock();
        let mut followers = state.rooms.get_mut(room)?.followers.iter_mut();
        followers.find(|follower| follower.subscription == *subscription)?.resync.take()
    }

    /// The subscriptions that are to be sent the entry at this cursor.
    pub(super) fn take(&self, room: &RoomId, cursor: &Cursor) -> Vec<Subscription> {
        let mut state = self.lock();
        let Some(room) = state.rooms.get_mut(room) else { return Vec::new() };
        let behind = room.at.as_ref().is_some_and(|at| at.epoch == cursor.epoch && at.seq >= cursor.seq);
        if !behind {
            room.at = Some(cursor.clone());
        }
        let followers = room
            .followers
            .iter_mut()
            .filter_map(|follower| follower.takes(cursor).then(|| follower.subscription.clone()));
        followers.collect()
    }

    /// The subscriptions of a room, whatever they have seen.
    pub(super) fn followers(&self, room: &RoomId) -> Vec<Subscription> {
        let state = self.lock();
        let followers = state.rooms.get(room).map(|room| room.followers.iter()).into_iter().flatten();
        followers.map(|follower| follower.subscription.clone()).collect()
    }

    pub(super) fn listeners(&self, queue: &str) -> Vec<Subscription> {
        self.lock().queues.get(queue).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use chat_core::{Epoch, Seq};

    use super::*;
    use crate::stomp::AckMode;

    fn at(seq: u64) -> Cursor {
        Cursor::new(Epoch::new("e").unwrap(), Seq::new(seq).unwrap())
    }

    fn named(id: &str) -> Subscription {
        Subscription::new(id.to_owned(), "/topic/a".to_owned(), AckMode::Auto)
    }

    fn ids(subscriptions: &[Subscription]) -> Vec<&str> {
        subscriptions.iter().map(Subscription::id).collect()
    }

    #[test]
    fn each_subscription_of_a_room_gets_each_entry_once() {
        let (routes, room) = (Routes::default(), RoomId::new("a").unwrap());
        let first = routes.follow(&room, named("first"), None).unwrap();
        routes.joined(&room, first, &at(10), true);
        assert_eq!(ids(&routes.take(&room, &at(11))), ["first"]);
        assert_eq!(routes.follow(&room, named("second"), None), None, "the room is joined");
        assert_eq!(ids(&routes.take(&room, &at(12))), ["first", "second"]);
        // The third one starts the room over from further back, and the others are told nothing twice.
        let third = routes.follow(&room, named("third"), Some(at(9))).unwrap();
        assert_eq!(ids(&routes.take(&room, &at(13))), ["first", "second"], "its join is not answered yet");
        routes.joined(&room, third, &at(13), false);
        for seq in 10..=13 {
            assert_eq!(ids(&routes.take(&room, &at(seq))), ["third"], "{seq}");
        }
        assert_eq!(ids(&routes.take(&room, &at(14))), ["first", "second", "third"]);
        let route = Route::Room(room.clone());
        assert!(!routes.end(&route, &named("first")) && !routes.end(&route, &named("third")));
        assert_eq!(ids(&routes.take(&room, &at(15))), ["second"]);
        assert!(routes.end(&route, &named("second")));
        assert!(!routes.end(&route, &named("second")));
        assert!(routes.take(&room, &at(16)).is_empty());
    }
}

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;

use super::store::lock;
use crate::{
    Backend, Clock, Result, RoomId, SystemClock, Timestamp, UserId,
    unread::{HOLD_TIME, KnownUnread, NewUnread, UnreadCache, UnreadCount, UnreadHold, UnreadVersion},
};

/// [`UnreadCache`] in memory. Nodes that hold clones of it share it.
///
/// What is known of a user is forgotten 5 minutes after the first of it was asked for; at most 1,000 rooms of each are kept.
#[derive(Clone)]
pub struct MemoryUnreadCache {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    users: HashMap<UserId, Known>,
    /// Whom to look at when this time has passed.
    due: BTreeSet<(Timestamp, UserId)>,
    /// Of versions and holds.
    last: u64,
}

/// Of one user.
#[derive(Default)]
struct Known {
    rooms: HashMap<RoomId, (UnreadVersion, Option<UnreadCount>)>,
    holds: Vec<Hold>,
}

struct Hold {
    name: UnreadHold,
    /// `None`: all of the user's.
    room: Option<RoomId>,
    until: Timestamp,
}

impl MemoryUnreadCache {
    /// How long something is kept.
    pub const TIME_TO_LIVE: Duration = Duration::from_secs(300);
    /// Of so many rooms of one user.
    pub const MAX_ROOMS: usize = 1_000;
    /// So many holds of one user are told apart. One more holds all the user's rooms until it ends by itself.
    pub const MAX_HOLDS: usize = 128;

    /// Nothing is known, and the time is the system's.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// Nothing is known, and the time is that of `clock`.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }
}

impl Default for MemoryUnreadCache {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryUnreadCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryUnreadCache").field("users", &lock(&self.state).users.len()).finish()
    }
}

impl State {
    fn name(&mut self) -> String {
        self.last += 1;
        self.last.to_string()
    }

    /// The user's record, after what ran out has gone.
    fn user(&mut self, user: &UserId, now: Timestamp) -> &mut Known {
        while let Some((time, _)) = self.due.first()
            && *time <= now
            && let Some((_, user)) = self.due.pop_first()
        {
            let Some(known) = self.users.get_mut(&user) else { continue };
            known.rooms.clear();
            known.holds.retain(|hold| hold.until > now);
            if known.holds.is_empty() {
                self.users.remove(&user);
            } else {
                self.due.insert((now.after(MemoryUnreadCache::TIME_TO_LIVE), user));
            }
        }
        if !self.users.contains_key(user) {
            self.due.insert((now.after(MemoryUnreadCache::TIME_TO_LIVE), user.clone()));
        }
        let known = self.users.entry(user.clone()).or_default();
        known.holds.retain(|hold| hold.until > now);
        known
    }
}

impl Known {
    fn is_held(&self, room: &RoomId) -> bool {
        self.holds.iter().any(|hold| hold.room.as_ref().is_none_or(|held| held == room))
    }
}

#[async_trait]
impl Backend for MemoryUnreadCache {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl UnreadCache for MemoryUnreadCache {
    async fn recall(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<KnownUnread>> {
        let mut state = lock(&self.state);
        let fresh = state.name();
        let known = state.user(user, self.clock.now());
        let mut answers = Vec::with_capacity(rooms.len());
        for room in rooms {
            let has_place = known.rooms.len() < Self::MAX_ROOMS;
            if !known.is_held(room) && !known.rooms.contains_key(room) && has_place {
                known.rooms.insert(room.clone(), (UnreadVersion::new(fresh.clone()), None));
            }
            let found = known.rooms.get(room).cloned();
            answers.push(found.map_or_else(KnownUnread::default, |(version, count)| KnownUnread {
                count,
                version: Some(version),
            }));
        }
        Ok(answers)
    }

    async fn remember(&self, user: &UserId, counts: &[NewUnread]) -> Result<()> {
        let mut state = lock(&self.state);
        let known = state.user(user, self.clock.now());
        for new in counts {
            if let Some((version, count)) = known.rooms.get_mut(&new.room)
                && *version == new.version
            {
                *count = Some(new.count.clone());
            }
        }
        Ok(())
    }

    async fn hold(&self, user: &UserId, room: &RoomId) -> Result<UnreadHold> {
        let mut state = lock(&self.state);
        let name = UnreadHold::new(state.name());
        let now = self.clock.now();
        let known = state.user(user, now);
        known.rooms.remove(room);
        let until = now.after(HOLD_TIME);
        if known.holds.len() < Self::MAX_HOLDS {
            known.holds.push(Hold { name: name.clone(), room: Some(room.clone()), until });
        } else {
            known.rooms.clear();
            known.holds.retain(|hold| hold.room.is_some());
            known.holds.push(Hold { name: UnreadHold::new(String::new()), room: None, until });
        }
        Ok(name)
    }

    async fn release(&self, user: &UserId, room: &RoomId, hold: &UnreadHold) -> Result<()> {
        let mut state = lock(&self.state);
        let known = state.user(user, self.clock.now());
        // Where it had run out, somebody may have counted before the change.
        known.rooms.remove(room);
        known.holds.retain(|held| held.name != *hold);
        Ok(())
    }
}

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    ConnectionId, RoomId, UserId,
    auth::Principal,
    fanout::FanoutEvent,
    hub::RoomLink,
    presence::PresenceConnection,
    session::{CloseReason, Closing, LiveNotice},
};

/// A session as the hub sees it: who it is, and what waits for it. Messages do not wait here; only the rooms that have some.
#[derive(Debug)]
pub(crate) struct SessionCore {
    pub(crate) id: u64,
    pub(crate) user: UserId,
    pub(crate) presence: PresenceConnection,
    principal: Mutex<Arc<Principal>>,
    /// It was changed, and the listener has not looked at it yet.
    renewed: AtomicBool,
    waiting: Mutex<Waiting>,
    /// What it is bound to was granted to it, so it is to be held on to.
    bound: AtomicBool,
    /// By room; a sorted list takes a quarter of a map's memory.
    rooms: Mutex<Vec<Arc<RoomLink>>>,
    /// Entries of joined pages that were not taken yet.
    pub(crate) page_entries: Arc<AtomicUsize>,
    pub(crate) wake: Notify,
    /// Wakes a listener that is reading from the log.
    pub(crate) ended: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    links: VecDeque<Arc<RoomLink>>,
    notices: VecDeque<LiveNotice>,
    notices_lost: bool,
    closing: Option<Closing>,
    /// Nobody listens any more.
    over: bool,
}

/// The next thing that waits.
#[derive(Debug)]
pub(crate) enum Next {
    NoticesLost,
    Link(Arc<RoomLink>),
    Notice(LiveNotice),
    Nothing,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SessionCore {
    pub(crate) fn new(id: u64, principal: Arc<Principal>, presence: PresenceConnection) -> Arc<Self> {
        Arc::new(Self {
            id,
            user: principal.user.clone(),
            presence,
            principal: Mutex::new(principal),
            renewed: AtomicBool::new(false),
            waiting: Mutex::default(),
            bound: AtomicBool::new(false),
            rooms: Mutex::default(),
            page_entries: Arc::default(),
            wake: Notify::new(),
            ended: Notify::new(),
        })
    }

    pub(crate) fn connection(&self) -> &ConnectionId {
        &self.presence.connection
    }

    pub(crate) fn is_bound(&self) -> bool {
        self.bound.load(Ordering::Relaxed)
    }

    pub(crate) fn set_bound(&self) {
        self.bound.store(true, Ordering::Relaxed);
    }

    pub(crate) fn principal(&self) -> Arc<Principal> {
        lock(&self.principal).clone()
    }

    pub(crate) fn set_principal(&self, principal: Arc<Principal>) {
        *lock(&self.principal) = principal;
        self.renewed.store(true, Ordering::Release);
        // Whatever it waits for, be it the log.
        self.wake.notify_one();
        self.ended.notify_one();
    }

    /// Whether the principal was changed since this was asked last.
    pub(crate) fn take_renewed(&self) -> bool {
        // Asked for every event, and hardly ever true.
        self.renewed.load(Ordering::Acquire) && self.renewed.swap(false, Ordering::AcqRel)
    }

    /// Something waits in this room. Called by the link, which sees to it that it stands here once.
    pub(crate) fn push_link(&self, link: Arc<RoomLink>) {
        let mut waiting = lock(&self.waiting);
        if !waiting.over {
            waiting.links.push_back(link);
            drop(waiting);
            self.wake.notify_one();
        }
    }

    /// A notice. Where too many wait the oldest goes; if it was more than typing the session is told that some are lost.
    pub(crate) fn push_notice(&self, notice: &LiveNotice, limit: usize) {
        let mut waiting = lock(&self.waiting);
        if waiting.over {
            return;
        }
        if waiting.notices.len() >= limit {
            let dropped = waiting.notices.pop_front();
            let ephemeral = |notice: &LiveNotice| {
                matches!(notice.value(), FanoutEvent::Typing { .. } | FanoutEvent::Signal { .. })
            };
            waiting.notices_lost |= dropped.is_some_and(|notice| !ephemeral(&notice));
        }
        waiting.notices.push_back(notice.clone());
        drop(waiting);
        self.wake.notify_one();
    }

    pub(crate) fn lose_notices(&self) {
        lock(&self.waiting).notices_lost = true;
        self.wake.notify_one();
    }

    /// Ends the session; the first reason holds.
    pub(crate) fn close(&self, reason: CloseReason, reconnect_after: Option<Duration>) {
        let mut waiting = lock(&self.waiting);
        waiting.closing.get_or_insert(Closing { reason, reconnect_after });
        drop(waiting);
        self.wake.notify_one();
        self.ended.notify_one();
    }

    pub(crate) fn is_closing(&self) -> bool {
        let waiting = lock(&self.waiting);
        waiting.over || waiting.closing.is_some()
    }

    pub(crate) fn closing(&self) -> Option<Closing> {
        lock(&self.waiting).closing
    }

    /// Takes what is most urgent: rooms in turn, then notices.
    pub(crate) fn take(&self) -> Next {
        let mut waiting = lock(&self.waiting);
        if std::mem::take(&mut waiting.notices_lost) {
            return Next::NoticesLost;
        }
        if let Some(link) = waiting.links.pop_front() {
            return Next::Link(link);
        }
        waiting.notices.pop_front().map_or(Next::Nothing, Next::Notice)
    }

    pub(crate) fn has_joined(&self, room: &RoomId) -> bool {
        find(&lock(&self.rooms), room).is_ok()
    }

    pub(crate) fn room(&self, room: &RoomId) -> Option<Arc<RoomLink>> {
        let rooms = lock(&self.rooms);
        find(&rooms, room).ok().map(|at| rooms[at].clone())
    }

    pub(crate) fn room_count(&self) -> usize {
        lock(&self.rooms).len()
    }

    pub(crate) fn links(&self) -> Vec<Arc<RoomLink>> {
        lock(&self.rooms).clone()
    }

    /// Puts a link in the place of the room's former one, which is given back. `Err` where there are too many rooms or
    /// the session is over.
    pub(crate) fn insert(&self, link: &Arc<RoomLink>, most: usize) -> Result<Option<Arc<RoomLink>>, Full> {
        let mut rooms = lock(&self.rooms);
        if lock(&self.waiting).over {
            return Err(Full::Over);
        }
        match find(&rooms, &link.lane.room) {
            Ok(at) => Ok(Some(std::mem::replace(&mut rooms[at], link.clone()))),
            Err(_) if rooms.len() >= most => Err(Full::Rooms),
            Err(at) => {
                rooms.insert(at, link.clone());
                Ok(None)
            }
        }
    }

    /// Takes the link out, unless another has taken its place.
    pub(crate) fn remove(&self, link: &Arc<RoomLink>) {
        let mut rooms = lock(&self.rooms);
        if let Ok(at) = find(&rooms, &link.lane.room)
            && Arc::ptr_eq(&rooms[at], link)
        {
            rooms.remove(at);
        }
    }

    pub(crate) fn take_room(&self, room: &RoomId) -> Option<Arc<RoomLink>> {
        let mut rooms = lock(&self.rooms);
        find(&rooms, room).ok().map(|at| rooms.remove(at))
    }

    /// Gives back what a burst of events needed.
    pub(crate) fn shrink(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.links.shrink_to(0);
        waiting.notices.shrink_to(0);
    }

    /// Nobody listens any more: leaves every room, takes nothing more.
    pub(crate) fn finish(&self) {
        let rooms = {
            let mut rooms = lock(&self.rooms);
            let mut waiting = lock(&self.waiting);
            *waiting = Waiting { over: true, ..Waiting::default() };
            std::mem::take(&mut *rooms)
        };
        rooms.iter().for_each(RoomLink::detach);
    }
}

/// Where the room's link stands, or would.
fn find(rooms: &[Arc<RoomLink>], room: &RoomId) -> Result<usize, usize> {
    rooms.binary_search_by(|link| link.lane.room.cmp(room))
}

/// Why a room cannot be added.
#[derive(Debug)]
pub(crate) enum Full {
    Rooms,
    Over,
}

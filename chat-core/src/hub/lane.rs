use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering};

use tokio::sync::Notify;

use crate::{
    Broadcast, Cursor, Error, Head, Member, Result, RoomId, StoredMessage, UserId,
    chat::Parts,
    error::SharedError,
    fanout::FanoutEvent,
    hub::{
        LiveEntry, RoomLink,
        flights::{Flights, LivePage, Read},
        order::{Offered, Order, Pull},
    },
    mutation::Mutation,
    session::LeftReason,
};

/// A room with sessions on this node: one subscription, one order, one place where entries wait for their sessions.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) room: RoomId,
    state: Mutex<LaneState>,
    /// Wakes the lane's task: something is missing, or must be looked up.
    pub(crate) wake: Notify,
    /// Wakes joiners when the status is no longer `Starting`; in the order in which they came.
    opened: Notify,
    flights: Flights,
}

/// Whether sessions can be attached.
#[derive(Debug, Clone, Default)]
enum Status {
    #[default]
    Starting,
    Live,
    Failed(SharedError),
    Gone,
}

#[derive(Debug, Default)]
struct LaneState {
    status: Status,
    /// There once the lane is live.
    order: Option<Order>,
    links: Vec<Arc<RoomLink>>,
    /// The newest entries were read into memory, or that was tried.
    warmed: bool,
    /// The head must be compared with the log.
    verify: bool,
    /// The memberships behind the links must be looked up.
    recheck: bool,
    gone: bool,
}

/// What the lane's task has to do.
#[derive(Debug, Default)]
pub(crate) struct Duties {
    pub(crate) verify: bool,
    pub(crate) recheck: bool,
    pub(crate) missing: bool,
    pub(crate) deserted: bool,
}

impl Lane {
    pub(crate) fn new(room: RoomId) -> Arc<Self> {
        Arc::new(Self {
            room,
            state: Mutex::default(),
            wake: Notify::new(),
            opened: Notify::new(),
            flights: Flights::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the lane is live.
    pub(crate) async fn ready(&self) -> Result<()> {
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            // Listening before looking, so that nothing comes between the two.
            opened.as_mut().enable();
            match &self.lock().status {
                Status::Starting => {}
                Status::Live => return Ok(()),
                Status::Failed(error) => return Err(error.to_error()),
                Status::Gone => return Err(Error::Draining),
            }
            opened.await;
        }
    }

    fn set_status(&self, state: &mut LaneState, status: Status) {
        state.gone = !matches!(status, Status::Starting | Status::Live);
        state.status = status;
        self.opened.notify_waiters();
    }

    pub(crate) fn open(&self, head: &Head, parts: &Parts) {
        let mut state = self.lock();
        state.order = Some(Order::new(head.cursor.clone(), &parts.settings));
        // An empty room has nothing to warm up with.
        state.warmed = head.oldest > head.cursor.seq;
        self.set_status(&mut state, Status::Live);
    }

    pub(crate) fn fail(&self, error: Error) {
        self.set_status(&mut self.lock(), Status::Failed(SharedError::new(error)));
    }

    /// Closes the lane if nobody is attached; afterwards nobody can be.
    pub(crate) fn close_if_deserted(&self) -> bool {
        let mut state = self.lock();
        if !state.links.is_empty() {
            return false;
        }
        self.set_status(&mut state, Status::Gone);
        true
    }

    /// Registers a link: from here on everything is noticed for it. False if the lane is closing.
    pub(crate) fn attach(&self, link: &Arc<RoomLink>) -> bool {
        let mut state = self.lock();
        if state.gone {
            return false;
        }
        link.slot.store(state.links.len(), Ordering::Relaxed);
        state.links.push(link.clone());
        true
    }

    pub(crate) fn detach(&self, link: &Arc<RoomLink>) {
        let mut state = self.lock();
        let slot = link.slot.load(Ordering::Relaxed);
        if state.links.get(slot).is_some_and(|found| Arc::ptr_eq(found, link)) {
            state.links.swap_remove(slot);
            if let Some(moved) = state.links.get(slot) {
                moved.slot.store(slot, Ordering::Relaxed);
            }
            link.slot.store(usize::MAX, Ordering::Relaxed);
        }
        let deserted = state.links.is_empty();
        drop(state);
        if deserted {
            self.wake.notify_one();
        }
    }

    /// A new entry, from this node's log or from the fan-out: handed on at once if it is the next one.
    pub(crate) fn offer(&self, message: &StoredMessage) {
        let mut state = self.lock();
        let LaneState { order: Some(order), links, verify, .. } = &mut *state else { return };
        match order.offer(message.clone()) {
            Offered::Released => links.iter().for_each(RoomLink::mark),
            Offered::Known => {}
            Offered::Gap => self.wake.notify_one(),
            Offered::Foreign => {
                *verify = true;
                self.wake.notify_one();
            }
        }
    }

    /// Somebody said how far the room has got.
    pub(crate) fn hint(&self, cursor: &Cursor) {
        let mut state = self.lock();
        let LaneState { order: Some(order), verify, .. } = &mut *state else { return };
        if cursor.epoch != order.head().epoch {
            *verify = true;
            self.wake.notify_one();
        } else if order.hint(cursor) {
            self.wake.notify_one();
        }
    }

    /// Asks for a comparison with the log.
    pub(crate) fn verify(&self) {
        self.lock().verify = true;
        self.wake.notify_one();
    }

    /// Events may have been lost: entries and changes of membership alike.
    pub(crate) fn missed(&self) {
        let mut state = self.lock();
        state.verify = true;
        state.recheck = true;
        drop(state);
        self.wake.notify_one();
    }

    pub(crate) fn duties(&self) -> Duties {
        let mut state = self.lock();
        Duties {
            verify: std::mem::take(&mut state.verify),
            recheck: std::mem::take(&mut state.recheck),
            missing: state.order.as_ref().is_some_and(|order| order.missing() > 0),
            deserted: state.links.is_empty(),
        }
    }

    /// Works on the order; if `f` says that entries were released, the sessions are told.
    pub(crate) fn reorder(&self, f: impl FnOnce(&mut Order) -> bool) {
        let mut state = self.lock();
        let LaneState { order: Some(order), links, .. } = &mut *state else { return };
        if f(order) {
            links.iter().for_each(RoomLink::mark);
        }
    }

    /// Looks at the order.
    pub(crate) fn order<T>(&self, f: impl FnOnce(&Order) -> T) -> Option<T> {
        self.lock().order.as_ref().map(f)
    }

    pub(crate) fn head(&self) -> Option<Cursor> {
        self.order(|order| order.head().clone())
    }

    /// Gives what follows `position` from memory, and moves it on.
    pub(crate) fn pull(&self, position: &mut Cursor, max: usize, take: impl FnMut(&LiveEntry)) -> Pull {
        self.order(|order| order.pull(position, max, take)).unwrap_or(Pull::Idle)
    }

    /// Reads a page, sharing the read with whoever wants the same, or wanted it a moment ago.
    pub(crate) async fn read(&self, parts: &Arc<Parts>, read: Read) -> Result<Arc<LivePage>> {
        self.flights.read(parts, &self.room, read).await
    }

    /// Reads a page as it is now, sharing the read with whoever wants that, too.
    pub(crate) async fn read_anew(&self, parts: &Arc<Parts>, read: Read) -> Result<Arc<LivePage>> {
        self.flights.read_anew(parts, &self.room, read).await
    }

    /// Reads the newest entries into memory, once: sessions that come back together then need no read of their own. True
    /// if that is worth trying and was tried.
    pub(crate) async fn warm_up(&self, parts: &Arc<Parts>) -> bool {
        if self.lock().warmed {
            return false;
        }
        let page = self.read(parts, Read::Warm { limit: parts.settings.room_buffer_entries }).await;
        let mut state = self.lock();
        let first = !std::mem::replace(&mut state.warmed, true);
        if let (Ok(page), Some(order), true) = (&page, &mut state.order, first) {
            order.prepend(&page.entries);
        }
        page.is_ok()
    }

    /// Something for every session of the room that is not part of its log.
    pub(crate) fn event(&self, event: &Arc<FanoutEvent>, parts: &Parts) {
        match &**event {
            FanoutEvent::Message(message) => return self.offer(message),
            FanoutEvent::Head { cursor, .. } => return self.hint(cursor),
            FanoutEvent::MemberChanged { member, .. } => self.member_changed(member, parts),
            _ => {}
        }
        let typist = match &**event {
            FanoutEvent::Typing { user, .. } | FanoutEvent::Signal { user, .. } => Some(user),
            _ => None,
        };
        let notice = Arc::new(Broadcast::new((**event).clone()));
        let limit = parts.settings.notice_queue;
        let state = self.lock();
        for link in state.links.iter().filter(|link| Some(&link.core.user) != typist) {
            link.core.push_notice(&notice, limit);
        }
    }

    fn links_of(&self, user: &UserId) -> Vec<Arc<RoomLink>> {
        self.lock().links.iter().filter(|link| link.core.user == *user).cloned().collect()
    }

    /// Applies a change of membership that was told of; one that was overtaken by a later one is passed over.
    pub(crate) fn member_changed(&self, member: &Member, parts: &Parts) {
        for link in self.links_of(&member.user) {
            let known = link.lock().member.as_ref().map(|known| known.version);
            if known.is_none_or(|known| known <= member.version) {
                Self::apply(&link, member, parts);
            }
        }
    }

    /// Applies a membership as it was read: after a restored backup its version may be lower than one told of before.
    pub(crate) fn member_read(&self, member: &Member, parts: &Parts) {
        for link in self.links_of(&member.user) {
            Self::apply(&link, member, parts);
        }
    }

    fn apply(link: &Arc<RoomLink>, member: &Member, parts: &Parts) {
        if member.is_current() {
            link.lock().member = Some(Arc::new(member.clone()));
        } else if link.rests_on_membership() && !parts.settings.is_mutated(Mutation::IgnoreRemoval) {
            link.end(LeftReason::Removed);
        }
    }

    /// Users with sessions here, each once.
    pub(crate) fn users(&self) -> Vec<UserId> {
        let mut users: Vec<UserId> = self.lock().links.iter().map(|link| link.core.user.clone()).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Ends every subscription: the room is gone.
    pub(crate) fn end_all(&self, reason: LeftReason) {
        let links = self.lock().links.clone();
        links.iter().for_each(|link| link.end(reason));
    }
}

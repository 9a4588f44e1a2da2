use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::{
    Cursor, Member, Seq,
    hub::Lane,
    session::{Joined, LeftReason, PageShare, SessionCore},
};

/// One session in one room: a position in the room's order. It holds no messages; the session takes them from the room's
/// shared memory, or from the log, when it has room for them.
#[derive(Debug)]
pub(crate) struct RoomLink {
    pub(crate) lane: Arc<Lane>,
    pub(crate) core: Arc<SessionCore>,
    /// Stands in the session's list of rooms that have something for it.
    queued: AtomicBool,
    /// Where it stands in the lane's list, kept by the lane.
    pub(crate) slot: AtomicUsize,
    state: Mutex<LinkState>,
}

/// Lock order: this, then the lane's state. The lane never takes it while it holds its own.
#[derive(Debug)]
pub(crate) struct LinkState {
    pub(crate) phase: Phase,
    /// To be told first, with what its page takes until then.
    pub(crate) joined: Option<(Box<Joined>, PageShare)>,
    /// To be told last.
    pub(crate) left: Option<LeftReason>,
    pub(crate) member: Option<Arc<Member>>,
    /// The head last told in a heartbeat.
    pub(crate) head_told: Seq,
}

#[derive(Debug)]
pub(crate) enum Phase {
    /// Registered, so that nothing is missed, but not joined yet.
    Pending,
    /// Handed everything up to the position.
    Live { position: Cursor, catching_up: bool },
    /// Over.
    Ended,
}

impl RoomLink {
    pub(crate) fn new(lane: Arc<Lane>, core: Arc<SessionCore>) -> Arc<Self> {
        Arc::new(Self {
            lane,
            core,
            queued: AtomicBool::new(false),
            slot: AtomicUsize::new(usize::MAX),
            state: Mutex::new(LinkState {
                phase: Phase::Pending,
                joined: None,
                left: None,
                member: None,
                head_told: Seq::ZERO,
            }),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something for the session here: it comes back to this link once.
    pub(crate) fn mark(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.core.push_link(self.clone());
        }
    }

    /// The session looks now; what happens from here on marks again.
    pub(crate) fn unmark(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// The session joined: it gets `joined`, then everything after `position`. False if the link was ended meanwhile.
    pub(crate) fn activate(
        self: &Arc<Self>,
        joined: Joined,
        share: PageShare,
        position: Cursor,
        member: Option<Arc<Member>>,
    ) -> bool {
        {
            let mut state = self.lock();
            if !matches!(state.phase, Phase::Pending) {
                return false;
            }
            state.phase = Phase::Live { position, catching_up: true };
            state.joined = Some((Box::new(joined), share));
            state.member = member;
        }
        self.mark();
        true
    }

    /// Ends it, telling the session why.
    pub(crate) fn end(self: &Arc<Self>, reason: LeftReason) {
        {
            let mut state = self.lock();
            match state.phase {
                Phase::Ended => return,
                Phase::Pending => {}
                Phase::Live { .. } => state.left = Some(reason),
            }
            state.phase = Phase::Ended;
            state.joined = None;
        }
        self.mark();
    }

    /// Whether the end of the membership ends it: not if it was let in without one.
    pub(crate) fn rests_on_membership(&self) -> bool {
        let state = self.lock();
        matches!(state.phase, Phase::Pending)
            || state.member.as_ref().is_some_and(|member| member.is_current())
    }

    /// Ends it without a word, and takes it out of the lane.
    pub(crate) fn detach(self: &Arc<Self>) {
        {
            let mut state = self.lock();
            state.phase = Phase::Ended;
            state.joined = None;
            state.left = None;
        }
        self.lane.detach(self);
    }
}

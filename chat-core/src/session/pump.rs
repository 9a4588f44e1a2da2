//! From the rooms to the client: takes what waits, in order, reading from the log where memory does not reach.

use std::{collections::VecDeque, pin::Pin, sync::Arc};

use futures::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    Cursor, Seq,
    chat::Inner,
    hub::{Phase, Pull, RoomLink},
    mutation::Mutation,
    session::{
        CloseReason, Closing, Event, Hole, LeftReason,
        catch_up::Need,
        core::{Next, SessionCore},
    },
};

/// Entries taken from one room before the next room has its turn.
const TURN: usize = 64;

/// A session's events. One listener; dropping it ends the session.
#[derive(Debug)]
pub struct SessionEvents {
    pub(super) inner: Arc<Inner>,
    pub(super) core: Arc<SessionCore>,
    /// Taken from its room and not given out yet: at most one turn or one page.
    pub(super) out: VecDeque<Event>,
    /// The room that is being read for; kept here so that a dropped call does not lose it.
    current: Option<Arc<RoomLink>>,
    timer: Pin<Box<Sleep>>,
    next_heartbeat: Instant,
    reminded: bool,
    finished: bool,
}

impl SessionEvents {
    pub(super) fn new(inner: Arc<Inner>, core: Arc<SessionCore>) -> Self {
        let next_heartbeat = Instant::now() + inner.parts.settings.heartbeat_interval;
        let mut events = Self {
            inner,
            core,
            out: VecDeque::new(),
            current: None,
            timer: Box::pin(sleep_until(next_heartbeat)),
            next_heartbeat,
            reminded: false,
            finished: false,
        };
        events.set_timer();
        events
    }

    /// The next event; `None` after [`Event::Closing`].
    ///
    /// # Cancel safety
    /// Dropping the call loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            // However much there is to say, heartbeats and the expiry have their time, also one that was moved.
            if self.core.take_renewed() {
                self.set_timer();
            }
            if Instant::now() >= self.timer.deadline() {
                self.tick();
            }
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            if self.finished {
                return None;
            }
            if let Some(link) = self.current.clone() {
                let (core, due) = (self.core.clone(), self.timer.deadline());
                tokio::select! {
                    biased;
                    // A log that does not answer does not keep a session open, nor its expiry waiting, also one that was moved.
                    () = core.ended.notified() => {}
                    () = sleep_until(due) => {}
                    () = self.advance(&link) => self.current = None,
                }
                continue;
            }
            tokio::select! {
                biased;
                () = self.core.wake.notified() => {}
                () = self.timer.as_mut() => self.tick(),
            }
        }
    }

    /// Waits for an event and takes whatever else is ready, at most `max`, so that a gateway writes it in one go. False
    /// after [`Event::Closing`].
    ///
    /// # Cancel safety
    /// Dropping the call loses nothing.
    pub async fn next_batch(&mut self, batch: &mut Vec<Event>, max: usize) -> bool {
        let Some(first) = self.next().await else { return false };
        batch.push(first);
        while batch.len() < max {
            match self.try_next() {
                Some(event) => batch.push(event),
                None => break,
            }
        }
        true
    }

    /// An event that is ready now, without reading from the log.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            if self.finished {
                return None;
            }
            if let Some(closing) = self.core.closing() {
                self.finished = true;
                self.out.clear();
                return Some(Event::Closing(closing));
            }
            if let Some(event) = self.out.pop_front() {
                return Some(event);
            }
            if self.current.is_some() {
                return None;
            }
            match self.core.take() {
                Next::NoticesLost => return Some(Event::NoticesLost),
                Next::Notice(notice) => return Some(Event::Notice(notice)),
                Next::Link(link) => {
                    link.unmark();
                    match self.take_from(&link) {
                        Need::Nothing => {}
                        _ => self.current = Some(link),
                    }
                }
                Next::Nothing => return None,
            }
        }
    }

    /// The events as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Event> + Send {
        futures::stream::unfold(
            self,
            |mut events| async move { events.next().await.map(|event| (event, events)) },
        )
    }

    /// Takes what the room has in memory for this session.
    pub(super) fn take_from(&mut self, link: &Arc<RoomLink>) -> Need {
        let mut state = link.lock();
        if let Some((joined, _share)) = state.joined.take() {
            self.out.push_back(Event::Joined(joined));
        }
        if let Some(reason) = state.left.take() {
            drop(state);
            self.leave(link, reason);
            return Need::Nothing;
        }
        let Phase::Live { position, catching_up } = &mut state.phase else { return Need::Nothing };
        let out = &mut self.out;
        match link.lane.pull(position, TURN, |entry| out.push_back(Event::Entry(entry.clone()))) {
            Pull::Idle => {
                *catching_up = false;
                Need::Nothing
            }
            Pull::Taken(taken) => {
                *catching_up = false;
                drop(state);
                // Whatever comes from here on marks the link again; only a full turn may have left something behind, and
                // then other rooms come first.
                if taken == TURN {
                    link.mark();
                }
                Need::Nothing
            }
            Pull::Behind => {
                let Some(head) = link.lane.head() else { return Need::Nothing };
                if self.inner.parts.settings.is_mutated(Mutation::SkipWhenBehind) {
                    *position = head;
                    return Need::Nothing;
                }
                let replayed = head.seq.since(position.seq) <= self.inner.parts.settings.replay_limit;
                if replayed && !std::mem::replace(catching_up, true) {
                    // It had everything and fell behind: it is told so once, before it is fed from the log.
                    let before = Cursor::new(head.epoch.clone(), head.seq.next());
                    let hole = Box::new(Hole { after: position.clone(), before });
                    out.push_back(Event::Resync { room: link.lane.room.clone(), hole, page: None });
                }
                Need::Entries { position: position.clone(), head }
            }
            Pull::Foreign => Need::Restart { position: position.clone() },
        }
    }

    fn leave(&mut self, link: &Arc<RoomLink>, reason: LeftReason) {
        link.detach();
        self.core.remove(link);
        self.out.push_back(Event::Left { room: link.lane.room.clone(), reason });
    }

    /// Time for a heartbeat, a reminder, or the end.
    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.next_heartbeat {
            self.next_heartbeat = now + self.inner.parts.settings.heartbeat_interval;
            // What a burst of traffic needed is given back with the next heartbeat.
            self.out.shrink_to(0);
            self.core.shrink();
            let heads = self.changed_heads();
            self.out.push_back(Event::Heads(heads));
        }
        self.set_timer();
    }

    fn changed_heads(&self) -> Vec<(crate::RoomId, Cursor)> {
        let changed = |link: &Arc<RoomLink>| {
            let head = link.lane.head()?;
            let mut state = link.lock();
            let news = head.seq != state.head_told;
            state.head_told = head.seq;
            (news && head.seq > Seq::ZERO).then(|| (link.lane.room.clone(), head))
        };
        self.core.links().iter().filter_map(changed).collect()
    }

    /// Looks at the expiry, which may have been moved, and sets the timer to whatever comes first.
    fn set_timer(&mut self) {
        let mut at = self.next_heartbeat;
        let settings = &self.inner.parts.settings;
        let expiry = self.core.principal().expires_at;
        if let Some(expiry) = expiry.filter(|_| !settings.is_mutated(Mutation::IgnoreExpiry)) {
            let now = self.inner.parts.clock.now();
            let left = expiry.since(now);
            if left.is_zero() {
                self.core.close(CloseReason::Expired, None);
            }
            if left > settings.expiry_notice {
                self.reminded = false;
                at = at.min(Instant::now() + (left - settings.expiry_notice));
            } else {
                if !self.reminded {
                    self.reminded = true;
                    self.out.push_back(Event::Expiring { at: expiry });
                }
                at = at.min(Instant::now() + left);
            }
        }
        if self.timer.deadline() != at {
            self.timer.as_mut().reset(at);
        }
    }

    /// Ends the session with a last event that says why.
    pub fn close(&mut self, closing: Closing) {
        self.core.close(closing.reason, closing.reconnect_after);
    }
}

impl Drop for SessionEvents {
    fn drop(&mut self) {
        self.inner.end_session(&self.core);
    }
}

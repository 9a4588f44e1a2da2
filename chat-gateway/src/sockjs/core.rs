//! What the requests of a session and its handler share: what waits for the client, and how the session ends.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{MutexGuard as AsyncMutexGuard, Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Close, SockJsConfig, session::SessionEnded};

/// What a message is counted with beyond its bytes, so that many empty ones are bounded too.
const MESSAGE_COST: usize = 64;

/// How long a request waits for the one before it to go, where that one broke off and the news is still under way.
const TAKEOVER: Duration = Duration::from_millis(50);

/// A message from the client, with its share of the bytes that may wait.
pub(super) type Incoming = (String, OwnedSemaphorePermit);

#[derive(Debug)]
pub(super) struct Core {
    config: Arc<SockJsConfig>,
    state: Mutex<State>,
    /// Bytes for which there is room; closed with the session.
    room: Semaphore,
    /// Bytes from the client for which there is room.
    incoming_room: Arc<Semaphore>,
    /// Orders requests that send.
    sending: tokio::sync::Mutex<()>,
    /// Wakes the request that waits for messages.
    frames: Notify,
    /// Wakes what looks after the session: such a request came or went, or the session ended.
    attendance: Notify,
    /// Wakes a request that waits for the one before it to go.
    detached: Notify,
    /// Wakes whoever waits for the end.
    ended: Notify,
}

#[derive(Debug)]
struct State {
    opened: bool,
    close: Option<Close>,
    waiting: VecDeque<(String, usize)>,
    incoming: Option<mpsc::Sender<Incoming>>,
    attached: bool,
    /// Since when no request waits for messages.
    idle_since: Instant,
}

/// The next frame for the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Open,
    Messages(Vec<String>),
    Heartbeat,
    Close(Close),
}

impl Core {
    /// A session, and what its client sends.
    pub(super) fn new(config: &Arc<SockJsConfig>) -> (Arc<Self>, mpsc::Receiver<Incoming>) {
        let (incoming, messages) = mpsc::channel(config.incoming_messages.max(1));
        let state = State {
            opened: false,
            close: None,
            waiting: VecDeque::new(),
            incoming: Some(incoming),
            attached: false,
            idle_since: Instant::now(),
        };
        let core = Self {
            config: config.clone(),
            state: Mutex::new(state),
            room: Semaphore::new(capacity(config.outgoing_bytes) as usize),
            incoming_room: Arc::new(Semaphore::new(capacity(config.incoming_bytes) as usize)),
            sending: tokio::sync::Mutex::default(),
            frames: Notify::new(),
            attendance: Notify::new(),
            detached: Notify::new(),
            ended: Notify::new(),
        };
        (Arc::new(core), messages)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().close.is_some()
    }

    /// Waits for the end.
    pub(super) async fn closed(&self) {
        loop {
            let ended = self.ended.notified();
            if self.is_closed() {
                return;
            }
            ended.await;
        }
    }

    /// Lets a text wait for the client, once there is room.
    pub(super) async fn send(&self, text: String) -> Result<(), SessionEnded> {
        let cost = cost(&text, self.config.outgoing_bytes);
        match timeout(self.config.write_timeout, self.room.acquire_many(cost)).await {
            Ok(Ok(room)) => room.forget(),
            Ok(Err(_)) => return Err(SessionEnded),
            Err(_) => {
                self.interrupt();
                return Err(SessionEnded);
            }
        }
        let mut state = self.lock();
        if state.close.is_some() {
            return Err(SessionEnded);
        }
        state.waiting.push_back((text, cost as usize));
        drop(state);
        self.frames.notify_one();
        Ok(())
    }

    /// Waits until no other request sends; `None` once the session is over.
    pub(super) async fn turn(&self) -> Result<Option<Turn<'_>>, SessionEnded> {
        tokio::select! {
            biased;
            () = self.closed() => Ok(None),
            locked = timeout(self.config.write_timeout, self.sending.lock()) => match locked {
                Ok(in_order) => Ok(Some(Turn { core: self, _in_order: in_order })),
                Err(_) => Err(SessionEnded),
            },
        }
    }

    /// The same with [what it brings](Turn::deliver), where that is there already.
    pub(super) async fn deliver(&self, messages: Vec<String>) -> Result<(), SessionEnded> {
        match self.turn().await? {
            Some(turn) => turn.deliver(messages).await,
            None => Ok(()),
        }
    }

    /// Ends the session; the first reason holds. What waits is delivered first.
    pub(super) fn close(&self, close: Close) {
        let mut state = self.lock();
        if state.close.is_some() {
            return;
        }
        state.close = Some(close);
        state.incoming = None;
        state.idle_since = Instant::now();
        drop(state);
        self.room.close();
        self.frames.notify_one();
        self.attendance.notify_one();
        self.ended.notify_waiters();
    }

    /// Ends the session where nobody knows what the client has got.
    pub(super) fn interrupt(&self) {
        self.close(Close::INTERRUPTED);
        self.lock().waiting.clear();
    }

    /// Takes the place of the request that waits for messages; `None` where there is one already.
    pub(super) async fn attach(self: &Arc<Self>) -> Option<Receiver> {
        let gone = self.detached.notified();
        tokio::pin!(gone);
        gone.as_mut().enable();
        if let Some(receiver) = self.try_attach() {
            return Some(receiver);
        }
        let _ = timeout(TAKEOVER, gone).await;
        self.try_attach()
    }

    fn try_attach(self: &Arc<Self>) -> Option<Receiver> {
        let mut state = self.lock();
        if state.attached {
            return None;
        }
        state.attached = true;
        drop(state);
        self.attendance.notify_one();
        Some(Receiver { core: self.clone(), finished: false })
    }

    fn detach(&self) {
        let mut state = self.lock();
        state.attached = false;
        state.idle_since = Instant::now();
        drop(state);
        self.attendance.notify_one();
        self.detached.notify_waiters();
    }

    fn take(&self) -> Option<Next> {
        let mut state = self.lock();
        if !state.opened {
            state.opened = true;
            return Some(Next::Open);
        }
        if state.waiting.is_empty() {
            return state.close.clone().map(Next::Close);
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.room.add_permits(waiting.iter().map(|(_, cost)| cost).sum());
        Some(Next::Messages(waiting.into_iter().map(|(text, _)| text).collect()))
    }

    /// Returns when no request has waited for messages for the timeout, or when the session has been over for so long: a
    /// request that hangs in a dead connection does not keep it. The session is over then.
    pub(super) async fn abandoned(&self) {
        loop {
            let idle_since = {
                let state = self.lock();
                (!state.attached || state.close.is_some()).then_some(state.idle_since)
            };
            let changed = self.attendance.notified();
            let Some(since) = idle_since else {
                changed.await;
                continue;
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until(since + self.config.session_timeout) => {
                    self.interrupt();
                    return;
                }
            }
        }
    }
}

fn capacity(bytes: usize) -> u32 {
    u32::try_from(bytes.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX)
}

/// What a message is counted with where so many bytes may wait: one that is larger takes all of them.
fn cost(text: &str, bytes: usize) -> u32 {
    u32::try_from(text.len().saturating_add(MESSAGE_COST)).unwrap_or(u32::MAX).min(capacity(bytes))
}

/// The one request that may send. What the others carry is not even read before it is done.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    core: &'a Core,
    _in_order: AsyncMutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// Hands what a client sent to the handler, once there is room. What comes after the end is dropped.
    pub(super) async fn deliver(self, messages: Vec<String>) -> Result<(), SessionEnded> {
        let core = self.core;
        let all = async {
            let Some(incoming) = core.lock().incoming.clone() else { return };
            for message in messages {
                let cost = cost(&message, core.config.incoming_bytes);
                let Ok(share) = core.incoming_room.clone().acquire_many_owned(cost).await else { return };
                // A handler that reads no more has no use for the rest.
                if incoming.send((message, share)).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = core.closed() => Ok(()),
            done = timeout(core.config.write_timeout, all) => done.map_err(|_| {
                // Some of the messages may have been handed over: there is no way to say which.
                core.interrupt();
                SessionEnded
            }),
        }
    }
}

/// The one request that waits for messages. Dropped before it [finished](Receiver::finish), it ends the session.
#[derive(Debug)]
pub(super) struct Receiver {
    core: Arc<Core>,
    finished: bool,
}

impl Receiver {
    /// The next frame, at the latest a heartbeat.
    ///
    /// # Cancel safety
    /// Dropping the call loses nothing.
    pub(super) async fn next(&mut self) -> Next {
        let heartbeat = sleep(self.core.config.heartbeat_interval);
        tokio::pin!(heartbeat);
        loop {
            if let Some(next) = self.core.take() {
                return next;
            }
            tokio::select! {
                biased;
                () = self.core.frames.notified() => {}
                () = &mut heartbeat => return Next::Heartbeat,
            }
        }
    }

    /// The request ends as it should.
    pub(super) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.finished {
            self.core.interrupt();
        }
        self.core.detach();
    }
}

#[cfg(test)]
mod tests;

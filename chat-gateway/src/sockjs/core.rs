//! What the requests of a session and its handler share: what waits for the client, and how the session ends.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Close, SockJsConfig, session::SessionEnded};

/// What a message is counted with beyond its bytes, so that many empty ones are bounded too.
const MESSAGE_COST: usize = 64;

/// How long a request waits for the one before it to go, where that one broke off and the news is still under way.
const TAKEOVER: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Core {
    config: Arc<SockJsConfig>,
    state: Mutex<State>,
    /// Bytes for which there is room; closed with the session.
    room: Semaphore,
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
    incoming: Option<mpsc::Sender<String>>,
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
    pub(super) fn new(config: &Arc<SockJsConfig>) -> (Arc<Self>, mpsc::Receiver<String>) {
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
            room: Semaphore::new(capacity(config) as usize),
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
        let cost = u32::try_from(text.len().saturating_add(MESSAGE_COST)).unwrap_or(u32::MAX);
        let cost = cost.min(capacity(&self.config));
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

    /// Hands what a client sent to the handler, once there is room. What comes after the end is dropped.
    pub(super) async fn deliver(&self, messages: Vec<String>) -> Result<(), SessionEnded> {
        let all = async {
            let _in_order = self.sending.lock().await;
            let Some(incoming) = self.lock().incoming.clone() else { return };
            for message in messages {
                // A handler that reads no more has no use for the rest.
                if incoming.send(message).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.closed() => Ok(()),
            done = timeout(self.config.write_timeout, all) => done.map_err(|_| {
                // Some of the messages may have been handed over: there is no way to say which.
                self.interrupt();
                SessionEnded
            }),
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

    /// Returns when no request has waited for messages for the timeout; the session is over then.
    pub(super) async fn abandoned(&self) {
        loop {
            let idle_since = {
                let state = self.lock();
                (!state.attached).then_some(state.idle_since)
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

fn capacity(config: &SockJsConfig) -> u32 {
    u32::try_from(config.outgoing_bytes.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX)
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
mod tests {
    use super::*;

    fn session(config: SockJsConfig) -> (Arc<Core>, mpsc::Receiver<String>) {
        Core::new(&Arc::new(config))
    }

    async fn texts(receiver: &mut Receiver) -> Vec<String> {
        match receiver.next().await {
            Next::Messages(texts) => texts,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_opens_speaks_and_ends_in_this_order() {
        let (core, _incoming) = session(SockJsConfig::new());
        core.send("a".to_owned()).await.unwrap();
        core.send("b".to_owned()).await.unwrap();
        core.close(Close::GO_AWAY);
        core.close(Close::INTERRUPTED);
        assert_eq!(core.send("c".to_owned()).await, Err(SessionEnded));
        let mut receiver = core.attach().await.unwrap();
        assert_eq!(receiver.next().await, Next::Open);
        assert_eq!(texts(&mut receiver).await, ["a", "b"]);
        for _ in 0..2 {
            assert_eq!(receiver.next().await, Next::Close(Close::GO_AWAY));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_one_request_waits_and_the_next_one_gets_what_comes_then() {
        let (core, _incoming) = session(SockJsConfig::new());
        let mut first = core.attach().await.unwrap();
        assert_eq!(first.next().await, Next::Open);
        assert!(core.attach().await.is_none());
        let waiting = tokio::spawn({
            let core = core.clone();
            async move { core.attach().await.is_some() }
        });
        tokio::task::yield_now().await;
        first.finish();
        assert!(waiting.await.unwrap(), "the place is taken over as soon as it is free");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_breaks_off_ends_the_session() {
        let (core, mut incoming) = session(SockJsConfig::new());
        core.send("lost".to_owned()).await.unwrap();
        let mut receiver = core.attach().await.unwrap();
        assert_eq!(receiver.next().await, Next::Open);
        drop(receiver);
        assert_eq!(incoming.recv().await, None);
        let mut receiver = core.attach().await.unwrap();
        assert_eq!(receiver.next().await, Next::Close(Close::INTERRUPTED));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_fetches_nothing_holds_up_the_sender_and_then_ends() {
        let config = SockJsConfig::new().with_queues(1, 1_000).with_write_timeout(Duration::from_secs(7));
        let (core, _incoming) = session(config);
        // Larger than all the room there is: it waits alone.
        core.send("x".repeat(5_000)).await.unwrap();
        let start = Instant::now();
        assert_eq!(core.send(String::new()).await, Err(SessionEnded));
        assert_eq!(start.elapsed(), Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn many_empty_messages_are_bounded_too() {
        let (core, _incoming) = session(SockJsConfig::new().with_queues(1, 640));
        for _ in 0..10 {
            core.send(String::new()).await.unwrap();
        }
        let sender = core.clone();
        let one_more = tokio::spawn(async move { sender.send("late".to_owned()).await });
        tokio::task::yield_now().await;
        assert!(!one_more.is_finished());
        let mut receiver = core.attach().await.unwrap();
        assert_eq!(receiver.next().await, Next::Open);
        assert_eq!(texts(&mut receiver).await.len(), 10);
        one_more.await.unwrap().unwrap();
        assert_eq!(texts(&mut receiver).await, ["late"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_does_not_read_holds_up_the_client() {
        let (core, mut incoming) = session(SockJsConfig::new().with_queues(1, 1_000));
        let texts: Vec<String> = (0..3).map(|number: i32| number.to_string()).collect();
        let sender = core.clone();
        let delivered = tokio::spawn(async move { sender.deliver(texts).await });
        tokio::task::yield_now().await;
        assert!(!delivered.is_finished());
        for number in ["0", "1", "2"] {
            assert_eq!(incoming.recv().await.as_deref(), Some(number));
        }
        delivered.await.unwrap().unwrap();
        let start = Instant::now();
        let more = core.deliver(vec![String::new(); 2]).await;
        assert_eq!((more, start.elapsed()), (Err(SessionEnded), SockJsConfig::WRITE_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_nobody_waits_at_is_over_after_the_timeout() {
        let (core, _incoming) = session(SockJsConfig::new());
        let start = Instant::now();
        let mut receiver = core.attach().await.unwrap();
        let abandoned = tokio::spawn({
            let core = core.clone();
            async move {
                core.abandoned().await;
                Instant::now()
            }
        });
        assert_eq!(receiver.next().await, Next::Open);
        assert_eq!(receiver.next().await, Next::Heartbeat);
        receiver.finish();
        let end = abandoned.await.unwrap();
        assert_eq!(end - start, SockJsConfig::HEARTBEAT_INTERVAL + SockJsConfig::SESSION_TIMEOUT);
        assert!(core.is_closed());
    }
}

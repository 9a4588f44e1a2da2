//! The rooms of one thread: opens their connections, sends when it is time, waits for the last messages, and adds up.

use std::{cell::RefCell, rc::Rc, time::Duration};

use anyhow::{Context as _, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::{JoinHandle, LocalSet, spawn_local},
    time::{interval, sleep},
};

use crate::{
    connection::{Connection, Shared},
    ledger::{Faults, Ledger, Receiver},
    places::{Place, Tokens},
    plan::{Plan, Rate},
    protocol::Seat,
    schedule::{self, Sender},
    stats::{Clock, Second, Stats, Window},
};

/// Connections of one thread that begin at the same time.
const OPENING: usize = 32;
/// Frames that wait for a connection to write them.
const WAITING: usize = 1_024;

/// What threads tell while they work.
pub(crate) enum News {
    /// So many more connections have joined.
    Joined(usize),
    /// What happened in a second: which one, and what.
    Second(usize, Box<Second>),
    /// A thread cannot go on.
    Failed(anyhow::Error),
}

/// What came of a thread's rooms.
pub(crate) struct Outcome {
    pub(crate) stats: Stats,
    pub(crate) faults: Faults,
    pub(crate) messages: usize,
    pub(crate) unanswered: usize,
}

/// A thread's part of a run.
pub(crate) struct Group {
    pub(crate) plan: Plan,
    /// Which rooms, by number.
    pub(crate) rooms: Vec<(u32, Place)>,
    pub(crate) tokens: std::sync::Arc<Tokens>,
    pub(crate) clock: Clock,
    pub(crate) run: String,
    /// Its share of the rate.
    pub(crate) share: f64,
    pub(crate) news: mpsc::Sender<News>,
    /// What counts, once all have joined.
    pub(crate) go: watch::Receiver<Option<Window>>,
}

struct Room {
    ledger: Rc<RefCell<Ledger>>,
    receivers: Vec<Rc<RefCell<Receiver>>>,
}

impl Group {
    /// Runs it on a runtime of this thread alone. What went wrong is told as news.
    pub(crate) fn run(self) -> Option<Outcome> {
        let news = self.news.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime
            .map_err(anyhow::Error::from)
            .and_then(|runtime| LocalSet::new().block_on(&runtime, self.work()));
        // Nobody listens where another thread failed before.
        outcome.map_err(|error| news.blocking_send(News::Failed(error))).ok()
    }

    async fn work(mut self) -> Result<Outcome> {
        let stats = RefCell::new(Stats::default());
        let shared = Rc::new(Shared { protocol: self.plan.protocol.clone(), clock: self.clock, stats });
        let (rooms, senders, tasks) = self.open(&shared).await?;
        let window = *self.go.wait_for(Option::is_some).await?;
        let window = window.context("no time to begin")?;
        shared.stats.borrow_mut().window = window;
        let seconds =
            spawn_local(tell_seconds(shared.clone(), self.news.clone(), window.from - self.plan.warm_up));
        let from = window.from - self.plan.warm_up;
        match self.plan.rate {
            Rate::PerSecond(rate) => {
                schedule::open_loop(&senders, rate * self.share, from, window.until).await
            }
            Rate::Answered { in_flight } => {
                tokio::time::sleep_until(self.clock.at(from)).await;
                schedule::closed_loop(&senders, in_flight, window.until).await;
            }
        }
        self.wait_for_the_last(&rooms).await;
        seconds.abort();
        // Those that ended by themselves said why.
        tasks.iter().for_each(JoinHandle::abort);
        let mut outcome =
            Outcome { stats: shared.stats.take(), faults: Faults::default(), messages: 0, unanswered: 0 };
        for room in &rooms {
            let ledger = room.ledger.borrow();
            outcome.messages += ledger.len();
            outcome.unanswered += ledger.unanswered();
            for receiver in &room.receivers {
                outcome.faults += ledger.faults(&receiver.borrow());
            }
        }
        Ok(outcome)
    }

    async fn open(&self, shared: &Rc<Shared>) -> Result<(Vec<Room>, Vec<Sender>, Vec<JoinHandle<()>>)> {
        let (mut rooms, mut senders, mut seats) = (Vec::new(), Vec::new(), Vec::new());
        let run: Rc<str> = self.run.as_str().into();
        for (number, place) in &self.rooms {
            let ledger = Rc::new(RefCell::new(Ledger::default()));
            let mut receivers = Vec::new();
            for (index, user) in place.users.iter().enumerate() {
                let receiver = Rc::new(RefCell::new(Receiver::default()));
                receivers.push(receiver.clone());
                let (send, frames) = mpsc::channel(WAITING);
                let permits = Rc::new(Semaphore::new(0));
                if index < self.plan.senders_per_room {
                    senders.push((
                        index,
                        Sender {
                            shared: shared.clone(),
                            run: run.clone(),
                            room: *number,
                            room_name: place.room.as_str().into(),
                            index,
                            ledger: ledger.clone(),
                            frames: send,
                            permits: permits.clone(),
                            size: self.plan.size,
                        },
                    ));
                }
                let (room, ledger, shared) = (*number, ledger.clone(), shared.clone());
                let connection = Connection { shared, room, index, ledger, receiver, permits };
                let server = &self.plan.servers[(*number as usize + index) % self.plan.servers.len()];
                seats.push((server, place, user, connection, frames));
            }
            rooms.push(Room { ledger, receivers });
        }
        // One of each room, then the next of each: neighbours in time are of different rooms.
        senders.sort_by_key(|(index, _)| *index);
        let opening = seats.into_iter().map(|(server, place, user, connection, frames)| async move {
            let seat =
                Seat { server: server.clone(), token: self.tokens.of(user)?, room: place.room.clone() };
            let opened = self.plan.protocol.open(&seat, None).await;
            let opened = opened.with_context(|| format!("{user} in {}", place.room))?;
            self.news.send(News::Joined(1)).await?;
            anyhow::Ok(spawn_local(connection.drive(opened, frames)))
        });
        let tasks = stream::iter(opening).buffer_unordered(OPENING).try_collect().await?;
        Ok((rooms, senders.into_iter().map(|(_, sender)| sender).collect(), tasks))
    }

    async fn wait_for_the_last(&self, rooms: &[Room]) {
        let deadline = self.clock.now() + self.plan.patience;
        let is_over = || {
            rooms.iter().all(|room| {
                let ledger = room.ledger.borrow();
                ledger.unanswered() == 0
                    && room.receivers.iter().all(|receiver| ledger.is_complete(&receiver.borrow()))
            })
        };
        while !is_over() && self.clock.now() < deadline {
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn tell_seconds(shared: Rc<Shared>, news: mpsc::Sender<News>, from: Duration) {
    tokio::time::sleep_until(shared.clock.at(from)).await;
    let mut ticks = interval(Duration::from_secs(1));
    ticks.tick().await;
    for number in 0.. {
        ticks.tick().await;
        let second = std::mem::take(&mut shared.stats.borrow_mut().second);
        if news.send(News::Second(number, Box::new(second))).await.is_err() {
            return;
        }
    }
}

//! Who sends when.

use std::{cell::RefCell, rc::Rc, time::Duration};

use futures::future::join_all;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{sleep_until, timeout_at},
};

use crate::{
    connection::{FIRST_ID, Shared},
    ledger::Ledger,
    mark::Mark,
};

/// A connection that sends.
pub(crate) struct Sender {
    pub(crate) shared: Rc<Shared>,
    /// Tells the messages of this run from those of others on the same server.
    pub(crate) run: Rc<str>,
    pub(crate) room: u32,
    pub(crate) room_name: Rc<str>,
    /// Which of the room's connections it is.
    pub(crate) index: usize,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    pub(crate) frames: mpsc::Sender<String>,
    pub(crate) permits: Rc<Semaphore>,
    pub(crate) size: usize,
}

impl Sender {
    pub(crate) async fn send(&self, meant_at: Duration) {
        let number = self.ledger.borrow_mut().send(self.index, meant_at);
        let text = Mark { room: self.room, number, meant_at }.text(self.size);
        let name = format!("{}-{}-{number}", self.run, self.room);
        let frame = self.shared.protocol.send(u64::from(number) + FIRST_ID, &self.room_name, &name, &text);
        let gone = self.frames.send(frame).await.is_err();
        let now = self.shared.clock.now();
        let mut stats = self.shared.stats.borrow_mut();
        stats.sent(meant_at, now);
        if gone {
            self.ledger.borrow_mut().answered(number, false);
            stats.answered(meant_at, now, false);
            stats.trouble("a sender's connection is gone");
        }
    }
}

/// Sends `rate` messages a second in turns, whatever comes back.
pub(crate) async fn open_loop(senders: &[Sender], rate: f64, from: Duration, until: Duration) {
    let Some(first) = senders.first() else { return };
    let clock = first.shared.clock;
    for (count, sender) in senders.iter().cycle().enumerate() {
        let meant_at = from + Duration::from_secs_f64(count as f64 / rate);
        if meant_at >= until {
            return;
        }
        if meant_at > clock.now() {
            sleep_until(clock.at(meant_at)).await;
        }
        sender.send(meant_at).await;
    }
}

/// Each sends as soon as one of its messages is answered.
pub(crate) async fn closed_loop(senders: &[Sender], in_flight: usize, until: Duration) {
    let each = senders.iter().map(|sender| async move {
        sender.permits.add_permits(in_flight);
        let clock = sender.shared.clock;
        while clock.now() < until {
            // Where an answer never comes, the time ends it.
            let Ok(Ok(permit)) = timeout_at(clock.at(until), sender.permits.acquire()).await else { return };
            permit.forget();
            sender.send(clock.now()).await;
        }
    });
    join_all(each).await;
}

/// Each sends so many, one after the other is answered, until the last is.
pub(crate) async fn all_answered(senders: &[Sender], messages: usize) {
    let each = senders.iter().map(|sender| async move {
        sender.permits.add_permits(1);
        for _ in 0..messages {
            let Ok(permit) = sender.permits.acquire().await else { return };
            permit.forget();
            sender.send(sender.shared.clock.now()).await;
        }
        let _ = sender.permits.acquire().await;
    });
    join_all(each).await;
}

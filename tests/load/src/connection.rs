//! A connection that has joined: reads all that comes, and writes what it is given to send.

use std::{cell::RefCell, rc::Rc};

use futures::{SinkExt as _, StreamExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    ledger::{Arrival, Ledger, Receiver},
    mark,
    protocol::{Opened, Protocol, Seen, Socket},
    stats::{Clock, Stats},
};

/// A message's number in its room and this make its number on the connection, where lower ones began it.
pub(crate) const FIRST_ID: u64 = 10;

/// What connections of one thread share.
pub(crate) struct Shared {
    pub(crate) protocol: Protocol,
    pub(crate) clock: Clock,
    pub(crate) stats: RefCell<Stats>,
}

/// What a sender is given to say.
pub(crate) type Frames = mpsc::Receiver<String>;

/// One connection.
pub(crate) struct Connection {
    pub(crate) shared: Rc<Shared>,
    /// The room's number.
    pub(crate) room: u32,
    /// Which of the room's connections this is.
    pub(crate) index: usize,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    pub(crate) receiver: Rc<RefCell<Receiver>>,
    /// Given back with each answer.
    pub(crate) permits: Rc<Semaphore>,
}

impl Connection {
    /// Goes on until the server ends it, or this is dropped.
    pub(crate) async fn drive(self, opened: Opened, mut frames: Frames) {
        let Opened { mut socket, backlog, .. } = opened;
        for frame in &backlog {
            self.read(frame);
        }
        let ended = self.exchange(&mut socket, &mut frames).await;
        self.shared.stats.borrow_mut().trouble(&format!("a connection ended: {ended}"));
    }

    async fn exchange(&self, socket: &mut Socket, frames: &mut Frames) -> String {
        let mut sends = true;
        loop {
            tokio::select! {
                biased;
                frame = frames.recv(), if sends => {
                    let Some(frame) = frame else {
                        sends = false;
                        continue;
                    };
                    if let Err(error) = self.write(socket, frame, frames).await {
                        return error.to_string();
                    }
                }
                read = socket.next() => match read {
                    Some(Ok(Message::Text(text))) => {
                        let (reply, ended) = self.read(&text);
                        if let Some(reply) = reply
                            && let Err(error) = socket.send(Message::text(reply)).await
                        {
                            return error.to_string();
                        }
                        if let Some(ended) = ended {
                            return ended;
                        }
                    }
                    Some(Ok(Message::Close(frame))) => return format!("closed by the server: {frame:?}"),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error.to_string(),
                    None => return "without a word".to_owned(),
                },
            }
        }
    }

    /// All that waits goes out together.
    async fn write(
        &self,
        socket: &mut Socket,
        frame: String,
        frames: &mut Frames,
    ) -> tokio_tungstenite::tungstenite::Result<()> {
        socket.feed(Message::text(frame)).await?;
        while let Ok(frame) = frames.try_recv() {
            socket.feed(Message::text(frame)).await?;
        }
        socket.flush().await
    }

    /// What has to be answered, and why it ended.
    fn read(&self, frame: &str) -> (Option<&'static str>, Option<String>) {
        let (mut reply, mut ended) = (None, None);
        self.shared.protocol.read(frame, &mut |seen| match seen {
            Seen::Delivery(part) => self.arrived(part),
            Seen::Resync(part) => {
                self.shared.stats.borrow_mut().resyncs += 1;
                self.arrived(part);
            }
            Seen::Answer { id, refused } => self.answered(id, refused),
            Seen::Reply(text) => reply = Some(text),
            Seen::Ended(why) => ended = Some(why.to_owned()),
        });
        (reply, ended)
    }

    fn arrived(&self, part: &str) {
        let now = self.shared.clock.now();
        for mark in mark::find(part).filter(|mark| mark.room == self.room) {
            match self.ledger.borrow_mut().arrived(&mut self.receiver.borrow_mut(), mark) {
                Arrival::Fresh(meant_at) => self.shared.stats.borrow_mut().arrived(meant_at, now),
                Arrival::Repeated => {}
                Arrival::Unknown => continue,
            }
            if !self.shared.protocol.answers() && self.ledger.borrow().is_by(mark.number, self.index) {
                self.settle(mark.number, None);
            }
        }
    }

    fn answered(&self, id: u64, refused: Option<&str>) {
        if let Some(number) = id.checked_sub(FIRST_ID).and_then(|number| u32::try_from(number).ok()) {
            self.settle(number, refused);
        }
    }

    fn settle(&self, number: u32, refused: Option<&str>) {
        let now = self.shared.clock.now();
        let Some(meant_at) = self.ledger.borrow_mut().answered(number, refused.is_none()) else { return };
        self.permits.add_permits(1);
        let mut stats = self.shared.stats.borrow_mut();
        stats.answered(meant_at, now, refused.is_none());
        if let Some(why) = refused {
            stats.trouble(&format!("refused: {why}"));
        }
    }
}

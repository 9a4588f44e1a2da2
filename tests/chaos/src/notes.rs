//! What a client has seen, and what it has still to send.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chat_core::{ClientMessageId, Cursor, MessageId, Position, RoomId, Seq, UserId};
use chat_simulation::{Outbox, Outgoing};
use tokio::time::Instant;

/// By which the messages are known that show that service is back.
pub(crate) const MARK: &str = "mark ";

/// The server said that it has a message.
#[derive(Debug, Clone)]
pub(crate) struct Ack {
    pub(crate) room: RoomId,
    pub(crate) client_id: ClientMessageId,
    /// Where the protocol says it.
    pub(crate) position: Option<Position>,
    pub(crate) durability: Option<String>,
    /// What it says.
    pub(crate) text: String,
    pub(crate) at: Instant,
}

/// An entry as the client was told it, as far as its protocol says.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) room: RoomId,
    pub(crate) id: Option<MessageId>,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) sender: UserId,
    pub(crate) client_id: Option<ClientMessageId>,
    /// None for what is no message.
    pub(crate) text: Option<String>,
    pub(crate) at: Instant,
}

/// What must not be, seen as it happened.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) guarantee: &'static str,
    pub(crate) what: String,
    pub(crate) at: Instant,
}

/// The server sent a page in place of what lies between.
#[derive(Debug, Clone)]
pub(crate) struct Skip {
    pub(crate) room: RoomId,
    pub(crate) after: Seq,
    pub(crate) up_to: Seq,
    /// The newest entry that the page tells of.
    pub(crate) head: Seq,
}

/// Where a client is in a room.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    pub(crate) cursor: Option<Cursor>,
    pub(crate) id: Option<MessageId>,
}

/// One client's notes.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// In the order of their coming.
    pub(crate) seen: Vec<Seen>,
    pub(crate) skips: Vec<Skip>,
    pub(crate) acks: Vec<Ack>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) outbox: Outbox,
    /// The last entry applied.
    pub(crate) places: BTreeMap<RoomId, Place>,
    /// Of the last event applied, where events have ids.
    pub(crate) event_id: Option<String>,
    /// Rooms that the present connection has joined.
    pub(crate) joined: BTreeSet<RoomId>,
    pub(crate) marks: BTreeSet<String>,
    pub(crate) connections: usize,
    /// Times it gave up a connection that said nothing, or a request without an answer.
    pub(crate) gave_up: usize,
    /// Messages that were sent again because nobody knew what had become of them.
    pub(crate) repeated: usize,
}

impl Notes {
    pub(crate) fn problem(&mut self, guarantee: &'static str, what: String) {
        self.problems.push(Problem { guarantee, what, at: Instant::now() });
    }

    /// Writes the next message where it is time for it and not too many are open.
    pub(crate) fn write(&mut self, rooms: &[RoomId], now: Instant, dice: &mut fastrand::Rng) {
        if self.outbox.is_time(now, |pace| pace.mul_f64(0.5 + dice.f64())) {
            let text = format!("number {}", self.outbox.said());
            self.outbox.say(&rooms[dice.usize(..rooms.len())], &text);
        }
    }

    /// Applies an entry that follows what is known.
    pub(crate) fn apply(&mut self, seen: Seen) {
        let place = self.places.entry(seen.room.clone()).or_default();
        place.cursor.clone_from(&seen.cursor);
        place.id = seen.id.or(place.id);
        if let Some(mark) = seen.text.as_ref().filter(|text| text.starts_with(MARK)) {
            self.marks.insert(mark.clone());
        }
        self.seen.push(seen);
    }

    /// The server has it.
    pub(crate) fn acknowledged(
        &mut self,
        client_id: &ClientMessageId,
        position: Option<Position>,
        durability: Option<String>,
    ) {
        match self.outbox.answered(client_id) {
            Some(Outgoing { room, client_id, text, .. }) => {
                self.acks.push(Ack { room, client_id, position, durability, text, at: Instant::now() });
            }
            None => self.problem("G1", format!("{client_id} was answered twice on one connection")),
        }
    }

    /// It is sent again after a while.
    pub(crate) fn refused(&mut self, client_id: &ClientMessageId, pause: Duration) {
        self.repeated += usize::from(self.outbox.refused(client_id, pause));
    }

    /// Who knows which of them were answered: all are open again.
    pub(crate) fn disconnected(&mut self) {
        self.joined.clear();
        self.repeated += self.outbox.disconnected();
    }
}

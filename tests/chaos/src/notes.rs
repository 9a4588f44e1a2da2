//! What a client has seen, and what it has still to send.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use chat_core::{ClientMessageId, Cursor, MessageId, Position, RoomId, Seq, UserId};
use tokio::time::Instant;

/// A client does not gather more than this while nobody answers.
const OUTBOX: usize = 8;
/// By which the messages are known that show that service is back.
pub(crate) const MARK: &str = "mark ";

/// A message that was not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) room: RoomId,
    pub(crate) client_id: ClientMessageId,
    pub(crate) text: String,
    /// Was sent on this connection.
    pub(crate) asked: bool,
    pub(crate) due: Instant,
}

/// The server said that it has a message.
#[derive(Debug, Clone)]
pub(crate) struct Ack {
    pub(crate) room: RoomId,
    pub(crate) client_id: ClientMessageId,
    /// Where the protocol says it.
    pub(crate) position: Option<Position>,
    pub(crate) durability: Option<String>,
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
    pub(crate) outbox: VecDeque<Outgoing>,
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
    /// Messages that it wrote.
    pub(crate) written: usize,
    /// Messages that were sent again because nobody knew what had become of them.
    pub(crate) repeated: usize,
    pub(crate) pace: Option<Duration>,
    write_at: Option<Instant>,
}

impl Notes {
    pub(crate) fn problem(&mut self, guarantee: &'static str, what: String) {
        self.problems.push(Problem { guarantee, what, at: Instant::now() });
    }

    pub(crate) fn say(&mut self, room: &RoomId, text: &str) {
        self.written += 1;
        self.outbox.push_back(Outgoing {
            room: room.clone(),
            client_id: ClientMessageId::generate(),
            text: text.to_owned(),
            asked: false,
            due: Instant::now(),
        });
    }

    /// Writes the next message where it is time for it and not too many are open.
    pub(crate) fn write(&mut self, rooms: &[RoomId], now: Instant, dice: &mut fastrand::Rng) {
        let Some(pace) = self.pace else { return };
        if self.write_at.is_some_and(|at| at > now) || self.outbox.len() >= OUTBOX {
            return;
        }
        self.write_at = Some(now + pace.mul_f64(0.5 + dice.f64()));
        let text = format!("number {}", self.written);
        self.say(&rooms[dice.usize(..rooms.len())], &text);
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
        let Some(place) = self.outbox.iter().position(|message| message.client_id == *client_id) else {
            return self.problem("G1", format!("{client_id} was answered twice on one connection"));
        };
        if let Some(Outgoing { room, client_id, .. }) = self.outbox.remove(place) {
            self.acks.push(Ack { room, client_id, position, durability, at: Instant::now() });
        }
    }

    /// It is sent again after a while.
    pub(crate) fn refused(&mut self, client_id: &ClientMessageId, pause: Duration) {
        if let Some(message) = self.outbox.iter_mut().find(|message| message.client_id == *client_id) {
            message.asked = false;
            message.due = Instant::now() + pause;
            self.repeated += 1;
        }
    }

    /// Who knows which of them were answered: all are open again.
    pub(crate) fn disconnected(&mut self) {
        self.joined.clear();
        let asked = self.outbox.iter_mut().filter(|message| message.asked);
        self.repeated += asked.map(|message| message.asked = false).count();
    }
}

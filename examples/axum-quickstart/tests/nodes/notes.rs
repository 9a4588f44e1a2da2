//! What a client has seen, and what it has still to send.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use chat_core::{
    ClientMessageId, Content, Cursor, Draft, Position, RoomId, Seq, StoredMessage, Timestamp, UserId,
};
use chat_simulation::Outbox;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

/// A message is stored, says the server.
#[derive(Debug, Clone)]
pub(crate) struct Ack {
    pub(crate) room: RoomId,
    pub(crate) client_id: ClientMessageId,
    pub(crate) position: Position,
    pub(crate) duplicate: bool,
    pub(crate) durability: String,
}

impl Ack {
    /// Out of a `sent` frame, which does not name the room.
    pub(crate) fn read(frame: &Value) -> Self {
        Self {
            room: RoomId::new("unknown").unwrap(),
            client_id: field(frame, "clientId"),
            position: position(frame),
            duplicate: field(frame, "duplicate"),
            durability: field(frame, "durability"),
        }
    }
}

/// What the server had the client forget of a room.
#[derive(Debug)]
pub(crate) struct Reset {
    pub(crate) room: RoomId,
    pub(crate) forgotten: Vec<StoredMessage>,
    /// So many answers had come before.
    pub(crate) acks: usize,
}

/// What a client takes as right.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Allows {
    /// The log begins another life now and then, and goes on where it was.
    pub(crate) lives: bool,
    /// Something is lost, and told by a reset.
    pub(crate) losses: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) allows: Allows,
    pub(crate) resets: Vec<Reset>,
    pub(crate) connections: usize,
    /// Does not connect for now.
    pub(crate) stays_away: bool,
    /// Frames that are neither entries nor answers to sends and joins.
    pub(crate) events: Vec<Value>,
    /// In the order of their coming.
    pub(crate) entries: Vec<StoredMessage>,
    /// Where each room was first joined; what comes after that has to come as an entry.
    pub(crate) since: BTreeMap<RoomId, Cursor>,
    /// The last entry applied.
    pub(crate) applied: BTreeMap<RoomId, Cursor>,
    pub(crate) acks: Vec<Ack>,
    /// What must not be.
    pub(crate) problems: Vec<String>,
    pub(crate) outbox: Outbox,
    pub(crate) commands: VecDeque<Value>,
}

impl Notes {
    pub(crate) fn problem(&mut self, what: String) {
        self.problems.push(what);
    }

    /// Writes the next message where it is time for it and not too many are open.
    pub(crate) fn write(&mut self, rooms: &[RoomId], now: Instant) {
        if self.outbox.is_time(now, |pace| pace) {
            let said = self.outbox.said();
            self.outbox.say(&rooms[said % rooms.len()], &format!("number {said}"));
        }
    }

    pub(crate) fn entry(&mut self, streams: &mut BTreeMap<RoomId, Cursor>, entry: &Value) {
        let message = message(entry);
        let (room, cursor) = (message.room.clone(), message.position.cursor.clone());
        let last = streams.get(&room);
        let follows = |last: &Cursor| {
            last.seq.next() == cursor.seq && (last.epoch == cursor.epoch || self.allows.lives)
        };
        if !last.is_some_and(follows) {
            self.problem(format!("{room}: {cursor} came after {last:?}"));
        }
        streams.insert(room.clone(), cursor.clone());
        self.applied.insert(room, cursor);
        self.entries.push(message);
    }

    pub(crate) fn joined(
        &mut self,
        streams: &mut BTreeMap<RoomId, Cursor>,
        room: RoomId,
        asked: Option<Cursor>,
        frame: &Value,
    ) {
        let at = match (frame["outcome"].as_str(), asked) {
            (Some("new"), None) => {
                let at: Cursor = field(&frame["page"], "cursor");
                self.since.insert(room.clone(), at.clone());
                self.applied.insert(room.clone(), at.clone());
                at
            }
            (Some("recovered"), Some(cursor)) => cursor,
            (Some("reset"), Some(_)) => return self.reset(streams, room, frame),
            (_, asked) => {
                self.problem(format!("{room} was joined after {asked:?} and answered {frame}"));
                return;
            }
        };
        streams.insert(room, at);
    }

    /// Forgets the room and goes on from the page.
    pub(crate) fn reset(&mut self, streams: &mut BTreeMap<RoomId, Cursor>, room: RoomId, frame: &Value) {
        if !self.allows.losses {
            self.problem(frame.to_string());
        }
        let page = &frame["page"];
        let entries: Vec<StoredMessage> =
            page["entries"].as_array().into_iter().flatten().map(message).collect();
        let at: Cursor = field(page, "cursor");
        let before = entries.first().map(|first| first.seq().previous());
        let since = before.map_or_else(|| at.clone(), |seq| Cursor::new(at.epoch.clone(), seq));
        self.since.insert(room.clone(), since);
        self.applied.insert(room.clone(), at.clone());
        streams.insert(room.clone(), at);
        let (forgotten, kept) =
            std::mem::take(&mut self.entries).into_iter().partition(|entry| entry.room == room);
        self.entries = kept;
        self.entries.extend(entries);
        self.resets.push(Reset { room, forgotten, acks: self.acks.len() });
    }

    pub(crate) fn acknowledged(&mut self, mut ack: Ack) {
        let Some(message) = self.outbox.answered(&ack.client_id) else {
            return self.problem(format!("{ack:?} was answered already"));
        };
        ack.room = message.room;
        self.acks.push(ack);
    }

    pub(crate) fn refused(&mut self, client_id: &ClientMessageId, error: &Value) {
        if error["retryable"] != true {
            self.problem(error.to_string());
        }
        let pause = error["retryAfterMs"].as_u64().unwrap_or_else(|| fastrand::u64(50..150));
        self.outbox.refused(client_id, Duration::from_millis(pause));
    }

    /// The last message with this text.
    pub(crate) fn heard(&self, text: &str) -> Option<&StoredMessage> {
        self.entries.iter().rev().find(|entry| entry.content == Content::text(text))
    }

    pub(crate) fn head(&self, room: &RoomId) -> Option<Seq> {
        self.applied.get(room).map(|cursor| cursor.seq)
    }
}

pub(crate) fn field<T: DeserializeOwned>(value: &Value, name: &str) -> T {
    serde_json::from_value(value[name].clone()).unwrap_or_else(|error| panic!("{name} of {value}: {error}"))
}

fn position(value: &Value) -> Position {
    let created_at = humantime::parse_rfc3339(value["createdAt"].as_str().unwrap()).unwrap();
    Position {
        cursor: field(value, "cursor"),
        id: field(value, "id"),
        created_at: Timestamp::from(created_at),
    }
}

fn message(entry: &Value) -> StoredMessage {
    let content = match entry["kind"].as_str() {
        Some("chat") => Content::text(entry["text"].as_str().unwrap()),
        Some("join") => Content::Join { user: field(entry, "user") },
        Some("leave") => Content::Leave { user: field(entry, "user") },
        _ => panic!("nobody here writes {entry}"),
    };
    let sender: UserId = field(entry, "sender");
    let draft = Draft::new(field(entry, "room"), sender, field(entry, "clientId"), content);
    StoredMessage::new(draft, position(entry))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EPOCH: &str = "01KDV9Q0T4E8P1S6T3W9X2Y4Z7";

    fn entry(seq: u64) -> Value {
        json!({"room": "tea", "cursor": format!("{EPOCH}.{seq}"), "seq": seq, "id": "01KDVA3M5N8QJ4R7N2M6K9H5B0",
            "sender": "ann", "clientId": "c-1", "createdAt": "2026-01-01T00:00:00.000Z", "kind": "chat", "text": "hello"})
    }

    #[test]
    fn an_entry_that_comes_twice_early_or_without_joining_is_a_problem() {
        let room = RoomId::new("tea").unwrap();
        for (joined_at, seqs, problems) in [
            (Some(4), [5, 6], 0),
            (Some(4), [5, 5], 1),
            (Some(4), [5, 7], 1),
            (Some(3), [5, 6], 1),
            (None, [5, 6], 1),
        ] {
            let mut notes = Notes::default();
            let mut streams = BTreeMap::new();
            if let Some(seq) = joined_at {
                let joined = json!({"outcome": "new", "page": {"cursor": format!("{EPOCH}.{seq}")}});
                notes.joined(&mut streams, room.clone(), None, &joined);
            }
            for seq in seqs {
                notes.entry(&mut streams, &entry(seq));
            }
            assert_eq!(notes.problems.len(), problems, "{joined_at:?} {seqs:?}: {:?}", notes.problems);
        }
    }
}

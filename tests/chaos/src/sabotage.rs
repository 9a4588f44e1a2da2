//! Proves that a run can fail: falsifies what a client noted, as a fault of the servers' would have.

use chat_core::ClientMessageId;
use clap::ValueEnum;
use tokio::time::Instant;

use crate::notes::{Ack, Notes};

/// What is done to one client's notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// It was not given one message.
    Drop,
    /// It was given one twice.
    Double,
    /// It was given two in the wrong order.
    Swap,
    /// It was answered for a message that nobody stored.
    Invent,
}

impl Sabotage {
    pub(crate) fn apply(self, notes: &mut Notes) {
        let middle = notes.seen.len() / 2;
        match self {
            Self::Drop => drop(notes.seen.remove(middle)),
            Self::Double => notes.seen.insert(middle, notes.seen[middle].clone()),
            Self::Swap => {
                let room = notes.seen[middle].room.clone();
                let other = notes.seen[..middle].iter().rposition(|seen| seen.room == room);
                if let Some(other) = other {
                    notes.seen.swap(other, middle);
                }
            }
            Self::Invent => {
                let room = notes.seen[middle].room.clone();
                let client_id = ClientMessageId::generate();
                let at = Instant::now();
                notes.acks.push(Ack { room, client_id, position: None, durability: None, at });
            }
        }
    }
}

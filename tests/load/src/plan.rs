//! What a run does.

use std::time::Duration;

use crate::{places::Place, protocol::Protocol};

/// When messages are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// So many a second over all rooms, evenly, whether or not earlier ones are answered (an open loop): a server that falls behind
    /// cannot slow the load down, and latencies count from when a message was meant to be sent.
    PerSecond(f64),
    /// As many as are answered: each sender has so many under way (a closed loop). Latencies count from the sending.
    Answered {
        /// Unanswered messages of one sender.
        in_flight: usize,
    },
}

/// A whole run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the server speaks.
    pub protocol: Protocol,
    /// Where it is: `ws://host:port/path`, without what the protocol adds.
    pub servers: Vec<String>,
    /// Rooms with who is in them.
    pub places: Vec<Place>,
    /// Connections of each room that send: the first ones.
    pub senders_per_room: usize,
    /// When they do.
    pub rate: Rate,
    /// Bytes of a text.
    pub size: usize,
    /// Sending before anything counts.
    pub warm_up: Duration,
    /// Sending that counts.
    pub duration: Duration,
    /// Between the last connection and the first message; memory is read at its end.
    pub settle: Duration,
    /// How long the last messages may take to be answered and to arrive.
    pub patience: Duration,
    /// Threads that drive connections; rooms are divided among them.
    pub threads: usize,
    /// Processes whose processor time and memory are the server's.
    pub pids: Vec<u32>,
    /// Says every second how it goes.
    pub progress: bool,
}

impl Plan {
    /// All connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.places.iter().map(|place| place.users.len()).sum()
    }
}

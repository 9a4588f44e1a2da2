//! Events as payloads.
//!
//! A payload is a line, and then a JSON array of events, all of its channel's topic. The line has words: the version, who
//! sent it (a random number of each publisher's life), its number, and the number of the payload of the same publisher on the
//! same channel before it, or 0 where that is not known; the numbers are hexadecimal. Numbers grow with every payload of a
//! publisher, whichever channel it goes to, so a publisher may forget what it sent where: all that is lost is that a gap
//! is not noticed. An event that cannot be carried is `null`. The line may gain words and an event fields and kinds; older nodes
//! pass over what they do not know. The version changes when they could not.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::Arc,
};

use chat_core::fanout::{
    FanoutEvent, Topic,
    wire::{self, Received},
};
use serde_json::value::RawValue;

use crate::RedisError;

const VERSION: &str = "1";

/// The text of an event. What is longer is not carried: its topic is told that it missed something.
pub(super) const MAX_EVENT: usize = 1 << 20;

/// Topics and publishers that are remembered. When there are more all are forgotten, which costs nothing but that gaps go
/// unnoticed once.
const MAX_KNOWN: usize = 1 << 18;

/// What most events take, and what a payload takes besides them: room from the beginning.
const USUAL: usize = 512;
const BESIDES: usize = 64;

/// An event's text.
pub(super) fn encode(event: &FanoutEvent) -> Result<String, RedisError> {
    let mut text = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut text, event).map_err(RedisError::corrupt)?;
    if text.len() > MAX_EVENT {
        return Ok("null".to_owned());
    }
    String::from_utf8(text).map_err(RedisError::corrupt)
}

/// Makes payloads of one publisher.
#[derive(Debug)]
pub(super) struct Packer {
    by: u64,
    last: u64,
    /// The number of the last payload of each topic.
    sent: HashMap<Topic, u64>,
}

impl Packer {
    pub(super) fn new(by: u64) -> Self {
        Self { by, last: 0, sent: HashMap::new() }
    }

    pub(super) fn pack<'t>(
        &mut self,
        topic: &Topic,
        events: impl IntoIterator<Item = &'t str, IntoIter: Clone>,
    ) -> String {
        let events = events.into_iter();
        if self.sent.len() >= MAX_KNOWN && !self.sent.contains_key(topic) {
            self.sent.clear();
        }
        self.last += 1;
        let before = self.sent.insert(topic.clone(), self.last).unwrap_or(0);
        let mut payload =
            String::with_capacity(BESIDES + events.clone().map(|event| event.len() + 1).sum::<usize>());
        // Nothing that is written to a text can fail.
        let _ = write!(payload, "{VERSION} {:x} {:x} {before:x}\n[", self.by, self.last);
        for (index, event) in events.enumerate() {
            if index > 0 {
                payload.push(',');
            }
            payload.push_str(event);
        }
        payload.push(']');
        payload
    }
}

/// What a payload says to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Event(Arc<FanoutEvent>),
    /// Something may be missing here.
    Missed,
}

/// Remembers which payload came last from each publisher on each topic: one that comes again is known, and one that is
/// missing is noticed.
#[derive(Debug, Default)]
pub(super) struct Unpacker {
    known: HashMap<Topic, BTreeMap<u64, u64>>,
    /// How many publishers in all.
    size: usize,
}

impl Unpacker {
    /// Nothing is known of any topic any more.
    pub(super) fn forget_all(&mut self) {
        *self = Self::default();
    }

    /// Nothing is known of this topic: it was not subscribed to for a while.
    pub(super) fn forget(&mut self, topic: &Topic) {
        if let Some(known) = self.known.remove(topic) {
            self.size -= known.len();
        }
    }

    pub(super) fn unpack(&mut self, topic: &Topic, payload: &str) -> Vec<Said> {
        let Some((head, events)) = payload.split_once('\n') else { return vec![Said::Missed] };
        // Of a release that this one does not understand, perhaps.
        let Some((by, number, before)) = read_head(head) else { return vec![Said::Missed] };
        let mut said = Vec::new();
        let known = self.known.get(topic).and_then(|known| known.get(&by)).copied();
        if let Some(last) = known {
            if number <= last {
                return said;
            }
            if before > last {
                said.push(Said::Missed);
            }
        } else {
            if self.size >= MAX_KNOWN {
                self.forget_all();
            }
            self.size += 1;
        }
        self.known.entry(topic.clone()).or_default().insert(by, number);
        // Mostly all of them are of kinds that are known here, and are read at once.
        if let Ok(events) = serde_json::from_str::<Vec<FanoutEvent>>(events) {
            said.extend(events.into_iter().map(|event| Said::Event(Arc::new(event))));
            return said;
        }
        match serde_json::from_str::<Vec<&RawValue>>(events) {
            Ok(events) => said.extend(events.into_iter().filter_map(read)),
            Err(_) => said.push(Said::Missed),
        }
        said
    }
}

fn read_head(head: &str) -> Option<(u64, u64, u64)> {
    let mut words = head.split(' ');
    if words.next() != Some(VERSION) {
        return None;
    }
    let mut number = || words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
    Some((number()?, number()?, number()?))
}

fn read(event: &RawValue) -> Option<Said> {
    if event.get() == "null" {
        return Some(Said::Missed);
    }
    match wire::read(event.get()) {
        Received::Event(event) => Some(Said::Event(event)),
        Received::Unreadable => Some(Said::Missed),
        Received::Unknown => None,
    }
}

#[cfg(test)]
mod tests;

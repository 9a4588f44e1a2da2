//! From what a tail reads to the subscriptions.

use std::{mem, sync::Arc};

use chat_core::{
    Error, RoomId,
    fanout::{FanoutEvent, Publication, Topic, Topics},
};
use rdkafka::message::Message;

use super::payload::{self, Said};
use crate::{
    KafkaError, Persisted,
    record::{OUTCOME, header},
    tail::Sink,
};

/// Hands on what was read, burst by burst.
pub(super) struct Inlet {
    topics: Topics,
    /// Where the workers write, if that is read, too.
    persisted: Option<String>,
    /// What was read since.
    gathered: Vec<(Topic, Arc<FanoutEvent>)>,
}

impl Inlet {
    pub(super) fn new(topics: Topics, persisted: Option<String>) -> Self {
        Self { topics, persisted, gathered: Vec::new() }
    }

    fn take(&mut self, said: Said) {
        match said {
            Said::Event(topic, event) => self.gathered.push((topic, event)),
            Said::Missed(topic) => {
                self.flush();
                self.topics.missed(&topic);
            }
            Said::AllMissed => self.missed(),
            Said::Nothing => {}
        }
    }

    /// A record of a worker's. Its key is the room; most are of rooms that nobody here is in, and are not even read.
    fn persisted(&self, record: &impl Message) -> Said {
        let outcome = header(record.headers(), OUTCOME);
        let is_entry = matches!(outcome, Some(b"stored" | b"duplicate"));
        if is_entry {
            let room = record.key().and_then(|key| std::str::from_utf8(key).ok()).map(RoomId::new);
            let Some(Ok(room)) = room else { return Said::AllMissed };
            let topic = Topic::Room(room);
            if !self.topics.contains(&topic) {
                return Said::Nothing;
            }
            return match Persisted::decode(record.payload()).map(Persisted::into_publication) {
                Ok(Publication { event, .. }) => Said::Event(topic, event),
                Err(_) => Said::Missed(topic),
            };
        }
        match Persisted::decode(record.payload()).map(Persisted::into_publication) {
            Ok(Publication { topic, event }) => Said::Event(topic, event),
            // An outcome of a later release, perhaps; of those that this one knows nothing is passed over.
            Err(error) => {
                tracing::debug!(%error, "a worker's record cannot be read");
                if outcome.is_some() { Said::Nothing } else { Said::AllMissed }
            }
        }
    }
}

impl Sink for Inlet {
    fn record(&mut self, record: &impl Message) {
        let said = if self.persisted.as_deref() == Some(record.topic()) {
            self.persisted(record)
        } else {
            payload::read(record, |topic| self.topics.contains(topic))
        };
        self.take(said);
    }

    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            let gathered = mem::take(&mut self.gathered);
            self.topics.deliver_all(gathered.iter().map(|(topic, event)| (topic, event)));
        }
    }

    fn missed(&mut self) {
        self.flush();
        self.topics.missed_all();
    }

    /// What was gathered is left: it may be what the tail died of.
    fn died(&mut self, why: &KafkaError) {
        self.topics.end_all(Error::backend(crate::NAME, "listen", why.kind().retry(), why.clone()));
    }
}

#[cfg(test)]
mod tests;

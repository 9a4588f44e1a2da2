//! Events as the payloads of notifications.
//!
//! A payload is a line of JSON, which says who sent it and the how many-th of its channel it is, and then a JSON array of
//! events with their topics, or a part of one event's text that is too long for one payload. The format may gain fields
//! and kinds of events; older nodes pass over what they do not know. [`VERSION`] changes when they could not.

use std::collections::BTreeMap;

use chat_core::{
    Result,
    fanout::{FanoutEvent, Publication, Topic},
};
use serde::{Deserialize, Serialize};

use super::channel::{BUCKETS, bucket_of};
use crate::PostgresError;

pub(super) const VERSION: u32 = 1;

/// PostgreSQL takes less than 8,000 bytes.
pub(super) const MAX_PAYLOAD: usize = 7_999;
/// The first line with its end.
const MAX_HEAD: usize = 120;
/// The text of an event that fits one payload, in its array.
const MAX_WHOLE: usize = MAX_PAYLOAD - MAX_HEAD - 2;
/// The text of an event that goes in parts. What is longer is not carried: its topic is told that it missed something.
pub(super) const MAX_EVENT: usize = 1 << 20;

/// The first line of a payload.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) v: u32,
    /// Which publisher: a random number of each node's life.
    pub(super) by: u64,
    /// Its how many-th payload of this channel, without gaps.
    pub(super) n: u64,
    /// This is a part of one event's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<Part>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Part {
    /// From 0.
    pub(super) at: u32,
    pub(super) of: u32,
}

/// One event on its way; without one, the topic is told that it missed something.
#[derive(Debug, Serialize)]
struct Frame<'e> {
    to: &'e Topic,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'e FanoutEvent>,
}

/// An event's text, and the bucket of its topic.
#[derive(Debug)]
pub(super) struct Encoded {
    bucket: u8,
    text: String,
}

impl Encoded {
    pub(super) fn new(publication: &Publication) -> Result<Self, PostgresError> {
        let Publication { topic, event } = publication;
        let mut text = encode(topic, Some(event))?;
        if text.len() > MAX_WHOLE
            && let FanoutEvent::Message(message) = &**event
        {
            // Readers have it in the log.
            let cursor = message.position.cursor.clone();
            text = encode(topic, Some(&FanoutEvent::Head { room: message.room.clone(), cursor }))?;
        }
        if text.len() > MAX_EVENT {
            text = encode(topic, None)?;
        }
        Ok(Self { bucket: bucket_of(topic), text })
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }
}

fn encode(to: &Topic, event: Option<&FanoutEvent>) -> Result<String, PostgresError> {
    serde_json::to_string(&Frame { to, event }).map_err(PostgresError::corrupt)
}

/// Makes payloads, numbered per bucket.
#[derive(Debug)]
pub(super) struct Packer {
    by: u64,
    last: [u64; BUCKETS],
}

impl Packer {
    pub(super) fn new(by: u64) -> Self {
        Self { by, last: [0; BUCKETS] }
    }

    /// Packs events of a bucket together as far as they fit. What is of one bucket keeps its order.
    pub(super) fn pack(&mut self, events: impl IntoIterator<Item = Encoded>) -> Vec<(u8, String)> {
        let mut full = Vec::new();
        let mut open: BTreeMap<u8, String> = BTreeMap::new();
        for Encoded { bucket, text } in events {
            if let Some(payload) = open.get_mut(&bucket)
                && payload.len() + text.len() + 2 <= MAX_PAYLOAD
            {
                payload.push(',');
                payload.push_str(&text);
                continue;
            }
            full.extend(open.remove(&bucket).map(|payload| (bucket, payload + "]")));
            if text.len() <= MAX_WHOLE {
                let payload = self.head(bucket, None) + "[" + &text;
                open.insert(bucket, payload);
            } else {
                self.pack_parts(bucket, &text, &mut full);
            }
        }
        full.extend(open.into_iter().map(|(bucket, payload)| (bucket, payload + "]")));
        full
    }

    fn pack_parts(&mut self, bucket: u8, text: &str, full: &mut Vec<(u8, String)>) {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rest.floor_char_boundary(MAX_PAYLOAD - MAX_HEAD));
            parts.push(part);
            rest = later;
        }
        let of = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        for (at, text) in (0..).zip(parts) {
            full.push((bucket, self.head(bucket, Some(Part { at, of })) + text));
        }
    }

    fn head(&mut self, bucket: u8, part: Option<Part>) -> String {
        let last = &mut self.last[usize::from(bucket)];
        *last += 1;
        let part =
            part.map_or_else(String::new, |Part { at, of }| format!(r#","part":{{"at":{at},"of":{of}}}"#));
        format!("{{\"v\":{VERSION},\"by\":{},\"n\":{last}{part}}}\n", self.by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_what_it_is_read_as_and_never_longer_than_its_place() {
        let mut packer = Packer::new(u64::MAX);
        packer.last[3] = u64::MAX - 1;
        let head = packer.head(3, Some(Part { at: u32::MAX, of: u32::MAX }));
        assert!(head.len() <= MAX_HEAD, "{}", head.len());
        let read: Head = serde_json::from_str(&head).unwrap();
        assert_eq!((read.v, read.by, read.n), (VERSION, u64::MAX, u64::MAX));
        assert_eq!(read.part.map(|part| (part.at, part.of)), Some((u32::MAX, u32::MAX)));
        assert!(serde_json::from_str::<Head>(&packer.head(4, None)).unwrap().part.is_none());
    }
}

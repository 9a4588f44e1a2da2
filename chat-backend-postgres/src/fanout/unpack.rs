//! The payloads of notifications as events.

use std::{collections::BTreeMap, sync::Arc};

use chat_core::fanout::{
    FanoutEvent, Topic,
    wire::{self, Received},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    channel::bucket_of,
    pack::{Head, MAX_EVENT, Part, VERSION},
};

/// Publishers are forgotten when there are more than this times the buckets they use: 256 nodes on every channel.
const MAX_SEEN: usize = 1 << 16;
/// Texts that are put together at the same time. Parts of one event come one after the other, so mostly it is one.
const MAX_PARTIAL: usize = 4 * MAX_EVENT;

/// What a payload says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Event(Topic, Arc<FanoutEvent>),
    /// Whoever subscribes to it may have missed something.
    Missed(Topic),
    /// Whoever subscribes to anything of this bucket may have missed something.
    BucketMissed,
}

/// Remembers which payload came last from each publisher on each channel: one that comes again is known, and one that is
/// missing is noticed.
#[derive(Debug, Default)]
pub(super) struct Unpacker {
    seen: BTreeMap<(u8, u64), Seen>,
    partial: usize,
}

#[derive(Debug, Default)]
struct Seen {
    last: u64,
    /// The parts that came of an event, and how many.
    parts: Option<(u32, String)>,
}

#[derive(Deserialize)]
struct Frame<'p> {
    to: Topic,
    #[serde(borrow)]
    event: Option<&'p RawValue>,
}

impl Unpacker {
    /// Nothing is known of any channel any more.
    pub(super) fn forget_all(&mut self) {
        *self = Self::default();
    }

    /// Nothing is known of this channel: it was not listened to for a while.
    pub(super) fn forget(&mut self, bucket: u8) {
        let later = self.seen.split_off(&(bucket, 0));
        let (gone, later): (Vec<_>, Vec<_>) = later.into_iter().partition(|((of, _), _)| *of == bucket);
        self.seen.extend(later);
        self.partial -= gone.iter().map(|(_, seen)| seen.partial()).sum::<usize>();
    }

    /// What a payload of a bucket says to topics that are `wanted`.
    pub(super) fn unpack(&mut self, bucket: u8, payload: &str, wanted: impl Fn(&Topic) -> bool) -> Vec<Said> {
        let Some((head, rest)) = payload.split_once('\n') else { return vec![Said::BucketMissed] };
        let Ok(head @ Head { v: VERSION, .. }) = serde_json::from_str::<Head>(head) else {
            // Of a release that this one does not understand.
            return vec![Said::BucketMissed];
        };
        if self.seen.len() >= MAX_SEEN || self.partial > MAX_PARTIAL {
            self.forget_all();
        }
        let mut said = Vec::new();
        let known = self.seen.get(&(bucket, head.by)).map(|seen| seen.last);
        if known.is_some_and(|last| head.n <= last) {
            return said;
        }
        if known.is_some_and(|last| head.n > last + 1) {
            said.push(Said::BucketMissed);
        }
        let seen = self.seen.entry((bucket, head.by)).or_default();
        seen.last = head.n;
        self.partial -= seen.partial();
        match head.part {
            None => {
                if seen.parts.take().is_some() {
                    said.push(Said::BucketMissed);
                }
                read_all(rest, wanted, &mut said);
            }
            Some(part) => match seen.put_together(part, rest) {
                Ok(Some(text)) => read(&text, &wanted, &mut said),
                Ok(None) => self.partial += seen.partial(),
                Err(Lost) => said.push(Said::BucketMissed),
            },
        }
        said.retain(|said| match said {
            // Whoever wrote it: it is not for others who listen to this channel.
            Said::Event(topic, _) | Said::Missed(topic) => bucket_of(topic) == bucket,
            Said::BucketMissed => true,
        });
        said
    }
}

struct Lost;

impl Seen {
    fn partial(&self) -> usize {
        self.parts.as_ref().map_or(0, |(_, text)| text.len())
    }

    /// The whole text once it is there.
    fn put_together(&mut self, part: Part, text: &str) -> Result<Option<String>, Lost> {
        let (next, mut whole) = self.parts.take().unwrap_or_default();
        if part.at != next || part.at >= part.of || whole.len() + text.len() > MAX_EVENT {
            return Err(Lost);
        }
        whole.push_str(text);
        if part.at + 1 == part.of {
            return Ok(Some(whole));
        }
        self.parts = Some((next + 1, whole));
        Ok(None)
    }
}

fn read_all(frames: &str, wanted: impl Fn(&Topic) -> bool, said: &mut Vec<Said>) {
    match serde_json::from_str::<Vec<&RawValue>>(frames) {
        Ok(frames) => frames.into_iter().for_each(|frame| read(frame.get(), &wanted, said)),
        Err(_) => said.push(Said::BucketMissed),
    }
}

/// One event. A topic of an unknown kind has no subscribers here.
fn read(frame: &str, wanted: impl Fn(&Topic) -> bool, said: &mut Vec<Said>) {
    let Ok(Frame { to, event }) = serde_json::from_str::<Frame<'_>>(frame) else { return };
    if !wanted(&to) {
        return;
    }
    let Some(event) = event else { return said.push(Said::Missed(to)) };
    match wire::read(event.get()) {
        Received::Event(event) => said.push(Said::Event(to, event)),
        Received::Unreadable => said.push(Said::Missed(to)),
        Received::Unknown => {}
    }
}

#[cfg(test)]
mod tests;

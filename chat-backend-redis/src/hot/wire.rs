//! Entries and rooms as the scripts know them.

use chat_core::{
    Epoch, MessageId, RoomId, Seq,
    tiered::{HotEntry, HotRoom},
};
use fred::{
    bytes::{Buf as _, Bytes},
    types::Value,
};

use super::partition::Done;
use crate::RedisError;

/// What stands before the sender of an entry.
const BEFORE_SENDER: usize = 16 + 1 + 16 + 16 + 8;

/// Bytes of an answer, from the front.
#[derive(Debug)]
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) fn new(value: Value) -> Done<Self> {
        value.into_bytes().map(Self).ok_or_else(|| corrupt("bytes"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rest(self) -> Bytes {
        self.0
    }

    pub(super) fn take(&mut self, count: usize) -> Done<Bytes> {
        if self.0.len() < count { Err(corrupt("so many bytes")) } else { Ok(self.0.split_to(count)) }
    }

    pub(super) fn byte(&mut self) -> Done<u8> {
        Ok(self.take(1)?[0])
    }

    /// Of so many bytes, at most 8.
    pub(super) fn number(&mut self, bytes: usize) -> Done<u64> {
        Ok(self.take(bytes)?.get_uint(bytes))
    }

    pub(super) fn seq(&mut self) -> Done<Seq> {
        Seq::new(self.take(8)?.get_u64()).ok_or_else(|| corrupt("a position"))
    }

    pub(super) fn id(&mut self) -> Done<MessageId> {
        Ok(MessageId::from_u128(self.take(16)?.get_u128()))
    }

    pub(super) fn life(&mut self) -> Done<Epoch> {
        let length = usize::from(self.byte()?);
        epoch(&self.take(length)?)
    }

    pub(super) fn room(&mut self) -> Done<HotRoom> {
        Ok(HotRoom {
            life: self.life()?,
            head: self.seq()?,
            first: self.seq()?,
            oldest: self.seq()?,
            archived: self.seq()?,
        })
    }
}

/// An answer that is not what the scripts give.
pub(super) fn corrupt(wanted: &str) -> RedisError {
    RedisError::corrupt(format!("{wanted} was to be answered"))
}

pub(super) fn list(value: Value) -> Done<std::vec::IntoIter<Value>> {
    match value {
        Value::Array(values) => Ok(values.into_iter()),
        _ => Err(corrupt("a list")),
    }
}

pub(super) fn next(values: &mut std::vec::IntoIter<Value>) -> Done<Value> {
    values.next().ok_or_else(|| corrupt("a longer list"))
}

pub(super) fn epoch(text: &[u8]) -> Done<Epoch> {
    std::str::from_utf8(text).ok().and_then(|text| Epoch::new(text).ok()).ok_or_else(|| corrupt("a life"))
}

pub(super) fn room_id(value: &Value) -> Done<RoomId> {
    value.as_str().and_then(|text| RoomId::new(&text).ok()).ok_or_else(|| corrupt("a room"))
}

pub(super) fn seq(value: &Value) -> Done<Seq> {
    value.as_u64().and_then(Seq::new).ok_or_else(|| corrupt("a position"))
}

/// Entries as `XRANGE` gives them.
pub(super) fn entries(value: Value) -> Done<Vec<HotEntry>> {
    list(value)?.map(entry).collect()
}

fn entry(value: Value) -> Done<HotEntry> {
    let mut parts = list(value)?;
    let place = next(&mut parts)?;
    let seq = place
        .as_str()
        .and_then(|id| id.split_once('-').and_then(|(seq, _)| seq.parse().ok()))
        .and_then(Seq::new)
        .ok_or_else(|| corrupt("a position"))?;
    let mut fields = list(next(&mut parts)?)?;
    next(&mut fields)?;
    let mut packed = Reader::new(next(&mut fields)?)?;
    let mut fixed = packed.take(BEFORE_SENDER)?;
    let id = MessageId::from_u128(fixed.get_u128());
    fixed.advance(1 + 16 + 16);
    let target = Seq::new(fixed.get_u64()).filter(|target| *target != Seq::ZERO);
    let sender = usize::from(packed.take(2)?.get_u16());
    packed.take(sender)?;
    Ok(HotEntry { seq, id, target, payload: packed.rest() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_ours_is_an_error_and_no_panic() {
        for wrong in [Value::Null, Value::Array(vec![]), Value::Array(vec!["1-0".into(), "x".into()])] {
            assert!(entry(wrong).is_err());
        }
        let short = Value::Array(vec!["1-0".into(), Value::Array(vec!["e".into(), "short".into()])]);
        assert!(entry(short).is_err());
        assert!(Reader::new("\u{5}life".into()).unwrap().room().is_err());
    }

    #[test]
    fn entries_of_earlier_releases_are_read() {
        let mut packed = vec![7; 16];
        packed.push(9);
        packed.extend([1; 32]);
        packed.extend(5u64.to_be_bytes());
        packed.extend([0, 3]);
        packed.extend(b"annhello");
        let packed = Value::Bytes(Bytes::from(packed));
        let value = Value::Array(vec!["12-0".into(), Value::Array(vec!["e".into(), packed])]);
        let entry = entry(value).unwrap();
        assert_eq!((entry.seq.get(), entry.target, &entry.payload[..]), (12, Seq::new(5), &b"hello"[..]));
        assert_eq!(entry.id, MessageId::from_u128(u128::from_be_bytes([7; 16])));
    }
}

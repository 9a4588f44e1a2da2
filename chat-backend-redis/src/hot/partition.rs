//! Rooms spread over partitions, and the calls of their scripts.

use std::sync::Arc;

use chat_core::RoomId;
use fred::{interfaces::ClientLike as _, types::Value};

use super::{replicas::Replicas, scripts::IDENTIFY};
use crate::{
    RedisError, RedisErrorKind,
    backend::Shared,
    script::{Script, integer},
};

/// How often a call is made anew because the server's history became another one.
const ATTEMPTS: usize = 3;

pub(super) type Done<T> = Result<T, RedisError>;

/// What goes in one script: partitions, each with the places of its rooms in a list.
pub(super) type Call = Vec<(usize, Vec<usize>)>;

/// The partitions of one prefix.
#[derive(Debug)]
pub(super) struct Partitions {
    pub(super) shared: Arc<Shared>,
    /// The record of each.
    records: Vec<String>,
    replicas: Option<Replicas>,
}

impl Partitions {
    pub(super) fn new(shared: Arc<Shared>, count: u16, replicas: Option<Replicas>) -> Self {
        let records = (0..count).map(|partition| shared.keys.hot(partition)).collect();
        Self { shared, records, replicas }
    }

    pub(super) fn count(&self) -> usize {
        self.records.len()
    }

    /// The partition of a room: the same in every release.
    pub(super) fn of(&self, room: &RoomId) -> usize {
        usize::from(crc16(room.as_str().as_bytes())) % self.count()
    }

    /// The places of rooms in a list, by partition; only partitions with any.
    pub(super) fn split<'a>(&self, rooms: impl Iterator<Item = &'a RoomId>) -> Vec<(usize, Vec<usize>)> {
        let mut parts: Vec<(usize, Vec<usize>)> = Vec::new();
        for (place, room) in rooms.enumerate() {
            let partition = self.of(room);
            match parts.iter_mut().find(|part| part.0 == partition) {
                Some(part) => part.1.push(place),
                None => parts.push((partition, vec![place])),
            }
        }
        parts
    }

    /// Runs a script on a partition.
    pub(super) async fn call(&self, partition: usize, script: &Script, arguments: Vec<Value>) -> Done<Value> {
        self.run(&[partition], script, arguments, None).await
    }

    /// The places of rooms in a list, in as few calls as can be: not more of what counts in one than `most`, unless one room has more.
    /// On a cluster each partition is called for itself, since it has a slot of its own.
    pub(super) fn calls<'a>(
        &self,
        rooms: impl Iterator<Item = (&'a RoomId, usize)> + Clone,
        most: usize,
    ) -> Done<Vec<Call>> {
        let apart = self.shared.client()?.is_clustered();
        let counts: Vec<usize> = rooms.clone().map(|(_, count)| count).collect();
        let (mut calls, mut counted): (Vec<Call>, usize) = (Vec::new(), 0);
        for (partition, places) in self.split(rooms.map(|(room, _)| room)) {
            let mut ends = apart;
            for place in places {
                let fits = !ends && counted + counts[place] <= most;
                match calls.last_mut().filter(|_| fits) {
                    Some(call) => {
                        match call.last_mut().filter(|last| last.0 == partition) {
                            Some((_, places)) => places.push(place),
                            None => call.push((partition, vec![place])),
                        }
                        counted += counts[place];
                    }
                    None => {
                        calls.push(vec![(partition, vec![place])]);
                        counted = counts[place];
                    }
                }
                ends = false;
            }
        }
        Ok(calls)
    }

    /// Runs a script on partitions that may go together, and waits until replicas have what it wrote, if that is wanted.
    pub(super) async fn call_safely(
        &self,
        call: &Call,
        script: &Script,
        arguments: Vec<Value>,
    ) -> Done<Value> {
        let partitions: Vec<usize> = call.iter().map(|(partition, _)| *partition).collect();
        self.run(&partitions, script, arguments, self.replicas.as_ref()).await
    }

    /// Runs a script on partitions that may go together.
    pub(super) async fn call_all(&self, call: &Call, script: &Script, arguments: Vec<Value>) -> Done<Value> {
        let partitions: Vec<usize> = call.iter().map(|(partition, _)| *partition).collect();
        self.run(&partitions, script, arguments, None).await
    }

    async fn run(
        &self,
        partitions: &[usize],
        script: &Script,
        arguments: Vec<Value>,
        replicas: Option<&Replicas>,
    ) -> Done<Value> {
        let client = self.shared.client()?;
        let records: Vec<String> =
            partitions.iter().map(|partition| self.records[*partition].clone()).collect();
        let mut all = Vec::with_capacity(arguments.len() + 2);
        all.extend([number(self.count()), number(usize::from(client.is_clustered()))]);
        all.extend(arguments);
        for _ in 0..ATTEMPTS {
            let answer = match replicas {
                Some(replicas) => replicas.call(&self.shared, script, &records, &all).await?,
                None => script.call(client, &records, &all).await?,
            };
            match answer.as_bytes() {
                Some(b"?") => {
                    for partition in partitions {
                        self.identify(*partition).await?;
                    }
                }
                Some(b"!") => return Err(other_number()),
                _ => return Ok(answer),
            }
        }
        Err(RedisError::new(RedisErrorKind::Unavailable, "the server's history does not stay the same"))
    }

    /// Begins another era of a partition.
    async fn identify(&self, partition: usize) -> Done<()> {
        // The first one has the say about how many there are, also where another one is new.
        for partition in if partition == 0 { vec![0] } else { vec![0, partition] } {
            let arguments = vec![number(self.count()), token().into()];
            let record = std::slice::from_ref(&self.records[partition]);
            let of = integer(&IDENTIFY.call(self.shared.client()?, record, arguments).await?)?;
            if usize::try_from(of).ok() != Some(self.count()) {
                return Err(other_number());
            }
        }
        Ok(())
    }
}

fn other_number() -> RedisError {
    RedisError::new(RedisErrorKind::Setting, "the data is spread over another number of partitions")
}

/// A text that nobody had before.
pub(super) fn token() -> String {
    format!("{:032x}", fastrand::u128(..))
}

pub(super) fn number(number: usize) -> Value {
    number.to_string().into()
}

/// CRC-16/XMODEM, as of the slots of a cluster.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_stays_in_its_partition() {
        // The check value of the algorithm.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b"tea") % 16_384, fred::util::redis_keyslot(b"tea"));
    }
}

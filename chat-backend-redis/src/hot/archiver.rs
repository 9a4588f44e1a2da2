//! What is on its way into the archive.

use std::{sync::atomic::Ordering, time::Duration};

use chat_core::{
    RoomId, Seq,
    tiered::{Archived, DeadLetter, Lag, Pending, Take},
};
use fred::{bytes::Bytes, types::Value};
use futures::future::{join_all, try_join_all};

use super::{
    RedisHotLog,
    partition::{Done, number},
    rooms::{millis, text},
    scripts::{ARCHIVED, BURY, LAG, PENDING, TAKE, WAITING},
    wire::{Reader, corrupt, entries, epoch, list, next, room_id},
};
use crate::{RedisError, script::integer};

/// Rooms in one script.
const ROOMS_AT_ONCE: usize = 100;
/// Tokens that are looked at in one script.
const TOKENS_AT_ONCE: usize = 1_000;
/// Partitions that are asked at once.
const PARTITIONS_AT_ONCE: usize = 64;

impl RedisHotLog {
    /// Asks partitions until there are enough rooms, each time another one first, and again those that gave as many as they
    /// were asked for. What some gave counts, also where others fail.
    pub(super) async fn take_rooms(&self, worker: &str, take: Take) -> Done<Vec<Pending>> {
        let count = self.partitions.count();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let mut order: Vec<usize> = (0..count).map(|index| (first + index) % count).collect();
        let mut all = Answers::default();
        while !order.is_empty() {
            let mut have_more = Vec::new();
            for partitions in order.chunks(take.max_rooms.clamp(1, PARTITIONS_AT_ONCE)) {
                let left = take.max_rooms.saturating_sub(all.given.len());
                if left == 0 {
                    return all.some();
                }
                let partitions = &partitions[..partitions.len().min(left)];
                let share = left / partitions.len();
                let asked =
                    partitions.iter().map(|partition| self.take_some(*partition, worker, take, share));
                for (partition, answer) in partitions.iter().zip(join_all(asked).await) {
                    if answer.as_ref().is_ok_and(|rooms| rooms.len() >= share) {
                        have_more.push(*partition);
                    }
                    all.add(answer);
                }
            }
            order = have_more;
        }
        all.some()
    }

    async fn take_some(
        &self,
        partition: usize,
        worker: &str,
        take: Take,
        rooms: usize,
    ) -> Done<Vec<Pending>> {
        let arguments = vec![
            worker.into(),
            number(take.entries),
            millis(take.age),
            number(rooms),
            number(take.max_entries.max(1)),
            millis(take.idle),
            millis(self.config.window_age),
        ];
        list(self.partitions.call(partition, &TAKE, arguments).await?)?.map(pending).collect()
    }

    pub(super) async fn look(&self, rooms: &[RoomId], max_entries: usize) -> Done<Vec<Pending>> {
        let parts = self.partitions.split(rooms.iter());
        let parts = parts
            .iter()
            .flat_map(|(partition, places)| places.chunks(ROOMS_AT_ONCE).map(|places| (*partition, places)));
        let answers = try_join_all(parts.map(|(partition, places)| async move {
            let mut arguments = vec![number(max_entries.max(1))];
            arguments.extend(places.iter().map(|place| Value::from(rooms[*place].as_str())));
            let answer = self.partitions.call(partition, &PENDING, arguments).await?;
            list(answer)?.map(pending).collect::<Done<Vec<_>>>()
        }));
        Ok(answers.await?.into_iter().flatten().collect())
    }

    /// Of the partitions that answer, if any room waits there.
    pub(super) async fn waiting_rooms(&self) -> Done<Vec<RoomId>> {
        let mut all = Answers::default();
        for first in (0..self.partitions.count()).step_by(PARTITIONS_AT_ONCE) {
            let last = (first + PARTITIONS_AT_ONCE).min(self.partitions.count());
            let asked = (first..last).map(|partition| self.waiting_in(partition));
            join_all(asked).await.into_iter().for_each(|answer| all.add(answer));
        }
        all.some()
    }

    async fn waiting_in(&self, partition: usize) -> Done<Vec<RoomId>> {
        let mut rooms = Vec::new();
        let mut behind: Value = "0-0".into();
        loop {
            let arguments = vec![behind, number(TOKENS_AT_ONCE)];
            let mut answer = list(self.partitions.call(partition, &WAITING, arguments).await?)?;
            behind = next(&mut answer)?;
            for room in answer {
                rooms.push(room_id(&room)?);
            }
            if behind.as_bytes().is_none_or(<[u8]>::is_empty) {
                return Ok(rooms);
            }
        }
    }

    /// Tells every partition, also where others fail.
    pub(super) async fn note(&self, done: &[Archived]) -> Done<()> {
        let parts = self.partitions.split(done.iter().map(|done| &done.room));
        let parts = parts
            .iter()
            .flat_map(|(partition, places)| places.chunks(ROOMS_AT_ONCE).map(|places| (*partition, places)));
        let told = parts.map(|(partition, places)| async move {
            let mut arguments = vec![text(self.config.window), millis(self.config.window_age)];
            for Archived { room, life, upto, ticket } in places.iter().map(|place| &done[*place]) {
                arguments.extend([room.as_str().into(), life.as_str().into(), text(upto.get())]);
                arguments.push(ticket.clone().map_or_else(|| "".into(), Value::Bytes));
            }
            self.partitions.call(partition, &ARCHIVED, arguments).await.map(drop)
        });
        join_all(told).await.into_iter().collect()
    }

    pub(super) async fn put_aside(&self, letters: &[DeadLetter]) -> Done<()> {
        for (partition, places) in self.partitions.split(letters.iter().map(|letter| &letter.room)) {
            for places in places.chunks(ROOMS_AT_ONCE) {
                let mut arguments = vec![text(self.config.dead_letters)];
                for DeadLetter { room, life, entry, reason } in places.iter().map(|place| &letters[*place]) {
                    arguments.extend([
                        room.as_str().into(),
                        life.as_str().into(),
                        text(entry.seq.get()),
                        entry.id.to_string().into(),
                        text(entry.target.map_or(0, Seq::get)),
                        Value::Bytes(entry.payload.clone()),
                        reason.as_str().into(),
                    ]);
                }
                self.partitions.call(partition, &BURY, arguments).await?;
            }
        }
        Ok(())
    }

    /// Of the partitions that answer, if one does.
    pub(super) async fn sum_up(&self) -> Done<Lag> {
        let mut all = Answers::default();
        for first in (0..self.partitions.count()).step_by(PARTITIONS_AT_ONCE) {
            let last = (first + PARTITIONS_AT_ONCE).min(self.partitions.count());
            let asked = (first..last).map(|partition| async move {
                let mut answer = list(self.partitions.call(partition, &LAG, Vec::new()).await?)?;
                let mut number = || Done::Ok(u64::try_from(integer(&next(&mut answer)?)?).unwrap_or(0));
                Done::Ok(vec![(number()?, number()?, number()?)])
            });
            join_all(asked).await.into_iter().for_each(|answer| all.add(answer));
        }
        let mut lag = Lag::default();
        for (rooms, entries, age) in all.some()? {
            lag.rooms += rooms;
            lag.entries += entries;
            lag.age = lag.age.max(Duration::from_millis(age));
        }
        Ok(lag)
    }
}

/// What several partitions gave.
struct Answers<T> {
    given: Vec<T>,
    failure: Option<RedisError>,
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self { given: Vec::new(), failure: None }
    }
}

impl<T> Answers<T> {
    fn add(&mut self, answer: Done<Vec<T>>) {
        match answer {
            Ok(given) => self.given.extend(given),
            Err(error) => {
                tracing::debug!(%error, "a partition of the hot log does not answer");
                self.failure = Some(error);
            }
        }
    }

    /// A failure, if there is nothing else.
    fn some(self) -> Done<Vec<T>> {
        match self.failure {
            Some(error) if self.given.is_empty() => Err(error),
            _ => Ok(self.given),
        }
    }
}

fn pending(value: Value) -> Done<Pending> {
    let mut parts = list(value)?;
    let ticket = Reader::new(next(&mut parts)?)?.rest();
    let room = room_id(&next(&mut parts)?)?;
    let life: Bytes = next(&mut parts)?.into_bytes().ok_or_else(|| corrupt("a life"))?;
    Ok(Pending {
        room,
        life: if life.is_empty() { None } else { Some(epoch(&life)?) },
        entries: entries(next(&mut parts)?)?,
        ticket: (!ticket.is_empty()).then_some(ticket),
    })
}

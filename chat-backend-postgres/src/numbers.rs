//! Rooms by their number, which the tables go by.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use chat_core::{Epoch, RoomId};
use sqlx::Row as _;

use crate::{PostgresError, backend::Shared};

/// What a node remembers of a room.
#[derive(Debug)]
pub(crate) struct Numbered {
    pub(crate) number: i64,
    head: AtomicI64,
}

impl Numbered {
    /// A position that was given out here: a head before it shows that the server was put back.
    pub(crate) fn head(&self) -> i64 {
        self.head.load(Ordering::Relaxed)
    }

    pub(crate) fn saw(&self, head: i64) {
        self.head.fetch_max(head, Ordering::Relaxed);
    }
}

impl Shared {
    /// The number of each of these rooms in this epoch; a room that is not there is left out.
    pub(crate) async fn numbers<'r>(
        &self,
        epoch: &Epoch,
        rooms: impl Iterator<Item = &'r RoomId>,
    ) -> Result<BTreeMap<&'r RoomId, Arc<Numbered>>, PostgresError> {
        let mut numbers = BTreeMap::new();
        let mut unknown = BTreeMap::new();
        for room in rooms {
            match self.numbers.get(&(epoch.clone(), room.clone())).await {
                Some(number) => drop(numbers.insert(room, number)),
                None => drop(unknown.insert(room.as_str(), room)),
            }
        }
        if unknown.is_empty() {
            return Ok(numbers);
        }
        let ids: Vec<&str> = unknown.keys().copied().collect();
        let select = "SELECT r.room, r.id FROM $chat.rooms r WHERE r.id = ANY($1)";
        for row in self.all(self.sql.query(select).bind(ids)).await? {
            let (number, id): (i64, &str) = (row.try_get("room")?, row.try_get("id")?);
            if let Some(room) = unknown.get(id).copied() {
                // One for all who ask at the same time.
                let key = (epoch.clone(), room.clone());
                let make = async { Arc::new(Numbered { number, head: AtomicI64::new(0) }) };
                numbers.insert(room, self.numbers.get_with(key, make).await);
            }
        }
        Ok(numbers)
    }
}

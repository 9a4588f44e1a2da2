//! Rooms by their number, which the tables go by.

use std::collections::BTreeMap;

use chat_core::{Epoch, RoomId};
use sqlx::Row as _;

use crate::{PostgresError, backend::Shared};

impl Shared {
    /// The number of each of these rooms in this epoch; a room that is not there is left out.
    pub(crate) async fn numbers<'r>(
        &self,
        epoch: &Epoch,
        rooms: impl Iterator<Item = &'r RoomId>,
    ) -> Result<BTreeMap<&'r RoomId, i64>, PostgresError> {
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
                self.numbers.insert((epoch.clone(), room.clone()), number).await;
                numbers.insert(room, number);
            }
        }
        Ok(numbers)
    }
}

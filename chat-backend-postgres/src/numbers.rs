//! Rooms by their number, which the tables go by.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use chat_core::{Epoch, RoomId, UserId};
use sqlx::Row as _;

use crate::{PostgresError, backend::Shared};

/// Authors that a node remembers of one room; when there are more it begins anew.
const AUTHORS: usize = 8;

/// What a node remembers of a room.
#[derive(Debug)]
pub(crate) struct Numbered {
    pub(crate) number: i64,
    head: AtomicI64,
    authors: Mutex<Authors>,
}

/// Members of a room who wrote here, and how many countable entries each had sent. It holds in a room with this head and this
/// `members_at`, and where the store finds others it looks its authors up.
#[derive(Debug, Default)]
struct Authors {
    head: i64,
    members_at: i64,
    own: HashMap<UserId, i64>,
}

impl Numbered {
    fn new(number: i64) -> Self {
        Self { number, head: AtomicI64::new(0), authors: Mutex::default() }
    }

    /// A position that was given out here: a head before it shows that the server was put back.
    pub(crate) fn head(&self) -> i64 {
        self.head.load(Ordering::Relaxed)
    }

    pub(crate) fn saw(&self, head: i64) {
        self.head.fetch_max(head, Ordering::Relaxed);
    }

    /// The head and `members_at` to which what is known of authors belongs, and what each of these had sent.
    pub(crate) fn authors<'u>(
        &self,
        users: impl Iterator<Item = &'u UserId>,
    ) -> (i64, i64, Vec<Option<i64>>) {
        let known = self.authors.lock().unwrap_or_else(PoisonError::into_inner);
        (known.head, known.members_at, users.map(|user| known.own.get(user).copied()).collect())
    }

    /// Remembers what an append found: the room before it, and its authors with what they have sent now.
    pub(crate) fn learn<'u>(
        &self,
        (before, after): (i64, i64),
        members_at: i64,
        authors: impl Iterator<Item = (&'u UserId, i64)>,
    ) {
        let mut known = self.authors.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut *known;
        // Else somebody else wrote, or members changed.
        if (known.head, known.members_at) != (before, members_at) {
            known.own.clear();
        }
        (known.head, known.members_at) = (after, members_at);
        for (author, own) in authors {
            if let Some(known) = known.own.get_mut(author) {
                *known = own;
                continue;
            }
            if known.own.len() >= AUTHORS {
                known.own.clear();
            }
            known.own.insert(author.clone(), own);
        }
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
                let make = async { Arc::new(Numbered::new(number)) };
                numbers.insert(room, self.numbers.get_with(key, make).await);
            }
        }
        Ok(numbers)
    }
}

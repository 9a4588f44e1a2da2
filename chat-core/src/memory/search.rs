use std::collections::BinaryHeap;

use async_trait::async_trait;

use super::{MemoryStore, room_state::RoomState};
use crate::{
    Backend, Body, Error, MessageId, Result, Search,
    search::{SearchPage, SearchQuery, matches},
};

/// The greatest page.
const MAX_LIMIT: usize = 100;

/// [`Search`] in memory, over a [`MemoryStore`]: every word of the query must occur somewhere in the text, also within
/// a longer word. Upper and lower case are the same in every script. A JSON body is searched as the text it is.
///
/// There is no index: a search looks through what its user may read, newest first, until the page is full.
#[derive(Debug, Clone)]
pub struct MemorySearch {
    store: MemoryStore,
}

impl MemorySearch {
    /// A search over `store`.
    #[must_use]
    pub const fn new(store: MemoryStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Backend for MemorySearch {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Search for MemorySearch {
    async fn search(&self, query: SearchQuery) -> Result<SearchPage> {
        let words = query.words()?;
        let limit = query.limit.clamp(1, MAX_LIMIT);
        let state = self.store.lock();
        let mut rooms: Vec<&RoomState> = Vec::new();
        if let Some(room) = &query.room {
            let known = state.rooms.get(room).filter(|known| known.current(&query.user).is_some());
            let missing = || Error::NotAMember { room: room.clone(), user: query.user.clone() };
            rooms.push(known.ok_or_else(missing)?);
        } else {
            let own = state.rooms_of.get(&query.user).into_iter().flatten();
            rooms.extend(own.filter_map(|room| state.rooms.get(room)));
        }
        // The newest candidate of each room waits in the heap, so entries come out newest first over all rooms.
        let mut heap = BinaryHeap::new();
        for (index, known) in rooms.iter().enumerate() {
            let entries = known.log.entries();
            let end = query
                .before
                .map_or(entries.len(), |before| entries.partition_point(|entry| entry.id < before));
            push_candidate(&mut heap, &rooms, index, end);
        }
        let mut messages = Vec::new();
        let mut more = false;
        while let Some((_, index, at)) = heap.pop() {
            let known = rooms[index];
            let entry = &known.log.entries()[at];
            if entry.is_target() && entry.content.body().is_some_and(|body| is_match(body, &words)) {
                if messages.len() == limit {
                    more = true;
                    break;
                }
                messages.push(entry.to_stored(&known.room.id, &state.epoch));
            }
            push_candidate(&mut heap, &rooms, index, at);
        }
        let next = messages.last().filter(|_| more).map(|message| message.position.id);
        Ok(SearchPage { messages, next })
    }
}

type Candidates = BinaryHeap<(MessageId, usize, usize)>;

/// Puts the last entry before `end` of the room at `index` into the heap, if there is one.
fn push_candidate(heap: &mut Candidates, rooms: &[&RoomState], index: usize, end: usize) {
    if let Some(at) = end.checked_sub(1)
        && let Some(entry) = rooms[index].log.entries().get(at)
    {
        heap.push((entry.id, index, at));
    }
}

fn is_match(body: &Body, words: &[String]) -> bool {
    match body {
        Body::Text(text) => matches(text, words),
        Body::Json(json) => matches(json.as_str(), words),
        Body::Removed => false,
    }
}

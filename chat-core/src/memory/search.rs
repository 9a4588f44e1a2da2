use std::collections::BinaryHeap;

use async_trait::async_trait;

use super::{MemoryStore, room_state::RoomState};
use crate::{
    Backend, Body, Error, MessageId, Result, Search,
    search::{SearchPage, SearchQuery},
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
        let words = words(&query.text)?;
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
            if entry.is_target() && entry.content.body().is_some_and(|body| matches(body, &words)) {
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

fn words(text: &str) -> Result<Vec<String>> {
    if text.trim().is_empty() || text.chars().count() > SearchQuery::MAX_TEXT_CHARS {
        let max = SearchQuery::MAX_TEXT_CHARS as u64;
        return Err(Error::LimitExceeded { what: "search text characters, not blank", max });
    }
    Ok(text.split_whitespace().map(lower).collect())
}

fn matches(body: &Body, words: &[String]) -> bool {
    let text = match body {
        Body::Text(text) => lower(text),
        Body::Json(json) => lower(json.as_str()),
        Body::Removed => return false,
    };
    words.iter().all(|word| text.contains(word.as_str()))
}

/// Character by character: unlike [`str::to_lowercase`], a part of a text stays a part of it (final sigma).
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

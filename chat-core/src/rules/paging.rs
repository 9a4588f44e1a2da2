//! What a page says of itself.

use crate::{Error, Head, Page, Place, ReadFrom, ReadQuery, Result, RoomId, Seq, StoredMessage, View};

/// What a store found for a [`ReadQuery`], all of one instant.
#[derive(Debug, Clone)]
pub struct Found {
    /// The room's ends.
    pub head: Head,
    /// The position that the query starts from; `None` if it names an entry that is not there. The newest page needs none.
    pub place: Option<Seq>,
    /// The entries, in any order. Of the timeline, one more than asked for where there are more.
    pub entries: Vec<StoredMessage>,
    /// Of the timeline: whether there are entries at or before the place.
    pub earlier: bool,
    /// Of the timeline: whether there are entries at or after the place.
    pub later: bool,
}

impl Found {
    /// The page, if reading from there is honest.
    ///
    /// # Errors
    /// [`Error::CursorReset`], [`Error::CursorExpired`] and [`Error::MessageNotFound`], as
    /// [`MessageLog::read`](crate::MessageLog::read).
    pub fn into_page(self, room: &RoomId, query: &ReadQuery) -> Result<Page> {
        let Self { head, place, mut entries, earlier, later } = self;
        let place = match (&query.from, place) {
            (ReadFrom::Newest, _) => head.cursor.seq.next(),
            (_, Some(place)) => place,
            (_, None) => return Err(Error::MessageNotFound { room: room.clone() }),
        };
        honoured(room, &head, &query.from)?;
        let (reaches_start, reaches_head) = match query.view {
            View::Log => log_ends(&query.from, place, query.limit as u64, &head),
            View::Timeline => {
                let more = entries.len() > query.limit;
                drop_farthest(&query.from, &mut entries, query.limit);
                match query.from {
                    ReadFrom::After(_) => (!earlier, !more),
                    ReadFrom::Before(_) => (!more, !later),
                    ReadFrom::Newest => (!more, true),
                }
            }
        };
        entries.sort_unstable_by_key(StoredMessage::seq);
        Ok(Page { entries, head, reaches_head, reaches_start })
    }
}

/// Takes away the entry that only says that more follows.
fn drop_farthest(from: &ReadFrom, entries: &mut Vec<StoredMessage>, limit: usize) {
    match from {
        ReadFrom::After(_) => entries.sort_unstable_by_key(StoredMessage::seq),
        ReadFrom::Before(_) | ReadFrom::Newest => {
            entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.seq()));
        }
    }
    entries.truncate(limit);
}

/// Whether reading from there is honest.
fn honoured(room: &RoomId, head: &Head, from: &ReadFrom) -> Result<()> {
    match from {
        ReadFrom::After(Place::Cursor(cursor)) => head.honours(room, cursor),
        ReadFrom::Before(Place::Cursor(cursor)) => match head.honours(room, cursor) {
            // What precedes a trimmed place is known: nothing is kept.
            Err(Error::CursorExpired { .. }) => Ok(()),
            honoured => honoured,
        },
        ReadFrom::After(Place::Id(_)) | ReadFrom::Before(Place::Id(_)) | ReadFrom::Newest => Ok(()),
    }
}

/// Whether a page of the whole log reaches the start and the head. Positions have no gaps, so it need not ask.
fn log_ends(from: &ReadFrom, place: Seq, limit: u64, head: &Head) -> (bool, bool) {
    // The last position before the page, and the last one of it.
    let (before, last) = match from {
        ReadFrom::After(_) => (place.get(), place.get().saturating_add(limit)),
        ReadFrom::Before(_) | ReadFrom::Newest => {
            let last = place.previous().get();
            (last.saturating_sub(limit), last)
        }
    };
    let gone = head.oldest.previous().get();
    (before <= gone, last.max(gone) >= head.cursor.seq.get())
}

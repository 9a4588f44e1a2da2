//! What a session needs that memory does not have: entries after its position, a new start, the newest page.

use std::{collections::VecDeque, sync::Arc};

use tracing::debug;

use crate::{
    Cursor, Error, Result,
    hub::{Backoff, LivePage, Phase, Read, RoomLink},
    session::{Event, Hole, pump::SessionEvents},
};

/// Entries read from the log at a time while a session catches up.
const CATCH_UP_PAGE: usize = 200;

/// Bytes of entries that a session holds while it catches up; a single entry may be larger.
const CATCH_UP_BYTES: usize = 256 * 1024;

/// What a room needs beyond memory.
#[derive(Debug)]
pub(super) enum Need {
    Nothing,
    /// Entries after the position, from the log.
    Entries {
        position: Cursor,
        head: Cursor,
    },
    /// A new start: the log began a new life.
    Restart {
        position: Cursor,
    },
}

impl SessionEvents {
    /// Does for a room what memory could not. Whatever fails is tried again later, without holding up other rooms.
    pub(super) async fn advance(&mut self, link: &Arc<RoomLink>) {
        let result = match self.take_from(link) {
            Need::Nothing => Ok(()),
            Need::Entries { position, head } => self.catch_up(link, position, head).await,
            Need::Restart { position } => self.restart(link, position).await,
        };
        if let Err(error) = result {
            debug!(%error, "a session could not be brought up to date; it is tried again");
            let link = link.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Backoff::default().next() * 4).await;
                link.mark();
            });
        }
    }

    async fn catch_up(&mut self, link: &Arc<RoomLink>, position: Cursor, head: Cursor) -> Result<()> {
        let missed = head.seq.since(position.seq);
        let in_reach = missed <= self.inner.parts.settings.room_buffer_entries as u64;
        if missed > self.inner.parts.settings.replay_limit {
            return self.skip_to_newest(link, position).await;
        }
        if in_reach && link.lane.warm_up(&self.inner.parts).await {
            link.mark();
            return Ok(());
        }
        match link.lane.read(&self.inner.parts, Read::after(&position, CATCH_UP_PAGE)).await {
            Ok(page) if page.entries.is_empty() => {
                // The log does not show yet what others have told of.
                Err(Error::Timeout { operation: "read" })
            }
            Ok(page) => {
                self.commit(link, &position, |cursor, out| {
                    let mut bytes = 0;
                    for entry in &page.entries {
                        bytes += entry.value().len_bytes();
                        if bytes > CATCH_UP_BYTES && *cursor != position {
                            break;
                        }
                        *cursor = entry.value().position.cursor.clone();
                        out.push_back(Event::Entry(entry.clone()));
                    }
                });
                link.mark();
                Ok(())
            }
            Err(Error::CursorExpired { .. }) => self.skip_to_newest(link, position).await,
            Err(Error::CursorReset { .. }) => self.restart(link, position).await,
            Err(error) => Err(error),
        }
    }

    async fn newest(&self, link: &RoomLink) -> Result<Arc<LivePage>> {
        link.lane.read(&self.inner.parts, Read::Newest { limit: self.inner.parts.settings.join_page }).await
    }

    /// Too much was missed, or it is no longer kept: the newest page, and the hole before it.
    async fn skip_to_newest(&mut self, link: &Arc<RoomLink>, position: Cursor) -> Result<()> {
        let page = self.newest(link).await?;
        if page.head.cursor.epoch != position.epoch {
            return self.restart(link, position).await;
        }
        if page.head.cursor.seq <= position.seq {
            // From a read that began before this session got where it is.
            return Err(Error::Timeout { operation: "read" });
        }
        let hole = Box::new(hole_before(&page, &position));
        let room = link.lane.room.clone();
        self.commit(link, &position, |cursor, out| {
            *cursor = page.head.cursor.clone();
            out.push_back(Event::Resync { room, hole, page: Some(page) });
        });
        link.mark();
        Ok(())
    }

    /// The position is not of the log's present life. Where the log says that nothing this session has seen was lost, it goes
    /// on from there; otherwise it starts again.
    async fn restart(&mut self, link: &Arc<RoomLink>, position: Cursor) -> Result<()> {
        match link.lane.read_anew(&self.inner.parts, Read::after(&position, CATCH_UP_PAGE)).await {
            Ok(page) if page.head.cursor.epoch != position.epoch => {
                self.commit(link, &position, |cursor, out| {
                    let read = page.entries.last().map(|entry| entry.value().position.cursor.clone());
                    *cursor =
                        read.unwrap_or_else(|| Cursor::new(page.head.cursor.epoch.clone(), position.seq));
                    out.extend(page.entries.iter().cloned().map(Event::Entry));
                });
                link.mark();
                return Ok(());
            }
            Ok(_) => {
                // From a read that began before the new life.
                link.lane.verify();
                return Err(Error::Timeout { operation: "read" });
            }
            Err(Error::CursorReset { .. } | Error::CursorExpired { .. }) => {}
            Err(error) => return Err(error),
        }
        let page = self.newest(link).await?;
        let head = page.head.cursor.clone();
        if head.epoch == position.epoch {
            // The page may come from a read that began before the new life, or the lane is the one that is mistaken: it
            // looks, and this is tried again.
            link.lane.verify();
            return Err(Error::Timeout { operation: "heads" });
        }
        let room = link.lane.room.clone();
        self.commit(link, &position, |cursor, out| {
            *cursor = head;
            out.push_back(Event::Reset { room, page });
        });
        link.lane.verify();
        link.mark();
        Ok(())
    }

    /// Gives out what was read and moves the position, if the session still stands where it stood.
    fn commit(
        &mut self,
        link: &RoomLink,
        from: &Cursor,
        give: impl FnOnce(&mut Cursor, &mut VecDeque<Event>),
    ) {
        let mut state = link.lock();
        if let Phase::Live { position, .. } = &mut state.phase
            && position == from
        {
            give(position, &mut self.out);
        }
    }
}

/// What lies between a position and the newest page.
pub(super) fn hole_before(page: &LivePage, position: &Cursor) -> Hole {
    let before = page.entries.first().map_or_else(
        || Cursor::new(page.head.cursor.epoch.clone(), page.head.cursor.seq.next()),
        |entry| entry.value().position.cursor.clone(),
    );
    Hole { after: position.clone(), before }
}

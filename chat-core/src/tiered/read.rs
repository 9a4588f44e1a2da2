//! Pages out of the hot log and the archive, with no seam between them.
//!
//! The hot log has a window of the newest entries with all that was done to them, so a page within it needs nothing else. A page
//! that reaches beyond comes from the archive as a whole, after everything that waits was moved there.

use super::{ArchivedRoom, HotFrom, HotPage, HotRoom, HotState, HotWindow, Shared, lives::show, window};
use crate::{Cursor, Epoch, Error, Head, Page, Place, ReadFrom, ReadQuery, Result, RoomId, rules::Found};

/// So often a page is begun again, where the room moved on to another life meanwhile.
const ATTEMPTS: usize = 8;

impl Shared {
    pub(super) async fn read(&self, room: &RoomId, query: &ReadQuery) -> Result<Page> {
        for _ in 0..ATTEMPTS {
            if let Some(page) = self.try_read(room, query).await? {
                return Ok(page);
            }
        }
        Err(Error::Timeout { operation: "reading a room that keeps changing" })
    }

    async fn try_read(&self, room: &RoomId, query: &ReadQuery) -> Result<Option<Page>> {
        match self.hot.page(room, hot_from(&query.from), query.view, query.limit).await? {
            HotPage::Here(found) => self.hot_page(room, query, found).await,
            HotPage::Elsewhere(hot) => self.old_page(room, query, &hot).await,
            HotPage::Closed => {
                let state = self.hot.rooms(std::slice::from_ref(room)).await?.pop();
                if state == Some(HotState::Absent) {
                    return self.archived_page(room, query).await;
                }
                // Entries are left, or it was opened this moment.
                self.open(room).await?.ok_or_else(|| Error::RoomNotFound { room: room.clone() })?;
                Ok(None)
            }
        }
    }

    /// A page that the hot log has.
    async fn hot_page(&self, room: &RoomId, query: &ReadQuery, found: HotWindow) -> Result<Option<Page>> {
        let Some(query) = self.in_life(room, query, &found.room).await? else { return Ok(None) };
        let found = Found {
            head: found.room.head(),
            place: Some(found.place),
            entries: window::shown(&found)?,
            earlier: found.earlier,
            later: found.later,
        };
        found.into_page(room, &query).map(Some)
    }

    /// The query with a cursor of the present life, if the one it has still holds; `None` if the room's life is another one.
    async fn in_life(&self, room: &RoomId, query: &ReadQuery, hot: &HotRoom) -> Result<Option<ReadQuery>> {
        let Some(cursor) = cursor_of(&query.from) else { return Ok(Some(query.clone())) };
        if cursor.epoch == hot.life {
            return Ok(Some(query.clone()));
        }
        let known =
            self.archived_room(room).await?.ok_or_else(|| Error::RoomNotFound { room: room.clone() })?;
        if !self.lives_on(room, hot, &known).await? {
            return Ok(None);
        }
        known.position(room, cursor, &hot.head())?;
        Ok(Some(in_epoch(query, &hot.life)))
    }

    /// Whether what the hot log has is of the room's present life. Otherwise it is opened anew: the archive was put back, or this is
    /// a server that another one has taken over from.
    pub(super) async fn lives_on(&self, room: &RoomId, hot: &HotRoom, known: &ArchivedRoom) -> Result<bool> {
        if *known.epoch() == hot.life && known.head.cursor.seq >= hot.archived {
            return Ok(true);
        }
        self.hot.close_room(room, &hot.life).await?;
        self.open(room).await?;
        Ok(false)
    }

    /// A page of an open room that lies before the hot log's window, at least in part.
    async fn old_page(&self, room: &RoomId, query: &ReadQuery, hot: &HotRoom) -> Result<Option<Page>> {
        if hot.archived < hot.head {
            self.flush(std::slice::from_ref(room)).await?;
        }
        let known =
            self.archived_room(room).await?.ok_or_else(|| Error::RoomNotFound { room: room.clone() })?;
        if !self.lives_on(room, hot, &known).await? {
            return Ok(None);
        }
        self.page_of(room, query, &known).await
    }

    /// A page of a room that is all in the archive.
    async fn archived_page(&self, room: &RoomId, query: &ReadQuery) -> Result<Option<Page>> {
        let known =
            self.archived_room(room).await?.ok_or_else(|| Error::RoomNotFound { room: room.clone() })?;
        self.page_of(room, query, &known).await
    }

    async fn page_of(&self, room: &RoomId, query: &ReadQuery, known: &ArchivedRoom) -> Result<Option<Page>> {
        let epoch = known.epoch();
        if let Some(cursor) = cursor_of(&query.from) {
            known.position(room, cursor, &known.visible_head())?;
        }
        let page = self.log.read(room, in_epoch(query, &known.head.cursor.epoch)).await;
        let mut page = match page {
            // It was put back this moment.
            Err(Error::CursorReset { .. }) => return Ok(None),
            page => page?,
        };
        if page.head.cursor.epoch != known.head.cursor.epoch {
            return Ok(None);
        }
        page.head.cursor.epoch = epoch.clone();
        for entry in &mut page.entries {
            show(entry, epoch);
        }
        Ok(Some(page))
    }

    /// The ends of many rooms.
    pub(super) async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        Ok(self.whereabouts(rooms).await?.into_iter().map(|place| Some(place?.head())).collect())
    }
}

const fn hot_from(from: &ReadFrom) -> HotFrom {
    match from {
        ReadFrom::After(Place::Cursor(cursor)) => HotFrom::After(cursor.seq),
        ReadFrom::Before(Place::Cursor(cursor)) => HotFrom::Before(cursor.seq),
        ReadFrom::After(Place::Id(id)) => HotFrom::AfterId(*id),
        ReadFrom::Before(Place::Id(id)) => HotFrom::BeforeId(*id),
        ReadFrom::Newest => HotFrom::Newest,
    }
}

const fn cursor_of(from: &ReadFrom) -> Option<&Cursor> {
    match from {
        ReadFrom::After(Place::Cursor(cursor)) | ReadFrom::Before(Place::Cursor(cursor)) => Some(cursor),
        _ => None,
    }
}

/// The same query with its cursor in another epoch.
fn in_epoch(query: &ReadQuery, epoch: &Epoch) -> ReadQuery {
    let mut query = query.clone();
    if let ReadFrom::After(Place::Cursor(cursor)) | ReadFrom::Before(Place::Cursor(cursor)) = &mut query.from
    {
        cursor.epoch = epoch.clone();
    }
    query
}

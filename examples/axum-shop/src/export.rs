//! The way back: everything that was said here, as lines of JSON on stdout, for the tables of the system from before.
//!
//! Each room is a line `{"room": …}`, and its messages that were not taken over from there are lines `{"message": …}`, oldest first.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use anyhow::Context as _;
use chat_core::{
    MessageLog, Page, ReadQuery, Rooms, UserId,
    rooms::{ActivityCursor, RoomSummary},
};
use example_support::import;
use serde_json::{Value, json};

use crate::{dialect::message, open, rooms, settings::Settings};

/// Rooms of one page.
const ROOMS: usize = 200;

struct Exporter {
    rooms: Arc<dyn Rooms>,
    log: Arc<dyn MessageLog>,
}

/// Exports everything. It is complete where no server runs any more.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let (backend, stores) = open(settings).await?;
    let exporter = Exporter { rooms: backend.rooms(), log: backend.message_log() };
    for (store, owner) in stores.owners().await? {
        exporter.store(&store, &owner).await.with_context(|| format!("store {store}"))?;
    }
    backend.close().await;
    Ok(())
}

impl Exporter {
    async fn store(&self, store: &str, owner: &UserId) -> anyhow::Result<()> {
        let side = rooms::Side::Store(Some(store.to_owned()));
        let mut after: Option<ActivityCursor> = None;
        loop {
            let page = self.rooms.rooms_of(owner, after.as_ref(), ROOMS).await?;
            for summary in page.rooms.iter().filter(|summary| side.is(owner, &summary.room)) {
                self.room(summary).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn room(&self, summary: &RoomSummary) -> anyhow::Result<()> {
        let room = &summary.room;
        let buyer = UserId::new(rooms::buyer(room))?;
        let unread = self.rooms.unread(&buyer, std::slice::from_ref(&room.id)).await?;
        line(&json!({ "room": {
            "id": room.id, "buyerId": buyer, "storeId": rooms::store(room), "createdAt": room.created_at.to_string(),
            "buyerUnread": unread.first(), "storeUnread": summary.unread,
        } }))?;
        let mut after = chat_core::Cursor::new(summary.head.epoch.clone(), chat_core::Seq::ZERO);
        loop {
            let query = ReadQuery::after(after).with_limit(ReadQuery::MAX_LIMIT);
            let Page { entries, reaches_head, .. } = self.log.read(&room.id, query).await?;
            for entry in entries.iter().filter(|entry| import::old_id(entry).is_none()) {
                if let Some(message) = message(entry) {
                    line(&json!({ "message": message }))?;
                }
            }
            match entries.last() {
                Some(last) if !reaches_head => after = last.position.cursor.clone(),
                _ => return Ok(()),
            }
        }
    }
}

fn line(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{value}")
}

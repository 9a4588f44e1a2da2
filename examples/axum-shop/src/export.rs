//! The way back: everything that was said here, as lines of JSON on stdout, for the tables of the system from before.
//!
//! Each room is a line `{"room": …}`, and its messages that were not taken over from there are lines `{"message": …}`, oldest first.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    sync::Arc,
};

use anyhow::Context as _;
use chat_backend_postgres::PostgresConfig;
use chat_core::{Cursor, MessageLog, Page, ReadQuery, RoomId, Rooms, Seq, UserId};
use example_support::import;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::{dialect::message, open, rooms, settings::Settings, stores::Stores};

/// All rooms, whoever is a member: the store's side of one may be empty, where its owner is the buyer.
const ROOMS: &str = "SELECT id FROM $chat.rooms WHERE id > $1 ORDER BY id LIMIT 200";

struct Exporter {
    rooms: Arc<dyn Rooms>,
    log: Arc<dyn MessageLog>,
    owners: HashMap<String, UserId>,
}

/// Exports everything. It is complete where no server runs any more.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let (backend, stores) = open(settings).await?;
    let owners = stores.owners().await?;
    let exporter = Exporter { rooms: backend.rooms(), log: backend.message_log(), owners };
    let done = exporter.all(&stores).await;
    backend.close().await;
    done
}

impl Exporter {
    async fn all(&self, stores: &Stores) -> anyhow::Result<()> {
        let statement = ROOMS.replace("$chat", PostgresConfig::DEFAULT_SCHEMA);
        let mut last = String::new();
        loop {
            let page = sqlx::query_scalar(AssertSqlSafe(statement.clone())).bind(&last);
            let page: Vec<String> = page.fetch_all(&stores.pool).await?;
            let Some(end) = page.last() else { return Ok(()) };
            end.clone_into(&mut last);
            for id in page {
                self.room(&RoomId::new(&id)?).await.with_context(|| format!("room {id}"))?;
            }
        }
    }

    async fn room(&self, id: &RoomId) -> anyhow::Result<()> {
        let ids = std::slice::from_ref(id);
        let room = self.rooms.room(id).await?;
        let buyer = UserId::new(rooms::buyer(&room)).context("it has no buyer")?;
        let store = rooms::store(&room);
        let owner =
            self.owners.get(store).with_context(|| format!("it is of store {store:?}, and no such store"))?;
        let head = self.log.heads(ids).await?.pop().flatten().context("it is gone")?;
        let buyer_unread = self.rooms.unread(&buyer, ids).await?;
        // A buyer whose store it is has one mark alone, the buyer's.
        let store_unread = if *owner == buyer { vec![0] } else { self.rooms.unread(owner, ids).await? };
        line(&json!({ "room": {
            "id": id, "buyerId": buyer, "storeId": store, "createdAt": room.created_at.to_string(),
            "buyerUnread": buyer_unread.first(), "storeUnread": store_unread.first(),
        } }))?;
        let mut after = Cursor::new(head.cursor.epoch, Seq::ZERO);
        loop {
            let query = ReadQuery::after(after).with_limit(ReadQuery::MAX_LIMIT);
            let Page { entries, reaches_head, .. } = self.log.read(id, query).await?;
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
